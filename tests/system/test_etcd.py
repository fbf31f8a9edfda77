"""A store in a cluster of three members, of which one after the other is lost."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mooring.errors import Effect
from mooring.store.etcd import EtcdStore
from mooring.store.etcd_calls import (
    Access,
    BadStore,
    Calls,
    HalfAccess,
    StoreRefuses,
    Unsure,
    endpoints_of,
)
from mooring.store.interface import (
    ABSENT,
    MAX_VALUE_BYTES,
    Conflict,
    Document,
    Expired,
    TooLarge,
    Unavailable,
    Write,
)
from testbed.etcd import Cluster, Member, lacking
from tests.edge.authority import Authority

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]

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


@pytest.mark.slow  # test_etcd_faults.py does as much, on hosts
@pytest.mark.parametrize("fault", [kill, freeze])
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
            await asyncio.to_thread(cluster.is_whole)
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
    await asyncio.to_thread(cluster.is_whole)
    monkeypatch.undo()
    assert await written(store, "a/z", "1") > revision
    assert await store.get("a/x") is not None


class Losing:
    """Calls of which the next commit is answered by nothing, after this was done."""

    def __init__(self, calls: Calls) -> None:
        self._plain = calls.once
        self.sent: list[Any] = []
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.is_done = True  # what was sent, though nobody hears of it
        calls.once = self.once  # type: ignore[method-assign]

    async def once(self, request: Any) -> Any:
        self.sent.append(request)
        if len(self.sent) > 1:
            return await self._plain(request)
        if self.is_done:
            assert (await self._plain(request)).succeeded
        if self.meanwhile is not None:
            await self.meanwhile()
        raise Unsure("lost")


@pytest.mark.parametrize("is_done", [True, False])
async def test_a_commit_is_done_once_if_its_answer_is_lost(store: EtcdStore, is_done: bool) -> None:
    first = await store.commit([Write("a/x", b"1", ABSENT), Write("a/y", b"1", ABSENT)])
    losing = Losing(store._calls)
    losing.is_done = is_done
    revision = await store.commit([Write("a/x", None, first), Write("a/y", b"2", first)])
    assert len(losing.sent) == (1 if is_done else 2)
    assert (await store.list("")).documents == [Document("a/y", b"2", revision)]
    assert await store.revision() == revision


async def test_a_lost_answer_is_found_though_others_have_written_since(
    cluster: Cluster, store: EtcdStore, root: str
) -> None:
    other = await EtcdStore.opened(Access(cluster.endpoints, root))
    losing = Losing(store._calls)
    losing.meanwhile = partial(other.commit, [Write("a/x", None), Write("a/y", b"1")])
    revision = await store.commit([Write("a/x", b"1", ABSENT)])
    assert 0 < revision < await store.revision()
    assert [document.key for document in (await store.list("")).documents] == ["a/y"]
    await other.close()


async def test_a_conflict_after_a_lost_answer_is_a_true_one(
    cluster: Cluster, store: EtcdStore, root: str
) -> None:
    other = await EtcdStore.opened(Access(cluster.endpoints, root))
    losing = Losing(store._calls)
    losing.is_done = False
    losing.meanwhile = partial(other.commit, [Write("a/x", b"1")])
    with pytest.raises(Conflict):  # with equal bytes, which are not ours
        await store.commit([Write("a/x", b"1", ABSENT)])
    await other.close()


async def test_what_comes_to_a_member_too_late_is_not_done(store: EtcdStore) -> None:
    """It was made and deleted meanwhile, so all else that it compares is as it was."""
    cut = store._feed.cut
    late = store._messages.hopeful([Write("a/x", b"1", ABSENT)], (), cut, b"late")
    await store._cut_off(cut)
    for value in (b"1", None):
        await store.commit([Write("a/x", value)])
    assert not (await store._calls.once(late)).succeeded
    assert await store.get("a/x") is None


async def test_a_cut_is_told_of_at_another_member_too(store: EtcdStore) -> None:
    """Else who asked for it waits for ever: nothing else need be written after it."""
    feed = store._feed
    assert feed._follower is not None
    feed._follower.cancel()  # as one that stands still
    await store._cut_off(feed.cut)
    look = asyncio.create_task(feed._look_once())
    await asyncio.sleep(0.2)
    feed._ask_another()
    async with asyncio.timeout(5):
        await feed.reached(feed.cut)
        await look


async def test_a_lost_answer_is_not_known_once_history_is_forgotten(store: EtcdStore) -> None:
    async def forget() -> None:
        store._feed.gaps += 1

    Losing(store._calls).meanwhile = forget
    with pytest.raises(Unavailable) as refused:
        await store.commit([Write("a/x", b"1", ABSENT)])
    assert refused.value.effect is Effect.UNKNOWN


async def test_more_than_etcd_takes_at_once_is_too_large(store: EtcdStore) -> None:
    with pytest.raises(TooLarge):
        await store.commit([Write(f"{one}/x", bytes(MAX_VALUE_BYTES)) for one in "abc"])
    await store.commit([Write("a/x", b"1", ABSENT)])


async def test_revisions_go_on_from_those_of_another_store(cluster: Cluster, root: str) -> None:
    for _ in range(2):
        store = await EtcdStore.opened(Access(cluster.endpoints, root), base=1_000_000)
        before = await store.revision()
        watch = store.watch("", before)
        assert await store.commit([Write("a/x", secrets.token_bytes(4))]) > before >= 1_000_000
        assert (await anext(watch))[0].revision == await store.revision()
        assert await store.revision() < 1_000_100
        await store.close()


class SmallMember(Member):
    def command(self, peers: Sequence[str] = ()) -> list[str]:
        return [*super().command(peers), "--quota-backend-bytes", str(4 << 20)]


async def test_a_full_etcd_is_named_and_goes_on_with_room(tmp_path: Path) -> None:
    member = SmallMember(tmp_path / "small")
    member.start()
    store = await EtcdStore.opened(Access((member.endpoint,)))

    async def fill() -> None:
        for _ in range(100):
            await store.commit([Write("a/x", secrets.token_bytes(200_000))])

    with pytest.raises(Unavailable, match="full") as refused:
        await fill()
    assert refused.value.effect is Effect.NONE
    assert await store.get("a/x") is not None
    await store.compact(await store.revision())
    member.ctl("defrag")
    member.ctl("alarm", "disarm")
    await store.commit([Write("a/x", b"1")])
    await store.close()
    member.stop()


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


HERE = Path(__file__)


@pytest.mark.parametrize(
    "half",
    [
        {"certificate": HERE, "key": HERE},  # it would be asked in the clear
        {"ca": HERE, "certificate": HERE},
        {"ca": HERE, "key": HERE},
        {"user": "mooring"},
        {"password_file": HERE},
    ],
)
def test_half_of_what_lets_us_in_is_refused(half: dict[str, Any]) -> None:
    with pytest.raises(HalfAccess):
        Access(("h:1",), **half)


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
        return [
            *super().command(peers),
            *("--cert-file", f"{self._files}/server.crt", "--key-file"),
            *(f"{self._files}/server.key", "--trusted-ca-file", f"{self._files}/ca.pem"),
            "--client-cert-auth",
        ]

    @property
    def url(self) -> str:
        return f"https://{self.endpoint}"

    def ctl(self, *words: str, options: Sequence[str] = ()) -> str:
        certificate = ("--cert", f"{self._files}/client.crt", "--key", f"{self._files}/client.key")
        return super().ctl(*words, options=(*certificate, "--cacert", f"{self._files}/ca.pem"))


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
    revision = await store.commit([Write("a/x", b"2", revision)])
    await asyncio.to_thread(member.stop)
    await asyncio.to_thread(member.start)  # it knows none of its tokens, neither for watches
    assert await written(store, "a/y", "1") > revision
    await store.close()
    (files / "wrong").write_text("wrong")
    for wrong in (
        replace(access, password_file=files / "wrong"),
        replace(access, root="/elsewhere/"),
        replace(access, ca=files / "other-ca.pem"),
        replace(access, ca=files / "missing"),
        replace(access, user="", password_file=None),
    ):
        with pytest.raises(StoreRefuses):
            await EtcdStore.opened(wrong)
