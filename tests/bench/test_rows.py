"""Every row against a server that binds at once, and what becomes of the numbers."""

import os
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench import processes
from bench.__main__ import arguments, benches, measured
from bench.client import BenchError, Target
from bench.measure import Measure, Report, percentiles_ms
from bench.report import comparison, number, ratio, read, table, write
from bench.rows import ROWS, Bench, Scale, rows, with_others
from tests.bench.fake_api import FakeApi

TINY = Scale(
    connections=2,
    claims=10,
    more_claims=2,
    gets_s=0.05,
    creates=20,
    singles=3,
    lists=2,
    idle_s=0.05,
    settle_s=0.01,
)
DESIGN = [
    "GET one object, 32 connections, TLS",
    "create PV, 32 connections, durable",
    "1,000 claims created at once until all are Bound",
    "one claim, create → Bound seen by a watch",
    "list 1,100 claims (1.4 MB)",
    "watch event after create sent",
    "resident memory, empty / with 2,000 objects",
    "idle CPU",
]


@pytest.fixture
def bench(target: Target) -> Bench:
    return Bench(target, [os.getpid()], TINY)


async def test_the_rows_are_those_of_the_design_and_leave_nothing_behind(
    api: FakeApi, bench: Bench
) -> None:
    found = await rows(bench, ROWS)
    assert [row.name for row in found.measured] == DESIGN
    assert all(value > 0 for row in found.measured for value in row.values.values())
    assert not any(api.collections.values())


async def test_rows_with_others_present_say_how_many_and_remove_them(
    api: FakeApi, bench: Bench
) -> None:
    found = await with_others(replace(bench, others=12))
    assert [row.name for row in found.measured] == [
        "resident memory, 12 volumes present",
        "1,000 claims created at once until all are Bound, 12 volumes present",
        "one claim, create → Bound seen by a watch, 12 volumes present",
    ]
    assert not any(api.collections.values())


async def test_a_server_elsewhere_has_no_memory_to_look_at(bench: Bench) -> None:
    found = await rows(replace(bench, pids=[]), {"memory": ROWS["memory"]})
    assert (found.measured, list(found.skipped)) == ([], ["memory"])


async def test_a_run_by_url_finds_the_servers_process_and_removes_its_namespace(
    api: FakeApi, target: Target
) -> None:
    url = f"https://127.0.0.1:{target.port}"
    chosen = arguments(["--url", url, "--insecure", "--token", "t", "--rows", "list,idle"])
    async with benches(chosen) as bench:
        report = await measured(replace(bench, scale=TINY), chosen)
        assert bench.pids == [os.getpid()]
    assert [row.name for row in report.rows] == [DESIGN[4], DESIGN[7]]
    assert report.server == "v0-fake"
    assert not any(api.collections.values())


@pytest.mark.parametrize(
    "words", [["--url", "https://127.0.0.1:1"], ["--rows", "get,wrong"]], ids=["no CA", "no row"]
)
def test_arguments_that_cannot_be_meant_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(words)


def test_percentiles_are_of_the_sorted_durations() -> None:
    assert percentiles_ms([0.003, 0.001, 0.002]) == {"p50": 2.0, "p95": 3.0}


@pytest.mark.parametrize(("value", "shown"), [(1234.5, "1,234"), (12.34, "12.3"), (0.129, "0.13")])
def test_numbers_are_shown_with_the_figures_that_mean_something(value: float, shown: str) -> None:
    assert number(value) == shown


RATE = Measure("GET", "/s", {"rate": 100.0}, {"rate": 50}, more_is_better=True)
DELAY = Measure("list", "ms", {"p50": 8.0}, {"p50": 6})


def test_a_row_reaches_what_is_asked_from_the_better_side() -> None:
    assert (RATE.reaches(), DELAY.reaches(), Measure("x", "", {}).reaches()) == (True, False, None)


def test_a_ratio_above_one_means_better_whatever_the_unit() -> None:
    twice = Measure("GET", "/s", {"rate": 200.0}, more_is_better=True)
    half = Measure("list", "ms", {"p50": 4.0})
    assert (ratio(RATE, "rate", twice), ratio(DELAY, "p50", half)) == (2.0, 2.0)


def test_a_report_is_read_back_as_it_was_written_and_shown(tmp_path: Path) -> None:
    report = Report("v1", "a machine", 2, "2026-01-02", [RATE, DELAY], {"idle": "no process"})
    write(report, tmp_path / "a.json")
    assert read(tmp_path / "a.json") == report
    console = Console(record=True, width=120, file=StringIO())
    console.print(table(report))
    console.print(comparison(report, report))
    text = console.export_text()
    assert "v1 on 2 cores" in text
    assert "1.00 ×" in text


def test_a_file_that_is_no_report_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(BenchError, match="is not a report"):
        read(tmp_path / "a.json")


def test_the_process_that_listens_is_found_with_what_it_uses(target: Target) -> None:
    assert processes.listeners(target.port) == [os.getpid()]
    assert processes.resident_mib([os.getpid()]) > 1
    assert processes.cpu_s([os.getpid()]) > 0
