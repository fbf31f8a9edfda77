"""What the API answers to requests about objects. Storage semantics §1.4."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mooring.objects.objects import generated_name
from tests.api.client import Client
from tests.spec.plugin import case

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


@pytest.mark.rule("1.4.9", "1.4.10")
@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"uid": ""}, 200),
        ({"resourceVersion": "0"}, 200),
        ({"resourceVersion": ""}, 200),
        ({"creationTimestamp": None}, 200),
        ({"resourceVersion": "1"}, 409),
        ({"uid": "other"}, 409),
        ({"deletionTimestamp": "2020-01-01T00:00:00Z"}, 422),
    ],
)
async def test_1_4_a_put_may_leave_out_what_the_server_gave(
    client: Client, said: Doc, status: int
) -> None:
    made = (await client.send("POST", VOLUMES, volume())).body
    new = {**volume(), "metadata": {"name": "v", "labels": {"a": "b"}, **said}}
    answer = await client.send("PUT", f"{VOLUMES}/v", new)
    assert answer.status == status
    if status == 200:
        for field in ("uid", "creationTimestamp"):
            assert answer.body["metadata"][field] == made["metadata"][field]


LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
CSI_NODES = "/apis/storage.k8s.io/v1/csinodes"


@pytest.mark.parametrize("path", [LEASES, CSI_NODES])
async def test_a_put_of_what_several_write_says_what_it_writes_over(
    client: Client, path: str
) -> None:
    body = {"metadata": {"name": "l"}, "spec": {"drivers": []} if path == CSI_NODES else {}}
    made = (await client.send("POST", path, body)).body
    for version in (None, "", "0"):
        new = {**body, "metadata": {"name": "l", "resourceVersion": version}}
        refused = await client.send("PUT", f"{path}/l", new)
        (cause,) = refused.body["details"]["causes"]
        assert (refused.status, cause["field"]) == (422, "metadata.resourceVersion")
    labelled = {**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}}
    assert (await client.send("PUT", f"{path}/l", labelled)).status == 200
    stale = await client.send("PUT", f"{path}/l", labelled)
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")


async def test_a_put_makes_leases_and_events_that_are_not_there_and_nothing_else(
    client: Client,
) -> None:
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}
    dry = await client.send("PUT", f"{LEASES}/l?dryRun=All", lease)
    assert (dry.status, (await client.send("GET", f"{LEASES}/l")).status) == (201, 404)
    made = await client.send("PUT", f"{LEASES}/l", lease)
    assert (made.status, made.body["spec"]) == (201, {"holderIdentity": "me"})
    wrong = {"metadata": {"name": "m"}, "spec": {"leaseDurationSeconds": -1}}
    assert (await client.send("PUT", f"{LEASES}/m", wrong)).status == 422
    of_another = {"metadata": {"name": "m", "uid": made.body["metadata"]["uid"]}}
    assert (await client.send("PUT", f"{LEASES}/m", of_another)).status == 404
    node = {"metadata": {"name": "n"}, "spec": {"drivers": []}}
    assert (await client.send("PUT", f"{CSI_NODES}/n", node)).status == 404


@pytest.mark.rule("1.4.14", "1.4.15", "1.4.16")
async def test_1_4_a_deletion_is_not_taken_back_by_a_put(client: Client) -> None:
    await client.send("POST", VOLUMES, volume())
    doomed = (await client.send("DELETE", f"{VOLUMES}/v")).body
    new = {**doomed, "metadata": {**doomed["metadata"], "deletionTimestamp": None}}
    kept = await client.send("PUT", f"{VOLUMES}/v", new)
    assert kept.body["metadata"]["deletionTimestamp"] == doomed["metadata"]["deletionTimestamp"]
    del new["metadata"]["resourceVersion"]
    new["metadata"]["finalizers"] = [*doomed["metadata"]["finalizers"], "example.com/late"]
    late = await client.send("PUT", f"{VOLUMES}/v", new)
    assert late.body["details"]["causes"][0]["field"] == "metadata.finalizers"
    await client.send("PATCH", f"{VOLUMES}/v", {"metadata": {"finalizers": None}}, MERGE)
    assert (await client.send("GET", f"{VOLUMES}/v")).status == 404


async def test_1_4_a_name_is_generated_from_a_beginning_that_could_be_one(client: Client) -> None:
    made = await client.send("POST", CLAIMS, claim("", generateName="data-"))
    assert made.status == 201
    assert len(made.body["metadata"]["name"].removeprefix("data-")) == 5
    bad = await client.send("POST", CLAIMS, claim("", generateName="Data_"))
    assert [cause["field"] for cause in bad.body["details"]["causes"]] == [
        "metadata.name",
        "metadata.generateName",
    ]


def test_1_4_a_generated_name_avoids_those_taken() -> None:
    seen: list[str] = []

    def taken(name: str) -> bool:
        seen.append(name)
        return len(seen) < 3

    name = generated_name("data-", taken)
    assert (name, len(seen)) == (seen[-1], 3)


@pytest.mark.rule("1.4.17")
@pytest.mark.parametrize("place", [VOLUMES, CLAIMS])
async def test_1_4_a_name_is_that_of_the_path(client: Client, place: str) -> None:
    doc = volume if place == VOLUMES else claim
    await client.send("POST", place, doc("a"))
    refused = await client.send("PUT", f"{place}/a", doc("b"))
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")
    renamed = await client.send("PATCH", f"{place}/a", {"metadata": {"name": "b"}}, MERGE)
    assert renamed.status in (400, 422)
    names = [one["metadata"]["name"] for one in (await client.send("GET", place)).body["items"]]
    assert names == ["a"]


@pytest.mark.rule("1.4.11")
@pytest.mark.parametrize(("place", "doc"), [(VOLUMES, volume("none")), (CLAIMS, claim("none"))])
async def test_1_4_a_put_makes_nothing(client: Client, place: str, doc: Doc) -> None:
    refused = await client.send("PUT", f"{place}/none", doc)
    assert (refused.status, refused.body["reason"]) == (404, "NotFound")
    assert (await client.send("GET", place)).body["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        case("1.4.4", b"{"),
        case("1.4.4", b"[]"),
        case("1.4.4", b""),
        case("1.4.3", {**claim(), "spec": {"resources": {"requests": {"storage": "ten"}}}}),
        case("1.4.3", {**claim(), "spec": {"resources": {"requests": {"storage": "1GB"}}}}),
    ],
)
async def test_1_4_what_cannot_be_read_is_a_bad_request(client: Client, body: Any) -> None:
    refused = await client.send("POST", CLAIMS, body)
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")


@pytest.mark.rule("1.4.1", "1.4.2")
async def test_1_4_a_refusal_has_all_causes_with_field_reason_and_message(client: Client) -> None:
    wrong = {"metadata": {"name": "A_b"}, "spec": {"accessModes": [], "volumeMode": "Raw"}}
    refused = await client.send("POST", CLAIMS, wrong)
    status = refused.body
    assert (refused.status, status["code"], status["reason"]) == (422, 422, "Invalid")
    assert (status["kind"], status["status"]) == ("Status", "Failure")
    causes = {cause["field"]: cause["reason"] for cause in status["details"]["causes"]}
    assert causes == {
        "metadata.name": "FieldValueInvalid",
        "spec.accessModes": "FieldValueRequired",
        "spec.resources[storage]": "FieldValueRequired",
        "spec.volumeMode": "FieldValueNotSupported",
    }
    assert all(cause["message"] for cause in status["details"]["causes"])


@pytest.mark.rule("1.4.5", "1.4.8", "14.2", "22.11")
async def test_1_4_growth_is_a_403_of_a_bound_claim_and_a_422_of_a_pending_one(
    client: Client,
) -> None:
    await client.send("POST", CLAIMS, claim())
    more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    pending = await client.send("PATCH", f"{CLAIMS}/c", more, MERGE)
    assert (pending.status, pending.body["reason"]) == (422, "Invalid")
    assert [cause["field"] for cause in pending.body["details"]["causes"]] == ["spec"]
    await client.send("PATCH", f"{CLAIMS}/c/status", {"status": {"phase": "Bound"}}, MERGE)
    bound = await client.send("PATCH", f"{CLAIMS}/c", more, MERGE)
    assert (bound.status, bound.body["reason"]) == (403, "Forbidden")


SPACES = "/api/v1/namespaces"


async def test_a_live_namespace_keeps_its_finalizer_and_phase(client: Client) -> None:
    made = await client.send("POST", SPACES, {"metadata": {"name": "n"}, "status": {"phase": "X"}})
    assert made.body["status"] == {"phase": "Active"}
    change = {"spec": {"finalizers": None}, "status": {"phase": "Terminating"}}
    kept = await client.send("PATCH", f"{SPACES}/n", change, MERGE)
    assert kept.body["spec"] == {"finalizers": ["kubernetes"]}
    assert kept.body["status"] == {"phase": "Active"}


async def test_a_namespace_goes_when_finalized(client: Client) -> None:
    await client.send("POST", SPACES, {"metadata": {"name": "n"}})
    held = (await client.send("DELETE", f"{SPACES}/n")).body
    assert "deletionTimestamp" in held["metadata"]
    await client.send("PUT", f"{SPACES}/n/finalize", {**held, "spec": {"finalizers": []}})
    assert (await client.send("GET", f"{SPACES}/n")).status == 404
