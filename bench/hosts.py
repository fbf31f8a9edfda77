"""Measure a server with the agents of many hosts: `python -m bench.hosts --help`."""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from rich.console import Console

from bench import processes, report
from bench.client import BenchError, Target
from bench.collection import ask
from bench.measure import Measure, Report, cores, machine
from bench.server import own_server

CLAIMS: Final = "/api/v1/namespaces/default/persistentvolumeclaims"
PATIENCE_S: Final = 300.0
AT_ONCE: Final = 16
progress = Console(stderr=True)


class Scale(NamedTuple):
    """How much is done."""

    hosts: int = 10
    volumes: int = 1000
    idle_s: float = 30.0


QUICK: Final = Scale(hosts=2, volumes=10, idle_s=1.0)


@contextmanager
def agents(target: Target, place: Path, hosts: int) -> Iterator[list[int]]:
    """Agents without Docker, each of a host of its own name; their processes."""
    found: list[subprocess.Popen[bytes]] = []
    command = (sys.executable, "-m", "mooring.cli.main", "node")
    url = f"https://{target.host}:{target.port}"
    kubeconfig = place / "kubeconfig"
    try:
        for number in range(hosts):
            data = place / f"host-{number}"
            made = subprocess.run(
                (*command, "token", "--kubeconfig", str(kubeconfig)),
                capture_output=True,
                text=True,
                check=True,
            )
            token = made.stdout.split()[-1]
            joining = ("join", url, "--token", token, "--node-name", f"host-{number}")
            subprocess.run(
                (*command, *joining, "--data-dir", str(data)), capture_output=True, check=True
            )
            with (place / f"host-{number}.log").open("wb") as log:
                running = ("run", "--data-dir", str(data), "--plugin-socket", "")
                found.append(subprocess.Popen((*command, *running), stdout=log, stderr=log))
        yield [one.pid for one in found]
    finally:
        for one in found:
            one.terminate()
        for one in found:
            one.wait(30)


async def joined(target: Target, scale: Scale) -> None:
    """Wait until all hosts are there. Raises BenchError."""
    began = time.perf_counter()
    while time.perf_counter() - began < PATIENCE_S:
        answer = await ask(target, "GET", "/api/v1/nodes")
        ready = [
            one["metadata"]["name"]
            for one in json.loads(answer.body)["items"]
            if any(
                it["type"] == "Ready" and it["status"] == "True"
                for it in one.get("status", {}).get("conditions", ())
            )
        ]
        if len([one for one in ready if one.startswith("host-")]) == scale.hosts:
            return
        await asyncio.sleep(0.2)
    raise BenchError("not all hosts have joined")


async def made(target: Target, scale: Scale) -> float:
    """Seconds until claims of all hosts are bound to volumes there."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        chosen = {"volume.kubernetes.io/selected-node": f"host-{number % scale.hosts}"}
        doc = {
            "metadata": {"name": f"c{number}", "annotations": chosen},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "host",
                "resources": {"requests": {"storage": "1Mi"}},
            },
        }
        async with limit:
            answer = await ask(target, "POST", CLAIMS, json.dumps(doc).encode())
        if answer.status != 201:
            raise BenchError(f"a claim is not made: {answer.body[:200]!r}")

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(scale.volumes)))
    while time.perf_counter() - began < PATIENCE_S:
        answer = await ask(target, "GET", CLAIMS)
        claims = json.loads(answer.body)["items"]
        if sum(one["status"].get("phase") == "Bound" for one in claims) == scale.volumes:
            return time.perf_counter() - began
        await asyncio.sleep(0.2)
    raise BenchError(f"not all claims are bound after {PATIENCE_S:.0f} s")


async def idle(pids: list[int], seconds: float) -> float:
    """Percent of a core that some processes use together while nothing happens."""
    before, began = processes.cpu_s(pids), time.perf_counter()
    await asyncio.sleep(seconds)
    return 100 * (processes.cpu_s(pids) - before) / (time.perf_counter() - began)


async def measured(scale: Scale) -> Report:
    with ExitStack() as stack:
        started = stack.enter_context(own_server())
        directory = TemporaryDirectory(prefix="mooring-bench-hosts-")
        place = Path(stack.enter_context(directory))
        kept = kubeconfig_of(started.pids[0])
        (place / "kubeconfig").write_bytes(kept.read_bytes())
        progress.print("hosts join")
        pids = stack.enter_context(agents(started.target, place, scale.hosts))
        await joined(started.target, scale)
        progress.print("claims are made")
        took_s = await made(started.target, scale)
        await asyncio.sleep(min(scale.idle_s, 10.0))  # until what that caused is done
        progress.print("nothing happens")
        server, *each = await asyncio.gather(
            idle(started.pids, scale.idle_s), *(idle([one], scale.idle_s) for one in pids)
        )
        memory = [processes.resident_mib([one]) for one in pids]
    per_s = {"all hosts": scale.volumes / took_s}
    lines = [
        Measure("volumes made and bound", "1/s", per_s, more_is_better=True),
        Measure("nothing happens: server", "% of a core", {"idle": server}, {"idle": 2.0}),
        Measure(
            *("nothing happens: an agent", "% of a core"),
            *({"mean": sum(each) / len(each), "most": max(each)}, {"mean": 0.3}),
        ),
        Measure("memory of an agent", "MiB", {"mean": sum(memory) / len(memory)}),
    ]
    what = f"{scale.hosts} agents without Docker and {scale.volumes:,} volumes, on SQLite"
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Report(what, machine(), cores(), now, lines, quick=scale == QUICK)


def kubeconfig_of(pid: int) -> Path:
    """The one that a server of ours was told to write."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return Path(words[words.index("--kubeconfig") + 1])


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.hosts",
        description="Start a server and the agents of many hosts beside it, have them make "
        "volumes, and print what they use of the machine when nothing happens.",
    )
    parser.add_argument("--hosts", type=int, default=Scale().hosts, metavar="N")
    parser.add_argument("--volumes", type=int, default=Scale().volumes, metavar="N")
    parser.add_argument("--quick", action="store_true", help="a small one: does it run?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    chosen = parser.parse_args(words)
    scale = QUICK if chosen.quick else Scale(chosen.hosts, chosen.volumes)
    try:
        done = asyncio.run(measured(scale))
    except (BenchError, subprocess.CalledProcessError) as error:
        progress.print(f"bench: {error}", style="red", markup=False)
        return 1
    report.show(done, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
