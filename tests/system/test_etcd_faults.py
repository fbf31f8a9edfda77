"""A store in three members of etcd, each on a host: leaders killed, stopped and cut off, in turn.

Two processes write and watch meanwhile, and are killed, too. At the end etcd's own history is
compared with what they were told: nothing acknowledged is lost, nothing is done twice.
"""

import json
import os
import random
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from testbed.etcd import Member, lacking
from testbed.hosts import Bed, Host, a_bed, eventually
from testbed.hosts import lacking as hosts_lacking

LACKING = lacking() or hosts_lacking()
pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(LACKING), reason=LACKING)]

WORKERS: Final = 4
MORE: Final = 40  # commits that must come to something after each fault, and again after its end


class HostMember(Member):
    """On a host of its own."""

    def __init__(self, host: Host) -> None:
        super().__init__(host.place / "etcd", host.name, host.ip)
        self.host = host

    def run(self, peers: list[str]) -> None:
        self.process = self.host.popen(*self.command(peers), log="etcd.log")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.host.pid_of(self.process)

    def leads(self) -> bool:
        words = ("etcdctl", "--endpoints", self.endpoint, "endpoint", "status", "-w", "json")
        asked = self.host.run("env", "ETCDCTL_API=3", *words)
        if asked.code:
            return False
        status = json.loads(asked.out)[0]["Status"]
        return bool(status.get("leader") == status["header"]["member_id"])


class Writer:
    """A process of etcd_writer on a host, which may be killed and has successors."""

    def __init__(self, host: Host, endpoints: str) -> None:
        self.host, self._endpoints = host, endpoints
        self._log = host.place / "writer.log"
        self.start()

    def start(self) -> None:
        self.process = self.host.popen(*self._words("write"), log="writer.log")

    def _words(self, what: str) -> list[str]:
        path = f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}:{Path(__file__).parents[2]}"
        module = ("-m", "tests.system.etcd_writer")
        return ["env", path, sys.executable, *module, what, self._endpoints, str(WORKERS)]

    def kill(self) -> None:
        os.kill(self.host.pid_of(self.process), signal.SIGKILL)
        self.process.wait(30)

    def said(self, what: str) -> list[Any]:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        told = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [one[what] for one in told if what in one]

    def history(self) -> list[tuple[str, str, int]]:
        asked = self.host.run(*self._words("history"))
        assert asked.code == 0, asked.err
        found: list[tuple[str, str, int]] = json.loads(asked.out)["history"]
        return found


class Scene:
    def __init__(self, bed: Bed) -> None:
        self.members = [HostMember(bed.host(f"m{number}")) for number in (1, 2, 3)]
        client = bed.host("client")
        for host in (*(one.host for one in self.members), client):
            host.up()
            # Else its network stays for minutes after it, until nobody waits for an answer.
            host.run("sysctl", "-qw", "net.ipv4.tcp_orphan_retries=1")
        self.peers = [one.peer for one in self.members]
        for one in self.members:
            one.run(self.peers)
        self.writer = Writer(client, ",".join(one.endpoint for one in self.members))
        self.lives = 1

    def goes_on(self, what: str) -> None:
        """More is committed from now on, by each of the workers."""
        before = len(self.writer.said("did"))

        def more() -> bool:
            assert self.writer.process.poll() is None, self.writer._log.read_text()[-2000:]
            new = self.writer.said("did")[before:]
            return len(new) > MORE and {one[0] for one in new} == set(range(WORKERS))

        eventually(more, f"commits come to something {what}", 60.0)

    def leader(self) -> HostMember:
        found: list[HostMember] = []

        def is_found() -> bool:
            found[:] = [one for one in self.members if one.leads()]
            return len(found) == 1

        eventually(is_found, "a member leads")
        return found[0]

    def fault(self, name: str, member: HostMember) -> None:
        match name:
            case "kill":
                os.kill(member.pid, signal.SIGKILL)
                assert member.process is not None
                member.process.wait(30)
            case "stop":
                os.kill(member.pid, signal.SIGSTOP)
            case "cut":
                member.host.cut()
            case "client":
                self.writer.kill()
                self.writer.start()

    def mend(self, name: str, member: HostMember) -> None:
        match name:
            case "kill":
                member.run(self.peers)
            case "stop":
                assert member.process is not None
                for pid in (member.pid, member.process.pid):
                    os.kill(pid, signal.SIGCONT)
            case "cut":
                member.host.heal()

    def check(self) -> None:
        """What etcd has against what was told."""
        self.writer.kill()
        assert self.writer.said("wrong") == []
        numbers: dict[str, list[int]] = {}
        made: dict[tuple[int, int], int] = {}
        for key, value, revision in self.writer.history():
            if key.startswith("b/"):
                numbers.setdefault(key, []).append(int(value))
                made[int(key[2:]), int(value)] = revision
        assert len(numbers) == WORKERS
        for key, found in numbers.items():  # each once and in order: none lost, none twice
            assert found == list(range(1, len(found) + 1)), key
        told = {(worker, n): revision for worker, n, revision in self.writer.said("did")}
        assert {one: made.get(one) for one in told} == told


@pytest.fixture
def scene() -> Iterator[Scene]:
    with a_bed() as bed:
        made = Scene(bed)
        made.goes_on("at all")
        yield made


def faulted(scene: Scene, name: str, member: HostMember) -> float:
    """How long nothing was committed, in seconds."""
    began = time.monotonic()
    scene.fault(name, member)
    scene.goes_on(f"after {name} of {member.name}")
    took = time.monotonic() - began
    scene.mend(name, member)
    scene.goes_on(f"again after {name} of {member.name}")
    return took


STOPPED_TOO = pytest.param(("kill", "stop", "cut", "client"), marks=pytest.mark.slow)


@pytest.mark.parametrize("faults", [("kill", "client"), STOPPED_TOO])
def test_a_leader_that_is_killed_stopped_or_cut_off(scene: Scene, faults: tuple[str, ...]) -> None:
    for name in faults:
        took = faulted(scene, name, scene.leader())
        print(f"{name}: {MORE} commits within {took:.1f} s")
    scene.check()
    print(len(scene.writer.said("did")), "commits; unsure:", scene.writer.said("unsure"))


@pytest.mark.slow
def test_a_hundred_faults_of_any_member(scene: Scene) -> None:
    seed = os.environ.get("MOORING_WALK_SEED") or secrets.token_hex(4)
    chance = random.Random(seed)
    print(f"seed {seed}")
    for _ in range(100):
        name = chance.choice(["kill", "stop", "cut", "client"])
        faulted(scene, name, chance.choice(scene.members))
    scene.check()
    print(len(scene.writer.said("did")), "commits; unsure:", scene.writer.said("unsure"))
