"""Hosts that join, and their agents: who gets in, and what each may ask for."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.api.app import App
from mooring.api.door import Door
from mooring.api.edges import Edges
from mooring.api.identity import Identities, token_hash
from mooring.api.joining import Joining
from mooring.api.nodes import Nodes
from mooring.api.tokens import Token, Tokens
from mooring.model import door
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.rules.events import EventNote
from mooring.store.interface import ABSENT, Conflict, Store, Write
from tests.api.client import Answer, Client
from tests.conformance.stores import WAIT_S, until
from tests.controllers.clocked import HandClock

NODES = "/api/v1/nodes"
UID = "1e0b2f0c-6f0a-4a3e-9d55-6e2f5b1c7a10"
LEASE = "leases.coordination.k8s.io/kube-node-lease/a"


class World(Client):
    """A server that hosts may join."""

    def __init__(self, place: Path, store: Store | None = None) -> None:
        super().__init__(store)
        self.clock = HandClock()
        self.objects.clock = self.clock
        self.noted: list[EventNote] = []
        ca = place / "ca.crt"
        ca.write_text("a certificate")
        self.tokens = Tokens(self.objects.store, self.clock)
        identities = Identities({token_hash("t"): "admin"}, self.tokens)
        told = Door(self.objects, self.noted.append)
        joining = Joining(self.objects, self.tokens, ca, told.leases)
        edges = Edges(self.objects, self.tokens)
        nodes = Nodes(identities, self.tokens, told, joining, edges=edges)
        self.app = App(self.objects, ALL_KINDS, identities, None, nodes)

    async def token(self, **asked: Any) -> str:
        """One to join with."""
        answer = await self.send("POST", "/mooring/v1/tokens", asked)
        assert answer.status == 201, answer
        made: str = answer.body["token"]
        return made

    async def join(self, token: str, node: str = "a", **more: Any) -> Answer:
        return await self.send("POST", door.JOIN_PATH, {"node": node, **more}, token=token)

    async def joined(self, name: str = "a", **asked: Any) -> str:
        """A node's own token."""
        answer = await self.join(await self.token(**asked), name)
        assert answer.status == 200, answer
        own: str = answer.body["token"]
        return own

    async def ask(self, token: str, method: str, what: str, value: Any = None) -> Answer:
        """Through the door."""
        body = msgspec.msgpack.encode(value) if value is not None else None
        path = f"{door.PATH}/{what}"
        return await self.send(method, path, body, token=token, mooring_door=str(door.VERSION))

    async def commit(
        self, token: str, key: str, doc: Any, expected: int = 0, *, again: bool = False
    ) -> Answer:
        value = msgspec.json.encode(doc) if doc is not None else None
        writes = [door.Wanted(key, value, expected)]
        return await self.ask(token, "POST", "commit", door.Commit(writes, [], again))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        await made.tokens.start()
        yield made
        await made.tokens.stop()


def node(name: str = "a", **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "uid": UID, "labels": labels}
    return {"kind": "Node", "apiVersion": "v1", "metadata": metadata}


def code(answer: Answer) -> str:
    """Of a refusal through the door."""
    return msgspec.msgpack.decode(answer.body, type=door.Refusal).code


async def test_a_token_lets_one_host_join_once(world: World) -> None:
    token = await world.token()
    answer = await world.join(token, pool="/pool")
    assert answer.status == 200
    assert answer.body["node"] == "a"
    assert (await world.join(token, "b")).status == 401
    pool = await world.send("GET", "/apis/mooring.dev/v1/pools/local-a")
    assert pool.body["spec"]["root"] == "/pool"


async def test_of_two_that_join_by_one_name_one_does(world: World) -> None:
    first, second = await world.token(), await world.token()
    answers = await asyncio.gather(world.join(first), world.join(second))
    assert sorted(one.status for one in answers) == [200, 409]
    assert (await world.join(await world.token())).status == 409
    # Whoever was refused has its token yet.
    refused = second if answers[0].status == 200 else first
    assert (await world.join(refused, "b")).status == 200


async def test_a_join_that_was_cut_off_is_done_by_the_same_token(world: World) -> None:
    token = await world.token()
    refused = await world.join(token, pool="relative")
    assert refused.status == 400
    assert (await world.join(await world.token())).status == 409
    assert (await world.join(token)).status == 200


