"""Measure how fast volumes are beside the bare file system: `python -m bench.data_path --help`."""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from rich.console import Console

from bench import fio, report
from bench.client import BenchError
from bench.disks import disk
from bench.fio import WORKS, Work
from bench.measure import Measure, Report, cores, machine
from bench.server import own_server
from bench.volumes import Volumes

MIB: Final = 1 << 20
DISK_BYTES: Final = 6 << 30  # sparse; all of the volumes fit
SIZE: Final = "1Gi"  # of each claim
OWN_MOUNTS: Final = "MOORING_BENCH_OWN_MOUNTS"  # set where nobody else sees what is mounted
progress = Console(stderr=True)


class Scale(NamedTuple):
    """file_bytes  what is worked on; seconds  of one work on one file, in each of the rounds"""

    file_bytes: int = 512 * MIB
    seconds: float = 1.0
    rounds: int = 7


class Subject(NamedTuple):
    """A kind of volume. asked: the least share of the bare file system's throughput"""

    name: str
    driver: str
    options: dict[str, dict[str, object]]
    asked: float


QUICK: Final = Scale(16 * MIB, 0.2, 1)
# By the file system of their pool. The bare one beside them has the same kind of disk.
SUBJECTS: Final = {
    "xfs": (
        Subject("directory", "directory.mooring.dev", {}, 0.95),
        Subject("loopfile-xfs", "loopfile.mooring.dev", {"loopfile": {"fsType": "xfs"}}, 0.85),
        Subject("loopfile-ext4", "loopfile.mooring.dev", {"loopfile": {"fsType": "ext4"}}, 0.85),
    ),
    "btrfs": (Subject("btrfs", "btrfs.mooring.dev", {}, 0.95),),
}
NAMES: Final = [one.name for subjects in SUBJECTS.values() for one in subjects]


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.data_path",
        description="Start Mooring, mount a volume of each driver, and print how fast fio finds "
        "it beside the bare file system: in turn, several rounds, the median of the ratios. Needs "
        "root and fio. The table is Markdown.",
    )
    parser.add_argument("--volumes", default="", help=f"only these, of {','.join(NAMES)}")
    parser.add_argument("--on", type=Path, metavar="DIRECTORY", help="on its disk; default: /tmp")
    parser.add_argument("--quick", action="store_true", help="hardly any work: does it run?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    chosen = parser.parse_args(words)
    unknown = set(filter(None, chosen.volumes.split(","))) - set(NAMES)
    if unknown:
        parser.error(f"no volume is called {', '.join(sorted(unknown))}")
    return chosen


def measured(chosen: argparse.Namespace) -> Report:
    """Every row asked for."""
    wanted = [name for name in chosen.volumes.split(",") if name] or NAMES
    scale = QUICK if chosen.quick else Scale()
    rows, versions = [], fio.version()
    with progress.status("starting") as status:
        for kind, subjects in SUBJECTS.items():
            if few := [one for one in subjects if one.name in wanted]:
                status.update(f"measuring on {kind}")
                rows += _on_a_disk(kind, few, scale, chosen.on)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    where = f"{versions}, Linux {platform.release()}"
    return Report(where, machine(), cores(), now, rows, quick=chosen.quick)


def _on_a_disk(kind: str, subjects: list[Subject], scale: Scale, on: Path | None) -> list[Measure]:
    with ExitStack() as stack:
        own = tempfile.TemporaryDirectory(prefix="bench-", dir=on, ignore_cleanup_errors=True)
        place = Path(stack.enter_context(own))
        # Apart, since a pool may change its whole file system: btrfs counts for quotas.
        bare = stack.enter_context(disk(kind, place / "bare", DISK_BYTES))
        pools = stack.enter_context(disk(kind, place / "pools", DISK_BYTES))
        # Ended before the disks go: it has the roots of its pools open.
        volumes = Volumes(stack.enter_context(own_server()).target)
        files = {"": bare / "file"}
        for one in subjects:
            root = pools / one.name
            path = volumes.mounted(one.name, one.driver, root, SIZE, **one.options)
            stack.callback(volumes.unmount, one.name)
            files[one.name] = path / "file"
        for file in files.values():
            fio.written(file, scale.file_bytes)
        rows = []
        for work in WORKS:
            found = _in_turn(files, work, scale)
            rows += [_row(kind, one, work, found) for one in subjects]
        return rows


def _in_turn(files: dict[str, Path], work: Work, scale: Scale) -> dict[str, list[float]]:
    """Bytes a second of each file, round by round; every other round begins at the other end."""
    found = {name: list[float]() for name in files}
    for round_ in range(scale.rounds):
        for name in list(files) if round_ % 2 else reversed(list(files)):
            speed = fio.bytes_per_s(files[name], scale.file_bytes, work, scale.seconds)
            found[name].append(speed)
    return found


def _row(kind: str, one: Subject, work: Work, found: dict[str, list[float]]) -> Measure:
    bare, ours = found[""], found[one.name]
    ratio = median(our / (its or 1) for our, its in zip(ours, bare, strict=True))
    speeds = {"bare": median(bare) / MIB, "volume": median(ours) / MIB}
    note = "; ".join(f"{name} {report.number(speed)} MiB/s" for name, speed in speeds.items())
    return Measure(
        f"{one.name} on {kind}, {work.name}",
        "× bare",
        {"ratio": ratio},
        {"ratio": one.asked},
        more_is_better=True,
        note=note,
    )


def markdown(done: Report) -> str:
    """The table, as the documents have it."""
    lines = [
        f"{done.server}; {done.machine}, {done.cores} cores; {done.date}{', quick' * done.quick}",
        "",
        "| volume, work | bare | volume | of it | asked |",
        "|---|---|---|---|---|",
    ]
    for row in done.rows:
        bare, volume = (part.partition(" ")[2] for part in row.note.split("; "))
        shares = f"{row.values['ratio']:.2f} | {row.must['ratio']:.2f}"
        lines.append(f"| {row.name} | {bare} | {volume} | {shares} |")
    return "\n".join(lines)


def main(words: list[str]) -> int:
    chosen = arguments(words)
    if OWN_MOUNTS not in os.environ and os.geteuid() == 0:
        again = ("unshare", "--mount", sys.executable, "-m", "bench.data_path", *words)
        return subprocess.run(again, env={**os.environ, OWN_MOUNTS: "1"}, check=False).returncode
    try:
        done = measured(chosen)
    except BenchError as error:
        progress.print(f"bench: {error}", style="red", markup=False)
        return 1
    if chosen.json:
        report.write(done, chosen.json)
    print(markdown(done))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
