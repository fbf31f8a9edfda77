"""What goes when its owners go, and in which order."""

from collections.abc import Sequence

import pytest

from mooring.model.names import PVC_PROTECTION
from mooring.objects.kind import Doc
from mooring.rules.garbage import Propagation
from tests.controllers.clocked import ClockedPlant
from tests.controllers.plant import CLAIMS

MAPS = "configmaps"


def uid_of(plant: ClockedPlant, name: str) -> str:
    doc = plant.objects.one(MAPS, f"default/{name}")
    assert doc is not None
    return str(doc["metadata"]["uid"])


def owner(plant: ClockedPlant, name: str, *, blocks: bool = False) -> Doc:
    found = {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid_of(plant, name)}
    return found | ({"blockOwnerDeletion": True} if blocks else {})


def a_map(name: str, owners: Sequence[Doc] = (), finalizers: Sequence[str] = ()) -> Doc:
    metadata: Doc = {"name": name, "namespace": "default"}
    if owners:
        metadata["ownerReferences"] = list(owners)
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    return {"metadata": metadata}


def made(plant: ClockedPlant, name: str, *owners: Doc, finalizers: Sequence[str] = ()) -> None:
    assert plant.create(MAPS, a_map(name, owners, finalizers))
    plant.settle()


def drop(plant: ClockedPlant, name: str, how: Propagation | None = None) -> None:
    kind = plant.objects.kinds[MAPS]
    plant._run(plant.objects.delete(kind, f"default/{name}", propagation=how))
    plant.settle()


def there(plant: ClockedPlant) -> list[str]:
    return [entry.key.partition("/")[2] for entry in plant.objects.cache.shelves[MAPS].entries()]


def owners_of(plant: ClockedPlant, name: str) -> list[str]:
    doc = plant.objects.one(MAPS, f"default/{name}")
    assert doc is not None
    return [one["name"] for one in doc["metadata"].get("ownerReferences", ())]


@pytest.mark.parametrize("how", [None, Propagation.BACKGROUND])
def test_what_is_owned_goes_after_its_owner(plant: ClockedPlant, how: Propagation | None) -> None:
    made(plant, "a")
    made(plant, "b", owner(plant, "a"))
    made(plant, "c", owner(plant, "b"))
    drop(plant, "a", how)
    assert there(plant) == []


def test_one_owner_that_is_there_is_enough(plant: ClockedPlant) -> None:
    for name in ("a", "b"):
        made(plant, name)
    made(plant, "c", owner(plant, "a"), owner(plant, "b"))
    drop(plant, "a")
    assert there(plant) == ["b", "c"]
    assert owners_of(plant, "c") == ["b"]


def test_an_owner_of_the_same_name_is_another(plant: ClockedPlant) -> None:
    made(plant, "a")
    stale = owner(plant, "a") | {"uid": "00000000-0000-0000-0000-000000000000"}
    made(plant, "b", stale)
    assert there(plant) == ["a"]


def test_an_owner_of_a_kind_that_is_not_served_is_left_to_others(plant: ClockedPlant) -> None:
    made(plant, "b", {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a", "uid": "u"})
    assert there(plant) == ["b"]


def test_orphans_stay_and_forget_their_owner(plant: ClockedPlant) -> None:
    made(plant, "a")
    made(plant, "b", owner(plant, "a"))
    drop(plant, "a", Propagation.ORPHAN)
    assert there(plant) == ["b"]
    assert owners_of(plant, "b") == []


def test_in_the_foreground_the_owner_goes_last(plant: ClockedPlant) -> None:
    made(plant, "a")
    made(plant, "b", owner(plant, "a", blocks=True), finalizers=["example.com/hold"])
    drop(plant, "a", Propagation.FOREGROUND)
    assert there(plant) == ["a", "b"]

    def free(doc: Doc) -> None:
        doc["metadata"]["finalizers"] = []

    plant.edit(MAPS, "default/b", free)
    plant.settle()
    assert there(plant) == []


def test_in_the_foreground_what_does_not_block_does_not_hold_the_owner(
    plant: ClockedPlant,
) -> None:
    made(plant, "a")
    made(plant, "b", owner(plant, "a"), finalizers=["example.com/hold"])
    drop(plant, "a", Propagation.FOREGROUND)
    assert there(plant) == ["b"]


def test_a_whole_tree_goes_from_its_leaves(plant: ClockedPlant) -> None:
    made(plant, "a")
    made(plant, "b", owner(plant, "a", blocks=True))
    made(plant, "c", owner(plant, "b", blocks=True), finalizers=["example.com/hold"])
    drop(plant, "a", Propagation.FOREGROUND)
    assert there(plant) == ["a", "b", "c"]

    def free(doc: Doc) -> None:
        doc["metadata"]["finalizers"] = []

    plant.edit(MAPS, "default/c", free)
    plant.settle()
    assert there(plant) == []


def free(doc: Doc) -> None:
    doc["metadata"]["finalizers"] = []


def test_a_dependent_with_another_owner_lets_the_first_go(plant: ClockedPlant) -> None:
    for name in ("a", "b"):
        made(plant, name)
    made(plant, "c", owner(plant, "a", blocks=True), owner(plant, "b"))
    drop(plant, "a", Propagation.FOREGROUND)
    assert there(plant) == ["b", "c"]
    assert owners_of(plant, "c") == ["b"]


def test_a_dependent_that_forgets_its_owner_lets_it_go(plant: ClockedPlant) -> None:
    made(plant, "a")
    made(plant, "b", owner(plant, "a", blocks=True), finalizers=["example.com/hold"])
    drop(plant, "a", Propagation.FOREGROUND)
    assert there(plant) == ["a", "b"]

    def forget(doc: Doc) -> None:
        del doc["metadata"]["ownerReferences"]

    plant.edit(MAPS, "default/b", forget)
    plant.settle()
    assert there(plant) == ["b"]


def test_a_circle_of_owners_goes(plant: ClockedPlant) -> None:
    made(plant, "a")
    made(plant, "b", owner(plant, "a", blocks=True))
    back = owner(plant, "b", blocks=True)

    def owned(doc: Doc) -> None:
        doc["metadata"]["ownerReferences"] = [back]

    plant.edit(MAPS, "default/a", owned)
    plant.settle()
    assert there(plant) == ["a", "b"]
    drop(plant, "a", Propagation.FOREGROUND)
    assert there(plant) == []


def test_an_owner_that_went_while_nobody_looked_is_missed_at_the_start(
    plant: ClockedPlant,
) -> None:
    made(plant, "a")
    made(plant, "b", owner(plant, "a"))
    plant.away()
    kind = plant.objects.kinds[MAPS]
    plant._run(plant.objects.delete(kind, "default/a"))
    plant.back()
    plant.settle()
    assert there(plant) == []


def test_a_claim_goes_with_the_pod_that_owns_it(plant: ClockedPlant) -> None:
    pod: Doc = {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    assert plant.create("pods", pod)
    whole = plant.objects.one("pods", "default/p")
    assert whole is not None
    reference = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "p",
        "uid": whole["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    claim: Doc = {
        "metadata": {"name": "p-data", "namespace": "default", "ownerReferences": [reference]},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    assert plant.create(CLAIMS, claim)
    plant.settle()
    assert [one.metadata.finalizers for one in plant.claims()] == [(PVC_PROTECTION,)]
    assert plant.delete("pods", "default/p")
    plant.settle()
    assert plant.claims() == []
