"""Schemas made by hand, as Kubernetes declares these fields, for tests of merging."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class HandNode:
    """A schema of one value."""

    fields: Mapping[str, "HandNode"] = field(default_factory=dict)
    items: "HandNode | None" = None
    values: "HandNode | None" = None
    patch_strategy: str = ""
    patch_key: str = ""
    list_type: str = "atomic"
    list_keys: tuple[str, ...] = ()
    map_type: str = "granular"


LEAF = HandNode()


def struct(*leaves: str, **fields: HandNode) -> HandNode:
    """An object with fields of plain values and others."""
    return HandNode(fields={**dict.fromkeys(leaves, LEAF), **fields})


def atom(*leaves: str) -> HandNode:
    """An object that has one owner as a whole."""
    return HandNode(fields=dict.fromkeys(leaves, LEAF), map_type="atomic")


def map_of(values: HandNode = LEAF, *, atomic: bool = False) -> HandNode:
    """Free names."""
    return HandNode(values=values, map_type="atomic" if atomic else "granular")


def list_of(items: HandNode = LEAF) -> HandNode:
    """A list that is replaced as a whole."""
    return HandNode(items=items)


def set_of() -> HandNode:
    """A merged list of plain values."""
    return HandNode(items=LEAF, patch_strategy="merge", list_type="set")


def keyed(items: HandNode, *keys: str, patch_key: str = "", strategy: str = "merge") -> HandNode:
    """A merged list of objects."""
    return HandNode(
        items=items,
        patch_strategy=strategy,
        patch_key=patch_key or keys[0],
        list_type="map",
        list_keys=keys,
    )


METADATA = struct(
    *("name", "namespace", "uid", "generateName", "resourceVersion", "creationTimestamp"),
    *("deletionTimestamp", "generation"),
    labels=map_of(),
    annotations=map_of(),
    finalizers=set_of(),
    ownerReferences=keyed(atom("apiVersion", "kind", "name", "uid", "controller"), "uid"),
)
REFERENCE = atom("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion")
TERM = HandNode(fields={"matchExpressions": list_of(struct("key", "operator"))}, map_type="atomic")
SELECTOR = HandNode(
    fields={"matchLabels": map_of(), "matchExpressions": list_of(struct("key", "operator"))},
    map_type="atomic",
)
AFFINITY = struct(required=HandNode(fields={"nodeSelectorTerms": list_of(TERM)}, map_type="atomic"))
RESOURCES = struct(requests=map_of(), limits=map_of())
CONDITIONS = keyed(struct("type", "status", "message", "reason", "lastTransitionTime"), "type")

CLAIM = struct(
    *("apiVersion", "kind"),
    metadata=METADATA,
    spec=struct(
        *("storageClassName", "volumeName", "volumeMode"),
        accessModes=list_of(),
        resources=RESOURCES,
        selector=SELECTOR,
    ),
    status=struct("phase", accessModes=list_of(), capacity=map_of(), conditions=CONDITIONS),
)
VOLUME = struct(
    *("apiVersion", "kind"),
    metadata=METADATA,
    spec=struct(
        *("persistentVolumeReclaimPolicy", "storageClassName", "volumeMode"),
        accessModes=list_of(),
        capacity=map_of(),
        claimRef=REFERENCE,
        csi=struct("driver", "volumeHandle", "fsType", "readOnly", volumeAttributes=map_of()),
        hostPath=struct("path", "type"),
        local=struct("path", "fsType"),
        mountOptions=list_of(),
        nodeAffinity=AFFINITY,
    ),
    status=struct("phase", "message", "reason", "lastPhaseTransitionTime"),
)
CONTAINER = struct(
    *("name", "image"),
    args=list_of(),
    env=keyed(struct("name", "value"), "name"),
    ports=keyed(
        struct("containerPort", "name", "protocol"),
        *("containerPort", "protocol"),
        patch_key="containerPort",
    ),
    volumeMounts=keyed(struct("name", "mountPath"), "mountPath"),
    resources=RESOURCES,
)
SOURCES = struct(
    "name",
    persistentVolumeClaim=struct("claimName"),
    emptyDir=struct("medium"),
    hostPath=struct("path"),
    configMap=struct("name", items=list_of(struct("key", "path"))),
)
POD = struct(
    *("apiVersion", "kind"),
    metadata=METADATA,
    spec=struct(
        "nodeName",
        tolerations=list_of(struct("key", "operator")),
        volumes=keyed(SOURCES, "name", strategy="merge,retainKeys"),
        containers=keyed(CONTAINER, "name"),
    ),
    status=struct("phase", conditions=CONDITIONS),
)
DEPLOYMENT = struct(
    *("apiVersion", "kind"),
    metadata=METADATA,
    spec=struct(
        selector=SELECTOR,
        strategy=HandNode(
            fields={"type": LEAF, "rollingUpdate": struct("maxSurge")}, patch_strategy="retainKeys"
        ),
    ),
)
KINDS = {
    "PersistentVolumeClaim": CLAIM,
    "PersistentVolume": VOLUME,
    "Pod": POD,
    "Deployment": DEPLOYMENT,
}
