"""A store in a cluster of three members, of which one after the other is lost."""

import asyncio
import os
import secrets
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.errors import Effect
from mooring.store.etcd import EtcdStore
from mooring.store.etcd_calls import Access, BadStore, Calls, StoreRefuses, endpoints_of
from mooring.store.interface import ABSENT, Conflict, Expired, Unavailable, Write
from testbed.etcd import Cluster, Member, lacking
from tests.edge.authority import Authority

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def root() -> str:
    """Of each test its own."""
    return f"/{secrets.token_hex(4)}/"


@pytest.fixture
async def store(cluster: Cluster, root: str) -> AsyncIterator[EtcdStore]:
    made = await EtcdStore.opened(Access(cluster.endpoints, root))
    yield made
    await made.close()


async def written(store: EtcdStore, key: str, text: str) -> int:
    """The revision, however often it has to be tried."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                return await store.commit([Write(key, text.encode(), ABSENT)])
            except Unavailable:
                continue
            except Conflict as conflict:
                return conflict.found  # an earlier try of ours came to something


class Follower:
    """What a watch of another store of the cluster was told."""

    def __init__(self, store: EtcdStore) -> None:
        self.keys: list[str] = []
        self._task = asyncio.create_task(self._run(store))

    async def _run(self, store: EtcdStore) -> None:
        async for batch in store.watch("a/", 0):
            self.keys += [change.key for change in batch]

    async def has(self, number: int) -> None:
        async with asyncio.timeout(WITHIN_S):
            while len(self.keys) < number:  # noqa: ASYNC110  (there is nothing to be told by)
                await asyncio.sleep(0.01)

    def stop(self) -> None:
        self._task.cancel()


Fault = Callable[[Member], None]


def kill(member: Member) -> None:
    member.stop(signal.SIGKILL)


def freeze(member: Member) -> None:
    member.send(signal.SIGSTOP)


@pytest.mark.parametrize("fault", [kill, pytest.param(freeze, marks=pytest.mark.slow)])
async def test_any_member_may_be_lost(
    cluster: Cluster, store: EtcdStore, root: str, fault: Fault
) -> None:
    other = await EtcdStore.opened(Access(cluster.endpoints[::-1], root))
    follower, revisions = Follower(other), []
    try:
        for number, member in enumerate(cluster.members):
            revisions += [await written(store, f"a/{number}-{one}", "x") for one in range(5)]
            fault(member)
            revisions += [await written(store, f"a/{number}-{one}", "x") for one in range(5, 10)]
            if fault is kill:
                cluster.restart(member)
            else:
                member.send(signal.SIGCONT)
            page = await store.list("a/")
            assert len(page.documents) == 10 * (number + 1)
        assert revisions == sorted(set(revisions))
        await follower.has(30)
        # Each was told once and in order, whoever it was that told.
        assert len(follower.keys) == len(set(follower.keys)) == 30
        assert await other.revision() == revisions[-1]
    finally:
        follower.stop()
        await other.close()


async def test_most_members_lost_is_told_and_nothing_is_done(
    cluster: Cluster, store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.store.etcd_calls.AWAY_S", 1.0)
    monkeypatch.setattr("mooring.store.etcd_calls.CALL_S", 0.5)
    revision = await store.commit([Write("a/x", b"1")])
    for member in cluster.members[:2]:
        member.stop(signal.SIGKILL)
    for ask in (store.revision(), store.list(""), store.commit([Write("a/y", b"1", ABSENT)])):
        with pytest.raises(Unavailable) as refused:
            await ask
    assert refused.value.effect is Effect.UNKNOWN
    for member in cluster.members[:2]:
        cluster.restart(member)
    monkeypatch.undo()
    assert await written(store, "a/z", "1") > revision
    assert await store.get("a/x") is not None


async def test_a_commit_is_done_once_if_its_answer_is_lost(
    cluster: Cluster, store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent again, since nobody knows; the second finds what the first has done."""
    from aetcd import rpc
    from grpc import StatusCode
    from grpc.aio import AioRpcError, Metadata

    sent, plain = [], rpc.KVStub

    class Losing:
        def __init__(self, channel: object) -> None:
            self._stub = plain(channel)
            self.Range = self._stub.Range

        async def Txn(self, request: object, **how: object) -> object:
            answer = await self._stub.Txn(request, **how)
            sent.append(answer)
            if len(sent) == 1:
                raise AioRpcError(StatusCode.UNAVAILABLE, Metadata(), Metadata(), "lost")
            return answer

    monkeypatch.setattr(rpc, "KVStub", Losing)
    revision = await store.commit([Write("a/x", b"1", ABSENT), Write("a/y", b"1", ABSENT)])
    assert [one.succeeded for one in sent] == [True, False]
    monkeypatch.undo()
    assert {one.revision for one in (await store.list("")).documents} == {revision}
    assert await store.revision() == revision


