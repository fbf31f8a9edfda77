"""Snapshots: why they are not ready, or still there."""

from typing import Final

from tests.situations.situation import Remedy, Situation
from tests.situations.stage import (
    CSI,
    SNAPSHOT,
    Run,
    Step,
    bound,
    claim,
    cut,
    delete,
    edit,
    gone,
    provision,
    put,
    ready,
    says,
    sees,
    snapshot,
    snapshot_class,
    storage_class,
    volume,
    wait,
)

SOURCE: Final = {
    "apiGroup": "snapshot.storage.k8s.io",
    "kind": "VolumeSnapshot",
    "name": "monday",
}


def existing() -> Step:
    """Of a content that was there before."""
    source = {"volumeSnapshotContentName": "old"}
    return put(SNAPSHOT, {"metadata": {"name": "monday"}, "spec": {"source": source}})


def content(of: str = "monday") -> Step:
    spec = {
        "driver": CSI,
        "deletionPolicy": "Delete",
        "source": {"snapshotHandle": "h"},
        "volumeSnapshotRef": {"namespace": "default", "name": of},
    }
    return put("volumesnapshotcontent", {"metadata": {"name": "old"}, "spec": spec})


BOUND: Final = (volume(csi={"driver": CSI, "volumeHandle": "h"}), claim())
LATER: Final = (wait(600), cut())
READY: Final = [ready()]

