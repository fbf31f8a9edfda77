"""Measure a server of the Kubernetes API: `python -m bench --help`."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console

from bench import processes, report
from bench.client import BenchError, Refused, Target
from bench.collection import ask, clear, make_namespace, remove_namespace
from bench.measure import Report, cores, machine
from bench.objects import OTHERS, ROW
from bench.rows import FIRST, ROWS, Bench, Rows, Scale, rows, with_others
from bench.server import Shared, own_server

LOCAL = ("127.0.0.1", "::1", "localhost")
QUICK = Scale(
    claims=100,
    more_claims=10,
    gets_s=0.5,
    creates=500,
    singles=20,
    lists=5,
    idle_s=1.0,
    settle_s=0.2,
)
progress = Console(stderr=True)


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Load a server of the Kubernetes API and print how fast it is. Without --url "
        "it starts Mooring in a temporary directory and measures that. It makes objects of its "
        "own only (namespace bench) and removes them.",
    )
    parser.add_argument("--url", help="https://HOST:PORT of the server")
    parser.add_argument("--token", default="", help="bearer token of an administrator there")
    parser.add_argument("--ca", default="", metavar="FILE", help="CA certificate of the server")
    parser.add_argument("--insecure", action="store_true", help="accept any certificate")
    parser.add_argument("--pids", default="", help="its processes here, as 1,2,3, if not found")
    parser.add_argument("--rows", default="", help=f"only these, of {','.join(ROWS)}")
    parser.add_argument(
        "--volumes", type=int, default=0, metavar="N", help="and again with N volumes present"
    )
    parser.add_argument(
        "--store",
        choices=["sqlite", "etcd"],
        default="sqlite",
        help="of a server of our own; etcd: started here, too",
    )
    parser.add_argument("--members", type=int, default=1, metavar="N", help="of etcd")
    parser.add_argument(
        "--servers", type=int, default=1, metavar="N", help="of one etcd; the first is measured"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: does it run?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument(
        "--compare", type=Path, nargs=2, metavar=("A", "B"), help="two such files; measures nothing"
    )
    chosen = parser.parse_args(words)
    unknown = set(filter(None, chosen.rows.split(","))) - set(ROWS)
    if unknown:
        parser.error(f"no row is called {', '.join(sorted(unknown))}")
    if chosen.url and not (chosen.ca or chosen.insecure):
        parser.error("--url needs --ca FILE or --insecure")
    if chosen.store != "etcd" and (chosen.members, chosen.servers) != (1, 1):
        parser.error("--members and --servers are of --store etcd")
    return chosen


@asynccontextmanager
async def benches(chosen: argparse.Namespace) -> AsyncIterator[Bench]:
    """The server asked for, or one of our own, ready and without remains of an earlier run."""
    scale = QUICK if chosen.quick else Scale()
    if not chosen.url:
        with own_server(shared=shared_of(chosen)) as started:
            await make_namespace(started.target)
            yield Bench(started.target, started.pids, scale)
        return
    target = Target.of(chosen.url, chosen.token, chosen.ca)
    pids = [int(pid) for pid in chosen.pids.split(",") if pid]
    if not pids and target.host in LOCAL:
        pids = processes.listeners(target.port)
    await make_namespace(target)
    try:
        await remove_remains(target)
        yield Bench(target, pids, scale)
    finally:
        await remove_remains(target)
        await remove_namespace(target)


def shared_of(chosen: argparse.Namespace) -> Shared | None:
    """What our own server shares with others; None: nothing."""
    is_shared = chosen.store == "etcd" and not chosen.url
    return Shared(chosen.members, chosen.servers) if is_shared else None


async def remove_remains(target: Target) -> None:
    for label in (ROW, OTHERS):
        await clear(target, label)


async def measured(bench: Bench, chosen: argparse.Namespace) -> Report:
    """The rows asked for, in the order of the design's table."""
    wanted = [name for name in chosen.rows.split(",") if name] or list(ROWS)
    found: dict[str, Rows] = {}
    for name in sorted(wanted, key=lambda name: name not in FIRST):
        with progress.status(f"measuring: {name}"):
            found[name] = await rows(bench, {name: ROWS[name]})
    parts = [found[name] for name in ROWS if name in found]
    if chosen.volumes:
        with progress.status(f"measuring with {chosen.volumes:,} volumes present"):
            parts.append(await with_others(replace(bench, others=chosen.volumes)))
    lines = [row for part in parts for row in part.measured]
    skipped = {name: why for part in parts for name, why in part.skipped.items()}
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    shared = shared_of(chosen)
    server = await version(bench.target) + (f" ({shared})" if shared else "")
    return Report(server, machine(), cores(), now, lines, skipped, chosen.quick)


async def version(target: Target) -> str:
    """What the server says it is."""
    answer = await ask(target, "GET", "/version")
    if answer.status != 200:
        raise Refused(answer.status, answer.body)
    return str(msgspec.json.decode(answer.body).get("gitVersion", "unknown"))


async def run(chosen: argparse.Namespace) -> Report:
    async with benches(chosen) as bench:
        return await measured(bench, chosen)


def main(words: list[str]) -> int:
    chosen = arguments(words)
    try:
        if chosen.compare:
            Console().print(report.comparison(*map(report.read, chosen.compare)))
            return 0
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            done = runner.run(run(chosen))
    except BenchError as error:
        progress.print(f"bench: {error}", style="red", markup=False)
        return 1
    report.show(done, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
