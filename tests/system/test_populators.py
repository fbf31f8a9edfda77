"""Claims that a populator of somebody else fills, through the API alone. Storage semantics §18."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import config

from tests.system.conftest import Space
from tests.system.populator import FROM, GROUP, KIND, Populator
from tests.system.server import Server, claim, eventually

pytestmark = pytest.mark.system

WAITS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "late"},
    "provisioner": "directory.mooring.dev",
    "parameters": {"pool": "local"},
    "volumeBindingMode": "WaitForFirstConsumer",
}


@pytest.fixture(scope="module")
def populator(shared_server: Server) -> Iterator[Populator]:
    shared_server.apply(json.dumps(WAITS))
    shared_server.kubectl("create", "namespace", "populators")
    with config.new_client_from_config(str(shared_server.kubeconfig)) as api:
        yield Populator(api, "populators", shared_server.place / "pool")


def greeted(name: str, class_: str = "local") -> str:
    source = f"  dataSourceRef: {{apiGroup: {GROUP}, kind: {KIND}, name: hello}}\n---\n"
    return claim(name, class_=class_).removesuffix("---\n") + source


def user(name: str) -> dict[str, Any]:
    use = {"name": "data", "persistentVolumeClaim": {"claimName": name}}
    spec = {"containers": [{"name": "main", "image": "example.com/image"}], "volumes": [use]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": spec}


def told(space: Space, reason: str) -> bool:
    return bool(space.get("events", "--field-selector", f"reason={reason}")["items"])


def test_what_mooring_fills_from_is_registered(shared_server: Server) -> None:
    found = {one["metadata"]["name"]: one for one in shared_server.get("volumepopulators")["items"]}
    assert {"volumearchive.mooring.dev", "volumebackup.mooring.dev"} <= set(found)
    source = {"group": "mooring.dev", "kind": "VolumeArchive"}
    assert found["volumearchive.mooring.dev"]["sourceKind"] == source


@pytest.mark.rule("18.22", "18.23", "18.24")
def test_a_claim_is_filled_by_a_populator_through_the_api_alone(
    space: Space, populator: Populator
) -> None:
    space("create", "-f", "-", stdin=greeted("one"))
    space("create", "configmap", "hello", "--from-literal=says=hello")
    eventually(lambda: told(space, "UnrecognizedDataSourceKind"), "it is warned of")
    eventually(lambda: told(space, "Provisioning"), "it is left to a populator")
    populator.register("greetings")

    def bound() -> bool:
        populator.look()
        return bool(space.phase("pvc", "one") == "Bound")

    eventually(bound, "it is bound")
    name = space.get("pvc", "one")["spec"]["volumeName"]
    assert (space.server.place / "pool" / name / "data/greeting").read_text() == "hello"

    def tidied() -> bool:
        populator.look()
        left = [space.server.get("-n", "populators", kind)["items"] for kind in ("pvc", "pods")]
        return left == [[], []]

    eventually(tidied, "the helper is gone")
    eventually(lambda: space.phase("pv", name) == "Bound", "and the volume stays")
    annotations = space.get("pv", name)["metadata"]["annotations"]
    assert annotations[FROM] == f"{space.name}/hello"
    finalizers = space.get("pvc", "one")["metadata"]["finalizers"]
    assert finalizers == ["kubernetes.io/pvc-protection"]

    def accounted() -> bool:
        account = space.server.get("pool", "local")["status"]["namespaces"]
        own = account.get(space.name, {}).get("volumes")
        return own == 1 and "populators" not in account

    eventually(accounted, "it counts for the namespace of the claim")

    space("delete", "pvc", "one")
    gone: Path = space.server.place / "pool" / name
    eventually(lambda: not gone.exists(), "it goes with its data")
    eventually(lambda: space.run("get", "pv", name).returncode != 0, "and so does its volume")


def test_with_a_class_that_waits_the_populator_fills_where_the_first_consumer_is(
    space: Space, populator: Populator
) -> None:
    space("create", "-f", "-", stdin=greeted("late", class_="late"))
    space("create", "configmap", "hello", "--from-literal=says=later")
    space("create", "-f", "-", stdin=json.dumps(user("late")))

    def placed() -> bool:
        populator.look()
        return bool(space.get("pod", "user")["spec"].get("nodeName"))

    eventually(placed, "the pod has its node")
    assert space.phase("pvc", "late") == "Bound"
    name = space.get("pvc", "late")["spec"]["volumeName"]
    assert (space.server.place / "pool" / name / "data/greeting").read_text() == "later"