SNAPSHOTS: Final = (
    Situation(
        "Its claim is not there",
        "snapshot monday",
        [snapshot_class(default=True), snapshot()],
        [
            Remedy("create claim db in namespace default", [*BOUND, *LATER], READY),
            Remedy(
                "delete this snapshot", [delete(SNAPSHOT, "monday")], [gone(SNAPSHOT, "monday")]
            ),
        ],
    ),
    Situation(
        "Its claim has no volume",
        "snapshot monday",
        [snapshot_class(default=True), claim(), snapshot()],
        [
            Remedy(
                "mooring explain pvc db -n default says what that waits for",
                [BOUND[0], *LATER],
                READY,
            )
        ],
    ),
    Situation(
        "Its volume is of no driver",
        "snapshot monday",
        [snapshot_class(default=True), volume(), claim(), snapshot()],
        [
            Remedy(
                "a claim of a class whose driver makes snapshots, and a snapshot of that",
                [
                    delete(SNAPSHOT, "monday"),
                    delete("pvc", "db"),
                    delete("pv", "v1"),
                    *BOUND,
                    snapshot(),
                    *LATER,
                ],
                READY,
            )
        ],
    ),
    Situation(
        "There is no default class of snapshots",
        "snapshot monday",
        [*BOUND, snapshot()],
        [
            Remedy(
                "exactly one VolumeSnapshotClass of the driver with annotation",
                [snapshot_class(default=True), *LATER],
                READY,
            ),
            Remedy(
                "a new snapshot that names one",
                [
                    delete(SNAPSHOT, "monday"),
                    snapshot_class(),
                    snapshot(class_="daily"),
                    *LATER,
                ],
                READY,
            ),
        ],
    ),
    Situation(
        "There are two default classes of snapshots",
        "snapshot monday",
        [
            snapshot_class("a", default=True),
            snapshot_class("b", default=True),
            *BOUND,
            snapshot(),
        ],
        [
            Remedy(
                "exactly one VolumeSnapshotClass of the driver with annotation",
                [
                    edit("volumesnapshotclass", "b", {"metadata": {"annotations": None}}),
                    *LATER,
                ],
                READY,
            ),
            Remedy(
                "a new snapshot that names one",
                [delete(SNAPSHOT, "monday"), snapshot(class_="b"), *LATER],
                READY,
            ),
        ],
    ),
    Situation(
        "Its class does not exist",
        "snapshot monday",
        [*BOUND, snapshot(class_="daily")],
        [
            Remedy("create VolumeSnapshotClass daily", [snapshot_class(), *LATER], READY),
            Remedy(
                "a new snapshot of another",
                [
                    delete(SNAPSHOT, "monday"),
                    snapshot_class("weekly"),
                    snapshot(class_="weekly"),
                    *LATER,
                ],
                READY,
            ),
        ],
    ),
    Situation(
        "Its class is of another driver",
        "snapshot monday",
        [snapshot_class(driver="other.example.com"), *BOUND, snapshot(class_="daily")],
        [
            Remedy(
                "a new snapshot of a VolumeSnapshotClass of that driver",
                [
                    delete(SNAPSHOT, "monday"),
                    snapshot_class("weekly"),
                    snapshot(class_="weekly"),
                    *LATER,
                ],
                READY,
            )
        ],
    ),
    Situation(
        "Its driver did not cut it yet",
        "snapshot monday",
        [snapshot_class(default=True), *BOUND, snapshot()],
        [Remedy("see that it runs", [cut()], READY)],
    ),
    Situation(
        "Its driver failed to cut it",
        "snapshot monday",
        [snapshot_class(default=True), *BOUND, snapshot(), cut(error={"message": "disk full"})],
        [
            Remedy("if that can be put right, it is cut by itself", [cut(error=None)], READY),
            Remedy(
                "otherwise kubectl delete volumesnapshot monday",
                [Run("kubectl delete volumesnapshot monday")],
                [gone(SNAPSHOT, "monday")],
            ),
        ],
    ),
    Situation(
        "Its pool makes no snapshots",
        "snapshot monday",
        [
            snapshot_class(driver="directory.mooring.dev", default=True),
            claim(class_="local"),
            snapshot(),
        ],
        [
            Remedy(
                "kubectl delete volumesnapshot monday",
                [Run("kubectl delete volumesnapshot monday")],
                [gone(SNAPSHOT, "monday")],
            )
        ],
    ),
    Situation(
        "The content that it names does not exist",
        "snapshot monday",
        [existing()],
        [
            Remedy("create the content again", [content(), *LATER], READY),
            Remedy(
                "delete this snapshot", [delete(SNAPSHOT, "monday")], [gone(SNAPSHOT, "monday")]
            ),
        ],
    ),
    Situation(
        "The content that it names is of another",
        "snapshot monday",
        [content(of="tuesday"), existing()],
        [
            Remedy(
                "a content and a snapshot that name each other",
                [
                    edit(
                        "volumesnapshotcontent",
                        "old",
                        {"spec": {"volumeSnapshotRef": {"name": "monday"}}},
                    ),
                    *LATER,
                ],
                READY,
            )
        ],
    ),
    Situation(
        "It is being deleted, and a claim is to be filled from it",
        "snapshot monday",
        [
            storage_class(provisioner=CSI),
            snapshot_class(default=True),
            *BOUND,
            snapshot(),
            cut(),
            claim("new", class_="fast", dataSource=SOURCE),
            delete(SNAPSHOT, "monday"),
        ],
        [
            Remedy(
                "kubectl delete pvc new",
                [Run("kubectl delete pvc new"), wait(600)],
                [gone(SNAPSHOT, "monday")],
            ),
            Remedy(
                "mooring explain pvc new -n default says what that waits for",
                [sees(says("pvc new", "made none yet")), provision("new"), wait(600)],
                [bound("new"), gone(SNAPSHOT, "monday")],
            ),
        ],
    ),
    Situation(
        "A finalizer keeps the snapshot from being deleted",
        "snapshot monday",
        [snapshot(finalizers=["example.com/hold"]), delete(SNAPSHOT, "monday")],
        [
            Remedy(
                "if that is gone for good:",
                [Run("kubectl patch volumesnapshot monday")],
                [gone(SNAPSHOT, "monday")],
            ),
            Remedy(
                "whoever set them, to be done with it",
                [edit(SNAPSHOT, "monday", {"metadata": {"finalizers": None}})],
                [gone(SNAPSHOT, "monday")],
            ),
        ],
    ),
)
