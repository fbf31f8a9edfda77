"""The bench of Docker volumes: on a host of its own, which is gone afterwards."""

from pathlib import Path

import pytest

from bench.docker import arguments
from bench.docker_api import Docker, Plugin
from bench.docker_host import RETRIED
from bench.report import read
from tests.bench.test_command import run
from tests.docker.testbed import needs_hosts

# As dockerd 20.10 says it.
SAID = 'level=warning msg="Unable to connect to plugin: /s.sock/VolumeDriver.Get: Post: EOF, {}"'
TABLE = [
    "volume create",
    "create and start a container, first use of its volume, p50",
    "create and start a container, second use of its volume, p50",
    "List of 50 volumes, asked by us",
    "Get of one of 50 volumes, asked by us",
    "GET /volumes of dockerd, 50 volumes",
    "start of dockerd, 50 volumes",
    "calls that dockerd had to repeat then",
    "create and start a container while another's Mount hangs",
]


def test_a_row_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit):
        arguments(["--rows", "create,wrong"])


@pytest.mark.parametrize(("said", "count"), [("retrying in 1s", 1), ("giving up", 0)])
def test_a_call_that_dockerd_repeats_is_counted(said: str, count: int) -> None:
    assert len(RETRIED.findall(f"{SAID.format(said)}\nlevel=info msg=retrying\n")) == count


def test_a_docker_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="dockerd, GET /volumes"):
        Docker(tmp_path / "none").ask("GET", "/volumes")
    with pytest.raises(OSError):
        Plugin(tmp_path / "none").call("List")


@pytest.mark.slow
@pytest.mark.system
@needs_hosts
async def test_every_row_is_measured_on_a_host_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    code, output = await run("--quick", "--json", str(file), module="bench.docker")
    assert code == 0, output
    report = read(file)
    assert [row.name for row in report.rows] == TABLE
    assert "beside dockerd" in report.server
