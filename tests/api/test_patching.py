"""PATCH: its forms, what it refuses, and who is noted."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.client import Client

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
MAPS = "/api/v1/namespaces/default/configmaps"
Doc = dict[str, Any]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client() as client:
        yield client


def config(**fields: Any) -> Doc:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, **fields}


async def test_an_apply_makes_what_is_not_there(client: Client) -> None:
    made = await client.send("PATCH", f"{MAPS}/a?fieldManager=me", config(data={"x": "1"}), APPLY)
    assert made.status == 201
    again = await client.send("PATCH", f"{MAPS}/a?fieldManager=me", config(data={"x": "2"}), APPLY)
    assert (again.status, again.body["data"]) == (200, {"x": "2"})
    assert again.body["metadata"]["uid"] == made.body["metadata"]["uid"]
    assert list(again.body["metadata"])[-1] == "managedFields"


async def test_an_apply_may_be_yaml(client: Client) -> None:
    text = (
        b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: {x: null}\ndata: {a: b}"
    )
    made = await client.send("PATCH", f"{MAPS}/a?fieldManager=me", text, APPLY)
    assert (made.status, made.body["data"]) == (201, {"a": "b"})
    assert "x" not in made.body["metadata"].get("labels", {})


async def test_a_conflict_says_who_owns_what(client: Client) -> None:
    await client.send("PATCH", f"{MAPS}/a?fieldManager=me", config(data={"x": "1"}), APPLY)
    await client.send("PATCH", f"{MAPS}/a", {"data": {"x": "2"}}, MERGE)
    refused = await client.send(
        "PATCH", f"{MAPS}/a?fieldManager=me", config(data={"x": "1"}), APPLY
    )
    assert refused.status == 409
    assert refused.body["reason"] == "Conflict"
    assert refused.body["message"] == (
        'Apply failed with 1 conflict: conflict with "tester" using v1: .data.x'
    )
    assert refused.body["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "tester" using v1',
            "field": ".data.x",
        }
    ]
    path = f"{MAPS}/a?fieldManager=me&force=true"
    forced = await client.send("PATCH", path, config(data={"x": "1"}), APPLY)
    assert (forced.status, forced.body["data"]) == (200, {"x": "1"})


@pytest.mark.parametrize(
    ("query", "body", "status", "message"),
    [
        (
            "",
            config(),
            422,
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: '
            "is required for apply patch",
        ),
        ("fieldManager=me", {"kind": "ConfigMap"}, 400, "Object 'apiVersion' is missing"),
        ("fieldManager=me", {"apiVersion": "v1"}, 400, "Object 'kind' is missing"),
        ("fieldManager=me", [], 400, "is an object"),
        ("fieldManager=me", config(kind="Secret"), 400, "does not match the expected"),
        ("fieldManager=me", config(metadata={"name": "b"}), 400, "name of the provided object"),
        ("fieldManager=me", config(metadata=[]), 400, "metadata is not an object"),
        (
            "fieldManager=me",
            config(metadata={"namespace": "b"}),
            400,
            "namespace of the provided object",
        ),
        (
            "fieldManager=me",
            config(metadata={"managedFields": [{}]}),
            400,
            "metadata.managedFields must be nil",
        ),
        ("fieldManager=me", config(other=1), 400, "other: field not declared in schema"),
        ("fieldManager=me", config(data=[1]), 400, "cannot unmarshal"),
        ("fieldManager=me", config(metadata={"uid": "other"}), 404, "not found"),
        ("fieldManager=me", config(metadata={"resourceVersion": "1"}), 404, "not found"),
        (f"fieldManager={'x' * 129}", config(), 422, "may not be more than 128 bytes"),
        ("fieldManager=a%00b", config(), 422, "should only contain printable characters"),
    ],
)
async def test_what_cannot_be_applied_is_refused(
    client: Client, query: str, body: Any, status: int, message: str
) -> None:
    refused = await client.send("PATCH", f"{MAPS}/a?{query}", body, APPLY)
    assert refused.status == status, refused.body
    assert message in refused.body["message"]
    assert (await client.send("GET", f"{MAPS}/a")).status == 404


async def test_an_apply_to_another_object_of_the_name_is_refused(client: Client) -> None:
    await client.send("POST", MAPS, config())
    for field in ("uid", "resourceVersion"):
        body = config(metadata={field: "1"})
        refused = await client.send("PATCH", f"{MAPS}/a?fieldManager=me", body, APPLY)
        assert refused.status == 409


async def test_only_an_apply_may_be_forced(client: Client) -> None:
    await client.send("POST", MAPS, config())
    refused = await client.send("PATCH", f"{MAPS}/a?force=true", {}, MERGE)
    assert refused.status == 422
    assert "force: Forbidden: may not be specified for non-apply patch" in refused.body["message"]


async def test_the_forms_of_patches_are_named(client: Client) -> None:
    await client.send("POST", MAPS, config())
    refused = await client.send("PATCH", f"{MAPS}/a", {})
    assert refused.status == 415
    for form in ("json-patch", "merge-patch", "strategic-merge-patch", "apply-patch"):
        assert f"application/{form}+" in refused.body["message"]


async def test_a_dry_apply_stores_nothing_and_checks_all(client: Client) -> None:
    path = f"{MAPS}/a?fieldManager=me&dryRun=All"
    made = await client.send("PATCH", path, config(data={"x": "1"}), APPLY)
    assert made.status == 201
    assert "resourceVersion" not in made.body["metadata"]
    assert (await client.send("GET", f"{MAPS}/a")).status == 404
    await client.send("POST", MAPS, config(data={"x": "1"}))
    refused = await client.send("PATCH", path, config(data={"x": "2"}), APPLY)
    assert refused.status == 409


async def test_every_write_is_noted_by_the_name_or_the_program_of_its_client(
    client: Client,
) -> None:
    await client.send("POST", f"{MAPS}?fieldManager=maker", config(data={"x": "1"}))
    await client.send("PUT", f"{MAPS}/a", config(data={"x": "1", "y": "1"}))
    found = (await client.send("GET", f"{MAPS}/a")).body["metadata"]["managedFields"]
    noted = {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in found}
    assert noted == {
        ("maker", "Update"): {"f:data": {".": {}, "f:x": {}}},
        ("tester", "Update"): {"f:data": {"f:y": {}}},
    }


async def test_a_change_that_changes_nothing_is_no_write(client: Client) -> None:
    made = await client.send("POST", MAPS, config(data={"x": "1"}))
    again = await client.send("PATCH", f"{MAPS}/a", {"data": {"x": "1"}}, MERGE)
    assert again.body["metadata"]["resourceVersion"] == made.body["metadata"]["resourceVersion"]
    applied = await client.send(
        "PATCH", f"{MAPS}/a?fieldManager=me", config(data={"x": "1"}), APPLY
    )
    same = await client.send("PATCH", f"{MAPS}/a?fieldManager=me", config(data={"x": "1"}), APPLY)
    assert same.body == applied.body


async def test_what_is_sent_back_in_another_order_is_no_write(client: Client) -> None:
    made = (await client.send("POST", MAPS, config(data={"x": "1", "y": "2"}))).body
    turned = {key: made[key] for key in reversed(made)}
    turned["metadata"] = {key: made["metadata"][key] for key in reversed(made["metadata"])}
    turned["data"] = {"y": "2", "x": "1"}
    assert (await client.send("PUT", f"{MAPS}/a", turned)).body == made
    turned["data"] = {"y": "1", "x": "2"}
    changed = (await client.send("PUT", f"{MAPS}/a", turned)).body
    assert changed["data"] == turned["data"]


async def test_the_status_is_applied_through_its_subresource(client: Client) -> None:
    volumes = "/api/v1/persistentvolumes"
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "v"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": "/srv/v"},
        },
        "status": {"phase": "Failed"},
    }
    path = f"{volumes}/v/status?fieldManager=me"
    assert (await client.send("PATCH", path, volume, APPLY)).status == 404
    made = await client.send("PATCH", f"{volumes}/v?fieldManager=me", volume, APPLY)
    assert (made.status, made.body["status"]["phase"]) == (201, "Pending")
    status = {key: value for key, value in volume.items() if key != "spec"}
    changed = await client.send("PATCH", path, status, APPLY)
    assert (changed.status, changed.body["status"]["phase"]) == (200, "Failed")
    entries = changed.body["metadata"]["managedFields"]
    assert [entry.get("subresource", "") for entry in entries] == ["", "status"]
    assert entries[1]["fieldsV1"] == {"f:status": {"f:phase": {}}}


@pytest.mark.parametrize("amount", ["1024Mi", "1Gi", "1073741824"])
async def test_the_same_amount_in_other_words_is_no_conflict(client: Client, amount: str) -> None:
    def claim(amount: str) -> Doc:
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "c"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": amount}},
            },
        }

    path = "/api/v1/namespaces/default/persistentvolumeclaims/c?fieldManager="
    await client.send("PATCH", path + "me", claim("1Gi"), APPLY)
    again = await client.send("PATCH", path + "other", claim(amount), APPLY)
    if amount == "1073741824":  # canonical in its own family, as in Kubernetes
        assert again.status == 409
    else:
        assert again.status == 200


@pytest.mark.parametrize("method", ["PATCH", "POST"])
async def test_a_body_that_is_nested_too_deeply_is_the_clients_mistake(
    client: Client, method: str
) -> None:
    deep = b'{"a":' * 900 + b"1" + b"}" * 900
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":%b}' % deep
    path, media = (f"{MAPS}/a?fieldManager=me", APPLY) if method == "PATCH" else (MAPS, "")
    refused = await client.send(method, path, body, media or "application/json")
    assert refused.status == 400


async def test_a_head_is_answered_even_where_a_watch_would_begin(client: Client) -> None:
    assert (await client.send("HEAD", f"{MAPS}?watch=1")).status == 200
