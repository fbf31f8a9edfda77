"""Requests to one of two servers of a store, right after the other has answered."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from mooring.api.app import App
from mooring.api.identity import Identities, token_hash
from mooring.controllers.controllers import Controllers
from mooring.model.names import DEFAULT_CLASS, DIRECTORY_DRIVER, POOL_ATTRIBUTE
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.interface import Changes, Check, Write
from mooring.store.memory import MemoryStore
from tests.api.client import Answer, Client
from tests.controllers.clocked import a_claim_doc, a_volume_doc

MAPS = "/api/v1/namespaces/default/configmaps"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
NAMESPACES = "/api/v1/namespaces"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"


class Late(MemoryStore):
    """Another server's sight of a store. Of what changes it hears only when it asks something, and
    of all that others do not before that."""

    is_shared = True

    def __init__(self, store: MemoryStore) -> None:
        self._store, self._heard, self.asked = store, asyncio.Event(), 0
        self.list, self.get = store.list, store.get  # type: ignore[method-assign]

    async def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Changes]:  # type: ignore[override]
        async for batch in self._store.watch(prefix, from_revision):
            await self._heard.wait()
            yield batch
            if batch[-1].revision >= await self._store.revision():
                self._heard.clear()

    async def revision(self) -> int:
        self.asked += 1
        revision = await self._store.revision()
        self._heard.set()
        return revision

    async def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> int:
        try:
            return await self._store.commit(writes, checks)
        finally:
            self._heard.set()


class Servers:
    """Two: what is sent to `there` is not seen `here` until somebody asks."""

    def __init__(self, there: Client, here: Client, late: Late) -> None:
        self.there, self.here, self.late = there, here, late

    async def made(self, path: str, name: str, **more: Any) -> Answer:
        """By the other server."""
        answer = await self.there.send("POST", path, {"metadata": {"name": name}, **more})
        assert answer.status == 201, answer.body
        return answer


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with Client() as there:
        store = there.objects.store
        assert isinstance(store, MemoryStore)
        late, here = Late(store), Client()
        here.objects = Objects(late, ALL_KINDS)
        here.app = App(here.objects, ALL_KINDS, Identities({token_hash("t"): "admin"}))
        await here.objects.start()
        yield Servers(there, here, late)
        await here.objects.close()


async def test_what_another_server_was_told_is_read(servers: Servers) -> None:
    await servers.made(MAPS, "a")
    assert (await servers.here.send("GET", f"{MAPS}/a")).status == 200
    await servers.made(MAPS, "b")
    listed = await servers.here.send("GET", f"{MAPS}?limit=5")
    assert [one["metadata"]["name"] for one in listed.body["items"]] == ["a", "b"]
    await servers.made(MAPS, "c")
    events = await servers.here.watch(f"{MAPS}?watch=1&timeoutSeconds=-1")
    assert [one["object"]["metadata"]["name"] for one in events] == ["a", "b", "c"]


async def test_what_may_be_old_is_not_asked_for(servers: Servers) -> None:
    await servers.made(MAPS, "a")
    listed = await servers.here.send("GET", f"{MAPS}?resourceVersion=0")
    assert (listed.body["items"], servers.late.asked) == ([], 0)


async def test_requests_of_one_moment_ask_once(servers: Servers) -> None:
    await servers.made(MAPS, "a")
    asked = [servers.here.send("GET", f"{MAPS}/a") for _ in range(50)]
    assert {one.status for one in await asyncio.gather(*asked)} == {200}
    assert servers.late.asked == 1


async def test_what_another_server_made_is_changed_and_deleted(servers: Servers) -> None:
    made = await servers.made(MAPS, "a")
    body = {**made.body, "data": {"k": "v"}}
    replaced = await servers.here.send("PUT", f"{MAPS}/a", body)
    assert replaced.status == 200, replaced.body
    body = (await servers.there.send("PUT", f"{MAPS}/a", {**replaced.body, "data": {}})).body
    # By the version that the other server told, which is the latest.
    replaced = await servers.here.send("PUT", f"{MAPS}/a", {**body, "data": {"k": "w"}})
    assert replaced.status == 200, replaced.body
    await servers.made(MAPS, "b")
    media = "application/merge-patch+json"
    patched = await servers.here.send("PATCH", f"{MAPS}/b", {"data": {"k": "v"}}, media)
    assert patched.status == 200, patched.body
    await servers.made(MAPS, "c")
    assert (await servers.here.send("DELETE", f"{MAPS}/c")).status == 200
    await servers.made(MAPS, "d")
    await servers.here.send("DELETE", MAPS)
    assert (await servers.there.send("GET", MAPS)).body["items"] == []


async def test_a_name_that_another_server_set_free_is_free(servers: Servers) -> None:
    await servers.made(MAPS, "a")
    assert (await servers.here.send("GET", f"{MAPS}/a")).status == 200
    assert (await servers.there.send("DELETE", f"{MAPS}/a")).status == 200
    again = await servers.here.send("POST", MAPS, {"metadata": {"name": "a"}})
    assert again.status == 201, again.body


async def test_a_namespace_of_another_server_takes_objects(servers: Servers) -> None:
    await servers.made(NAMESPACES, "new")
    made = await servers.here.send(
        "POST", f"{NAMESPACES}/new/configmaps", {"metadata": {"name": "a"}}
    )
    assert made.status == 201, made.body


async def test_nothing_new_goes_into_a_namespace_that_another_server_ends(servers: Servers) -> None:
    await servers.made(NAMESPACES, "old", spec={"finalizers": ["kubernetes"]})
    assert (await servers.here.send("GET", f"{NAMESPACES}/old")).status == 200
    await servers.there.send("DELETE", f"{NAMESPACES}/old")
    made = await servers.here.send(
        "POST", f"{NAMESPACES}/old/configmaps", {"metadata": {"name": "a"}}
    )
    assert (made.status, made.body["reason"]) == (403, "Forbidden")


async def test_a_claim_gets_the_default_class_of_another_server(servers: Servers) -> None:
    class_ = {"name": "fast", "annotations": {DEFAULT_CLASS: "true"}}
    await servers.there.send("POST", CLASSES, {"metadata": class_, "provisioner": "a.b"})
    claim = a_claim_doc("c")
    claim["spec"].pop("storageClassName", None)
    made = await servers.here.send("POST", CLAIMS, claim)
    assert made.status == 201, made.body
    assert made.body["spec"]["storageClassName"] == "fast"


async def test_room_of_a_quota_that_another_server_gave_back_or_took(servers: Servers) -> None:
    hard = {"persistentvolumeclaims": "1"}
    await servers.made("/api/v1/namespaces/default/resourcequotas", "q", spec={"hard": hard})
    assert (await servers.here.send("POST", CLAIMS, a_claim_doc("one"))).status == 201
    refused = await servers.there.send("POST", CLAIMS, a_claim_doc("two"))
    assert (refused.status, "exceeded quota" in refused.body["message"]) == (403, True)


async def at_both(servers: Servers, path: str, docs: Sequence[Any]) -> list[Answer]:
    """Each sent to one of the two, all at once."""
    whom = itertools.cycle((servers.there, servers.here))
    asked = [one.send("POST", path, doc) for one, doc in zip(whom, docs, strict=False)]
    return await asyncio.gather(*asked)


def statuses(answers: Sequence[Answer]) -> dict[int, int]:
    return dict(Counter(one.status for one in answers))


async def test_a_name_is_given_once(servers: Servers) -> None:
    docs = [{"metadata": {"name": f"m{number // 2}"}} for number in range(40)]
    assert statuses(await at_both(servers, MAPS, docs)) == {201: 20, 409: 20}


async def test_a_quota_is_charged_at_both(servers: Servers) -> None:
    hard = {"persistentvolumeclaims": "7"}
    await servers.made("/api/v1/namespaces/default/resourcequotas", "q", spec={"hard": hard})
    answers = await at_both(servers, CLAIMS, [a_claim_doc(f"c{one}") for one in range(20)])
    made = [one for one in answers if one.status == 201]
    # One that the other was faster than too often is told to try again.
    assert set(statuses(answers)) <= {201, 403, 409}
    assert len(made) <= 7
    again = await at_both(servers, CLAIMS, [a_claim_doc(f"d{one}") for one in range(20)])
    assert len(made) + statuses(again).get(201, 0) <= 7
    listed = await servers.here.send("GET", CLAIMS)
    quota = await servers.here.send("GET", "/api/v1/namespaces/default/resourcequotas/q")
    assert quota.body["status"]["used"] == {
        "persistentvolumeclaims": str(len(listed.body["items"]))
    }


async def test_the_room_of_a_pool_is_taken_once(servers: Servers) -> None:
    spec = {"driver": DIRECTORY_DRIVER, "node": "n", "root": "/p", "capacity": "7Gi"}
    await servers.made("/apis/mooring.dev/v1/pools", "p", spec=spec)
    docs = []
    for number in range(20):
        csi = {
            "driver": DIRECTORY_DRIVER,
            "volumeHandle": f"p/v{number}",
            "volumeAttributes": {POOL_ATTRIBUTE: "p"},
        }
        doc = a_volume_doc(f"v{number}", csi=csi)
        del doc["spec"]["hostPath"]
        docs.append(doc)
    answers = await at_both(servers, "/api/v1/persistentvolumes", docs)
    assert set(statuses(answers)) <= {201, 403, 409}
    pool = (await servers.here.send("GET", "/apis/mooring.dev/v1/pools/p")).body
    made = statuses(answers).get(201, 0)
    assert 0 < made <= 7
    assert (pool["status"]["volumes"], pool["status"]["allocated"]) == (made, f"{made}Gi")


async def test_nothing_stays_in_a_namespace_that_another_server_ended(servers: Servers) -> None:
    controllers = Controllers(servers.there.objects)
    await controllers.start()
    await servers.made(NAMESPACES, "old")
    docs = [{"metadata": {"name": f"m{number}"}} for number in range(40)]
    path = f"{NAMESPACES}/old/configmaps"
    making = asyncio.gather(*(servers.here.send("POST", path, doc) for doc in docs))
    await servers.there.send("DELETE", f"{NAMESPACES}/old")
    assert set(statuses(await making)) <= {201, 403, 404}
    await controllers.idle()
    assert (await servers.here.send("GET", f"{NAMESPACES}/old")).status == 404
    assert (await servers.here.send("GET", path)).body["items"] == []
    await controllers.stop()
