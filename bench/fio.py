"""What fio finds out about one file: so many bytes a second, by the kind of work."""

import subprocess
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bench.client import BenchError

ENDS_S: Final = 60.0  # beyond its time: the last calls of a disk that others use as well


class Work(NamedTuple):
    """A kind of work.

    name   for people
    words  of fio: how it reads or writes. Without direct=1 the page cache is between.
    """

    name: str
    words: tuple[str, ...]


_IN_DEPTH: Final = ("--direct=1", "--ioengine=libaio", "--iodepth=16")
WORKS: Final = (
    Work("sequential write, 1 MiB", ("--rw=write", "--bs=1M", *_IN_DEPTH)),
    Work("sequential read, 1 MiB", ("--rw=read", "--bs=1M", *_IN_DEPTH)),
    Work("random read, 4 KiB", ("--rw=randread", "--bs=4k", *_IN_DEPTH)),
    Work("random write, 4 KiB", ("--rw=randwrite", "--bs=4k", *_IN_DEPTH)),
    Work("4 KiB and fsync", ("--rw=write", "--bs=4k", "--fsync=1", "--ioengine=psync")),
)


class _Side(msgspec.Struct):
    bw_bytes: float


class _Job(msgspec.Struct):
    read: _Side
    write: _Side


class _Output(msgspec.Struct):
    jobs: list[_Job]


def written(file: Path, size_bytes: int) -> None:
    """Write all of a file, so that no later work has to find room for it."""
    _fio(file, size_bytes, ("--rw=write", "--bs=1M", *_IN_DEPTH, "--end_fsync=1"), ENDS_S)


def bytes_per_s(file: Path, size_bytes: int, work: Work, seconds: float) -> float:
    """Do a kind of work on a file that is written already. Raises BenchError."""
    words = (*work.words, "--time_based", f"--runtime={seconds}")
    output = _fio(file, size_bytes, words, seconds + ENDS_S)
    try:
        job = msgspec.json.decode(output, type=_Output).jobs[0]
    except (msgspec.MsgspecError, IndexError):
        raise BenchError(f"fio said something else than JSON: {output[:200]!r}") from None
    return job.read.bw_bytes + job.write.bw_bytes


def version() -> str:
    """Raises BenchError if there is no fio."""
    return _ran(("fio", "--version"), ENDS_S).decode().strip()


def _fio(file: Path, size_bytes: int, words: tuple[str, ...], within_s: float) -> bytes:
    common = ("--name=work", f"--filename={file}", f"--size={size_bytes}", "--fallocate=none")
    return _ran(("fio", *common, *words, "--output-format=json"), within_s)


def _ran(command: tuple[str, ...], within_s: float) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, timeout=within_s, check=False)
    except FileNotFoundError:
        raise BenchError("fio is missing; install the package fio") from None
    except subprocess.TimeoutExpired:
        raise BenchError(f"fio did not end within {within_s:.0f} s: {' '.join(command)}") from None
    if done.returncode:
        raise BenchError(f"fio failed: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return done.stdout
