"""Servers and members of etcd are killed, stand still and stop, while clients write at all."""

import json
import random
import signal
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from testbed.etcd import Cluster, lacking
from tests.system.server import eventually
from tests.system.servers import LEASE, LEASE_S, OneOfSeveral, leader, started

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]

ROUNDS = 12
WRITERS = 3
ANSWER_S = 5.0
STANDS_S = LEASE_S + 2.0  # long enough for another to lead
VOLUMES = "/api/v1/persistentvolumes"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"


class Cloud:
    """Three servers on three members."""

    def __init__(self, place: Path) -> None:
        self.etcd = Cluster(place / "etcd")
        options = ("--store", f"etcd://{','.join(self.etcd.endpoints)}")
        places = [place / name for name in ("one", "two", "three")]
        for one in places:
            one.mkdir()
        self.servers = [OneOfSeveral(one, options=options) for one in places]
        self.token = ""

    def start(self) -> None:
        self.etcd.start()
        started(self.servers)
        self.token = self.servers[0].token
        self._trust = ssl.create_default_context(
            cafile=str(self.servers[0].place / "data/pki/ca.crt")
        )

    def ask(
        self, server: OneOfSeveral, method: str, path: str, body: Any = None
    ) -> tuple[int, Any]:
        """Raises OSError if there is no answer: then it may be done, or not."""
        request = urllib.request.Request(
            f"https://127.0.0.1:{server.port}{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"authorization": f"Bearer {self.token}", "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, context=self._trust, timeout=ANSWER_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def close(self) -> None:
        for one in self.servers:
            if one.process is not None and one.process.poll() is None:
                one.stop(signal.SIGKILL)
        self.etcd.stop()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.close()


class Writer:
    """Makes claims and volumes, and deletes some; each at any server, until one says it is done."""

    def __init__(self, cloud: Cloud, number: int, seed: int) -> None:
        self._cloud, self._number, self._random = cloud, number, random.Random(seed + number)
        self.kept: set[str] = set()
        self.deleted: set[str] = set()
        self.stale: list[str] = []
        self.ended = threading.Event()
        self.failed: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name=f"writer {number}")

    def _run(self) -> None:
        try:
            made = 0
            while not self.ended.is_set():
                made += 1
                self._make(f"c{self._number}-{made}")
                if made % 3 == 0:
                    self._delete(self._random.choice(sorted(self.kept)))
                time.sleep(0.05)
        except BaseException as error:
            self.failed = error
            raise

    def _make(self, name: str) -> None:
        modes, size = ["ReadWriteOnce"], {"storage": "1Gi"}
        volume = {
            "metadata": {"name": f"v-{name}"},
            "spec": {"accessModes": modes, "capacity": size, "hostPath": {"path": f"/{name}"}},
        }
        claim = {
            "metadata": {"name": name},
            "spec": {"accessModes": modes, "storageClassName": "", "resources": {"requests": size}},
        }
        self._until("POST", VOLUMES, volume, (201, 409))
        self._until("POST", CLAIMS, claim, (201, 409))
        self.kept.add(name)
        self._look(f"{CLAIMS}/{name}", 200)

    def _delete(self, name: str) -> None:
        self.kept.discard(name)
        self._until("DELETE", f"{CLAIMS}/{name}", None, (200, 404))
        self.deleted.add(name)

    def _until(self, method: str, path: str, body: Any, done: tuple[int, ...]) -> None:
        while True:
            server = self._random.choice(self._cloud.servers)
            try:
                status, said = self._cloud.ask(server, method, path, body)
            except OSError:
                time.sleep(0.05)
                continue
            if status in done:
                return
            # A server says that etcd is away; nothing else is wrong with what is sent.
            assert status in (500, 503, 504), (method, path, status, said)

    def _look(self, path: str, wanted: int) -> None:
        """At any server that answers: what one has said is so at all."""
        try:
            status, _ = self._cloud.ask(self._random.choice(self._cloud.servers), "GET", path)
        except OSError:
            return
        if status not in (wanted, 500, 503, 504):
            self.stale.append(f"{path}: {status}")


