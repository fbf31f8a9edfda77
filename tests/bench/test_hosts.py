"""The measurement of many hosts, with two."""

import json
from pathlib import Path

import pytest

from tests.bench.test_command import run

pytestmark = pytest.mark.system


async def test_a_quick_run_measures_server_and_agents(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    code, output = await run("--quick", "--json", str(file), module="bench.hosts")
    assert code == 0, output
    rows = {one["name"]: one["values"] for one in json.loads(file.read_text())["rows"]}
    assert rows["memory of an agent"]["mean"] > 10
    assert rows["volumes made and bound"]["all hosts"] > 0
