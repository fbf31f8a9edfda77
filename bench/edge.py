"""Measure an edge before a large swarm: `python -m bench.edge --help`."""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

import yaml
from rich.console import Console

from bench import processes, report
from bench.client import BenchError
from bench.measure import Measure, Report, cores, machine, percentiles_ms
from mooring.edge.edge import proxy_of
from mooring.edge.errors import ProxyAway
from mooring.edge.haproxy import files
from mooring.edge.haproxy.runtime import Runtime
from mooring.edge.haproxy.slots import Admin
from mooring.edge.model import Memory, model_of
from mooring.edge.settings import Settings, settings_of
from mooring.engine.manager import Manager
from testbed.generated import FIRST_PORT, PORTS, GeneratedSwarm

ROOT: Final = Path(__file__).parent.parent
REPLICAS: Final = 3
PATIENCE_S: Final = 120.0
LOOK_S: Final = 0.002
# All tasks answer here. A real one has its own machine for what the checks cost.
TASKS: Final = f"""\
defaults
    mode http
    timeout client 60s
    timeout connect 1s
    timeout server 60s
frontend tasks
    bind 0.0.0.0:{FIRST_PORT}-{FIRST_PORT + PORTS - 1}
    http-request return status 200
"""
progress = Console(stderr=True)


class Scale(NamedTuple):
    """How much is done."""

    services: int = 1000
    renders: int = 5
    changes: int = 200
    idle_s: float = 20.0
    busy_s: float = 20.0
    many: int = 10_000


QUICK: Final = Scale(services=10, renders=2, changes=3, idle_s=0.5, busy_s=0.5, many=20)


class Edge:
    """`mooring edge run` before a generated swarm, and the HAProxy that it keeps."""

    def __init__(self, directory: Path, scale: Scale) -> None:
        self.scale, self.swarm = scale, GeneratedSwarm()
        self.socket, self.file = directory / "manager.sock", directory / "edge.yaml"
        doc = {
            "directory": str(directory / "edge"),
            "managers": [str(self.socket)],
            "entryPoints": [{"name": "http", "port": 8000}],
            "user": "",
        }
        self.file.write_text(yaml.safe_dump(doc))
        self.settings: Settings = settings_of(self.file)
        self.services = [
            self.swarm.add(f"web{number}", REPLICAS, {"mooring.edge.host": f"web{number}.example"})
            for number in range(scale.services)
        ]
        self.runtime = Runtime(directory / "edge/admin.sock")
        self.pids: list[int] = []

    @asynccontextmanager
    async def running(self, log: Path) -> AsyncIterator[None]:
        command = (sys.executable, "-m", "mooring.cli.main", "edge", "run", "-f", str(self.file))
        async with self.swarm.served(self.socket):
            with log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *command, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, stderr=output
                )
            self.pids = [process.pid]
            try:
                yield
            finally:
                process.terminate()
                await process.wait()
                await proxy_of(self.settings).stop()

    async def until_all_serve(self) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await self._serving() == REPLICAS * self.scale.services:
                    return
                await asyncio.sleep(0.05)

    async def _serving(self) -> int:
        try:
            slots = await self.runtime.slots()
        except ProxyAway:
            return 0
        return sum(
            one.admin is Admin.READY and one.is_up for some in slots.values() for one in some
        )

    async def replaced(self, service: str) -> tuple[float, float]:
        """After how many seconds a task that came is in HAProxy, and gets requests."""
        began = perf_counter()
        _, new = self.swarm.replace_task(service)
        address, port = self.swarm.place_of(new)
        told = 0.0
        async with asyncio.timeout(PATIENCE_S):
            while True:
                slots = (await self.runtime.slots(f"svc_{service}_"))[f"svc_{service}_"]
                here = [one for one in slots if (one.address, one.port) == (address, port)]
                told = told or (perf_counter() - began if here else 0.0)
                if any(one.admin is Admin.READY and one.is_up for one in here):
                    return told, perf_counter() - began
                await asyncio.sleep(LOOK_S)


async def rendered(edge: Edge) -> Measure:
    """All of a pass but the proxy: lists, model, and the whole configuration."""
    manager, times = Manager(str(edge.socket)), []
    for _ in range(edge.scale.renders):
        began = perf_counter()
        model, _ = model_of(await manager.swarm(), edge.settings, Memory())
        slots = {name: one.slots for name, one in model.backends.items()}
        files.config(model.backends, edge.settings, slots, 1)
        times.append(perf_counter() - began)
    await manager.stop()
    return Measure(
        "lists read, model made, whole configuration written",
        "ms",
        percentiles_ms(times),
        {"p50": 1000.0},
    )


