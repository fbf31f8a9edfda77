"""Bindings of pods to nodes by a scheduler of a user's own."""

from typing import Any

import pytest

from mooring.model.pod import MIRROR
from tests.api.client import Client

PODS = "/api/v1/namespaces/default/pods"
TO_N1 = {"metadata": {"name": "p"}, "target": {"apiVersion": "v1", "kind": "Node", "name": "n1"}}


async def a_pod(client: Client, **spec: Any) -> None:
    whole = {"containers": [{"name": "c", "image": "i"}], "schedulerName": "mine", **spec}
    made = {"metadata": {"name": "p", "finalizers": ["example.com/a"]}, "spec": whole}
    assert (await client.send("POST", PODS, made)).status == 201


@pytest.mark.parametrize("path", [f"{PODS}/p/binding", "/api/v1/namespaces/default/bindings"])
async def test_a_binding_gives_a_pod_its_node_once(path: str) -> None:
    async with Client() as client:
        await a_pod(client)
        binding = {**TO_N1, "metadata": {"name": "p", "annotations": {"a": "b"}}}
        done = await client.send("POST", path, binding)
        assert (done.status, done.body["status"]) == (201, "Success")
        pod = (await client.send("GET", f"{PODS}/p")).body
        assert (pod["spec"]["nodeName"], pod["metadata"]["annotations"]) == ("n1", {"a": "b"})
        (condition,) = pod["status"]["conditions"]
        assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
        assert condition["observedGeneration"] == pod["metadata"]["generation"] == 1
        again = await client.send("POST", path, TO_N1)
    assert again.status == 409
    assert again.body["message"] == (
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"'
    )


@pytest.mark.parametrize(
    ("binding", "status"),
    [
        ({"target": {}}, 422),
        ({"target": {"kind": "Pod", "name": "n1"}}, 422),
        ({**TO_N1, "metadata": {"name": "q"}}, 400),
        ({**TO_N1, "metadata": {"name": "p", "namespace": "other"}}, 400),
        ({**TO_N1, "metadata": {"name": "p", "uid": "another"}}, 409),
        ([], 400),
    ],
)
async def test_what_is_no_binding_of_the_pod_is_refused(binding: Any, status: int) -> None:
    async with Client() as client:
        await a_pod(client)
        assert (await client.send("POST", f"{PODS}/p/binding", binding)).status == status
        assert "nodeName" not in (await client.send("GET", f"{PODS}/p")).body["spec"]


async def test_a_pod_that_is_not_there_gated_or_leaving_gets_no_node() -> None:
    async with Client() as client:
        assert (await client.send("POST", f"{PODS}/p/binding", TO_N1)).status == 404
        await a_pod(client, schedulingGates=[{"name": "example.com/wait"}])
        gated = await client.send("POST", f"{PODS}/p/binding", TO_N1)
        assert gated.body["message"].endswith("pod p has non-empty .spec.schedulingGates")
        await client.send("DELETE", f"{PODS}/p")
        leaving = await client.send("POST", f"{PODS}/p/binding", TO_N1)
    assert "is being deleted, cannot be assigned to a host" in leaving.body["message"]


async def test_a_mirror_is_bound_by_nobody() -> None:
    async with Client() as client:
        metadata = {"name": "p", "labels": {MIRROR: "docker"}}
        spec = {"containers": [{"name": "c", "image": "i"}]}
        kind = client.objects.kinds["pods"]
        await client.objects.create(kind, "default", {"metadata": metadata, "spec": spec})
        assert (await client.send("POST", f"{PODS}/p/binding", TO_N1)).status == 403


async def test_a_dry_run_binds_nothing() -> None:
    async with Client() as client:
        await a_pod(client)
        assert (await client.send("POST", f"{PODS}/p/binding?dryRun=All", TO_N1)).status == 201
        assert "nodeName" not in (await client.send("GET", f"{PODS}/p")).body["spec"]


async def test_bindings_are_announced_and_only_made() -> None:
    async with Client() as client:
        resources = (await client.send("GET", "/api/v1")).body["resources"]
        verbs = {one["name"]: one["verbs"] for one in resources}
        assert (verbs["bindings"], verbs["pods/binding"]) == (["create"], ["create"])
        assert (await client.send("GET", f"{PODS}/p/binding")).status == 404
