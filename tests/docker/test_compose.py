"""Debian's docker-compose, which names volumes `project_volume`."""

import shutil
from typing import Final

import pytest

from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER, Mooring
from tests.docker.testbed import checked, eventually, needs_hosts

pytestmark = [
    pytest.mark.system,
    needs_hosts,
    pytest.mark.skipif(
        shutil.which("docker-compose") is None,
        reason="there is no docker-compose (`make programs` as root brings it on Debian)",
    ),
]
FILE: Final = f"""
version: "3.7"
services:
  db:
    image: {SHELL}
    command: ["sh", "-c", "echo start >>/data/starts; exec sleep 1000"]
    stop_signal: KILL
    network_mode: none
    volumes: ["data:/data"]
volumes:
  data:
    driver: {DRIVER}
    driver_opts: {{size: 2Gi, label.app: db}}
"""


class Project:
    def __init__(self, mooring: Mooring, name: str, file: str) -> None:
        self._host, self.name = mooring.host, name
        self._file = mooring.host.place / f"{name}.yaml"
        self._file.write_text(file)

    def __call__(self, *arguments: str) -> str:
        command = ["docker-compose", "-p", self.name, "-f", str(self._file), *arguments]
        return checked(command, environment=self._host.environment)

    def starts(self) -> int:
        return len(self("exec", "-T", "db", "cat", "/data/starts").split())


def test_a_project_has_its_volume_until_it_is_taken_down_with_volumes(moored: Mooring) -> None:
    project = Project(moored, "shop", FILE)
    project("up", "--detach")
    claims = moored.get("persistentvolumeclaims", "--selector", "app=db")["items"]
    assert [one["metadata"]["annotations"]["mooring.dev/docker-name"] for one in claims] == [
        "shop_data"
    ]
    assert claims[0]["status"]["capacity"] == {"storage": "2Gi"}
    name, volume = claims[0]["metadata"]["name"], moored.volume(claims[0]["metadata"]["name"])
    eventually(lambda: project.starts() == 1, "it started")
    project("down")
    moored.freed(volume)
    project("up", "--detach")
    eventually(lambda: project.starts() == 2, "it started again, with its data")
    project("restart")
    eventually(lambda: project.starts() == 3, "and again")
    project("down", "--volumes")
    assert name not in moored.names("persistentvolumeclaims")


def test_a_project_may_use_a_claim_that_is_there(moored: Mooring) -> None:
    moored.claim("outside")
    outer = FILE.partition("volumes:\n  data:")[0] + "volumes: {data: {external: {name: outside}}}"
    project = Project(moored, "guest", outer)
    project("up", "--detach")
    eventually(lambda: project.starts() == 1, "it started")
    project("down", "--volumes")
    assert "outside" in moored.names("persistentvolumeclaims")
