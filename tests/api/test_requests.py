"""What the API answers to requests about objects. Storage semantics §1.4."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.client import Client

VOLUMES = "/api/v1/persistentvolumes"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
EVERY_CLAIM = "/api/v1/persistentvolumeclaims"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"
Doc = dict[str, Any]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client() as client:
        yield client


def volume(name: str = "v", **metadata: Any) -> Doc:
    return {
        "metadata": {"name": name, **metadata},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/srv/v"},
        },
    }


def claim(name: str = "c", **metadata: Any) -> Doc:
    return {
        "metadata": {"name": name, **metadata},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


async def test_1_4_a_deleted_class_is_shown_and_a_deleted_map_is_told(client: Client) -> None:
    await client.send("POST", CLASSES, {"metadata": {"name": "s"}, "provisioner": "a.example.com"})
    gone = await client.send("DELETE", f"{CLASSES}/s")
    assert (gone.status, gone.body["kind"], gone.body["provisioner"]) == (
        200,
        "StorageClass",
        "a.example.com",
    )
    await client.send("POST", MAPS, {"metadata": {"name": "m"}})
    told = await client.send("DELETE", f"{MAPS}/m")
    assert (told.body["kind"], told.body["status"]) == ("Status", "Success")
    assert told.body["details"]["kind"] == "configmaps"


@pytest.mark.parametrize(("method", "body"), [("POST", claim()), ("DELETE", None)])
async def test_1_4_claims_of_all_namespaces_can_only_be_read(
    client: Client, method: str, body: Doc | None
) -> None:
    await client.send("POST", CLAIMS, claim())
    refused = await client.send(method, EVERY_CLAIM, body)
    assert (refused.status, refused.body["reason"]) == (405, "MethodNotAllowed")
    assert len((await client.send("GET", EVERY_CLAIM)).body["items"]) == 1
