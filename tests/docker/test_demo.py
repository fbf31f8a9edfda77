"""`make demo` on a host with a Docker engine: its last step is told too."""

import sys

import pytest

from tests.docker import images
from tests.docker.testbed import Host
from tests.system.server import ROOT

pytestmark = pytest.mark.system


def test_where_docker_runs_the_demo_writes_through_a_container(plain_host: Host) -> None:
    images.load(plain_host)
    done = plain_host.run(
        *("env", f"DOCKER_HOST=unix://{plain_host.socket}", f"PYTHONPATH={ROOT}"),
        *(sys.executable, "-m", "examples.demo"),
        deadline_s=120,
    )
    assert done.code == 0, done.out + done.err
    story = done.out.partition("A container writes, another reads")[2]
    assert "$ docker volume create -d mooring-demo -o size=1Gi scratch" in story
    assert "Hello from before the crash" in story
    assert "scratch   Bound" in story
    assert "$ docker volume rm scratch" in story
    assert plain_host.docker("volume", "ls", "--quiet").split() == []
    assert "mooring-demo" not in plain_host.docker("image", "ls")