async def test_a_host_that_joins_again_takes_its_name_over(world: World) -> None:
    old = await world.joined()
    new = await world.joined(node="a")
    assert (await world.ask(old, "GET", "documents")).status == 401
    assert (await world.commit(new, "nodes/a", node())).status == 200


async def test_a_name_is_free_once_its_node_was_removed(world: World) -> None:
    await world.joined()
    assert (await world.send("POST", "/mooring/v1/leave", {"node": "a"})).status == 200
    assert (await world.join(await world.token())).status == 200


async def test_a_renewal_of_a_token_that_ends_at_this_moment_is_none(world: World) -> None:
    own = await world.joined()
    token = world.tokens.found(token_hash(own))
    assert token is not None
    await world.tokens.ended("a")
    with pytest.raises(Conflict):
        await world.tokens.renewed(token_hash(own), token, 1)


async def test_tokens_that_have_ended_are_kept_by_nobody(world: World) -> None:
    own = await world.joined()
    for _ in range(3):
        own = (await world.ask(own, "POST", "renew", {})).body["token"]
    assert len((await world.objects.store.list("tokens/")).documents) == 4
    world.clock.move(301)
    await world.ask(own, "POST", "renew", {})
    assert len((await world.objects.store.list("tokens/")).documents) == 2
    world.clock.move(timedelta(days=40).total_seconds())
    later = Tokens(world.objects.store, world.clock)
    await later.start()
    assert not (await world.objects.store.list("tokens/")).documents
    await later.stop()


async def test_a_token_that_is_renewed_again_ends_no_later(world: World) -> None:
    old = await world.joined()
    for _ in range(2):
        assert (await world.ask(old, "POST", "renew", {})).status == 200
        world.clock.move(299 / 2)
    world.clock.move(2)
    assert (await world.ask(old, "POST", "renew", {})).status == 401


async def test_a_token_that_was_used_since_a_request_was_let_in_is_used(world: World) -> None:
    hashed = token_hash(await world.token())
    for name in ("a", "b"):
        own = Token("node", f"system:node:{name}", name)
        if name == "a":
            await world.tokens.made(own, instead_of=hashed)
        else:
            with pytest.raises(Conflict):
                await world.tokens.made(own, instead_of=hashed)


@pytest.mark.parametrize(
    ("asked", "name", "status"),
    [
        ({"node": "a"}, "a", 200),
        ({"node": "a"}, "b", 403),
        ({}, "Bad_Name", 400),
        ({}, "", 400),
        ({}, "../x", 400),
    ],
)
async def test_the_name_of_who_joins(
    world: World, asked: dict[str, Any], name: str, status: int
) -> None:
    assert (await world.join(await world.token(**asked), name)).status == status


async def test_the_name_of_a_node_is_not_taken_from_it(world: World) -> None:
    await world.send("POST", NODES, {"metadata": {"name": "a"}})
    refused = await world.join(await world.token())
    assert refused.status == 409
    assert "--node-name" in refused.body["message"]
    assert (await world.join(await world.token(node="a"))).status == 200


@pytest.mark.parametrize(
    "asked",
    [
        {"node": "No"},
        {"namespaces": ["a/b"]},
        {"hours": 0},
        {"hours": 1e9},
        {"more": 1},
        {"node": 1},
    ],
)
async def test_what_no_token_is_made_for(world: World, asked: dict[str, Any]) -> None:
    assert (await world.send("POST", "/mooring/v1/tokens", asked)).status == 400


async def test_tokens_end(world: World) -> None:
    token, own = await world.token(hours=1), await world.joined()
    world.clock.move(timedelta(hours=1).total_seconds())
    assert (await world.join(token, "b")).status == 401
    assert (await world.ask(own, "GET", "documents")).status == 200
    world.clock.move(timedelta(days=30).total_seconds())
    assert (await world.ask(own, "GET", "documents")).status == 401


async def test_a_renewed_token_is_good_for_some_minutes_yet(world: World) -> None:
    own = await world.joined()
    answer = await world.ask(own, "POST", "renew", {})
    new = answer.body["token"]
    for one, status in ((own, 200), (new, 200)):
        assert (await world.ask(one, "GET", "documents")).status == status
    world.clock.move(301)
    for one, status in ((own, 401), (new, 200)):
        assert (await world.ask(one, "GET", "documents")).status == status


