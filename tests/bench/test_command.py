"""The whole command as people call it, on the event loop that it chooses."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from bench.client import Target
from bench.report import read
from testbed.etcd import lacking
from tests.bench.fake_api import FakeApi

ROOT = Path(__file__).parent.parent.parent
DEADLINE_S = 60.0
pytestmark = pytest.mark.system


async def run(*words: str, module: str = "bench") -> tuple[int, str]:
    """Exit code and output of `python -m bench`, or another bench."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *words),
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "160"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, output.decode()


async def test_a_server_given_by_url_is_measured_and_the_report_written(
    api: FakeApi, target: Target, certificate: Path, tmp_path: Path
) -> None:
    url, file = f"https://127.0.0.1:{target.port}", tmp_path / "a.json"
    code, output = await run(
        *("--url", url, "--ca", str(certificate), "--token", "t"),
        *("--quick", "--rows", "get,binds", "--volumes", "100", "--json", str(file)),
    )
    assert (code, len(read(file).rows)) == (0, 5), output
    assert "GET one object, 32 connections, TLS" in output
    assert not any(api.collections.values())


async def test_two_reports_are_compared_without_a_server(target: Target, tmp_path: Path) -> None:
    url, file = f"https://127.0.0.1:{target.port}", str(tmp_path / "a.json")
    await run("--url", url, "--insecure", "--quick", "--rows", "watch", "--json", file)
    code, output = await run("--compare", file, file)
    assert (code, "1.00 ×" in output) == (0, True), output


async def test_a_server_that_is_not_there_is_said_in_a_line(certificate: Path) -> None:
    code, output = await run("--url", "https://127.0.0.1:1", "--ca", str(certificate))
    assert (code, output.startswith("bench: no connection to 127.0.0.1:1")) == (1, True), output


@pytest.mark.skipif(bool(lacking()), reason=lacking())
async def test_servers_of_an_etcd_of_our_own_are_measured(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    code, output = await run(
        *("--store", "etcd", "--servers", "2", "--quick", "--rows", "watch", "--json", str(file))
    )
    assert code == 0, output
    assert read(file).server.endswith("(etcd of 1, 2 servers)")
