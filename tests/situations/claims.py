"""Claims: why they wait, are lost, stay or are not as they should be."""

from typing import Final

from mooring.objects.kind import Doc
from tests.situations.situation import Remedy, Situation
from tests.situations.stage import (
    CSI,
    Fact,
    Run,
    Step,
    agent,
    ask,
    bound,
    claim,
    cut,
    delete,
    edit,
    gone,
    node,
    pod,
    pointer,
    pool,
    provision,
    put,
    refused,
    says,
    size,
    snapshot,
    snapshot_class,
    storage_class,
    volume,
    wait,
)

BY_HAND: Final = "kubernetes.io/no-provisioner"
SELECTED: Final = "volume.kubernetes.io/selected-node"
MAX_WASTE: Final = "mooring.dev/max-waste"
TEAM: Final = {"parameters": {"pool": "team"}}
LOCAL: Final = {"parameters": {"pool": "local"}}
SSD: Final = {"matchLabels": {"disk": "ssd"}}

MONDAY: Final = {
    "apiGroup": "snapshot.storage.k8s.io",
    "kind": "VolumeSnapshot",
    "name": "monday",
}

ANEW: Final = (delete("pvc", "db"), claim(class_="local"))
OF_LOCAL: Final = Remedy("a new claim of class local", ANEW, [bound()])
OTHER_SOURCE: Final = Remedy("a new claim with another source or none", ANEW, [bound()])
ASKED: Final = 'a volume of class "", RWO, 1Gi or more'
OF_FAST: Final = "a volume of class fast, RWO, 1Gi or more"
FAST_VOLUME: Final = Remedy(OF_FAST, [volume("new", class_="fast")], [bound(to="new")])


def grow(to: str) -> Step:
    return edit("pvc", "db", {"spec": {"resources": {"requests": {"storage": to}}}})


def attributes_class(name: str) -> Step:
    doc = {"metadata": {"name": name}, "driverName": CSI, "parameters": {"iops": name}}
    return put("volumeattributesclass", doc)


def name_attributes(name: str) -> Step:
    return edit("pvc", "db", {"spec": {"volumeAttributesClassName": name}})


def resizer(name: str, state: str = "", failed: str = "") -> Step:
    """What the resizer of csi.example.com says: how far it is, or that it has done it."""
    error = {"type": "ModifyVolumeError", "status": "True", "message": failed}
    status: Doc = {"conditions": [error] if failed else None, "modifyVolumeStatus": None}
    if state:
        modify = {"targetVolumeAttributesClassName": name, "status": state}
        return edit("pvc", "db", {"status": status | {"modifyVolumeStatus": modify}}, "status")
    done = status | {"currentVolumeAttributesClassName": name}
    return edit("pvc", "db", {"status": done}, "status")


def attributes(name: str) -> Fact:
    """That nothing is said of a change of them any longer."""
    return Fact(
        f"db is of VolumeAttributesClass {name}",
        lambda stage: "VolumeAttributesClass" not in stage.explained("pvc db"),
    )


GOLDEN: Final = (
    volume(csi={"driver": CSI, "volumeHandle": "h"}),
    claim(),
    name_attributes("gold"),
)

