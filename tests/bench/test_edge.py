"""The bench of an edge: before a swarm that is only told of, in a network of its own."""

import os
import shutil
from pathlib import Path

import pytest

from bench.report import read
from tests.bench.test_command import run

TABLE = [
    "from nothing until every task gets requests",
    "lists read, model made, whole configuration written",
    "nothing changes",
    "one task replaced: HAProxy told",
    "one task replaced: it gets requests",
    "ten tasks replaced a second",
    "resident memory",
]


@pytest.mark.system
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("haproxy"), reason="needs root and haproxy"
)
async def test_every_row_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    code, output = await run("--quick", "--json", str(file), module="bench.edge")
    assert code == 0, output
    report = read(file)
    assert [row.name for row in report.rows] == TABLE
    assert "before 10 services of 3 tasks" in report.server
