"""What a row of the table holds."""

import os
import platform
from pathlib import Path
from time import perf_counter, process_time
from typing import Self

import msgspec


class Measure(msgspec.Struct, frozen=True):
    """One measured row.

    values  {label: number}, all in `unit`: {"p50": 1.3, "p95": 2.0}
    must    {label: number}: what the design asks for, where it does
    note    how it was measured, for the reader
    """

    name: str
    unit: str
    values: dict[str, float]
    must: dict[str, float] = {}
    more_is_better: bool = False
    note: str = ""

    def reaches(self) -> bool | None:
        """Whether every value is as the design asks; None if it asks nothing of this row."""
        if not self.must:
            return None
        sign = 1 if self.more_is_better else -1
        return all(sign * self.values[label] >= sign * asked for label, asked in self.must.items())


class Report(msgspec.Struct, frozen=True):
    """All rows of one run, and what they were measured on."""

    server: str
    machine: str
    cores: int
    date: str
    rows: list[Measure]
    skipped: dict[str, str] = {}  # {name of a row: why it is not there}
    quick: bool = False  # a tenth of the work was done, so the figures say little


class Stopwatch:
    """Times a block, and how busy this client was in it: near 100 % it measured itself."""

    def __enter__(self) -> Self:
        self.started_s, self._cpu_s = perf_counter(), process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.elapsed_s = perf_counter() - self.started_s
        self.client = f"client {100 * (process_time() - self._cpu_s) / self.elapsed_s:.0f} % busy"


def percentiles_ms(times_s: list[float]) -> dict[str, float]:
    """p50 and p95 of some durations, in milliseconds. Raises ValueError if there are none."""
    if not times_s:
        raise ValueError("no durations")
    ordered = sorted(times_s)
    last = len(ordered) - 1
    return {f"p{share}": 1000 * ordered[round(last * share / 100)] for share in (50, 95)}


def machine() -> str:
    """The processor and the interpreter, as people name them."""
    model = platform.machine()
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, Python {platform.python_version()}"


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
