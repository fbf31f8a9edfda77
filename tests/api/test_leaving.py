"""Hosts that leave: what they had in use is free once nobody there can write to it any more."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mooring.rules.fencing import MARGIN_S
from mooring.store.interface import Check, Conflict, Write
from tests.api.client import Answer
from tests.api.test_nodes import NODES, World

ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
LEASE_S = 15
TAINT = {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]}


class Shared(World):
    """A volume that two hosts reach, in use on `a`, whose Lease is valid."""

    async def begin(self) -> None:
        await self.tokens.start()
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/shared/v"},
        }
        await self.made("/api/v1/persistentvolumes", {"metadata": {"name": "v"}, "spec": spec})
        await self.made("/api/v1/namespaces", {"metadata": {"name": "kube-node-lease"}})
        spec = {"holderIdentity": "a", "leaseDurationSeconds": LEASE_S}
        await self.made(LEASES, {"metadata": {"name": "a"}, "spec": spec})
        self.own = await self.joined("a")
        await self.made(NODES, {"metadata": {"name": "a"}})

    async def made(self, path: str, doc: Any) -> None:
        answer = await self.send("POST", path, doc)
        assert answer.status == 201, answer

    async def attach(self, *, promised: bool) -> None:
        annotations = {"mooring.dev/fencing": "lease"} if promised else {}
        source = {"persistentVolumeName": "v"}
        spec = {"attacher": "directory.mooring.dev", "nodeName": "a", "source": source}
        metadata = {"name": "csi-1", "annotations": annotations}
        await self.made(ATTACHMENTS, {"metadata": metadata, "spec": spec})

    async def leave(self, **more: Any) -> Answer:
        return await self.send("POST", "/mooring/v1/leave", {"node": "a", **more})

    async def is_let_in(self) -> bool:
        return (await self.ask(self.own, "GET", "documents")).status == 200


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    async with Shared(tmp_path) as made:
        await made.begin()
        yield made
        await made.tokens.stop()


async def test_what_is_in_use_nowhere_is_not_waited_for(shared: Shared) -> None:
    assert (await shared.leave()).body == {"waitS": 0, "known": True}
    assert not await shared.is_let_in()


async def test_a_host_that_promised_to_stop_is_waited_for(shared: Shared) -> None:
    await shared.attach(promised=True)
    assert (await shared.leave()).body["waitS"] == LEASE_S + MARGIN_S
    assert not await shared.is_let_in()
    shared.clock.move(LEASE_S)
    assert (await shared.leave()).body["waitS"] == MARGIN_S
    shared.clock.move(MARGIN_S)
    assert (await shared.leave()).body == {"waitS": 0, "known": True}


async def test_a_host_that_promised_nothing_is_not_removed(shared: Shared) -> None:
    await shared.attach(promised=False)
    shared.clock.move(10 * LEASE_S)
    refused = await shared.leave()
    assert refused.status == 409
    assert "v" in refused.body["message"]
    assert await shared.is_let_in()


async def test_a_host_that_promised_nothing_is_removed_by_force(shared: Shared) -> None:
    """Also then it is waited for: it may be heard of yet."""
    await shared.attach(promised=False)
    assert (await shared.leave(force=True)).body["waitS"] == LEASE_S + MARGIN_S
    assert not await shared.is_let_in()


@pytest.mark.parametrize("promised", [True, False])
async def test_a_host_that_is_off_is_not_waited_for(shared: Shared, promised: bool) -> None:
    await shared.attach(promised=promised)
    merge = "application/merge-patch+json"
    patched = await shared.send("PATCH", f"{NODES}/a", {"spec": TAINT}, media=merge)
    assert patched.status == 200
    assert (await shared.leave()).body["waitS"] == 0


async def test_what_is_on_its_way_from_a_host_that_left_is_not_done(shared: Shared) -> None:
    """At a server that has not heard of it yet the check in the commit is what refuses it."""
    store, key = shared.objects.store, "leases.coordination.k8s.io/kube-node-lease/a"
    cut = (await store.list("hosts/")).documents[0].revision
    await shared.leave()
    with pytest.raises(Conflict):
        await store.commit([Write(key, b"{}")], [Check("hosts/a", cut)])


async def test_a_name_is_taken_over_once_the_host_of_before_has_stopped(shared: Shared) -> None:
    """What that one has in use would be the new one's at once."""
    await shared.attach(promised=True)
    token = await shared.token(node="a")
    refused = await shared.join(token)
    assert refused.status == 409
    assert "17 s" in str(refused.body)
    assert await shared.is_let_in()
    shared.clock.move(LEASE_S + MARGIN_S)
    assert (await shared.join(token)).status == 200
    assert not await shared.is_let_in()


async def test_a_name_is_not_taken_over_from_a_host_that_promised_nothing(shared: Shared) -> None:
    """It may write for as long as it runs, heard of or not."""
    await shared.attach(promised=False)
    token = await shared.token(node="a")
    shared.clock.move(LEASE_S + MARGIN_S)
    refused = await shared.join(token)
    assert refused.status == 409
    assert "may write to them" in str(refused.body)
    assert await shared.is_let_in()


async def test_a_host_that_nobody_knows_is_none(shared: Shared) -> None:
    answer = await shared.send("POST", "/mooring/v1/leave", {"node": "b"})
    assert answer.body == {"waitS": 0, "known": False}
