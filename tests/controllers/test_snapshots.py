"""Snapshots and contents in the loops of the leader; what an agent does, tests write."""

from collections.abc import Iterator
from typing import Any

import pytest

from mooring.model.claim import Claim
from mooring.model.names import CLAIM_AS_SOURCE, CLONING_PROTECTION, SNAPSHOT_GOING
from mooring.model.pool import Pool
from mooring.model.snapshot import Snapshot, SnapshotClass, SnapshotContent
from mooring.objects.kind import Doc
from tests.controllers.clocked import ClockedPlant, a_claim_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, VOLUMES

SNAPSHOTS, CONTENTS = Snapshot.resource, SnapshotContent.resource
KEY = "snapshot.storage.kubernetes.io/is-default-class"


class SnapshotPlant(ClockedPlant):
    """With a Bound claim `db` in pool `fast`."""

    def __init__(self) -> None:
        super().__init__()
        pool = {"metadata": {"name": "fast"}, "spec": {"driver": "d.example.com", "root": "/x"}}
        self.put(Pool.resource, pool)
        csi = {"driver": "d.example.com", "volumeHandle": "pvc-db"}
        csi["volumeAttributes"] = {"mooring.dev/pool": "fast"}  # type: ignore[assignment]
        volume = a_volume_doc("pvc-db", csi=csi)
        del volume["spec"]["hostPath"]
        self.put(VOLUMES, volume)
        self.put(CLAIMS, a_claim_doc("db", class_=""))

    def a_class(self, name: str = "snaps", policy: str = "Delete", default: str = "true") -> None:
        metadata = {"name": name, "annotations": {KEY: default}}
        doc = {"metadata": metadata, "driver": "d.example.com", "deletionPolicy": policy}
        self.put(SnapshotClass.resource, doc)

    def a_snapshot(self, name: str = "monday", **spec: Any) -> None:
        source = {"persistentVolumeClaimName": "db"}
        self.put(SNAPSHOTS, {"metadata": {"name": name}, "spec": {"source": source, **spec}})

    def snapshot(self, name: str = "monday") -> Snapshot:
        found = self.view(Snapshot, f"default/{name}")
        assert found is not None
        return found

    def content(self) -> SnapshotContent:
        (found,) = self.objects.views(SnapshotContent)
        return found

    def cut(self) -> None:
        """As the agent does."""

        def status(doc: Doc) -> None:
            doc["status"] = {
                "snapshotHandle": "fast/snapshot-1",
                "creationTime": 10**18,
                "restoreSize": 1 << 30,
                "readyToUse": True,
            }

        assert self.edit(CONTENTS, self.content().name, status, "status")
        self.settle()

    def let_go(self) -> None:
        """As the agent does, once the data is gone or is to stay."""

        def bare(doc: Doc) -> None:
            doc["metadata"]["finalizers"] = []

        assert self.edit(CONTENTS, self.content().name, bare)
        self.settle()


@pytest.fixture
def plant() -> Iterator[SnapshotPlant]:
    made = SnapshotPlant()
    yield made
    made.close()


def test_a_snapshot_goes_from_its_claim_to_ready(plant: SnapshotPlant) -> None:
    plant.a_class()
    plant.a_snapshot()
    assert plant.snapshot().content_name == plant.content().name
    assert plant.claim().has_finalizer(CLAIM_AS_SOURCE)
    plant.cut()
    assert plant.snapshot().is_ready
    assert str(plant.snapshot().restore_size) == "1Gi"
    assert not plant.claim().has_finalizer(CLAIM_AS_SOURCE)
    assert plant.told("monday") == [
        ("Normal", "CreatingSnapshot"),
        ("Normal", "SnapshotCreated"),
        ("Normal", "SnapshotReady"),
    ]


def test_a_class_that_comes_later_is_what_it_waited_for(plant: SnapshotPlant) -> None:
    plant.a_snapshot()
    assert plant.told("monday") == [("Warning", "SetDefaultSnapshotClassFailed")]
    plant.a_class()
    assert plant.content().spec.volume_snapshot_class_name == "snaps"
    assert plant.snapshot().status.error is None


def test_what_fails_is_told_again_when_its_time_has_come_and_not_before(
    plant: SnapshotPlant,
) -> None:
    plant.a_snapshot()

    def count() -> int:
        return sum(one["count"] for one in plant.events("monday"))

    for delay_s in (0.5, 1.0, 2.0, 4.0):
        before = count()
        plant.pass_time(delay_s * 0.9)
        assert count() == before
        plant.pass_time(delay_s * 0.2)
        assert count() == before + 1


