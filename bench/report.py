"""The table for people, the file for programs, and the comparison of two files."""

from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.client import BenchError
from bench.measure import Measure, Report


def write(report: Report, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def show(report: Report, path: Path | None) -> None:
    """Print the table; with a path, write the file as well."""
    if path:
        write(report, path)
    Console().print(table(report))


def read(path: Path) -> Report:
    """A report written earlier. Raises BenchError if the file is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.MsgspecError) as error:
        raise BenchError(f"{path} is not a report of this benchmark: {error}") from None


def table(report: Report) -> Table:
    """One line a row, with what the design asks for beside what was found."""
    title = f"{report.server} on {report.cores} cores ({report.machine}), {report.date}"
    if report.quick:
        title += "\nquick: a tenth of the work, the figures say little"
    shown = Table(title=title, title_justify="left")
    for heading in ("work", "measured", "must reach", "", "note"):
        shown.add_column(heading, overflow="fold")
    for row in report.rows:
        met = {True: "[green]yes", False: "[red]no", None: ""}[row.reaches()]
        shown.add_row(row.name, _measured(row), _must(row), met, row.note)
    for name, why in report.skipped.items():
        shown.add_row(name, "–", "", "", why)
    return shown


def comparison(first: Report, second: Report) -> Table:
    """Every value of both, and how many times better the second is."""
    shown = Table(title=f"A: {_title(first)}\nB: {_title(second)}", title_justify="left")
    for heading in ("work", "", "A", "B", "B is better by"):
        shown.add_column(heading, overflow="fold")
    others = {row.name: row for row in second.rows}
    for row in first.rows:
        other = others.get(row.name)
        for label, value in row.values.items():
            if other is not None and label in other.values:
                better = ratio(row, label, other)
                unit = row.unit
                shown.add_row(
                    row.name,
                    label,
                    f"{number(value)} {unit}",
                    f"{number(other.values[label])} {unit}",
                    "–" if better is None else f"{better:.2f} ×",
                )
    return shown


def ratio(first: Measure, label: str, second: Measure) -> float | None:
    """How many times better the second is, above 1 if it is; None where a value is zero."""
    a, b = first.values[label], second.values[label]
    if not a or not b:
        return None
    return b / a if first.more_is_better else a / b


def number(value: float) -> str:
    """With three figures that mean something, as people read them."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _title(report: Report) -> str:
    return f"{report.server}, {report.cores} cores, {report.date}{', quick' * report.quick}"


def _measured(row: Measure) -> str:
    if len(row.values) == 1:
        return f"{number(next(iter(row.values.values())))} {row.unit}"
    return ", ".join(f"{label} {number(value)}" for label, value in row.values.items()) + (
        f" {row.unit}"
    )


def _must(row: Measure) -> str:
    sign = "≥" if row.more_is_better else "≤"
    labels = len(row.values) > 1
    asked = (f"{f'{k} ' if labels else ''}{sign} {v:,g}" for k, v in row.must.items())
    return ", ".join(asked) + (f" {row.unit}" if row.must else "")