async def test_a_node_that_leaves_is_let_in_no_more(world: World) -> None:
    own, other = await world.joined(), await world.joined("b")
    assert (await world.send("POST", "/mooring/v1/leave", {"node": "a"})).status == 200
    assert (await world.ask(own, "GET", "documents")).status == 401
    assert (await world.ask(other, "GET", "documents")).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", NODES),
        ("GET", "/api/v1/secrets"),
        ("GET", "/metrics"),
        ("GET", "/openapi/v2"),
        ("POST", "/api/v1/namespaces/default/persistentvolumeclaims"),
        ("DELETE", "/api/v1/persistentvolumes/x"),
        ("POST", "/mooring/v1/tokens"),
        ("POST", "/mooring/v1/leave"),
        ("POST", "/mooring/v1/join"),
        ("GET", "/mooring/v1/mounts"),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews"),
    ],
)
async def test_a_nodes_token_is_good_for_its_door_alone(
    world: World, method: str, path: str
) -> None:
    for token in (await world.joined(), await world.token()):
        status = (await world.send(method, path, {}, token=token)).status
        assert status in ((403, 401, 400) if path == "/mooring/v1/join" else (403,))
    assert (await world.send(method, path, {}, token="stranger")).status == 401


async def test_a_users_token_is_not_good_for_the_door(world: World) -> None:
    assert (await world.ask("t", "GET", "documents")).status == 404


async def test_an_agent_writes_its_node(world: World) -> None:
    own = await world.joined()
    answer = await world.commit(own, "nodes/a", node())
    assert answer.status == 200, answer
    revision = msgspec.msgpack.decode(answer.body, type=door.Committed).revision
    assert world.objects.cache.revision >= revision  # whoever asks there next sees it
    assert (await world.send("GET", f"{NODES}/a")).body["metadata"]["uid"] == UID
    # Sent again, since its answer was lost: it is done, and not done twice.
    again = await world.commit(own, "nodes/a", node(), again=True)
    assert again.status == 200
    late = await world.commit(own, "nodes/a", node(zone="z"))
    assert (late.status, code(late)) == (409, "Conflict")


