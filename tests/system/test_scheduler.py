"""Pods by the official Python client, through a whole server. Storage semantics §10, §19."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config

from tests.system.server import Server, eventually

pytestmark = pytest.mark.system
HERE = "here"  # the node of the server


@pytest.fixture(scope="module")
def api(shared_server: Server) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(shared_server.kubeconfig)) as api:
        yield api


@pytest.fixture(scope="module")
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


@pytest.fixture(scope="module")
def storage(api: client.ApiClient) -> client.StorageV1Api:
    return client.StorageV1Api(api)


@pytest.fixture
def namespace(core: client.CoreV1Api, request: pytest.FixtureRequest) -> str:
    letters = (letter if letter.isalnum() else "-" for letter in request.node.name.lower())
    name = "".join(letters)[-60:].strip("-")
    core.create_namespace(client.V1Namespace(metadata={"name": name}))
    return name


def add_pool(api: client.ApiClient, place: Server, name: str, capacity: str) -> None:
    """A pool, and a class of it that waits for a consumer."""
    root = str(place.place / name)
    spec = {"driver": "directory.mooring.dev", "node": HERE, "root": root, "capacity": capacity}
    body = {"apiVersion": "mooring.dev/v1", "kind": "Pool", "metadata": {"name": name}}
    pools = client.CustomObjectsApi(api)
    pools.create_cluster_custom_object("mooring.dev", "v1", "pools", {**body, "spec": spec})
    client.StorageV1Api(api).create_storage_class(
        client.V1StorageClass(
            metadata={"name": name},
            provisioner="directory.mooring.dev",
            parameters={"pool": name},
            volume_binding_mode="WaitForFirstConsumer",
        )
    )


def claim_spec(class_: str, size: str) -> client.V1PersistentVolumeClaimSpec:
    return client.V1PersistentVolumeClaimSpec(
        access_modes=["ReadWriteOnce"],
        storage_class_name=class_,
        resources=client.V1VolumeResourceRequirements(requests={"storage": size}),
    )


def claim(name: str, class_: str, size: str = "1Gi") -> client.V1PersistentVolumeClaim:
    metadata = client.V1ObjectMeta(name=name)
    return client.V1PersistentVolumeClaim(metadata=metadata, spec=claim_spec(class_, size))


def pod(*volumes: client.V1Volume) -> client.V1Pod:
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name="web"),
        spec=client.V1PodSpec(
            containers=[client.V1Container(name="c", image="i")], volumes=list(volumes)
        ),
    )


def use(name: str) -> client.V1Volume:
    source = client.V1PersistentVolumeClaimVolumeSource(claim_name=name)
    return client.V1Volume(name=name, persistent_volume_claim=source)


def condition(core: client.CoreV1Api, namespace: str) -> Any:
    found = core.read_namespaced_pod("web", namespace).status.conditions or []
    return next((one for one in found if one.type == "PodScheduled"), None)


def node_of(core: client.CoreV1Api, namespace: str) -> str | None:
    found: str | None = core.read_namespaced_pod("web", namespace).spec.node_name
    return found


@pytest.mark.rule("10.32")
def test_a_pod_of_two_claims_from_two_pools_is_bound_and_gets_its_node(
    core: client.CoreV1Api, api: client.ApiClient, shared_server: Server, namespace: str
) -> None:
    add_pool(api, shared_server, "two-a", "10Gi")
    add_pool(api, shared_server, "two-b", "10Gi")
    for name in ("two-a", "two-b"):
        core.create_namespaced_persistent_volume_claim(namespace, claim(name, name))
    core.create_namespaced_pod(namespace, pod(use("two-a"), use("two-b")))
    eventually(lambda: node_of(core, namespace) == HERE, "the pod has its node")
    for name in ("two-a", "two-b"):
        found = core.read_namespaced_persistent_volume_claim(name, namespace)
        assert found.status.phase == "Bound"
        assert found.metadata.annotations["volume.kubernetes.io/selected-node"] == HERE
        volume = core.read_persistent_volume(found.spec.volume_name)
        assert volume.spec.csi.volume_attributes == {"mooring.dev/pool": name}
    assert condition(core, namespace).status == "True"

    def scheduled_events() -> list[Any]:
        told = core.list_namespaced_event(namespace).items
        return [one for one in told if one.reason == "Scheduled"]

    eventually(lambda: len(scheduled_events()) == 1, "it is told")
    (scheduled,) = scheduled_events()
    assert scheduled.source.component == "default-scheduler"
    assert scheduled.message == f"Successfully assigned {namespace}/web to {HERE}"


def test_what_a_host_tells_of_its_drivers_and_its_room(
    api: client.ApiClient, storage: client.StorageV1Api, shared_server: Server
) -> None:
    add_pool(api, shared_server, "told", "3Gi")
    drivers = {one.name: one for one in storage.read_csi_node(HERE).spec.drivers}
    assert drivers["directory.mooring.dev"].topology_keys == ["kubernetes.io/hostname"]
    assert storage.read_csi_driver("directory.mooring.dev").spec.storage_capacity

    def told() -> list[str]:
        found = storage.list_namespaced_csi_storage_capacity("kube-system").items
        return [one.capacity for one in found if one.storage_class_name == "told"]

    eventually(lambda: told() == ["3Gi"], "the room of the pool is told")


def test_a_pod_waits_until_there_is_room_and_says_so(
    core: client.CoreV1Api, api: client.ApiClient, shared_server: Server, namespace: str
) -> None:
    add_pool(api, shared_server, "narrow", "1Gi")
    core.create_namespaced_persistent_volume_claim(namespace, claim("data", "narrow", "2Gi"))
    core.create_namespaced_pod(namespace, pod(use("data")))
    no_space = "0/1 nodes are available: 1 node(s) did not have enough free storage."

    def said() -> str | None:
        found = condition(core, namespace)
        return None if found is None else found.message

    eventually(lambda: said() == no_space, "the pod says why it has no node")
    explain = [sys.executable, "-m", "mooring.cli.main", "explain", "pod", "web", "-n", namespace]
    to = ("--kubeconfig", str(shared_server.kubeconfig))
    done = subprocess.run([*explain, *to], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        f"pod {namespace}/web is Pending: the only node cannot give it its volumes",
        "  node here: claim data asks for 2Gi of class narrow, and 1Gi can be made there",
        "  would help: kubectl edit pool narrow, to raise spec.capacity; or a smaller claim",
    ]
    client.CustomObjectsApi(api).patch_cluster_custom_object(
        "mooring.dev", "v1", "pools", "narrow", {"spec": {"capacity": "5Gi"}}
    )
    eventually(lambda: node_of(core, namespace) == HERE, "the pod has its node")


def test_a_topology_that_no_node_has(
    core: client.CoreV1Api, storage: client.StorageV1Api, namespace: str
) -> None:
    term = client.V1TopologySelectorTerm(
        match_label_expressions=[
            client.V1TopologySelectorLabelRequirement(key="zone", values=["mars"])
        ]
    )
    storage.create_storage_class(
        client.V1StorageClass(
            metadata={"name": "mars"},
            provisioner="directory.mooring.dev",
            parameters={"pool": "local"},
            volume_binding_mode="WaitForFirstConsumer",
            allowed_topologies=[term],
        )
    )
    core.create_namespaced_persistent_volume_claim(namespace, claim("data", "mars"))
    core.create_namespaced_pod(namespace, pod(use("data")))
    no_volumes = (
        "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind."
    )
    eventually(
        lambda: (found := condition(core, namespace)) is not None and found.message == no_volumes,
        "the pod says why it has no node",
    )
    core.patch_node(HERE, {"metadata": {"labels": {"zone": "mars"}}})
    eventually(lambda: node_of(core, namespace) == HERE, "the pod has its node")
    core.patch_node(HERE, {"metadata": {"labels": {"zone": None}}})


@pytest.mark.rule("19.7")
def test_a_claim_of_the_pods_own_comes_and_goes_with_it(
    core: client.CoreV1Api, api: client.ApiClient, shared_server: Server, namespace: str
) -> None:
    add_pool(api, shared_server, "own", "10Gi")
    template = client.V1PersistentVolumeClaimTemplate(spec=claim_spec("own", "1Gi"))
    own = client.V1EphemeralVolumeSource(volume_claim_template=template)
    core.create_namespaced_pod(namespace, pod(client.V1Volume(name="scratch", ephemeral=own)))
    eventually(lambda: node_of(core, namespace) == HERE, "the pod has its node")
    found = core.read_namespaced_persistent_volume_claim("web-scratch", namespace)
    assert [one.kind for one in found.metadata.owner_references] == ["Pod"]
    core.delete_namespaced_pod("web", namespace)

    def claims() -> list[Any]:
        return list(core.list_namespaced_persistent_volume_claim(namespace).items)

    eventually(lambda: not claims(), "the claim went with the pod")