WAITING: Final = (
    Situation(
        "No class, and no default class",
        "pvc db",
        [claim(class_=None)],
        [
            Remedy(ASKED, [volume()], [bound(to="v1")]),
            Remedy("to give it class local:", [Run("kubectl patch pvc db")], [bound()]),
        ],
    ),
    Situation(
        "The empty class, and no volume",
        "pvc db",
        [claim()],
        [Remedy(ASKED, [volume()], [bound(to="v1")]), OF_LOCAL],
    ),
    Situation(
        "A class that does not exist",
        "pvc db",
        [claim(class_="fast")],
        [
            Remedy("create StorageClass fast", [storage_class(**LOCAL)], [bound()]),
            FAST_VOLUME,
        ],
    ),
    Situation(
        "A class that makes no volumes",
        "pvc db",
        [storage_class(provisioner=BY_HAND), claim(class_="fast")],
        [FAST_VOLUME],
    ),
    Situation(
        "A class of a provisioner that does nothing",
        "pvc db",
        [storage_class(provisioner=CSI), claim(class_="fast")],
        [
            Remedy("see that this provisioner runs", [provision()], [bound()]),
            FAST_VOLUME,
        ],
    ),
    Situation(
        "A volume that is too small",
        "pvc db",
        [volume(), claim(size="5Gi")],
        [
            Remedy("RWO, 5Gi or more", [volume("new", size="5Gi")], [bound(to="new")]),
            Remedy(
                "a new claim of class local",
                [delete("pvc", "db"), claim(size="5Gi", class_="local")],
                [bound()],
            ),
        ],
    ),
    Situation(
        "A volume without the access mode",
        "pvc db",
        [volume(), claim(modes="RWX")],
        [
            Remedy("RWX, 1Gi or more", [volume("new", modes="RWX")], [bound(to="new")]),
            Remedy(
                "a new claim of class local",
                [delete("pvc", "db"), claim(modes="RWX", class_="local")],
                [bound()],
            ),
        ],
    ),
    Situation(
        "A volume that the selector does not choose",
        "pvc db",
        [volume(metadata={"labels": {"disk": "hdd"}}), claim(selector=SSD)],
        [
            Remedy(
                f"{ASKED}, with the labels it selects",
                [volume("new", metadata={"labels": {"disk": "ssd"}})],
                [bound(to="new")],
            ),
            Remedy("a new claim of class local without spec.selector", ANEW, [bound()]),
        ],
    ),
    Situation(
        "A volume of another volumeMode",
        "pvc db",
        [volume(), claim(volumeMode="Block")],
        [
            Remedy(
                f"{ASKED}, volumeMode Block",
                [volume("new", volumeMode="Block")],
                [bound(to="new")],
            ),
            Remedy("a new claim of class local without volumeMode Block", ANEW, [bound()]),
        ],
    ),
    Situation(
        "A volume of another attributes class",
        "pvc db",
        [volume(), claim(volumeAttributesClassName="gold")],
        [
            Remedy(
                f"{ASKED}, attributes class gold",
                [
                    volume(
                        "new",
                        csi={"driver": CSI, "volumeHandle": "new"},
                        volumeAttributesClassName="gold",
                    )
                ],
                [bound(to="new")],
            ),
            Remedy(
                "a new claim of class local without spec.volumeAttributesClassName",
                ANEW,
                [bound()],
            ),
        ],
    ),
    Situation(
        "A volume of another class",
        "pvc db",
        [volume(class_="slow"), claim()],
        [Remedy(ASKED, [volume("new")], [bound(to="new")]), OF_LOCAL],
    ),
    Situation(
        "A volume that is reserved for another claim",
        "pvc db",
        [volume(claimRef=pointer("web")), claim()],
        [Remedy(ASKED, [volume("new")], [bound(to="new")]), OF_LOCAL],
    ),
    Situation(
        "A volume that an earlier claim of this name left",
        "pvc db",
        [volume(), claim(), delete("pvc", "db"), claim()],
        [
            Remedy(ASKED, [volume("new")], [bound(to="new")]),
            Remedy(
                "to have what the earlier claim left:",
                [Run("kubectl patch pv v1")],
                [bound(to="v1")],
            ),
            OF_LOCAL,
        ],
    ),
    Situation(
        "A volume that is being deleted",
        "pvc db",
        [volume(metadata={"finalizers": ["example.com/hold"]}), delete("pv", "v1"), claim()],
        [Remedy(ASKED, [volume("new")], [bound(to="new")]), OF_LOCAL],
    ),
    Situation(
        "Volumes that are too large for the limit of waste of the namespace",
        "pvc db",
        [
            edit("ns", "default", {"metadata": {"annotations": {MAX_WASTE: "4"}}}),
            volume("huge", size="1Ti"),
            claim(),
        ],
        [
            Remedy("RWO, 1Gi to 4Gi", [volume("new", size="4Gi")], [bound(to="new")]),
            Remedy("to have huge nevertheless:", [Run("kubectl patch pvc db")], [bound(to="huge")]),
            OF_LOCAL,
        ],
    ),
    Situation(
        "Volumes that are too large for the limit of waste of the class",
        "pvc db",
        [
            storage_class(provisioner=BY_HAND, parameters={MAX_WASTE: "1.5"}),
            volume("huge", size="1Ti", class_="fast"),
            claim(class_="fast"),
        ],
        [
            Remedy("RWO, 1Gi to 1536Mi", [volume("new", class_="fast")], [bound(to="new")]),
            Remedy("to have huge nevertheless:", [Run("kubectl patch pvc db")], [bound(to="huge")]),
        ],
    ),
    Situation(
        "No consumer yet",
        "pvc db",
        [storage_class(waits=True, **LOCAL), claim(class_="fast")],
        [Remedy("a pod that uses it", [pod("web", "db")], [bound()])],
    ),
    Situation(
        "A consumer without a node",
        "pvc db",
        [
            storage_class(waits=True, **LOCAL),
            claim(class_="fast"),
            edit("node", "here", {"spec": {"unschedulable": True}}),
            pod("web", "db"),
        ],
        [
            Remedy(
                "mooring explain pod web -n default says why it has none",
                [ask("pod web"), Run("kubectl uncordon here")],
                [bound()],
            ),
        ],
    ),
    Situation(
        "A consumer that came with a node",
        "pvc db",
        [
            storage_class(waits=True, **LOCAL),
            claim(class_="fast"),
            pod("web", "db", nodeName="here"),
        ],
        [
            Remedy(
                "kubectl annotate pvc db -n default volume.kubernetes.io/selected-node=here",
                [Run("kubectl annotate pvc db")],
                [bound()],
            )
        ],
    ),
    Situation(
        "The node of the consumer cannot give it",
        "pvc db",
        [
            storage_class(waits=True, **LOCAL),
            claim(class_="fast", metadata={"annotations": {SELECTED: "there"}}),
            pod("web", "db"),
        ],
        [
            Remedy("to have a node chosen anew:", [Run("kubectl annotate pvc db")], [bound()]),
        ],
    ),
    Situation(
        "The host of the pool has no agent",
        "pvc db",
        [
            pool("far", node="there"),
            storage_class(parameters={"pool": "far"}),
            claim(class_="fast"),
        ],
        [
            Remedy("the agent of there at work", [agent("there")], [bound()]),
            OF_LOCAL,
            FAST_VOLUME,
        ],
    ),
    Situation(
        "The host of the pool is not Ready",
        "pvc db",
        [
            node("there", ready=False),
            pool("far", node="there"),
            storage_class(parameters={"pool": "far"}),
            claim(class_="fast"),
        ],
        [
            Remedy("the agent of there at work", [agent("there")], [bound()]),
            OF_LOCAL,
            FAST_VOLUME,
        ],
    ),
    Situation(
        "The pool is full",
        "pvc db",
        [
            pool(capacity="1Gi"),
            storage_class(**TEAM),
            claim("web", class_="fast"),
            claim(class_="fast"),
        ],
        [
            Remedy("fewer other claims", [delete("pvc", "web")], [bound()]),
            Remedy(
                "kubectl edit pool team, to raise spec.capacity",
                [edit("pool", "team", {"spec": {"capacity": "2Gi"}})],
                [bound()],
            ),
            OF_LOCAL,
            FAST_VOLUME,
        ],
    ),
    Situation(
        "A claim that is too large for what the pool has left",
        "pvc db",
        [
            pool(capacity="3Gi"),
            storage_class(**TEAM),
            claim("web", class_="fast"),
            claim(class_="fast", size="5Gi"),
        ],
        [
            Remedy(
                "a claim of at most 2Gi",
                [delete("pvc", "db"), claim(class_="fast", size="2Gi")],
                [bound()],
            ),
            Remedy(
                "a new claim of class local",
                [delete("pvc", "db"), claim(class_="local", size="5Gi")],
                [bound()],
            ),
            Remedy(
                "a volume of class fast, RWO, 5Gi or more",
                [volume(class_="fast", size="5Gi")],
                [bound(to="v1")],
            ),
        ],
    ),
    Situation(
        "The namespace has used up its quota of the pool",
        "pvc db",
        [
            pool(namespaces=[{"name": "default", "quota": "1Gi"}]),
            storage_class(**TEAM),
            claim("web", class_="fast"),
            claim(class_="fast"),
        ],
        [
            Remedy("fewer other claims", [delete("pvc", "web")], [bound()]),
            Remedy(
                "kubectl edit pool team, to raise the quota in spec.namespaces",
                [
                    edit(
                        "pool",
                        "team",
                        {"spec": {"namespaces": [{"name": "default", "quota": "2Gi"}]}},
                    )
                ],
                [bound()],
            ),
            OF_LOCAL,
            FAST_VOLUME,
        ],
    ),
    Situation(
        "The pool is not granted to the namespace",
        "pvc db",
        [pool(namespaces=[{"name": "team"}]), storage_class(**TEAM), claim(class_="fast")],
        [
            Remedy(
                "kubectl edit pool team, to name default in spec.namespaces",
                [edit("pool", "team", {"spec": {"namespaces": [{"name": "default"}]}})],
                [bound()],
            ),
            OF_LOCAL,
            FAST_VOLUME,
        ],
    ),
    Situation(
        "The pool is being deleted",
        "pvc db",
        [
            pool(),
            storage_class(**TEAM),
            claim("web", class_="fast"),
            delete("pool", "team"),
            claim(class_="fast"),
        ],
        [OF_LOCAL, FAST_VOLUME],
    ),
    Situation(
        "The pool of the class does not exist",
        "pvc db",
        [storage_class(**TEAM), claim(class_="fast")],
        [
            Remedy("create Pool team of driver directory.mooring.dev", [pool()], [bound()]),
            OF_LOCAL,
            FAST_VOLUME,
        ],
    ),
    Situation(
        "The pool of the class is of another driver",
        "pvc db",
        [pool(), storage_class(provisioner="btrfs.mooring.dev", **TEAM), claim(class_="fast")],
        [
            Remedy(
                "a class whose provisioner is directory.mooring.dev",
                [delete("sc", "fast"), storage_class(**TEAM)],
                [bound()],
            ),
            OF_LOCAL,
            FAST_VOLUME,
        ],
    ),
    Situation(
        "The class names no pool, and there are several",
        "pvc db",
        [pool(), storage_class(), claim(class_="fast")],
        [
            Remedy(
                "a class with parameter pool, such as pool: local",
                [delete("sc", "fast"), storage_class(**LOCAL)],
                [bound()],
            ),
            OF_LOCAL,
            FAST_VOLUME,
        ],
    ),
    Situation(
        "There is no pool of the driver of the class",
        "pvc db",
        [delete("pool", "local"), storage_class(), claim(class_="fast")],
        [Remedy("create a Pool of driver directory.mooring.dev", [pool()], [bound()]), FAST_VOLUME],
    ),
    Situation(
        "A selector, where volumes are made",
        "pvc db",
        [claim(class_="local", selector=SSD)],
        [
            Remedy("a new claim of class local without spec.selector", ANEW, [bound()]),
            Remedy(
                "a volume of class local, RWO, 1Gi or more, with the labels it selects",
                [volume(class_="local", metadata={"labels": {"disk": "ssd"}})],
                [bound(to="v1")],
            ),
        ],
    ),
    Situation(
        "A Block volume of a driver that makes none",
        "pvc db",
        [claim(class_="local", volumeMode="Block")],
        [
            Remedy("a new claim of class local without volumeMode Block", ANEW, [bound()]),
            Remedy(
                "a volume of class local, RWO, 1Gi or more, volumeMode Block",
                [volume(class_="local", volumeMode="Block")],
                [bound(to="v1")],
            ),
        ],
    ),
    Situation(
        "A VolumeAttributesClass that does not exist",
        "pvc db",
        [claim(class_="local", volumeAttributesClassName="gold")],
        [
            Remedy("a new claim without spec.volumeAttributesClassName", ANEW, [bound()]),
            Remedy(
                "create VolumeAttributesClass gold, if directory.mooring.dev offers attributes",
                [attributes_class("gold"), wait(30)],
                [says("pvc db", "VolumeAttributesClass gold is of csi.example.com")],
            ),
        ],
    ),
    Situation(
        "A source that nobody registered",
        "pvc db",
        [
            claim(
                class_="local",
                dataSourceRef={"apiGroup": "example.com", "kind": "Archive", "name": "a"},
            )
        ],
        [
            Remedy("a new claim with another source or none", ANEW, [bound()]),
            Remedy(
                "a volume of class local, RWO, 1Gi or more", [volume(class_="local")], [bound()]
            ),
        ],
    ),
    # That a source comes is tried with real snapshots, in tests/system/test_snapshots.py.
    Situation(
        "A snapshot that is not ready",
        "pvc db",
        [
            snapshot_class(default=True),
            volume(csi={"driver": CSI, "volumeHandle": "h"}),
            claim("source"),
            snapshot(of="source"),
            claim(class_="local", dataSource=MONDAY),
        ],
        [
            Remedy(
                "mooring explain snapshot monday -n default says what that waits for",
                [ask("snapshot monday"), cut(), wait(30)],
                [says("pvc db", "snapshot default/monday is of csi.example.com")],
            ),
            OTHER_SOURCE,
        ],
    ),
    Situation(
        "A snapshot that does not exist",
        "pvc db",
        [claim(class_="local", dataSource=MONDAY)],
        [
            Remedy(
                "create VolumeSnapshot monday in namespace default",
                [claim("source", class_="local"), snapshot(of="source"), wait(30)],
                [says("pvc db", "mooring explain snapshot monday -n default")],
            ),
            OTHER_SOURCE,
        ],
    ),
    Situation(
        "A source claim that is not bound",
        "pvc db",
        [
            claim("source"),
            claim(class_="local", dataSource={"kind": "PersistentVolumeClaim", "name": "source"}),
        ],
        [
            Remedy(
                "mooring explain pvc source -n default says what that waits for",
                [ask("pvc source"), volume(), wait(30)],
                [bound("source"), says("pvc db", "source claim default/source is of no driver")],
            ),
            OTHER_SOURCE,
        ],
    ),
    Situation(
        "A volume that it names, and that does not exist",
        "pvc db",
        [claim(volumeName="v1")],
        [
            Remedy("create volume v1", [volume()], [bound(to="v1")]),
            Remedy(
                "a new claim without spec.volumeName",
                [delete("pvc", "db"), volume("other"), claim()],
                [bound(to="other")],
            ),
        ],
    ),
    Situation(
        "A volume that it names, and that is reserved for another",
        "pvc db",
        [volume(claimRef=pointer("web")), claim(volumeName="v1")],
        [
            Remedy("to give it to this claim:", [Run("kubectl patch pv v1")], [bound(to="v1")]),
            Remedy(
                "a new claim that names a free volume, or none",
                [delete("pvc", "db"), volume("free"), claim(volumeName="free")],
                [bound(to="free")],
            ),
        ],
    ),
    Situation(
        "A volume that it names, and that another has",
        "pvc db",
        [volume(), claim("web"), claim(volumeName="v1")],
        [
            Remedy(
                "a new claim that names a free volume, or none",
                [delete("pvc", "db"), volume("free"), claim()],
                [bound(to="free")],
            )
        ],
    ),
    Situation(
        "A volume that it names, and that does not fit",
        "pvc db",
        [volume(class_="slow"), claim(volumeName="v1", size="2Gi")],
        [
            Remedy(
                "a new claim that it fits",
                [delete("pvc", "db"), claim(class_="slow", volumeName="v1")],
                [bound(to="v1")],
            )
        ],
    ),
)

