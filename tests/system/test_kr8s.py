"""Programs on kr8s, which knows an object by what the server says of its kind."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import kr8s
import kr8s.asyncio
import pytest
from kr8s.asyncio.objects import ConfigMap as AsyncConfigMap
from kr8s.asyncio.objects import PersistentVolumeClaim as AsyncClaim
from kr8s.objects import Namespace, PersistentVolume, PersistentVolumeClaim, Pod, new_class

from tests.system.server import Server, eventually

pytestmark = pytest.mark.system

BOUND = "jsonpath='{.status.phase}'=Bound"
WITHIN_S = 60
StorageClass = new_class(
    "StorageClass", "storage.k8s.io/v1", namespaced=False, plural="storageclasses"
)


@pytest.fixture(scope="module")
def api(shared_server: Server) -> kr8s.Api:
    return kr8s.api(kubeconfig=str(shared_server.kubeconfig))


def claim(name: str, class_: str, namespace: str = "default") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": class_,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def test_a_class_a_volume_and_a_claim(api: kr8s.Api) -> None:
    class_ = StorageClass(
        {"metadata": {"name": "kr8s"}, "provisioner": "kubernetes.io/no-provisioner"}, api=api
    )
    class_.create()
    assert class_.raw.volumeBindingMode == "Immediate"
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "2Gi"},
        "storageClassName": "kr8s",
        "hostPath": {"path": "/srv/kr8s"},
    }
    volume = PersistentVolume({"metadata": {"name": "kr8s"}, "spec": spec}, api=api)
    volume.create()
    volume.wait("jsonpath='{.status.phase}'=Available", timeout=WITHIN_S)
    wanted = PersistentVolumeClaim(claim("kr8s", "kr8s"), api=api)
    wanted.create()
    wanted.wait(BOUND, timeout=WITHIN_S)
    assert (wanted.spec.volumeName, wanted.status.capacity.storage) == ("kr8s", "2Gi")
    volume.refresh()
    assert volume.spec.claimRef.uid == wanted.metadata.uid

    wanted.label({"tier": "db", "size": "small"})
    wanted.annotate({"example.com/note": "kept"})
    (found,) = api.get("pvc", label_selector={"tier": "db"})
    assert isinstance(found, PersistentVolumeClaim)
    assert found.labels == {"app": "kr8s", "tier": "db", "size": "small"}
    found.remove_label("size")
    wanted.refresh()
    assert wanted.labels == {"app": "kr8s", "tier": "db"}
    wanted.patch([{"op": "remove", "path": "/metadata/labels/tier"}], type="json")
    assert wanted.labels == {"app": "kr8s"}
    volume.patch({"status": {"message": "looked at"}}, subresource="status")
    assert volume.status.message == "looked at"

    wanted.delete()
    wanted.wait("delete", timeout=WITHIN_S)
    assert not wanted.exists()
    volume.wait("jsonpath='{.status.phase}'=Released", timeout=WITHIN_S)
    for one in (volume, class_):
        one.delete()
        one.wait("delete", timeout=WITHIN_S)


def test_what_there_is_is_asked_of_the_server(api: kr8s.Api, shared_server: Server) -> None:
    kinds = {(one["version"], one["name"]): one for one in api.api_resources()}
    assert kinds["snapshot.storage.k8s.io/v1", "volumesnapshots"]["namespaced"]
    assert "mooring.dev/v1" in list(api.api_versions())
    (pool,) = api.get("pools.mooring.dev", "local")
    assert pool.spec.root == str(shared_server.place / "pool")
    for name in ("pv", "sc", "vs", "vac", "csinodes", "leases", "snapshotschedules"):
        assert isinstance(list(api.get(name, namespace=kr8s.ALL)), list)
    assert list(api.get("pvc", "none-such")) == []
    assert api.whoami() == "admin"
    assert api.version()["major"] == "1"


def test_owners_are_set_and_what_they_own_goes_with_them(api: kr8s.Api) -> None:
    containers = [{"name": "main", "image": "example.com/image"}]
    owner = Pod({"metadata": {"name": "kr8s-owner"}, "spec": {"containers": containers}}, api=api)
    owner.create()
    owned = PersistentVolumeClaim(claim("kr8s-owned", "none"), api=api)
    owned.create()
    owned.set_owner(owner)
    assert owned.metadata.ownerReferences[0].uid == owner.metadata.uid
    owner.delete(propagation_policy="Background")
    eventually(lambda: not owner.exists(), "the owner is gone")
    eventually(lambda: not owned.exists(), "so is what it owned")


def test_a_server_that_refuses_is_an_error_with_its_status(api: kr8s.Api) -> None:
    wrong = PersistentVolumeClaim(claim("Wrong_Name", "none"), api=api)
    with pytest.raises(kr8s.ServerError) as caught:
        wrong.create()
    assert caught.value.status["reason"] == "Invalid"
    assert caught.value.status["details"]["causes"][0]["field"] == "metadata.name"


@pytest.fixture
def space(api: kr8s.Api) -> Iterator[str]:
    made = Namespace({"metadata": {"generateName": "kr8s-"}}, api=api)
    made.create()
    yield made.name
    made.delete()


async def test_many_claims_at_once_and_a_watch_of_them(shared_server: Server, space: str) -> None:
    api = await kr8s.asyncio.api(kubeconfig=str(shared_server.kubeconfig))
    names = {f"claim-{number}" for number in range(8)}
    claims = [await AsyncClaim(claim(name, "local", space), api=api) for name in names]

    async def bound() -> set[str]:
        found: set[str] = set()
        async for _, one in api.watch("persistentvolumeclaims", namespace=space):
            if one.status.get("phase") == "Bound":
                found.add(one.name)
            if found == names:
                break
        return found

    watching = asyncio.create_task(bound())
    await asyncio.gather(*(one.create() for one in claims))
    assert await asyncio.wait_for(watching, WITHIN_S) == names
    await asyncio.gather(*(one.wait(BOUND, timeout=WITHIN_S) for one in claims))
    assert {one.name async for one in listed(api, space)} == names
    await asyncio.gather(*(one.delete() for one in claims))
    await asyncio.gather(*(one.wait("delete", timeout=WITHIN_S) for one in claims))
    assert [one async for one in listed(api, space)] == []


async def listed(api: kr8s.asyncio.Api, namespace: str) -> AsyncIterator[AsyncClaim]:
    async for one in api.get("persistentvolumeclaims", namespace=namespace):
        assert isinstance(one, AsyncClaim)
        yield one


async def test_writers_of_one_object_do_not_lose_each_others_changes(
    shared_server: Server, space: str
) -> None:
    api = await kr8s.asyncio.api(kubeconfig=str(shared_server.kubeconfig))
    place = {"name": "shared", "namespace": space}
    shared = await AsyncConfigMap({"metadata": place, "data": {"a": "0"}}, api=api)
    await shared.create()
    labels = {f"l{number}": "yes" for number in range(12)}
    await asyncio.gather(*(shared.label({name: "yes"}) for name in labels))
    await shared.refresh()
    assert shared.labels == labels