def test_a_claim_that_is_bound_later_is_cut_then(plant: SnapshotPlant) -> None:
    plant.a_class()
    source = {"persistentVolumeClaimName": "later"}
    plant.put(SNAPSHOTS, {"metadata": {"name": "early"}, "spec": {"source": source}})
    assert plant.told("early") == [("Warning", "SnapshotContentCreationFailed")]
    csi = {"driver": "d.example.com", "volumeHandle": "pvc-later"}
    volume = a_volume_doc("pvc-later", csi=csi)
    del volume["spec"]["hostPath"]
    plant.put(VOLUMES, volume)
    plant.put(CLAIMS, a_claim_doc("later", class_=""))
    assert plant.content().snapshot_key == "default/early"


@pytest.mark.rule("18.33", "18.34")
@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_a_snapshot_goes_and_its_content_by_its_policy(plant: SnapshotPlant, policy: str) -> None:
    plant.a_class(policy=policy)
    plant.a_snapshot()
    plant.cut()
    plant.delete(SNAPSHOTS, "default/monday")
    plant.settle()
    assert plant.view(Snapshot, "default/monday") is None
    content = plant.content()
    assert content.annotations[SNAPSHOT_GOING] == "yes"
    assert content.being_deleted == (policy == "Delete")
    if policy == "Delete":
        plant.let_go()
        assert plant.objects.views(SnapshotContent) == []


def test_a_pool_is_kept_by_contents_that_lie_in_it(plant: SnapshotPlant) -> None:
    plant.a_class()
    plant.a_snapshot()
    plant.cut()
    plant.delete(CLAIMS, "default/db")
    plant.delete(VOLUMES, "pvc-db")
    plant.delete(Pool.resource, "fast")
    plant.settle()
    assert plant.view(Pool, "fast") is not None
    plant.delete(SNAPSHOTS, "default/monday")
    plant.settle()
    plant.let_go()
    assert plant.view(Pool, "fast") is None


def test_nothing_is_cut_in_a_pool_that_is_to_go(plant: SnapshotPlant) -> None:
    plant.a_class()
    plant.delete(Pool.resource, "fast")
    plant.a_snapshot()
    assert plant.objects.views(SnapshotContent) == []
    error = plant.snapshot().status.error
    assert error is not None
    assert "pool fast is being deleted" in error.message


def test_a_snapshot_stays_until_no_claim_waits_for_it(plant: SnapshotPlant) -> None:
    plant.a_class()
    plant.a_snapshot()
    plant.cut()
    group = SNAPSHOTS.partition(".")[2]
    source = {"apiGroup": group, "kind": "VolumeSnapshot", "name": "monday"}
    plant.put(CLAIMS, a_claim_doc("new", class_="none", dataSource=source))
    plant.delete(SNAPSHOTS, "default/monday")
    plant.settle()
    assert ("Warning", "SnapshotDeletePending") in plant.told("monday")
    assert plant.snapshot().being_deleted
    plant.delete(CLAIMS, "default/new")
    plant.settle()
    assert plant.view(Snapshot, "default/monday") is None


def test_a_source_claim_is_let_go_when_no_claim_waits_for_it(plant: SnapshotPlant) -> None:
    source = {"kind": "PersistentVolumeClaim", "name": "db"}
    plant.put(CLAIMS, a_claim_doc("new", class_="none", dataSource=source))

    def protect(doc: Doc) -> None:  # as the agent does, before it clones
        doc["metadata"]["finalizers"].append(CLONING_PROTECTION)

    assert plant.edit(CLAIMS, "default/db", protect)
    plant.delete(CLAIMS, "default/db")
    plant.settle()
    assert plant.claim().metadata.finalizers == (CLONING_PROTECTION,)
    plant.delete(CLAIMS, "default/new")
    plant.settle()
    assert plant.view(Claim, "default/db") is None


def test_a_content_whose_snapshot_was_taken_away_by_force_keeps_its_data(
    plant: SnapshotPlant,
) -> None:
    plant.a_class()
    plant.a_snapshot()
    plant.cut()
    plant.away()
    plant.delete(SNAPSHOTS, "default/monday")

    def bare(doc: Doc) -> None:
        doc["metadata"]["finalizers"] = []

    assert plant.edit(SNAPSHOTS, "default/monday", bare)
    plant.back()
    assert not plant.content().being_deleted
