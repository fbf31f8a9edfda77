"""Measure Docker volumes beside Docker's own driver: `python -m bench.docker --help`."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench import report
from bench.client import BenchError
from bench.docker_host import own_host
from bench.docker_rows import ROWS, DockerBench, Scale
from bench.measure import Report, cores, machine

QUICK = Scale(
    creates=10, starts=4, volumes=50, lists=10, gets=50, restarts=1, hangs=1, starts_beside=3
)
progress = Console(stderr=True)


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.docker",
        description="Start a dockerd and Mooring in namespaces of their own and print how fast "
        "volumes are, in turn with volumes of Docker's driver `local` on the same dockerd. Needs "
        "root; touches no other Docker of this machine.",
    )
    parser.add_argument("--rows", default="", help=f"only these, of {','.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: does it run?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument(
        "--compare", type=Path, nargs=2, metavar=("A", "B"), help="two such files; measures nothing"
    )
    chosen = parser.parse_args(words)
    unknown = set(filter(None, chosen.rows.split(","))) - set(ROWS)
    if unknown:
        parser.error(f"no row is called {', '.join(sorted(unknown))}")
    return chosen


def measured(chosen: argparse.Namespace) -> Report:
    """The rows asked for, on a host that is made for them."""
    wanted = [name for name in chosen.rows.split(",") if name] or list(ROWS)
    lines = []
    with progress.status("starting") as status, own_host() as on:
        versions = on.versions()
        bench = DockerBench(on, QUICK if chosen.quick else Scale())
        for name in wanted:
            status.update(f"measuring: {name}")
            lines += ROWS[name](bench)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Report(versions, machine(), cores(), now, lines, quick=chosen.quick)


def main(words: list[str]) -> int:
    chosen = arguments(words)
    try:
        if chosen.compare:
            Console().print(report.comparison(*map(report.read, chosen.compare)))
            return 0
        done = measured(chosen)
    except (BenchError, AssertionError) as error:  # the latter of the host: it did not come up
        progress.print(f"bench: {error}", style="red", markup=False)
        return 1
    report.show(done, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
