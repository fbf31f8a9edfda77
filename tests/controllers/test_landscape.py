"""Who is woken by what: all that must look, and nobody else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mooring.controllers.landscape import Landscape
from mooring.model.names import DEFAULT_CLASS
from mooring.objects.kind import Doc
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.rules.claims import claim_decision
from mooring.store.memory import MemoryStore
from tests.controllers.plant import (
    CLAIMS,
    CLASSES,
    VOLUMES,
    a_claim_doc,
    a_class_doc,
    a_pod_doc,
    a_volume_doc,
)
from tests.rules.making import NOW

RWO, RWX = "ReadWriteOnce", "ReadWriteMany"


class Scene:
    """Objects and a landscape, and in place of the queues lists of who was woken."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.claims: list[str] = []
        self.volumes: list[str] = []
        self.landscape = Landscape(objects, self.claims.append, self.volumes.append)
        self.landscape.start()

    def woken(self) -> set[str]:
        """Names of the claims woken since this was asked last."""
        names = {key.rpartition("/")[2] for key in self.claims}
        self.claims.clear()
        self.volumes.clear()
        return names

    async def create(self, resource: str, doc: Doc) -> None:
        kind = self.objects.kinds[resource]
        await self.objects.create(kind, "default" if kind.namespaced else "", doc)

    async def edit(self, resource: str, key: str, **spec: object) -> None:
        def change(doc: Doc) -> Doc:
            doc["spec"].update(spec)
            return doc

        await self.objects.update(self.objects.kinds[resource], key, change)

    async def delete(self, resource: str, key: str) -> None:
        def let_go(doc: Doc) -> Doc:
            doc["metadata"]["finalizers"] = []
            return doc

        await self.objects.update(self.objects.kinds[resource], key, let_go)
        await self.objects.delete(self.objects.kinds[resource], key)

    async def claim(self, name: str, *, size: str = "1Gi", modes=(RWO,), class_="", **spec) -> None:
        doc = a_claim_doc(name, size=size, modes=list(modes), class_=class_)
        doc["spec"].update(spec)
        await self.create(CLAIMS, doc)

    async def volume(self, name: str, *, size: str = "1Gi", modes=(RWO,), **spec) -> None:
        """There and Available."""

        def available(doc: Doc) -> Doc:
            doc["status"]["phase"] = "Available"
            return doc

        doc = a_volume_doc(name, size=size, modes=list(modes), class_="", policy="Retain")
        doc["spec"].update(spec)
        await self.create(VOLUMES, doc)
        kind = self.objects.kinds[VOLUMES]
        await self.objects.update(kind, name, available, subresource="status")

    def look(self, name: str) -> str:
        """Decide about a claim as the binder does; nothing is stored. The volume it would take."""
        claim = self.landscape.claim(f"default/{name}")
        assert claim is not None
        decision = claim_decision(claim, self.landscape, NOW)
        volumes = [old.name for old, _ in decision.writes if old.resource == VOLUMES]
        taken = volumes[0] if volumes else ""
        self.landscape.looked_at(claim, taken, waits=decision.waits)
        return taken

    async def waiting(self, *names: str, **spec) -> None:
        """Claims that were looked at and found nothing."""
        for name in names:
            await self.claim(name, **spec)
            assert self.look(name) == ""
        self.woken()


@asynccontextmanager
async def staged() -> AsyncIterator[Scene]:
    store = MemoryStore()
    objects = Objects(store, ALL_KINDS)
    await objects.start()
    await objects.create(objects.kinds["namespaces"], "", {"metadata": {"name": "default"}})
    try:
        yield Scene(objects)
    finally:
        await objects.close()
        await store.close()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with staged() as made:
        yield made


async def test_a_volume_wakes_one_of_the_claims_that_wait_for_such(scene: Scene) -> None:
    await scene.waiting(*(f"c{number}" for number in range(50)))
    await scene.volume("v1")
    assert len(scene.woken()) == 1


async def test_each_of_several_volumes_wakes_another_claim(scene: Scene) -> None:
    await scene.waiting("a", "b", "c")
    await scene.volume("v1")
    await scene.volume("v2")
    assert len(scene.woken()) == 2


async def test_claims_that_are_pending_for_other_reasons_are_left_alone(scene: Scene) -> None:
    await scene.create(CLASSES, a_class_doc("late", waits=True))
    await scene.waiting("large", size="2Gi")
    await scene.waiting("of-a-class", class_="manual")
    await scene.waiting("for-a-pod", class_="late")
    await scene.waiting("picky", selector={"matchLabels": {"app": "db"}})
    await scene.waiting("for-another", volumeName="v9")
    await scene.volume("v1")
    assert scene.woken() == set()


async def test_a_claim_that_takes_another_volume_passes_the_offer_on(scene: Scene) -> None:
    await scene.waiting("many-modes", modes=(RWO, RWX))
    await scene.waiting("large", size="3Gi")
    await scene.volume("v3", size="3Gi", modes=(RWO, RWX))
    await scene.volume("v1", size="1Gi", modes=(RWO, RWX))
    assert scene.woken() == {"many-modes"}
    assert scene.look("many-modes") == "v1"
    assert scene.woken() == {"large"}
    assert scene.look("large") == "v3"


