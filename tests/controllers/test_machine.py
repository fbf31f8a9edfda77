"""Whatever clients do in whatever order: the rules that always hold, and those that hold at rest.

Steps do not wait for the controllers, so binds are under way while volumes and claims are edited,
deleted and restarted over.
"""

from itertools import chain

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mooring.model.claim import Claim
from mooring.model.names import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    DEFAULT_CLASS,
    DELETE,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    Phase,
)
from mooring.model.pod import Pod
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.cache import Event
from mooring.objects.views import view
from tests.controllers.plant import (
    CLAIMS,
    CLASSES,
    VOLUMES,
    Plant,
    a_claim_doc,
    a_class_doc,
    a_pod_doc,
    a_volume_doc,
)
from tests.rules.plain_scan import acceptable

NAMES = st.sampled_from(["a", "b", "c", "d"])
SIZES = st.sampled_from(["1Gi", "2Gi", "3Gi"])
FEW_SIZES = st.lists(SIZES, max_size=6)
MODES = st.sampled_from(
    [["ReadWriteOnce"], ["ReadWriteOnce"], ["ReadWriteOnce", "ReadWriteMany"], ["ReadWriteMany"]]
)
CLASS_NAMES = st.sampled_from(["", "", "", "fast", "late"])
LABELS = st.sampled_from(["db", "db", "web"])
PHASES = st.sampled_from(["Pending", "Available", "Bound", "Released", "Failed", "Lost"])
REFS = st.sampled_from(["none", "name", "uid", "old uid"])


