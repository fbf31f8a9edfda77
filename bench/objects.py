"""The objects a measurement makes, labelled with what for, so that they are found and removed."""

from typing import Any, Final

import msgspec

NAMESPACE: Final = "bench"
LABEL: Final = "app.kubernetes.io/managed-by"
ROW: Final = "mooring-bench"  # of a row: gone when the row is
OTHERS: Final = "mooring-bench-others"  # only present while rows are measured

NAMESPACES: Final = "/api/v1/namespaces"
VOLUMES: Final = "/api/v1/persistentvolumes"
CLAIMS: Final = f"{NAMESPACES}/{NAMESPACE}/persistentvolumeclaims"
CONFIG_MAPS: Final = f"{NAMESPACES}/{NAMESPACE}/configmaps"


class Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    resource_version: str = ""


class Status(msgspec.Struct):
    phase: str = ""


class Seen(msgspec.Struct):
    """What a measurement looks at in an object."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)
    status: Status = msgspec.field(default_factory=Status)
    message: str = ""  # if the object is a Status


class Event(msgspec.Struct):
    """One line of a watch."""

    type: str
    object: Seen


class ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Listed(msgspec.Struct):
    """One page of a list."""

    metadata: ListMetadata
    items: list[Seen]


def selector(label: str) -> str:
    """The part of a query that asks for objects of one label value."""
    return f"labelSelector={LABEL}%3D{label}"


def namespace() -> bytes:
    return _encoded("v1", "Namespace", NAMESPACE, {})


def config_map(name: str) -> bytes:
    return _encoded("v1", "ConfigMap", name, {"data": {"key": "value"}})


def volume(name: str, size: str = "1Gi", label: str = ROW) -> bytes:
    """A volume of no class that nothing ever touches: its reclaim policy is Retain."""
    spec = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "hostPath": {"path": f"/tmp/mooring-bench/{name}"},
    }
    return _encoded("v1", "PersistentVolume", name, {"spec": spec}, label)


def claim(name: str, size: str = "1Gi") -> bytes:
    """A claim of no class: it takes the smallest volume of no class that is large enough."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "resources": {"requests": {"storage": size}},
    }
    return _encoded("v1", "PersistentVolumeClaim", name, {"spec": spec})


def names(prefix: str, count: int) -> list[str]:
    """Names that sort in the order they were made."""
    return [f"bench-{prefix}-{number:07}" for number in range(count)]


def _encoded(version: str, kind: str, name: str, rest: dict[str, Any], label: str = ROW) -> bytes:
    metadata = {"name": name, "labels": {LABEL: label}}
    return msgspec.json.encode({"apiVersion": version, "kind": kind, "metadata": metadata, **rest})