async def test_a_claim_that_is_gone_before_it_looks_passes_the_offer_on(scene: Scene) -> None:
    await scene.waiting("a", "b")
    await scene.volume("v1")
    assert scene.woken() == {"a"}
    await scene.delete(CLAIMS, "default/a")
    assert "b" in scene.woken()


async def test_a_claim_that_now_names_a_volume_passes_the_offer_on(scene: Scene) -> None:
    await scene.waiting("a", "b")
    await scene.volume("v1")
    await scene.edit(CLAIMS, "default/a", volumeName="v9")
    assert "b" in scene.woken()


async def test_a_volume_whose_bind_failed_is_offered_to_those_who_went_without(
    scene: Scene,
) -> None:
    await scene.volume("v1")
    await scene.claim("a")
    assert scene.look("a") == "v1"
    await scene.waiting("b")  # v1 is about to be bound to a
    scene.landscape.settled("v1")
    assert scene.woken() == {"b"}


async def test_a_volume_that_changes_while_it_is_being_bound_wakes_nobody(scene: Scene) -> None:
    await scene.volume("v1")
    await scene.claim("a")
    assert scene.look("a") == "v1"
    await scene.waiting("b")
    await scene.edit(VOLUMES, "v1", capacity={"storage": "2Gi"})
    assert scene.woken() == set()


async def test_a_claim_that_changed_is_not_woken_as_it_was(scene: Scene) -> None:
    await scene.waiting("a")
    await scene.edit(CLAIMS, "default/a", volumeName="v9")
    scene.woken()
    await scene.volume("v1")
    assert scene.woken() == set()


async def test_a_volume_that_grows_wakes_the_claim_it_now_satisfies(scene: Scene) -> None:
    await scene.volume("v1", size="1Gi")
    await scene.waiting("a", size="2Gi")
    await scene.edit(VOLUMES, "v1", capacity={"storage": "2Gi"})
    assert scene.woken() == {"a"}


@pytest.mark.rule("3.5")
async def test_a_volume_that_points_at_a_claim_wakes_it_whatever_it_waits_for(scene: Scene) -> None:
    await scene.create(CLASSES, a_class_doc("late", waits=True))
    await scene.waiting("for-a-pod", class_="late")
    await scene.volume("v1", claimRef={"namespace": "default", "name": "for-a-pod"})
    assert scene.woken() == {"for-a-pod"}


async def test_a_volume_wakes_the_claims_that_name_it(scene: Scene) -> None:
    await scene.waiting("a", volumeName="v1", size="5Gi")
    await scene.volume("v1")
    assert scene.woken() == {"a"}


async def test_volumes_made_for_a_claim_are_woken_when_it_takes_another(scene: Scene) -> None:
    await scene.waiting("a", size="2Gi")
    claim = scene.landscape.claim("default/a")
    assert claim is not None
    ref = {"namespace": "default", "name": "a"}
    await scene.volume("made", claimRef={**ref, "uid": claim.uid})
    await scene.volume("left-by-another", claimRef={**ref, "uid": "old"})
    scene.woken()
    await scene.edit(CLAIMS, "default/a", volumeName="v9")
    assert set(scene.volumes) == {"made", "v9"}
    scene.woken()
    await scene.delete(CLAIMS, "default/a")
    assert set(scene.volumes) == {"made", "v9"}


async def test_a_class_that_appears_or_goes_wakes_the_claims_of_it(scene: Scene) -> None:
    await scene.waiting("a", "b", class_="fast")
    await scene.waiting("c", class_="other")
    await scene.create(CLASSES, a_class_doc("fast", waits=False))
    assert scene.woken() == {"a", "b"}
    await scene.objects.delete(scene.objects.kinds[CLASSES], "fast")
    assert scene.woken() == {"a", "b"}


async def test_only_a_class_that_becomes_the_default_wakes_those_that_say_none(
    scene: Scene,
) -> None:
    await scene.waiting("says-nothing", class_=None)
    await scene.waiting("says-none", class_="")
    await scene.waiting("of-it", class_="fast")
    await scene.create(CLASSES, a_class_doc("fast", waits=False))
    assert scene.woken() == {"of-it"}

    def default(doc: Doc) -> Doc:
        doc["metadata"]["annotations"] = {DEFAULT_CLASS: "true", **annotations}
        return doc

    annotations: dict[str, str] = {}
    kind = scene.objects.kinds[CLASSES]
    await scene.objects.update(kind, "fast", default)
    assert scene.woken() == {"says-nothing"}
    annotations["note"] = "still the default"
    await scene.objects.update(kind, "fast", default)
    assert scene.woken() == set()


async def test_a_pod_wakes_the_claims_it_uses(scene: Scene) -> None:
    await scene.waiting("a", "b")
    await scene.create("pods", a_pod_doc("p", "a", "n1"))
    assert scene.woken() == {"a"}
    await scene.objects.delete(scene.objects.kinds["pods"], "default/p")
    assert scene.woken() == {"a"}


@pytest.mark.rule("3.2")
async def test_claims_that_were_there_before_the_start_are_looked_at_once() -> None:
    async with staged() as scene:
        await scene.claim("a")
        await scene.volume("v1")
        late = Scene(scene.objects)
        assert late.claims == ["default/a"]
        assert late.look("a") == "v1"