class Machine(RuleBasedStateMachine):
    """Clients, an external provisioner, an external deleter, and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.plant = Plant()
        self.faults: list[str] = []
        self.rushes = 0
        self._watch()

    def teardown(self) -> None:
        try:
            self.at_rest()
        finally:
            self.plant.close()

    def _watch(self) -> None:
        self.volume_was: dict[str, tuple[int, Volume | None]] = {}
        shelves = self.plant.objects.cache.shelves
        shelves[VOLUMES].follow(self._volume_event)
        shelves[CLAIMS].follow(self._claim_event)

    def _volume_event(self, event: Event) -> None:
        before = view(Volume, event.before) if event.before else None
        self.volume_was[event.key] = event.revision, before

    def _claim_event(self, event: Event) -> None:
        """Each bind, at the moment it happens: was the volume one that the claim may have?"""
        if event.before is None or event.after is None:
            return
        claim, after = view(Claim, event.before), view(Claim, event.after)
        if claim.was_bound or not (after.was_bound and after.phase == Phase.BOUND):
            return
        revision, volume = self.volume_was.get(after.volume_name, (0, None))
        if revision != event.revision:  # the volume's half of the commit comes after this one
            volume = self.plant.view(Volume, after.volume_name)
        if volume is None:
            self.faults.append(f"{claim.key} bound to {after.volume_name}, which is not there")
        elif not claim.volume_name and not acceptable([volume], claim):
            self.faults.append(f"{claim.key} must not choose {volume}")
        elif claim.volume_name and not volume.points_at(claim) and not _named_fits(claim, volume):
            self.faults.append(f"{claim.key} names {volume}, which does not fit")

    # Clients

    @rule(name=NAMES, size=SIZES, modes=MODES, class_=CLASS_NAMES | st.none(), label=LABELS)
    def create_claim(self, name, size, modes, class_, label) -> None:
        doc = a_claim_doc(name, size=size, modes=modes, class_=class_)
        if label == "web":
            doc["spec"]["selector"] = {"matchLabels": {"app": "web"}}
        self.plant.create(CLAIMS, doc)

    @rule(name=NAMES, volume=NAMES, size=SIZES, class_=CLASS_NAMES)
    def create_claim_that_names_a_volume(self, name, volume, size, class_) -> None:
        doc = a_claim_doc(name, size=size, modes=["ReadWriteOnce"], class_=class_)
        doc["spec"]["volumeName"] = volume
        self.plant.create(CLAIMS, doc)

    @rule(name=NAMES, volume=NAMES)
    def name_a_volume(self, name, volume) -> None:
        self.plant.edit(
            CLAIMS, f"default/{name}", lambda doc: doc["spec"].update(volumeName=volume)
        )

    @rule(
        name=NAMES, size=SIZES, modes=MODES, class_=CLASS_NAMES, label=LABELS, policy=st.booleans()
    )
    def create_volume(self, name, size, modes, class_, label, policy) -> None:
        kept = DELETE if policy else "Retain"
        doc = a_volume_doc(name, size=size, modes=modes, class_=class_, policy=kept)
        doc["metadata"]["labels"] = {"app": label}
        self.plant.create(VOLUMES, doc)

    @rule(claims=FEW_SIZES, volumes=FEW_SIZES, rest=st.booleans(), deleted=st.integers(0, 2))
    def rush(self, claims, volumes, rest, deleted) -> None:
        """Claims and volumes that are all after each other, and some claims given up at once."""
        self.rushes += 1
        alike = {"modes": ["ReadWriteOnce"], "class_": ""}
        names = [f"r{self.rushes}-{number}" for number in range(6)]
        wanted = [
            a_claim_doc(name, size=size, **alike) for name, size in zip(names, claims, strict=False)
        ]
        there = [
            a_volume_doc(name, size=size, policy="Retain", **alike)
            for name, size in zip(names, volumes, strict=False)
        ]
        self.plant.together(*(self.plant.creation(CLAIMS, doc) for doc in wanted))
        if rest:
            self.plant.settle()
        self.plant.together(
            *(self.plant.creation(VOLUMES, doc) for doc in there),
            *(self.plant.deletion(CLAIMS, f"default/{name}") for name in names[:deleted]),
        )

    @rule(name=NAMES, claim=NAMES, size=SIZES, ref=REFS)
    def create_volume_for_a_claim(self, name, claim, size, ref) -> None:
        doc = a_volume_doc(name, size=size, modes=["ReadWriteOnce"], class_="", policy="Retain")
        self._point(doc, claim, ref)
        self.plant.create(VOLUMES, doc)

    @rule(name=NAMES, claim=NAMES, ref=REFS)
    def point_a_volume(self, name, claim, ref) -> None:
        self.plant.edit(VOLUMES, name, lambda doc: self._point(doc, claim, ref))

    def _point(self, doc, claim: str, ref: str) -> None:
        doc["spec"].pop("claimRef", None)
        if ref == "none":
            return
        there = self.plant.view(Claim, f"default/{claim}")
        uid = {"name": "", "uid": there.uid if there else "", "old uid": "old"}[ref]
        pointer = {"kind": "PersistentVolumeClaim", "namespace": "default", "name": claim}
        doc["spec"]["claimRef"] = {**pointer, "uid": uid} if uid else pointer

    @rule(name=NAMES, size=SIZES, label=LABELS)
    def change_a_volume(self, name, size, label) -> None:
        def change(doc) -> None:
            doc["spec"]["capacity"]["storage"] = size
            doc["metadata"]["labels"] = {"app": label}

        self.plant.edit(VOLUMES, name, change)

    @rule(name=NAMES)
    def forget_that_a_claim_was_bound(self, name) -> None:
        def change(doc) -> None:
            doc["metadata"].get("annotations", {}).pop(BIND_COMPLETED, None)

        self.plant.edit(CLAIMS, f"default/{name}", change)

    @rule(resource=st.sampled_from([CLAIMS, VOLUMES]), name=NAMES, phase=PHASES)
    def forge_a_phase(self, resource, name, phase) -> None:
        key = f"default/{name}" if resource == CLAIMS else name
        self.plant.edit(resource, key, lambda doc: doc["status"].update(phase=phase), "status")

    @rule(name=NAMES)
    def delete_a_claim(self, name) -> None:
        self.plant.delete(CLAIMS, f"default/{name}")

    @rule(name=NAMES)
    def delete_a_volume(self, name) -> None:
        self.plant.delete(VOLUMES, name)

    @rule(name=st.sampled_from(["fast", "late"]), default=st.booleans())
    def create_a_class(self, name, default) -> None:
        doc = a_class_doc(name, waits=name == "late")
        if default:
            doc["metadata"]["annotations"] = {DEFAULT_CLASS: "true"}
        if not self.plant.create(CLASSES, doc):
            value = {DEFAULT_CLASS: str(default).lower()}
            self.plant.edit(CLASSES, name, lambda doc: doc["metadata"].update(annotations=value))

    @rule(name=st.sampled_from(["fast", "late"]))
    def delete_a_class(self, name) -> None:
        self.plant.delete(CLASSES, name)

    @rule(name=NAMES, claim=NAMES, node=st.sampled_from(["", "n1"]))
    def create_a_pod(self, name, claim, node) -> None:
        self.plant.create("pods", a_pod_doc(name, claim, node))

    @rule(name=NAMES)
    def delete_a_pod(self, name) -> None:
        self.plant.delete("pods", f"default/{name}")

    # The scheduler, the external provisioner and the external deleter

    @rule(name=NAMES)
    def select_a_node(self, name) -> None:
        def change(doc) -> None:
            doc["metadata"].setdefault("annotations", {})[SELECTED_NODE] = "n1"

        self.plant.edit(CLAIMS, f"default/{name}", change)

    @rule(name=NAMES)
    def provision(self, name) -> None:
        claim = self.plant.view(Claim, f"default/{name}")
        if claim is None or claim.volume_name or STORAGE_PROVISIONER not in claim.annotations:
            return
        doc = a_volume_doc(
            f"pvc-{claim.uid}",
            size=claim.request.canonical(),
            modes=list(claim.spec.access_modes),
            class_=claim.class_name,
            policy=DELETE,
        )
        doc["metadata"]["annotations"] = {PROVISIONED_BY: "example.com"}
        self._point(doc, name, "uid")
        self.plant.create(VOLUMES, doc)

    @rule()
    def reap(self) -> None:
        for volume in self.plant.volumes():
            if volume.phase == Phase.RELEASED and volume.provisioned_by:
                self.plant.delete(VOLUMES, volume.name)

    @rule()
    def restart(self) -> None:
        self.plant.restart()
        self._watch()

    # What must hold

    @invariant()
    def every_bind_was_right(self) -> None:
        assert self.faults == []

    @invariant()
    def no_volume_has_two_claims(self) -> None:
        """At any moment, for two claims may name one volume, but one of them has its pointer."""
        holders = [
            (claim.volume_name, claim.uid)
            for claim in self.plant.claims()
            if claim.was_bound
            and (volume := self.plant.view(Volume, claim.volume_name)) is not None
            and volume.claim_ref is not None
            and volume.claim_ref.uid == claim.uid
        ]
        assert len({name for name, _ in holders}) == len(holders)

    @rule()
    def at_rest(self) -> None:
        self.plant.settle()
        assert self.plant.controllers.claims.delayed == frozenset()
        for claim in self.plant.claims():
            self._claim_is_settled(claim)
        for volume in self.plant.volumes():
            self._volume_is_settled(volume)
        before = self.plant.stored()
        self.restart()
        self.plant.settle()
        assert self.plant.stored() == before, "a restart changed something"

    def _claim_is_settled(self, claim: Claim) -> None:
        volume = self.plant.view(Volume, claim.volume_name) if claim.volume_name else None
        has_it = volume is not None and volume.claim_ref is not None
        has_it = has_it and volume.claim_ref.uid == claim.uid
        if claim.was_bound:
            assert claim.phase == (Phase.BOUND if has_it else Phase.LOST)
        elif claim.volume_name:
            assert not has_it
            assert claim.phase == Phase.PENDING or BOUND_BY_CONTROLLER in claim.annotations
        else:
            self._nothing_fits(claim)
        if claim.being_deleted:
            pods = (pod for pod in self.plant.objects.views(Pod) if pod.node_name)
            assert claim.name in chain.from_iterable(pod.claim_names for pod in pods)

    def _nothing_fits(self, claim: Claim) -> None:
        classes = {one.name: one for one in self.plant.objects.views(StorageClass)}
        class_ = classes.get(claim.class_name)
        delay = class_ is not None and class_.waits_for_consumer
        assert acceptable(self.plant.volumes(), claim, delay=delay) == set(), claim
        assert claim.has_class or not any(one.is_default for one in classes.values())
        wanted = class_ is not None and (not delay or SELECTED_NODE in claim.annotations)
        assert STORAGE_PROVISIONER in claim.annotations or not wanted
        assert claim.phase in (Phase.PENDING, Phase.LOST) or claim.class_name, claim

    def _volume_is_settled(self, volume: Volume) -> None:
        ref = volume.claim_ref
        claim = self.plant.view(Claim, ref.key) if ref else None
        if ref is None or not ref.uid:
            assert volume.phase == Phase.AVAILABLE
        elif claim is None or claim.uid != ref.uid:
            assert volume.phase in (Phase.RELEASED, Phase.FAILED)
        elif claim.volume_name == volume.name:
            assert volume.phase == Phase.BOUND
        elif claim.volume_name:
            assert volume.phase in (Phase.RELEASED, Phase.FAILED)
            assert volume.provisioned_by
        assert not volume.being_deleted or volume.phase == Phase.BOUND


def _named_fits(claim: Claim, volume: Volume) -> bool:
    """§4 B, a volume that the claim names and that points nowhere."""
    return (
        volume.claim_ref is None
        and not volume.being_deleted
        and volume.capacity >= claim.request
        and volume.class_name == claim.class_name
        and claim.modes <= volume.modes
    )


def _run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_whatever_clients_do_claims_and_volumes_come_to_rest_where_they_belong() -> None:
    _run(examples=40, steps=30)


@pytest.mark.slow
def test_whatever_clients_do_for_long_claims_and_volumes_come_to_rest() -> None:
    _run(examples=2_000, steps=80)
