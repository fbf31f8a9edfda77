"""The walk of docs/edge.md, as a user runs it: examples/edge/walk.sh on a real swarm."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from testbed.hosts import Bed, Host, eventually
from testbed.images import SHELL
from tests.docker.testbed import needs_hosts
from tests.edge.entry import ROOT

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    needs_hosts,
    pytest.mark.skipif(
        not (shutil.which("haproxy") and shutil.which("nginx")), reason="needs haproxy and nginx"
    ),
]
WALK = ROOT / "examples/edge/walk.sh"
ANSWERS = re.compile(r"(\d+) times (\d+)")


def test_the_walk_ends_well(bed: Bed, swarm: list[Host], tmp_path: Path) -> None:
    host = bed.host("entry")
    host.up()
    mooring = tmp_path / "mooring"
    mooring.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT / "src"} exec {sys.executable} -m mooring.cli.main "$@"\n'
    )
    mooring.chmod(0o755)
    halted = tmp_path / "halted"
    words = {
        "IMAGE": SHELL,
        "COMMAND": "httpd -f -p 80 -h /etc",
        "ASK": "/hostname",
        "MOORING": str(mooring),
        "SOCKET": str(swarm[0].socket),
        "OTHER": f"docker -H unix://{swarm[1].socket}",
        "HALT": f"touch {halted}",
        "WAIT_S": "40",
    }
    log = host.place / "walk.log"
    walk = host.popen("sh", str(WALK), log=log.name, **words)
    eventually(lambda: halted.exists() or walk.poll() is not None, "it halts a host", 200)
    assert walk.poll() is None, log.read_text()
    swarm[2].halt()
    assert walk.wait(200) == 0, log.read_text()
    swarm[2].up()  # else the others' connections to it stay, and their networks with them
    said = log.read_text()
    print(said)
    by_haproxy = [line for line in said.splitlines() if line.startswith("haproxy ")]
    assert len(by_haproxy) == 4
    statuses = {status for line in by_haproxy for _, status in ANSWERS.findall(line)}
    assert statuses == {"200"}
    assert swarm[0].docker("service", "ls", "--quiet") == ""
