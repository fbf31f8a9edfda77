"""Many objects explained at once: one more costs nothing that grows with all others."""

import sys
from typing import Any, Final

import pytest

from mooring.api.explaining import World
from mooring.model.claim import Claim
from mooring.model.pod import Pod
from mooring.objects.documents import stored_form
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.memory import MemoryStore

MANY: Final = 400  # of what must not be looked at for each
CALLS_AT_MOST: Final = 300  # of functions, for one more object
READY: Final = {"conditions": [{"type": "Ready", "status": "True"}]}
OURS: Final = "directory.mooring.dev"
ASKS: Final = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}


class Scene:
    """Objects on the shelves as they would be stored."""

    def __init__(self) -> None:
        self.objects = Objects(MemoryStore(), ALL_KINDS)

    def put(self, resource: str, name: str, namespace: str = "", **doc: Any) -> None:
        shelf, key = self.objects.cache.shelves[resource], f"{namespace}/{name}".lstrip("/")
        metadata = {"name": name, "namespace": namespace, "uid": key}
        shelf.fill(f"{resource}/{key}", stored_form(shelf.kind, {"metadata": metadata, **doc}), 1)

    def volumes(self, class_: str) -> None:
        spec = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "9Gi"}}
        for number in range(MANY):
            status = {"phase": "Available"}
            spec = {**spec, "storageClassName": class_}
            self.put("persistentvolumes", f"v{number}", spec=spec, status=status)

    def class_(self, name: str, provisioner: str, mode: str, **parameters: str) -> None:
        self.put(
            "storageclasses.storage.k8s.io",
            name,
            provisioner=provisioner,
            parameters=parameters,
            volumeBindingMode=mode,
        )

    def claim(self, name: str, class_: str) -> None:
        spec = {**ASKS, "storageClassName": class_}
        self.put("persistentvolumeclaims", name, "default", spec=spec, status={"phase": "Pending"})


def calls(world: World, type_: type[Claim] | type[Pod], key: str) -> int:
    """Of functions that are called to explain one of many, once others have been."""
    explain: Any = world.claim_in_short if type_ is Claim else world.pod
    one = world.one(type_, key)
    explain(one)
    count = 0

    def called(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(called)
    try:
        explain(one)
    finally:
        sys.setprofile(None)
    return count


def test_of_many_pods_none_costs_a_look_at_all_volumes() -> None:
    scene = Scene()
    scene.put("nodes", "here", status=READY)
    scene.class_("hand", "kubernetes.io/no-provisioner", "WaitForFirstConsumer")
    scene.volumes("hand")
    scene.claim("db", "hand")
    use = {"name": "a", "persistentVolumeClaim": {"claimName": "db"}}
    scene.put("pods", "web", "default", spec={"volumes": [use]})
    world = World(scene.objects)
    web = world.one(Pod, "default/web")
    assert web is not None
    assert "no free volume for claim db is reached from it" in world.pod(web).details[0]
    assert calls(world, Pod, "default/web") < CALLS_AT_MOST


def test_of_many_pods_none_costs_a_look_at_all_events() -> None:
    scene = Scene()
    scene.put("nodes", "here", status=READY)
    scene.put("pods", "web", "default", spec={"volumes": [{"name": "a", "ephemeral": {}}]})
    for number in range(MANY):
        told = {"reason": "FailedBinding", "message": f"told {number}"}
        time = f"2026-01-02T03:04:{number % 10:02}Z"
        of = {"uid": "default/web" if number == MANY - 1 else f"web-{number}"}
        scene.put("events", f"e{number}", "default", involvedObject=of, lastTimestamp=time, **told)
    world = World(scene.objects)
    web = world.one(Pod, "default/web")
    assert web is not None
    assert world.pod(web).details == (f"it failed last with: told {MANY - 1}",)
    assert calls(world, Pod, "default/web") < CALLS_AT_MOST


def test_a_failure_is_told_of_one_of_many_in_the_same_words() -> None:
    scene = Scene()
    scene.put("nodes", "here", status=READY)
    scene.put("pools.mooring.dev", "p", spec={"root": "/srv", "driver": OURS, "node": "here"})
    scene.class_("fast", OURS, "Immediate", pool="p")
    scene.claim("db", "fast")
    told = {"reason": "ProvisioningFailed", "message": "there is no /srv"}
    scene.put("events", "e", "default", involvedObject={"uid": "default/db"}, **told)
    world = World(scene.objects)
    db = world.one(Claim, "default/db")
    assert db is not None
    assert world.claim(db, "").details[0] == "it failed last with: there is no /srv"
    assert world.claim_in_short(db) == world.claim(db, "")._replace(details=())


@pytest.mark.parametrize("class_", ["", "of-0"])
def test_of_many_claims_none_costs_a_look_at_all_volumes_or_all_pools(class_: str) -> None:
    scene = Scene()
    scene.volumes("")
    for number in range(20):
        node = f"n{number}"
        scene.put("nodes", node, status=READY)
        granted = {"namespaces": [{"name": "other"}], "root": "/srv", "driver": OURS}
        scene.put("pools.mooring.dev", f"p{number}", spec={**granted, "node": node})
    for number in range(3):
        scene.class_(f"of-{number}", OURS, "Immediate", pool=f"p{number}")
    scene.claim("db", class_)
    assert calls(World(scene.objects), Claim, "default/db") < CALLS_AT_MOST
