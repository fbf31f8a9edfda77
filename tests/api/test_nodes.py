"""Hosts that join, and their agents: who gets in, and what each may ask for."""

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
from mooring.store.interface import Conflict, Store
from tests.api.client import Answer, Client
from tests.controllers.clocked import HandClock

NODES = "/api/v1/nodes"
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
        joining = Joining(self.objects, self.tokens, ca)
        told = Door(self.objects, self.noted.append)
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

    async def joined(self, node: str = "a", **asked: Any) -> str:
        """A node's own token."""
        answer = await self.join(await self.token(**asked), node)
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
    metadata = {"name": name, "uid": "u1", "labels": labels}
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
    await world.objects.cache.caught_up(revision)
    assert (await world.send("GET", f"{NODES}/a")).body["metadata"]["uid"] == "u1"
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
        ("nodes/a", {"metadata": {"name": "a", "labels": {"zone": "!"}}}, 422),
        ("nodes/a", [], 400),
        ("nodes/a", {}, 400),
        ("nodes/", node(), 403),
        ("tokens/x", node(), 403),
        ("leader/controllers", node(), 403),
        ("secrets/default/s", {"metadata": {"name": "s", "namespace": "default"}}, 403),
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


async def test_events_are_told_of_what_it_serves(world: World) -> None:
    own = await world.joined(namespaces=["default"])
    about = {"kind": "PersistentVolumeClaim", "name": "x"}
    notes = [
        [{**about, "namespace": one}, "Normal", "Reason", "message", "component"]
        for one in ("default", "bank", "")
    ]
    assert (await world.ask(own, "POST", "events", notes)).status == 200
    assert [one.about.namespace for one in world.noted] == ["default", ""]
