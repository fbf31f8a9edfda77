"""What people do with volumes: make one, write in it, read that on another host, delete it."""

import subprocess
from collections.abc import Sequence
from typing import Any

from testbed.hosts import Done, Host
from tests.chaos.workers import Worker
from tests.chaos.world import SIZE
from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER

PREFIX = "job"


class Jobs(Worker):
    """Whatever fails while something is wrong is given up; what was said to be done must be so."""

    def __init__(self, hosts: Sequence[Host], *how: Any) -> None:
        super().__init__(*how)
        self._hosts = list(hosts)
        self._count = 0
        self.done, self.given_up = 0, 0
        self.wrong: list[str] = []

    def step(self) -> None:
        self._count += 1
        name = f"{PREFIX}-{self._count}"
        first, other = self.chance.sample(self._hosts, 2)
        if self._job(name, first, other):
            self.done += 1
        else:
            self.given_up += 1

    def _job(self, name: str, first: Host, other: Host) -> bool:
        options = ("--opt", "class=leased", "--opt", f"size={SIZE}")
        if self._docker(first, "volume", "create", "--driver", DRIVER, *options, name).code:
            return False
        # Said to be done, so there is one record. Of a command that failed nobody knows.
        if self._in(first, name, f"echo {name} >>/data/f && sync /data/f").code:
            return False
        self._docker(other, "volume", "create", "--driver", DRIVER, *options, name)
        read = self._in(other, name, "cat /data/f && echo whole")
        if read.code == 0 and read.out.split() != [name, "whole"]:
            self.wrong.append(f"{name} has {read.out!r} on {other.name}")
        return read.code == 0 and self._docker(other, "volume", "rm", name).code == 0

    def _in(self, host: Host, name: str, command: str) -> Done:
        mount = ("--rm", "--volume", f"{name}:/data", "--label", PREFIX)
        return self._docker(host, "run", *mount, SHELL, "sh", "-c", command)

    def _docker(self, host: Host, *words: str) -> Done:
        if not self.goes_on:
            return Done(1, "", "it is over")
        try:
            return host.try_docker(*words)
        except subprocess.TimeoutExpired:
            return Done(1, "", "no answer")