HELD: Final = (
    Situation(
        "A pod keeps it from being deleted",
        "pvc db",
        [volume(), claim(), pod("web", "db", nodeName="here"), delete("pvc", "db")],
        [Remedy("kubectl delete pod web", [Run("kubectl delete pod web")], [gone("pvc", "db")])],
    ),
    Situation(
        "A pod that has ended keeps it from being deleted",
        "pvc db",
        [
            volume(),
            claim(),
            pod("job", "db", nodeName="here"),
            edit("pod", "job", {"status": {"phase": "Succeeded"}}, "status"),
            delete("pvc", "db"),
        ],
        [Remedy("kubectl delete pod job", [Run("kubectl delete pod job")], [gone("pvc", "db")])],
    ),
    Situation(
        "A container keeps it from being deleted",
        "pvc db",
        [
            volume(),
            claim(),
            pod(
                "docker-here-web",
                "db",
                metadata={
                    "labels": {"mooring.dev/mirror": "docker"},
                    "annotations": {"mooring.dev/container-name": "web"},
                },
                nodeName="here",
            ),
            delete("pvc", "db"),
        ],
        [
            # The agent removes the mirror of a container that is gone.
            Remedy(
                "on here: docker rm -f web", [delete("pod", "docker-here-web")], [gone("pvc", "db")]
            )
        ],
    ),
    Situation(
        "A snapshot that is being cut keeps it from being deleted",
        "pvc db",
        [
            snapshot_class(default=True),
            volume(csi={"driver": CSI, "volumeHandle": "h"}),
            claim(),
            snapshot(),
            delete("pvc", "db"),
        ],
        [Remedy("the end of that", [cut()], [gone("pvc", "db")])],
    ),
    Situation(
        "A claim that is to be filled from it keeps it from being deleted",
        "pvc db",
        [
            claim(class_="local"),
            claim(
                "new", class_="local", dataSource={"kind": "PersistentVolumeClaim", "name": "db"}
            ),
            delete("pvc", "db"),
        ],
        [Remedy("the end of that", [delete("pvc", "new")], [gone("pvc", "db")])],
    ),
    Situation(
        "A finalizer keeps it from being deleted",
        "pvc db",
        [volume(), claim(metadata={"finalizers": ["example.com/hold"]}), delete("pvc", "db")],
        [
            Remedy("if that is gone for good:", [Run("kubectl patch pvc db")], [gone("pvc", "db")]),
            Remedy(
                "whoever set them, to be done with it",
                [edit("pvc", "db", {"metadata": {"finalizers": None}})],
                [gone("pvc", "db")],
            ),
        ],
    ),
    Situation(
        "Its volume is gone",
        "pvc db",
        [
            volume(),
            claim(),
            delete("pv", "v1"),
            edit("pv", "v1", {"metadata": {"finalizers": None}}),
        ],
        [
            Remedy("create volume v1 again", [volume()], [bound(to="v1")]),
            Remedy(
                "otherwise kubectl delete pvc db",
                [Run("kubectl delete pvc db")],
                [gone("pvc", "db")],
            ),
        ],
    ),
    Situation(
        "Its volume was given to another claim",
        "pvc db",
        [
            volume(),
            claim(),
            edit("pv", "v1", {"spec": {"claimRef": {"name": "web", "uid": None}}}),
            claim("web"),
        ],
        [Remedy("kubectl delete pvc db", [Run("kubectl delete pvc db")], [gone("pvc", "db")])],
    ),
    Situation(
        "Its volume points at a claim that is gone",
        "pvc db",
        [volume(), claim(), edit("pv", "v1", {"spec": {"claimRef": {"name": "web", "uid": "u"}}})],
        [
            Remedy("to have it back:", [Run("kubectl patch pv v1")], [bound(to="v1")]),
            Remedy(
                "otherwise kubectl delete pvc db",
                [Run("kubectl delete pvc db")],
                [gone("pvc", "db")],
            ),
        ],
    ),
    Situation(
        "Its volume is reserved for another claim, which cannot take it",
        "pvc db",
        [
            volume(),
            claim(),
            edit("pv", "v1", {"spec": {"claimRef": {"name": "web", "uid": None}}}),
            claim("web", size="5Gi"),
        ],
        [
            Remedy("to have it back:", [Run("kubectl patch pv v1")], [bound(to="v1")]),
            Remedy(
                "otherwise kubectl delete pvc db",
                [Run("kubectl delete pvc db")],
                [gone("pvc", "db")],
            ),
        ],
    ),
    Situation(
        "Its volume is only reserved for it",
        "pvc db",
        [volume(), claim(), edit("pv", "v1", {"spec": {"claimRef": {"uid": None}}})],
        [
            Remedy("to have it back:", [Run("kubectl patch pv v1")], [bound(to="v1")]),
            Remedy(
                "otherwise kubectl delete pvc db",
                [Run("kubectl delete pvc db")],
                [gone("pvc", "db")],
            ),
        ],
    ),
    Situation(
        "It has far more than it asked for",
        "pvc db",
        [volume("huge", size="1Ti"), claim()],
        [
            Remedy(
                "a claim of class local: it gets a volume of its own size",
                [claim("fitting", class_="local")],
                [bound("fitting"), size("fitting", "1Gi")],
            )
        ],
    ),
    Situation(
        "Its class does not let it grow",
        "pvc db",
        [pool(), storage_class(**TEAM), claim(class_="fast"), refused(grow("5Gi"))],
        [
            Remedy(
                "to let it grow:", [Run("kubectl patch sc fast"), grow("5Gi")], [size("db", "5Gi")]
            )
        ],
    ),
    Situation(
        "It is to grow, and its pool has no room",
        "pvc db",
        [
            pool(capacity="2Gi"),
            storage_class(allowVolumeExpansion=True, **TEAM),
            claim(class_="fast"),
            grow("5Gi"),
        ],
        [
            Remedy("ask for less, but more than 1Gi", [grow("2Gi")], [size("db", "2Gi")]),
            Remedy(
                "kubectl edit pool team, to raise spec.capacity",
                [edit("pool", "team", {"spec": {"capacity": "5Gi"}})],
                [size("db", "5Gi")],
            ),
        ],
    ),
    Situation(
        "It is to grow, and its namespace has no quota left",
        "pvc db",
        [
            pool(namespaces=[{"name": "default", "quota": "2Gi"}]),
            storage_class(allowVolumeExpansion=True, **TEAM),
            claim(class_="fast"),
            grow("5Gi"),
        ],
        [
            Remedy("ask for less, but more than 1Gi", [grow("2Gi")], [size("db", "2Gi")]),
            Remedy(
                "kubectl edit pool team, to raise the quota in spec.namespaces",
                [edit("pool", "team", {"spec": {"namespaces": [{"name": "default"}]}})],
                [size("db", "5Gi")],
            ),
        ],
    ),
    Situation(
        "It is to grow, and nobody grows such volumes",
        "pvc db",
        [
            storage_class(provisioner=BY_HAND, allowVolumeExpansion=True),
            volume(class_="fast"),
            claim(class_="fast"),
            grow("5Gi"),
        ],
        [
            Remedy(
                "a new claim of that size, and its data copied",
                [
                    volume("large", size="5Gi", class_="fast"),
                    claim("larger", size="5Gi", class_="fast"),
                ],
                [bound("larger", to="large"), size("larger", "5Gi")],
            )
        ],
    ),
    Situation(
        "It is to be of a VolumeAttributesClass that does not exist",
        "pvc db",
        [*GOLDEN, resizer("gold", "Pending")],
        [
            Remedy(
                "create VolumeAttributesClass gold",
                [attributes_class("gold"), resizer("gold")],
                [attributes("gold")],
            ),
            Remedy(
                "name another",
                [attributes_class("silver"), name_attributes("silver"), resizer("silver")],
                [attributes("silver")],
            ),
        ],
    ),
    Situation(
        "It cannot be of its VolumeAttributesClass",
        "pvc db",
        [attributes_class("gold"), *GOLDEN, resizer("gold", "Infeasible", "iops: too many")],
        [
            Remedy(
                "name another VolumeAttributesClass",
                [attributes_class("silver"), name_attributes("silver"), resizer("silver")],
                [attributes("silver")],
            ),
        ],
    ),
)