async def test_an_agent_deletes_a_claim_that_is_held(world: World) -> None:
    """As `docker volume rm` does: it is marked, and goes with its last finalizer."""
    own = await world.joined()
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    made = await world.send("POST", claims, {"metadata": {"name": "data"}, "spec": spec})
    doc, revision = made.body, int(made.body["metadata"].pop("resourceVersion"))
    doc["metadata"] |= {"deletionTimestamp": "2026-01-02T03:04:05Z", "generation": 2}
    answer = await world.commit(own, "persistentvolumeclaims/default/data", doc, revision)
    assert answer.status == 200, answer
    doc["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:06Z"
    revision = msgspec.msgpack.decode(answer.body, type=door.Committed).revision
    late = await world.commit(own, "persistentvolumeclaims/default/data", doc, revision)
    assert (late.status, code(late)) == (422, "Invalid")


@pytest.mark.parametrize(
    ("key", "doc", "status"),
    [
        ("nodes/b", node("b"), 403),
        ("nodes/a", node("b"), 400),
        ("nodes/a", {"metadata": {"name": "a", "labels": {"zone": 1}}}, 400),
        ("nodes/a", node(zone="!"), 422),
        ("nodes/a", [], 400),
        ("nodes/a", {}, 400),
        ("nodes/", node(), 403),
        ("tokens/x", node(), 403),
        ("leader/controllers", node(), 403),
        ("secrets/default/s", {"metadata": {"name": "s", "namespace": "default", "uid": UID}}, 403),
        ("", node(), 403),
    ],
)
async def test_what_an_agent_does_not_write(world: World, key: str, doc: Any, status: int) -> None:
    before = await world.objects.store.revision()
    own = await world.joined()
    joined = await world.objects.store.revision()
    assert (await world.commit(own, key, doc)).status == status
    assert before < joined == await world.objects.store.revision()


async def test_what_is_no_commit(world: World) -> None:
    own = await world.joined()
    path = f"{door.PATH}/commit"
    for body in (b"", b"\xff\xff", msgspec.msgpack.encode([1, 2, 3])):
        answer = await world.send("POST", path, body, token=own, mooring_door="1")
        assert answer.status == 400
    for expected, revision in ((-1, 0), (0, -1), (0, 1 << 63), (1 << 63, 0)):
        commit = door.Commit([door.Wanted("nodes/a", None, expected)])
        commit.checks = [door.Held("nodes/a", revision)]
        assert (await world.ask(own, "POST", "commit", commit)).status == 400
    for version in ("", "9", "x"):
        assert (await world.send("POST", path, b"", token=own, mooring_door=version)).status == 400


async def test_an_agent_sees_the_namespaces_that_it_serves(world: World) -> None:
    await world.send("POST", "/api/v1/namespaces", {"metadata": {"name": "bank"}})
    for namespace in ("default", "bank"):
        secret = {"metadata": {"name": "s"}, "stringData": {"a": "b"}}
        made = await world.send("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)
        assert made.status == 201
    own, token = await world.joined(namespaces=["default"]), await world.token()
    answer = await world.ask(own, "GET", "documents")
    page = msgspec.msgpack.decode(answer.body, type=door.Documents)
    keys = {one.key for one in page.documents}
    assert "secrets/default/s" in keys
    assert not {one for one in keys if "bank/" in one or one.startswith(("tokens/", "events/"))}
    assert token_hash(token) not in str(answer.body)
    # Nor can it find out by what it writes.
    held = door.Commit([door.Wanted("nodes/a", msgspec.json.encode(node()), 0)])
    held.checks = [door.Held("secrets/bank/s", 1)]
    assert (await world.ask(own, "POST", "commit", held)).status == 403


@pytest.mark.parametrize("prefix", ["", "secrets/", "tokens/", "hosts/", "pki/", "leader/"])
async def test_pages_tell_of_nothing_that_is_not_seen(world: World, prefix: str) -> None:
    await world.send("POST", "/api/v1/namespaces", {"metadata": {"name": "bank"}})
    for namespace, names in (("bank", "abc"), ("default", "xy")):
        for name in names:
            path = f"/api/v1/namespaces/{namespace}/secrets"
            assert (await world.send("POST", path, {"metadata": {"name": name}})).status == 201
    own = await world.joined(namespaces=["default"])
    for key in ("pki/ca.key", "leader/controllers"):
        await world.objects.store.commit([Write(key, b"x", ABSENT)])
    seen, after, more = list[door.Doc](), "", True
    while more:
        answer = await world.ask(own, "GET", f"documents?prefix={prefix}&limit=1&after={after}")
        page = msgspec.msgpack.decode(answer.body, type=door.Documents)
        assert len(page.documents) == 1 or not page.more
        seen += page.documents
        after, more = seen[-1].key if seen else "", page.more
    secrets = {one.key for one in seen if one.key.startswith("secrets/")}
    assert secrets == (
        {"secrets/default/x", "secrets/default/y"} if prefix in ("", "secrets/") else set()
    )
    kinds = {one.key.partition("/")[0] for one in seen}
    assert not kinds & {"tokens", "hosts", "pki", "leader"}
    assert all(one.value and one.revision for one in seen)


@pytest.mark.parametrize("ends", ["left", "expired"])
async def test_the_stream_of_a_token_ends_with_it(world: World, ends: str) -> None:
    own = await world.joined()
    revision = await world.objects.store.revision()
    said: list[bytes] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"{door.PATH}/watch",
        "query_string": f"from={revision}".encode(),
        "headers": [(b"authorization", b"Bearer " + own.encode()), (b"mooring-door", b"1")],
    }

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()  # the agent stays
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        said.append(message.get("body", b""))

    watching = asyncio.create_task(world.app(scope, receive, send))
    await until(lambda: _is_true(bool(said)))
    if ends == "left":
        assert (await world.send("POST", "/mooring/v1/leave", {"node": "a"})).status == 200
    else:
        world.clock.move(timedelta(days=31).total_seconds())
    late = {"metadata": {"name": "late"}}
    await world.send("POST", "/api/v1/namespaces/default/secrets", late)
    async with asyncio.timeout(WAIT_S):
        await watching
    assert b"secrets/default/late" not in b"".join(said)


async def _is_true(is_so: bool) -> bool:
    return is_so


async def test_events_are_told_of_what_it_serves(world: World) -> None:
    own = await world.joined(namespaces=["default"])
    about = {"kind": "PersistentVolumeClaim", "name": "x"}
    notes = [
        [{**about, "namespace": one}, "Normal", "Reason", "message", "component"]
        for one in ("default", "bank", "")
    ]
    assert (await world.ask(own, "POST", "events", notes)).status == 200
    assert [one.about.namespace for one in world.noted] == ["default", ""]
