"""/mooring/v1/explain and /mooring/v1/status, where no agent runs in the process."""

from typing import Any

import pytest

from tests.api.client import Client

EXPLAIN = "/mooring/v1/explain"
CLAIMS, VOLUMES = "/api/v1/namespaces/default/persistentvolumeclaims", "/api/v1/persistentvolumes"


def a_claim(name: str, size: str = "1Gi") -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    return {
        "metadata": {"name": name},
        "spec": {**spec, "resources": {"requests": {"storage": size}}},
    }


def a_volume(name: str, size: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}}
    return {"metadata": {"name": name}, "spec": {**spec, "hostPath": {"path": "/srv/v"}}}


async def put(client: Client, *claims: str) -> None:
    for name in claims:
        assert (await client.send("POST", CLAIMS, a_claim(name))).status == 201


async def test_a_claim_is_explained_with_its_lines() -> None:
    async with Client() as client:
        await put(client, "db")
        await client.send("POST", VOLUMES, a_volume("v1", "1Mi"))
        found = (await client.send("GET", f"{EXPLAIN}/pvc/default/db")).body
    assert (found["subject"], found["state"]) == ("pvc default/db", "Pending")
    assert found["details"][0] == "1 volume looked at: 1 not Available"
    assert found["lines"][0] == f"pvc default/db is Pending: {found['why']}"


@pytest.mark.parametrize("query", ["", "?delete=1"])
@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("pvc/default/nix", 'persistentvolumeclaims "nix" not found'),
        ("pv/nix", 'persistentvolumes "nix" not found'),
    ],
)
async def test_what_does_not_exist_is_not_found(path: str, what: str, query: str) -> None:
    async with Client() as client:
        answer = await client.send("GET", f"{EXPLAIN}/{path}{query}")
    assert (answer.status, answer.body["message"]) == (404, what)


async def test_the_last_failure_that_was_told_of_a_claim_is_part_of_its_explanation() -> None:
    async with Client() as client:
        provisioner = {"metadata": {"name": "fast"}, "provisioner": "csi.example.com"}
        await client.send("POST", "/apis/storage.k8s.io/v1/storageclasses", provisioner)
        claim = a_claim("db")
        claim["spec"]["storageClassName"] = "fast"
        uid = (await client.send("POST", CLAIMS, claim)).body["metadata"]["uid"]
        for name, when, reason, of in (
            ("early", "01", "ProvisioningFailed", uid),
            ("last", "03", "ProvisioningFailed", uid),
            ("later", "04", "ExternalProvisioning", uid),
            ("other", "05", "ProvisioningFailed", "another"),
        ):
            event = {
                "metadata": {"name": name},
                "involvedObject": {"namespace": "default", "name": "db", "uid": of},
                "reason": reason,
                "message": f"told {name}",
                "lastTimestamp": f"2026-01-02T03:04:{when}Z",
            }
            path = "/api/v1/namespaces/default/events"
            assert (await client.send("POST", path, event)).status == 201
        found = (await client.send("GET", f"{EXPLAIN}/pvc/default/db")).body
    assert found["details"][0] == "it failed last with: told last"


async def test_a_volume_is_promised_only_when_the_node_of_its_pool_is_ready() -> None:
    driver = "directory.mooring.dev"
    class_ = {"metadata": {"name": "fast"}, "provisioner": driver, "parameters": {"pool": "p"}}
    pool = {"driver": driver, "node": "there", "root": "/srv/pool"}
    claim = a_claim("db")
    claim["spec"]["storageClassName"] = "fast"
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    async with Client() as client:
        for path, body in (
            ("/apis/storage.k8s.io/v1/storageclasses", class_),
            ("/apis/mooring.dev/v1/pools", {"metadata": {"name": "p"}, "spec": pool}),
            (CLAIMS, claim),
        ):
            assert (await client.send("POST", path, body)).status == 201
        absent = (await client.send("GET", f"{EXPLAIN}/pvc/default/db")).body["why"]
        node = {"metadata": {"name": "there"}, **ready}
        assert (await client.send("POST", "/api/v1/nodes", node)).status == 201
        present = (await client.send("GET", f"{EXPLAIN}/pvc/default/db")).body["why"]
    assert absent.endswith("there is no Node there")
    assert present == "the agent of there is to make its volume in pool p"


async def test_all_claims_are_explained_in_order_or_those_of_one_namespace() -> None:
    async with Client() as client:
        await put(client, "b", "a")
        everywhere = (await client.send("GET", f"{EXPLAIN}/pvc")).body["items"]
        elsewhere = (await client.send("GET", f"{EXPLAIN}/pvc?namespace=prod")).body["items"]
    assert [one["subject"] for one in everywhere] == ["pvc default/a", "pvc default/b"]
    assert elsewhere == []


async def test_one_of_many_is_explained_in_the_same_words() -> None:
    async with Client() as client:
        await put(client, "db")
        one = (await client.send("GET", f"{EXPLAIN}/pvc/default/db")).body
        many = (await client.send("GET", f"{EXPLAIN}/pvc")).body["items"]
    assert [(found["why"], found["help"]) for found in many] == [(one["why"], one["help"])]


async def test_volumes_are_explained_and_what_deleting_does() -> None:
    async with Client() as client:
        await client.send("POST", VOLUMES, a_volume("v1", "1Gi"))
        listed = (await client.send("GET", f"{EXPLAIN}/pv")).body["items"]
        deleted = (await client.send("GET", f"{EXPLAIN}/pv/v1?delete=1")).body
    assert [found["why"] for found in listed] == ["it is free"]
    assert deleted["why"] == "only the object goes, its data stays (hostPath /srv/v)"


async def test_status_counts_and_says_that_disks_are_not_known_here() -> None:
    pool = {"driver": "directory.mooring.dev", "node": "here", "root": "/srv/pool"}
    spec = {**pool, "capacity": "10Gi", "namespaces": [{"name": "default", "quota": "5Gi"}]}
    async with Client() as client:
        await put(client, "db")
        made = {"metadata": {"name": "team"}, "spec": spec}
        assert (await client.send("POST", "/apis/mooring.dev/v1/pools", made)).status == 201
        found = (await client.send("GET", "/mooring/v1/status")).body
    assert found["claims"] == {"Pending": 1}
    assert found["waste"] == {"total": "0", "claims": 0, "largest": []}
    (shown,) = found["pools"]
    assert (shown["capacity"], shown["allocated"], shown["disk"]) == ("10Gi", "0", None)
    assert shown["namespaces"] == [{"name": "default", "allocated": "0", "quota": "5Gi"}]


@pytest.mark.parametrize("path", ["", "explain", "explain/secret", "explain/pvc/a/b/c", "mounts"])
async def test_other_paths_are_not_found(path: str) -> None:
    async with Client() as client:
        assert (await client.send("GET", f"/mooring/v1/{path}")).status == 404
        assert (await client.send("POST", f"{EXPLAIN}/pvc")).status == 404
