"""Volumes: why they are free, reserved, kept or still there."""

from typing import Final

from mooring.model.names import EXTERNAL_PROVISIONER_FINALIZER
from tests.situations.situation import Remedy, Situation
from tests.situations.stage import (
    CSI,
    DIRECTORY,
    Run,
    bound,
    claim,
    delete,
    edit,
    gone,
    pointer,
    pool,
    says,
    sees,
    volume,
    wait,
)

DELETED: Final = {"persistentVolumeReclaimPolicy": "Delete"}
FREED: Final = Remedy(
    "to let any claim have it:", [Run("kubectl patch pv v1")], [says("pv v1", "it is free")]
)
KEPT: Final = Remedy(
    "keep it:",
    [Run("kubectl patch pv v1")],
    [says("pv v1", "its policy Retain keeps its data"), says("pv v1", "give it away")],
)
BY_HAND: Final = Remedy(
    "then kubectl delete pv v1", [Run("kubectl delete pv v1")], [gone("pv", "v1")]
)

VOLUMES: Final = (
    Situation(
        "It is free",
        "pv v1",
        [volume()],
        [
            Remedy(
                'a claim of class "", RWO or fewer, at most 1Gi',
                [claim(size="1Mi")],
                [bound(to="v1")],
            )
        ],
    ),
    Situation(
        "It is reserved for a claim that does not exist",
        "pv v1",
        [volume(claimRef=pointer("web"))],
        [
            Remedy("create claim web in namespace default", [claim("web")], [bound("web", "v1")]),
            FREED._replace(steps=[*FREED.steps, claim()], facts=[bound(to="v1")]),
        ],
    ),
    Situation(
        "It is reserved for a claim that it does not fit",
        "pv v1",
        [volume(claimRef=pointer()), claim(size="2Gi")],
        [
            Remedy("a claim that it fits", [delete("pvc", "db"), claim()], [bound(to="v1")]),
            FREED,
        ],
    ),
    Situation(
        "It is reserved for a claim that names another volume",
        "pv v1",
        [volume(claimRef=pointer()), claim(volumeName="v2")],
        [FREED],
    ),
    Situation(
        "Its claim is gone, and it keeps the data",
        "pv v1",
        [volume(), claim(), delete("pvc", "db")],
        [
            Remedy(
                "to give it away with its data:",
                [Run("kubectl patch pv v1"), claim("new")],
                [bound("new", "v1")],
            )
        ],
    ),
    Situation(
        "Its data could not be deleted",
        "pv v1",
        [volume(**DELETED), claim(), delete("pvc", "db")],
        [BY_HAND, KEPT],
    ),
    Situation(
        "It could not be recycled",
        "pv v1",
        [volume(persistentVolumeReclaimPolicy="Recycle"), claim(), delete("pvc", "db")],
        [BY_HAND, KEPT],
    ),
    Situation(
        "Its data is for the driver of somebody else to delete",
        "pv v1",
        [
            volume(csi={"driver": CSI, "volumeHandle": "h"}, **DELETED),
            claim(),
            delete("pvc", "db"),
        ],
        [
            Remedy("that provisioner at work", [delete("pv", "v1")], [gone("pv", "v1")]),
            KEPT,
        ],
    ),
    Situation(
        "Its pool is gone",
        "pv v1",
        [
            volume(
                csi={
                    "driver": DIRECTORY,
                    "volumeHandle": "pvc-1",
                    "volumeAttributes": {"mooring.dev/pool": "team"},
                },
                **DELETED,
            ),
            claim(),
            delete("pvc", "db"),
        ],
        [Remedy("create pool team again", [pool("team"), wait(600)], [gone("pv", "v1")]), KEPT],
    ),
    Situation(
        "It is being deleted, and its claim has it still",
        "pv v1",
        [volume(), claim(), delete("pv", "v1")],
        [
            Remedy("kubectl delete pvc db", [Run("kubectl delete pvc db")], [gone("pv", "v1")]),
            Remedy(
                "mooring explain pvc db -n default --delete says what becomes of its data then",
                [sees(says("pvc db --delete", "kept")), delete("pvc", "db")],
                [gone("pv", "v1")],
            ),
        ],
    ),
    Situation(
        "It is being deleted, and so is its data",
        "pv v1",
        [
            volume(
                csi={"driver": CSI, "volumeHandle": "h"},
                metadata={"finalizers": [EXTERNAL_PROVISIONER_FINALIZER]},
                **DELETED,
            ),
            claim(),
            delete("pvc", "db"),
            delete("pv", "v1"),
        ],
        [
            Remedy(
                "the end of that",
                [edit("pv", "v1", {"metadata": {"finalizers": None}})],
                [gone("pv", "v1")],
            )
        ],
    ),
    Situation(
        "A finalizer keeps the volume from being deleted",
        "pv v1",
        [volume(metadata={"finalizers": ["example.com/hold"]}), delete("pv", "v1")],
        [
            Remedy("if that is gone for good:", [Run("kubectl patch pv v1")], [gone("pv", "v1")]),
            Remedy(
                "whoever set them, to be done with it",
                [edit("pv", "v1", {"metadata": {"finalizers": None}})],
                [gone("pv", "v1")],
            ),
        ],
    ),
)
