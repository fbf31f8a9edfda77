"""What clients may do with the Pods that mirror containers: read them. Docker volumes §11."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mooring.controllers.namespaces import Namespaces
from mooring.model.pod import MIRROR
from tests.api.client import Client

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
PODS = "/api/v1/namespaces/default/pods"
POD = f"{PODS}/docker-here-db-0123456789ab"
Doc = dict[str, Any]


def pod(name: str, labels: Doc) -> Doc:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "example.com/image"}]},
    }


MIRRORED = pod(POD.rpartition("/")[2], {MIRROR: "docker"})
PLAIN = pod("plain", {"app": "web"})


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """With a mirror, made as the agent makes it, and a Pod of a client's."""
    async with Client() as client:
        kind = client.objects.kinds["pods"]
        doc = {**MIRRORED, "metadata": dict(MIRRORED["metadata"])}
        await client.objects.create(kind, "default", doc)
        assert (await client.send("POST", PODS, PLAIN)).status == 201
        yield client


def body(client: Client, key: str = "default/docker-here-db-0123456789ab") -> bytes:
    entry = client.objects.entry("pods", key)
    assert entry is not None
    return entry.body


@pytest.mark.parametrize(
    ("method", "path", "sent", "media"),
    [
        ("POST", PODS, pod("other", {MIRROR: "docker"}), "application/json"),
        ("POST", f"{PODS}?dryRun=All", pod("other", {MIRROR: ""}), "application/json"),
        ("PUT", POD, MIRRORED, "application/json"),
        ("PUT", POD, {**MIRRORED, "metadata": {}}, "application/json"),
        ("PUT", f"{POD}/status", {**MIRRORED, "status": {"phase": "Failed"}}, "application/json"),
        ("PUT", f"{PODS}/plain", pod("plain", {MIRROR: "x"}), "application/json"),
        ("PATCH", POD, {"metadata": {"labels": {MIRROR: None}}}, MERGE),
        ("PATCH", POD, {"metadata": {"labels": {"app": "db"}}}, STRATEGIC),
        ("PATCH", f"{POD}/status", {"status": {"phase": "Failed"}}, MERGE),
        ("PATCH", f"{PODS}/plain", {"metadata": {"labels": {MIRROR: "docker"}}}, STRATEGIC),
        (
            *("PATCH", f"{PODS}/plain"),
            [{"op": "add", "path": "/metadata/labels/mooring.dev~1mirror", "value": "docker"}],
            JSON_PATCH,
        ),
        ("PATCH", f"{POD}?fieldManager=me", MIRRORED, APPLY),
        ("PATCH", f"{POD}?fieldManager=me&force=true", pod("", {"a": "b"}), APPLY),
        ("PATCH", f"{PODS}/other?fieldManager=me", pod("other", {MIRROR: "docker"}), APPLY),
        ("DELETE", POD, None, "application/json"),
        ("DELETE", f"{POD}?dryRun=All", None, "application/json"),
        ("DELETE", PODS, None, "application/json"),
        ("DELETE", f"{PODS}?labelSelector={MIRROR}", None, "application/json"),
    ],
)
async def test_a_client_can_neither_make_nor_change_nor_delete_a_mirror(
    client: Client, method: str, path: str, sent: Any, media: str
) -> None:
    before = body(client), body(client, "default/plain")
    refused = await client.send(method, path, sent, media)
    assert (refused.status, refused.body["kind"], refused.body["reason"]) == (
        403,
        "Status",
        "Forbidden",
    )
    assert "remove the container instead" in refused.body["message"]
    assert (body(client), body(client, "default/plain")) == before
    assert client.objects.entry("pods", "default/other") is None


async def test_the_refusal_names_the_pod_as_kubectl_shows_it(client: Client) -> None:
    refused = await client.send("DELETE", POD)
    assert refused.body["message"].startswith(
        'pods "docker-here-db-0123456789ab" is forbidden: Pods with the label mooring.dev/mirror'
    )
    assert refused.body["details"] == {"name": "docker-here-db-0123456789ab", "kind": "pods"}


async def test_pods_of_clients_are_theirs(client: Client) -> None:
    changed = await client.send(
        "PATCH", f"{PODS}/plain", {"metadata": {"labels": {"a": "b"}}}, MERGE
    )
    assert changed.status == 200
    gone = await client.send("DELETE", f"{PODS}?labelSelector=!{MIRROR}")
    assert [one["metadata"]["name"] for one in gone.body["items"]] == ["plain"]
    assert body(client)


async def test_the_label_means_nothing_on_other_kinds(client: Client) -> None:
    maps = "/api/v1/namespaces/default/configmaps"
    labelled = {"metadata": {"name": "a", "labels": {MIRROR: "docker"}}}
    assert (await client.send("POST", maps, labelled)).status == 201
    assert (await client.send("PUT", f"{maps}/a", labelled)).status == 200
    assert (await client.send("DELETE", maps)).status == 200


async def test_a_namespace_goes_when_the_mirrors_in_it_have_gone(client: Client) -> None:
    await client.send("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    kind = client.objects.kinds["pods"]
    await client.objects.create(kind, "shop", pod("docker-here-a-0123456789ab", {MIRROR: "docker"}))
    await client.send("DELETE", "/api/v1/namespaces/shop")
    await Namespaces(client.objects).reconcile("shop")
    assert (await client.send("GET", "/api/v1/namespaces/shop")).status == 200
    await client.objects.delete(kind, "shop/docker-here-a-0123456789ab")
    await Namespaces(client.objects).reconcile("shop")
    assert (await client.send("GET", "/api/v1/namespaces/shop")).status == 404