class Faults:
    """What goes wrong; each is over when it returns."""

    def __init__(self, cloud: Cloud, seed: int) -> None:
        self._cloud, self._random = cloud, random.Random(seed)

    def any(self) -> Callable[[], None]:
        return self._random.choice(
            [
                *(self.leader_killed, self.leader_stands, self.leader_stops),
                *(self.server_killed, self.member_killed, self.member_stands),
                self.all_members_killed,
            ]
        )

    def leader_killed(self) -> None:
        self._killed(leader(self._cloud.servers))

    def server_killed(self) -> None:
        self._killed(self._random.choice(self._cloud.servers))

    def _killed(self, server: OneOfSeveral) -> None:
        server.stop(signal.SIGKILL)
        time.sleep(self._random.uniform(0, STANDS_S))
        server.start()

    def leader_stops(self) -> None:
        first = leader(self._cloud.servers)
        assert first.stop() == 0
        first.start()

    def leader_stands(self) -> None:
        first = leader(self._cloud.servers)
        assert first.process is not None
        first.process.send_signal(signal.SIGSTOP)
        time.sleep(STANDS_S)
        first.process.send_signal(signal.SIGCONT)

    def member_killed(self) -> None:
        member = self._random.choice(self._cloud.etcd.members)
        member.stop()
        time.sleep(self._random.uniform(0, 2))
        self._cloud.etcd.restart(member)
        eventually(member.answers, f"{member.name} answers")

    def member_stands(self) -> None:
        member = self._random.choice(self._cloud.etcd.members)
        member.send(signal.SIGSTOP)
        time.sleep(self._random.uniform(0, 4))
        member.send(signal.SIGCONT)

    def all_members_killed(self) -> None:
        """For so long that nobody leads any more."""
        for one in self._cloud.etcd.members:
            one.stop()
        time.sleep(STANDS_S)
        for one in self._cloud.etcd.members:
            self._cloud.etcd.restart(one)
        for server in self._cloud.servers:
            eventually(partial(self._serves, server), "it serves what is in etcd")

    def _serves(self, server: OneOfSeveral) -> bool:
        try:
            return self._cloud.ask(server, "GET", CLAIMS)[0] == 200
        except OSError:
            return False


def items(cloud: Cloud, server: OneOfSeveral, path: str) -> dict[str, Any]:
    status, found = cloud.ask(server, "GET", path)
    assert status == 200, found
    return {one["metadata"]["name"]: one for one in found["items"]}


@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_doubled_or_old(cloud: Cloud, seed: int) -> None:
    writers = [Writer(cloud, number, seed) for number in range(WRITERS)]
    for one in writers:
        one.thread.start()
    faults = Faults(cloud, seed)
    told = []
    try:
        for _ in range(ROUNDS):
            fault = faults.any()
            told.append(fault.__name__)
            fault()
            time.sleep(0.5)
    finally:
        for one in writers:
            one.ended.set()
        for one in writers:
            one.thread.join()
    assert [one.failed for one in writers] == [None] * WRITERS, told
    assert [one.stale for one in writers] == [[]] * WRITERS, told
    kept = set[str]().union(*(one.kept for one in writers))
    deleted = set[str]().union(*(one.deleted for one in writers))

    def all_bound() -> bool:
        claims = items(cloud, cloud.servers[0], CLAIMS)
        return all(one["status"]["phase"] == "Bound" for one in claims.values())

    eventually(all_bound, f"all are bound, after {told}", 120)
    for server in cloud.servers:
        claims, volumes = items(cloud, server, CLAIMS), items(cloud, server, VOLUMES)
        assert set(claims) == kept, told
        assert set(volumes) == {f"v-{name}" for name in kept | deleted}, told
        taken = [one["spec"]["volumeName"] for one in claims.values()]
        assert len(set(taken)) == len(taken), told
        for one in claims.values():
            ref = volumes[one["spec"]["volumeName"]]["spec"]["claimRef"]
            assert ref["uid"] == one["metadata"]["uid"], told
    holders = {one.get(*LEASE)["spec"]["holderIdentity"] for one in cloud.servers}
    assert len(holders) == 1
    assert leader(cloud.servers) in cloud.servers