async def started(edge: Edge) -> Measure:
    began = perf_counter()
    await edge.until_all_serve()
    name = "from nothing until every task gets requests"
    note = "the start of Python and of HAProxy, and the first checks, with it"
    return Measure(name, "s", {"once": perf_counter() - began}, note=note)


async def changed(edge: Edge) -> list[Measure]:
    told, served = [], []
    for number in range(edge.scale.changes):
        in_proxy, gets = await edge.replaced(edge.services[number % len(edge.services)])
        told.append(in_proxy)
        served.append(gets)
        await asyncio.sleep(0.05)  # the next is to be a change of its own
    return [
        Measure("one task replaced: HAProxy told", "ms", percentiles_ms(told), {"p50": 50.0}),
        Measure("one task replaced: it gets requests", "ms", percentiles_ms(served)),
    ]


async def used(edge: Edge, name: str, seconds: float, per_s: int) -> Measure:
    """Of one core, with so many tasks replaced a second."""
    before, began, number = processes.cpu_s(edge.pids), perf_counter(), 0
    while (elapsed := perf_counter() - began) < seconds:
        while number < elapsed * per_s:
            edge.swarm.replace_task(edge.services[number % len(edge.services)])
            number += 1
        await asyncio.sleep(0.02)
    share = (processes.cpu_s(edge.pids) - before) / (perf_counter() - began)
    return Measure(name, "% of a core", {"edge": 100 * share})


async def remembered(edge: Edge) -> Measure:
    """Memory once it has seen many changes, beside that after the first tenth."""
    found = {}
    for label, changes in (("first", edge.scale.many // 10), ("last", edge.scale.many)):
        for number in range(changes):
            edge.swarm.replace_task(edge.services[number % len(edge.services)])
            await asyncio.sleep(0.01)
        await edge.until_all_serve()
        found[label] = processes.resident_mib(edge.pids)
    note = f"after {edge.scale.many // 10:,} and {edge.scale.many:,} more tasks replaced"
    return Measure("resident memory", "MiB", found, note=note)


async def measured(scale: Scale) -> Report:
    lines = []
    with tempfile.TemporaryDirectory(prefix="mooring-bench-edge-") as made, tasks(Path(made)):
        edge = Edge(Path(made), scale)
        async with edge.running(Path(made) / "edge.log"):
            for row in (started, rendered):
                progress.print(f"measuring: {row.__name__}")
                lines.append(await row(edge))
            lines.append(await used(edge, "nothing changes", scale.idle_s, 0))
            progress.print("measuring: changes")
            lines += await changed(edge)
            lines.append(await used(edge, "ten tasks replaced a second", scale.busy_s, 10))
            progress.print("measuring: memory")
            lines.append(await remembered(edge))
    what = f"an edge by HAProxy before {scale.services:,} services of {REPLICAS} tasks"
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Report(what, machine(), cores(), now, lines, quick=scale == QUICK)


@contextmanager
def tasks(directory: Path) -> Iterator[None]:
    """Whatever is asked of a task of the swarm is answered meanwhile."""
    file = directory / "tasks.cfg"
    file.write_text(TASKS)
    process = subprocess.Popen(("haproxy", "-db", "-q", "-f", str(file)))
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def in_a_network_of_its_own() -> None:
    """Go on where all addresses of the swarm's nodes are ours. Raises BenchError."""
    if os.environ.pop("MOORING_BENCH_NETWORK", ""):
        subprocess.run(("ip", "link", "set", "lo", "up"), check=True)
        subprocess.run(("ip", "route", "add", "local", "10.77.0.0/16", "dev", "lo"), check=True)
        return
    if os.geteuid() != 0:
        raise BenchError("it makes a network of its own, so it has to be root")
    os.environ["MOORING_BENCH_NETWORK"] = "made"
    os.execvp("unshare", ("unshare", "--net", sys.executable, "-m", "bench.edge", *sys.argv[1:]))


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.edge",
        description="Start an edge with a HAProxy of its own before a swarm that is only told of, "
        "in a network of its own, and print how fast it is. Needs root.",
    )
    parser.add_argument("--services", type=int, default=Scale().services, metavar="N")
    parser.add_argument("--quick", action="store_true", help="a small one: does it run?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    chosen = parser.parse_args(words)
    try:
        in_a_network_of_its_own()
        scale = QUICK if chosen.quick else Scale(services=chosen.services)
        done = asyncio.run(measured(scale))
    except (BenchError, TimeoutError) as error:
        progress.print(f"bench: {error or 'it took too long'}", style="red", markup=False)
        return 1
    report.show(done, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