async def test_what_others_wrote_meanwhile_is_not_said_to_be_undone(
    cluster: Cluster, store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unsure(request: object) -> tuple[object, bool]:
        answer, _ = await Calls.txn(store._calls, request)
        return answer, True

    await store.commit([Write("a/x", b"1", ABSENT)])
    monkeypatch.setattr(store._calls, "txn", unsure)
    with pytest.raises(Unavailable) as refused:
        await store.commit([Write("a/x", b"2", ABSENT)])
    assert refused.value.effect is Effect.UNKNOWN


async def test_history_that_another_forgot_is_expired(
    store: EtcdStore, cluster: Cluster, root: str
) -> None:
    other = await EtcdStore.opened(Access(cluster.endpoints, root))
    revisions = [await store.commit([Write("a/x", b"%d" % number)]) for number in range(5)]
    await store.compact(revisions[3])
    with pytest.raises(Expired):
        await anext(other.watch("", revisions[0]))
    with pytest.raises(Expired):
        await other.list("", revision=revisions[1])
    await other.close()


async def test_two_roots_of_a_cluster_do_not_see_each_other(cluster: Cluster) -> None:
    one = await EtcdStore.opened(Access(cluster.endpoints, "/one/"))
    two = await EtcdStore.opened(Access(cluster.endpoints, "/two/"))
    await one.commit([Write("a/x", b"1")])
    await two.commit([Write("a/y", b"1")])
    last = await one.commit([Write("a/z", b"1")])
    assert [document.key for document in (await one.list("")).documents] == ["a/x", "a/z"]
    assert await one.revision() == last > await two.revision()
    await one.close()
    await two.close()


@pytest.mark.parametrize(
    ("text", "endpoints", "root"),
    [
        ("etcd://h:1", ("h:1",), "/mooring/"),
        ("etcd://10.0.0.1:2379,[::1]:2379/a/b/", ("10.0.0.1:2379", "[::1]:2379"), "/a/b/"),
    ],
)
def test_where_a_cluster_is(text: str, endpoints: tuple[str, ...], root: str) -> None:
    assert endpoints_of(text) == (endpoints, root)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://h:1",
        "etcd://",
        "etcd://h",
        "etcd://h:x",
        "etcd://h:0",
        "etcd://u:p@h:1",
        "etcd://h:1?x",
        "etcd://h:70000",
        "etcd://,/x",
    ],
)
def test_what_is_no_cluster(text: str) -> None:
    with pytest.raises(BadStore):
        endpoints_of(text)


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[Member, Path]]:
    """A member with TLS both ways, and with users."""
    authority = Authority(tmp_path, "ca")
    Authority(tmp_path, "other-ca")
    authority.issue("server")
    authority.issue("client")
    member = SecureMember(tmp_path)
    member.start()
    member.ctl("user", "add", "mooring:secret")
    member.ctl("user", "add", "root:root")
    member.ctl("user", "grant-role", "root", "root")
    member.ctl("role", "add", "m")
    member.ctl("role", "grant-permission", "m", "readwrite", "/mooring/", "--prefix=true")
    member.ctl("user", "grant-role", "mooring", "m")
    member.ctl("auth", "enable")
    (tmp_path / "password").write_text("secret\n")
    yield member, tmp_path
    member.stop()


class SecureMember(Member):
    def __init__(self, place: Path) -> None:
        super().__init__(place / "secure")
        self._files = place

    def command(self, peers: Sequence[str] = ()) -> list[str]:
        plain, secure = (f"{scheme}://{self.endpoint}" for scheme in ("http", "https"))
        return [
            *(one.replace(plain, secure) for one in super().command(peers)),
            *("--cert-file", f"{self._files}/server.crt", "--key-file"),
            *(f"{self._files}/server.key", "--trusted-ca-file", f"{self._files}/ca.pem"),
            "--client-cert-auth",
        ]

    def ctl(self, *words: str) -> None:
        certificate = ("--cert", f"{self._files}/client.crt", "--key", f"{self._files}/client.key")
        reached = ("--endpoints", f"https://{self.endpoint}", "--cacert", f"{self._files}/ca.pem")
        subprocess.run(
            ("etcdctl", *reached, *certificate, *words),
            check=True,
            capture_output=True,
            env={**os.environ, "ETCDCTL_API": "3"},
            timeout=30,
        )


async def test_tls_and_a_user_of_etcd(secured: tuple[Member, Path]) -> None:
    member, files = secured
    access = Access(
        (member.endpoint,),
        ca=files / "ca.pem",
        certificate=files / "client.crt",
        key=files / "client.key",
        user="mooring",
        password_file=files / "password",
    )
    store = await EtcdStore.opened(access)
    revision = await store.commit([Write("a/x", b"1", ABSENT)])
    store._calls._token = "forgotten"  # as etcd forgets it after some minutes
    assert await store.commit([Write("a/x", b"2", revision)]) > revision
    await store.close()
    (files / "wrong").write_text("wrong")
    for wrong in (
        replace(access, password_file=files / "wrong"),
        replace(access, root="/elsewhere/"),
        replace(access, ca=files / "other-ca.pem"),
        replace(access, ca=files / "missing"),
        replace(access, user=""),
    ):
        with pytest.raises(StoreRefuses):
            await EtcdStore.opened(wrong)
