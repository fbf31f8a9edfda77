"""GET /metrics: what Prometheus' own parser reads, under the names that Kubernetes gives."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mooring.api import exposition
from mooring.api.http import ABORT
from mooring.api.metrics import Metrics
from mooring.node.usage import VolumeUsage
from mooring.objects.cache import Entry
from tests.api.client import Client

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
POOLS = "/apis/mooring.dev/v1/pools"
Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


def volume(name: str, **spec: Any) -> dict[str, Any]:
    fixed = {
        "capacity": {"storage": "2Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "hostPath": {"path": '/srv/odd "name"\\'},
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": fixed | spec,
    }


def claim(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "fast",
            "resources": {"requests": {"storage": "1500Mi"}},
        },
    }


def pool(name: str) -> dict[str, Any]:
    spec = {"driver": "directory.mooring.dev", "node": "there", "root": "/srv/pool"}
    return {
        "apiVersion": "mooring.dev/v1",
        "kind": "Pool",
        "metadata": {"name": name},
        "spec": spec,
    }


def samples(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for one in family.samples:
            by_labels = found.setdefault(one.name, {})
            labels = frozenset(one.labels.items())
            assert labels not in by_labels, f"{one.name} {one.labels} twice"
            by_labels[labels] = one.value
    return found


def labelled(**labels: str) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client() as client:
        ref = {"namespace": "default", "name": "db"}
        assert (await client.send("POST", VOLUMES, volume("v1", claimRef=ref))).status == 201
        assert (await client.send("POST", CLAIMS, claim("db"))).status == 201
        assert (await client.send("POST", POOLS, pool("p"))).status == 201
        yield client


async def scraped(client: Client, query: str = "") -> Samples:
    answer = await client.send("GET", f"/metrics{query}")
    assert answer.status == 200
    return samples(answer.body.decode())


async def test_claims_and_volumes_have_the_names_of_kube_state_metrics(client: Client) -> None:
    found = await scraped(client)
    db = {"namespace": "default", "persistentvolumeclaim": "db"}
    asked = found["kube_persistentvolumeclaim_resource_requests_storage_bytes"]
    assert asked == {labelled(**db): 1500 << 20}
    phases = found["kube_persistentvolumeclaim_status_phase"]
    assert {dict(one)["phase"]: value for one, value in phases.items()} == {
        "Pending": 1, "Bound": 0, "Lost": 0,
    }  # fmt: skip
    assert found["kube_persistentvolume_capacity_bytes"] == {
        labelled(persistentvolume="v1"): 2 << 30
    }
    claims = found["kube_persistentvolume_claim_ref"]
    assert claims == {labelled(persistentvolume="v1", claim_namespace="default", name="db"): 1}
    (info,) = found["kube_persistentvolume_info"]
    assert dict(info)["host_path"] == '/srv/odd "name"\\'
    assert dict(info)["storageclass"] == "fast"


def test_replicas_say_as_of_when_they_are() -> None:
    copies = [
        {"node": "b", "pool": "p", "state": "replica", "at": "2026-01-02T03:04:05Z"},
        {"node": "c", "pool": "p", "state": "stale", "at": "2026-01-02T03:04:05Z"},
        {"node": "d", "pool": "p", "state": "replica", "at": "by hand"},
    ]
    replicated = volume("v2")
    replicated["metadata"]["annotations"] = {"mooring.dev/copies": json.dumps(copies)}
    family = next(one for one in exposition.VOLUMES if "replica" in one.name)
    entries = [Entry("v2", json.dumps(one).encode(), 1) for one in (replicated, volume("v1"))]
    assert samples("".join(family.chunks(entries)) + "# EOF\n") == {
        "mooring_volume_replica_timestamp_seconds": {
            labelled(persistentvolume="v2", node="b"): 1767323045
        }
    }


async def test_pools_say_what_they_know(client: Client) -> None:
    found = await scraped(client, "?collect[]=pools")
    labels = labelled(pool="p", node="there", driver="directory.mooring.dev")
    assert found["mooring_pool_allocated_bytes"] == {labels: 0}
    assert found.keys().isdisjoint({"mooring_pool_capacity_bytes", "mooring_pool_ready"})
    assert all(name.startswith("mooring_pool_") for name in found)  # nobody looked at it


async def test_the_process_is_measured(client: Client) -> None:
    found = await scraped(client, "?collect[]=process")
    assert found["process_open_fds"][frozenset()] > 0
    assert "mooring_build_info" in found
    assert not any(name.startswith("kube") for name in found)


@pytest.mark.parametrize("query", ["?collect[]=everything", "?collect[]=pools&collect[]=x"])
async def test_groups_that_are_none_are_refused(client: Client, query: str) -> None:
    answer = await client.send("GET", f"/metrics{query}")
    assert answer.status == 400
    assert "process, pools, usage, claims, volumes" in answer.body["message"]


async def test_what_volumes_use_has_the_names_of_kubelet(client: Client) -> None:
    usages = {
        "v1": VolumeUsage(2 << 30, 5 << 20, 2043 << 20, 1000, 10, 0.0),
        "nobodys": VolumeUsage(1),
    }
    entries = client.objects.cache.shelves["persistentvolumes"].snapshot()
    found = samples("".join(exposition.stats(entries, usages)))
    db = labelled(namespace="default", persistentvolumeclaim="db")
    assert {name.removeprefix("kubelet_volume_stats_"): one for name, one in found.items()} == {
        "capacity_bytes": {db: 2 << 30},
        "used_bytes": {db: 5 << 20},
        "available_bytes": {db: 2043 << 20},
        "inodes": {db: 1000},
        "inodes_used": {db: 10},
        "inodes_free": {db: 990},
        "health_status_abnormal": {db: 0},
    }


async def test_a_client_that_can_read_it_gets_it_squeezed(client: Client) -> None:
    answer = await client.send("GET", "/metrics", accept_encoding="gzip")
    assert samples(zlib.decompress(answer.body, wbits=31).decode()).keys() == (
        (await scraped(client)).keys()
    )


async def test_many_are_all_there_and_each_family_is_in_one_piece(client: Client) -> None:
    for number in range(600):
        assert (await client.send("POST", CLAIMS, claim(f"c{number}"))).status == 201
    answer = await client.send("GET", "/metrics?collect[]=claims")
    lines = answer.body.decode().splitlines()
    heads = [line for line in lines if line.startswith("# TYPE")]
    assert (len(heads), len(set(heads))) == (3, 3)
    assert len(lines) == 6 + 601 * 5


class SlowReader:
    """Takes the head of an answer, and nothing after it until it is cut off."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.waits, self.cut = asyncio.Event(), asyncio.Event()

    async def scrape(self) -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/metrics",
            "query_string": b"",
            "headers": [(b"authorization", b"Bearer t")],
            "extensions": {ABORT: self.cut.set},
        }

        async def receive() -> dict[str, Any]:
            await self.cut.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.body":
                self.waits.set()
                await asyncio.Event().wait()

        await self.client.app(scope, receive, send)


async def test_who_reads_slowly_stops_nobody_else(client: Client) -> None:
    reader = SlowReader(client)
    task = asyncio.create_task(reader.scrape())
    await reader.waits.wait()
    async with asyncio.timeout(5):
        assert "mooring_build_info" in await scraped(client)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_who_reads_nothing_is_cut_off(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Metrics, "taken_within_s", 0.01)
    reader = SlowReader(client)
    async with asyncio.timeout(5):
        await reader.scrape()
    assert reader.cut.is_set()
    assert "mooring_build_info" in await scraped(client)
