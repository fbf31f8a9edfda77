"""An object of every served kind with many of its fields: to be read and written, or spoiled."""

from pathlib import Path
from typing import Any

from mooring.objects.kind import Kind

Doc = dict[str, Any]

DIRECTORY = "directory.mooring.dev"
SNAPSHOTS = "snapshot.storage.k8s.io"
STORAGE = {"storage": "64Mi"}
REFERENCE = {
    "kind": "PersistentVolumeClaim",
    "apiVersion": "v1",
    "namespace": "default",
    "name": "hostile-1",
}
LABELS = {"app": "hostile", "tier": "back"}
SELECTOR = {
    "matchLabels": {"app": "hostile"},
    "matchExpressions": [{"key": "tier", "operator": "In", "values": ["back", "front"]}],
}
TERMS = {
    "nodeSelectorTerms": [
        {
            "matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["here"]}
            ]
        }
    ]
}
WHEN = "2025-11-25T12:30:45Z"


def samples(place: Path) -> dict[str, Doc]:
    """All but kind, apiVersion and metadata, by resource. place: where pools may have roots."""
    return {
        "namespaces": {"spec": {"finalizers": ["kubernetes"]}},
        "pods": _pod(),
        "nodes": {
            "spec": {"podCIDR": "10.0.0.0/24", "taints": [{"key": "a", "effect": "NoSchedule"}]}
        },
        "events": _event() | {"message": "it went well", "source": {"component": "hostile"}},
        "secrets": {"type": "Opaque", "data": {"key": "dmFsdWU="}, "stringData": {"text": "täxt"}},
        "configmaps": {"data": {"key": "value", "täxt": "☃"}, "binaryData": {"raw": "AP8="}},
        "persistentvolumes": _volume(),
        "persistentvolumeclaims": _claim(),
        "events.events.k8s.io": _new_event(),
        "leases.coordination.k8s.io": {
            "spec": {
                "holderIdentity": "me",
                "leaseDurationSeconds": 15,
                "acquireTime": "2025-11-25T12:30:45.123456Z",
                "leaseTransitions": 3,
            }
        },
        **_storage(),
        **_limits(),
        **_snapshots(),
        **_populators(),
        **_backups(place),
        "pools.mooring.dev": {
            "spec": {
                "driver": "directory.mooring.dev",
                "node": "here",
                "root": str(place / "hostile-pool"),
                "capacity": "10Gi",
                "namespaces": [{"name": "default", "quota": "1Gi"}],
                "directory": {"mode": "0755", "uid": 0, "gid": 0},
                "loopfile": {"fsType": "xfs", "allocate": False},
                "btrfs": {"mode": "0755", "uid": 0, "gid": 0, "quotas": "full"},
            }
        },
    }


def _storage() -> dict[str, Doc]:
    return {
        "storageclasses.storage.k8s.io": {
            "provisioner": "hostile.example.com",
            "parameters": {"pool": "local", "täxt": "x"},
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": True,
            "mountOptions": ["ro"],
        },
        "volumeattachments.storage.k8s.io": {
            "spec": {
                "attacher": "hostile.example.com",
                "nodeName": "here",
                "source": {"persistentVolumeName": "hostile-1"},
            },
            "status": {"attached": True, "attachmentMetadata": {"a": "b"}},
        },
        "csidrivers.storage.k8s.io": {
            "spec": {
                "attachRequired": False,
                "podInfoOnMount": True,
                "volumeLifecycleModes": ["Persistent"],
                "tokenRequests": [{"audience": "a", "expirationSeconds": 3600}],
            }
        },
        "csinodes.storage.k8s.io": {
            "spec": {
                "drivers": [
                    {
                        "name": "hostile.example.com",
                        "nodeID": "here",
                        "topologyKeys": ["kubernetes.io/hostname"],
                        "allocatable": {"count": 8},
                    }
                ]
            }
        },
        "csistoragecapacities.storage.k8s.io": {
            "storageClassName": "hostile-1",
            "capacity": "10Gi",
            "maximumVolumeSize": "1Gi",
            "nodeTopology": {"matchLabels": {"kubernetes.io/hostname": "here"}},
        },
    }


def _limits() -> dict[str, Doc]:
    return {
        "resourcequotas": {
            "spec": {
                "hard": {"requests.storage": "10Gi", "persistentvolumeclaims": "40"},
                "scopeSelector": {
                    "matchExpressions": [
                        {
                            "scopeName": "VolumeAttributesClass",
                            "operator": "NotIn",
                            "values": ["hostile-1"],
                        }
                    ]
                },
            },
            "status": {"hard": {"requests.storage": "10Gi"}, "used": {"requests.storage": "1"}},
        },
        "limitranges": {
            "spec": {
                "limits": [
                    {
                        "type": "PersistentVolumeClaim",
                        "min": {"storage": "1Mi"},
                        "max": {"storage": "1Ti"},
                    }
                ]
            }
        },
        "volumeattributesclasses.storage.k8s.io": {
            "driverName": "hostile.example.com",
            "parameters": {"iops": "100", "täxt": "x"},
        },
    }


def _snapshots() -> dict[str, Doc]:
    error = {"time": WHEN, "message": "it went wrong"}
    return {
        f"volumesnapshotclasses.{SNAPSHOTS}": {
            "driver": "hostile.example.com",
            "deletionPolicy": "Retain",
            "parameters": {"a": "b"},
        },
        f"volumesnapshots.{SNAPSHOTS}": {
            "spec": {
                "source": {"persistentVolumeClaimName": "hostile-1"},
                "volumeSnapshotClassName": "hostile-1",
            },
            "status": {"readyToUse": False, "restoreSize": "1Gi", "error": error},
        },
        f"volumesnapshotcontents.{SNAPSHOTS}": {
            "spec": {
                "driver": "hostile.example.com",
                "deletionPolicy": "Retain",
                "volumeSnapshotRef": {"name": "hostile-1", "namespace": "default"},
                "source": {"snapshotHandle": "local/hostile"},
                "sourceVolumeMode": "Filesystem",
            },
            "status": {"creationTime": 1, "restoreSize": 2, "readyToUse": False, "error": error},
        },
    }


def _populators() -> dict[str, Doc]:
    source = {"group": "hostile.example.com", "kind": "Hostile"}
    return {"volumepopulators.populator.storage.k8s.io": {"sourceKind": source}}


def _backups(place: Path) -> dict[str, Doc]:
    source = {"persistentVolumeClaimName": "hostile-1"}
    return {
        "backuprepositories.mooring.dev": {
            "spec": {
                "url": str(place / "hostile-backups"),
                "node": "elsewhere",
                "passwordSecret": {"name": "hostile-1", "key": "key"},
            }
        },
        "volumebackups.mooring.dev": {
            "spec": {"source": source, "repository": "hostile-1", "tags": ["a"]},
            "status": {"phase": "Pending", "progress": {"percent": 1}},
        },
        "volumearchives.mooring.dev": {"spec": {"tar": "/srv/hostile.tar", "node": "elsewhere"}},
        "snapshotschedules.mooring.dev": {
            "spec": {
                "schedule": "0 3 1 1 *",
                "timeZone": "Europe/Berlin",
                "claimSelector": SELECTOR,
                "keep": {"hourly": 2, "daily": 3},
                "suspend": True,
            }
        },
    }


def lively(place: Path) -> dict[str, list[Doc]]:
    """By resource, what to lay over a sample so that controllers and the agent have work."""
    bound = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": dict(STORAGE)}}
    grown = {**bound, "resources": {"requests": {"storage": "96Mi"}}}
    pool = {"driver": DIRECTORY, "node": "here", "root": str(place / "hostile-pool")}
    class_: Doc = {"provisioner": DIRECTORY, "parameters": {"pool": "hostile-1"}}
    return {
        "persistentvolumeclaims": [
            {"spec": {**bound, "storageClassName": "local"}},
            {"spec": {**bound, "storageClassName": "hostile-1"}},
            {"spec": {**grown, "storageClassName": "hostile-1"}},
            {"spec": bound},
            {"spec": {**bound, "volumeName": "hostile-1", "storageClassName": ""}},
            {"spec": {**bound, "volumeAttributesClassName": "hostile-1"}},
            {"spec": {**bound, "dataSource": {"kind": REFERENCE["kind"], "name": "hostile-2"}}},
            {
                "spec": {
                    **bound,
                    "dataSource": {
                        "apiGroup": SNAPSHOTS,
                        "kind": "VolumeSnapshot",
                        "name": "hostile-1",
                    },
                }
            },
        ],
        "persistentvolumes": [
            {"spec": {**_volume()["spec"], "claimRef": None, "storageClassName": "hostile-1"}},
            {"spec": {**_volume()["spec"], "persistentVolumeReclaimPolicy": "Delete"}},
        ],
        "pods": [
            {"spec": {**_pod()["spec"], "nodeName": None}, "status": {}},
            {"spec": {**_pod()["spec"], "nodeName": None, "schedulingGates": [{"name": "a"}]}},
        ],
        "storageclasses.storage.k8s.io": [
            {**class_, "volumeBindingMode": "Immediate", "allowVolumeExpansion": True},
            {**class_, "volumeBindingMode": "WaitForFirstConsumer"},
            {**class_, "parameters": {}, "reclaimPolicy": "Retain"},
        ],
        "pools.mooring.dev": [{"spec": pool}, {"spec": {**pool, "capacity": "200Mi"}}],
        "resourcequotas": [
            {"spec": {"hard": {"persistentvolumeclaims": "2"}}, "status": {}},
            {"spec": {"hard": {"requests.storage": "100Mi"}}, "status": {}},
        ],
        "volumeattributesclasses.storage.k8s.io": [{"driverName": DIRECTORY, "parameters": {}}],
        **_lively_snapshots(),
    }


def _lively_snapshots() -> dict[str, list[Doc]]:
    source = {"persistentVolumeClaimName": "hostile-2"}
    return {
        f"volumesnapshotclasses.{SNAPSHOTS}": [{"driver": DIRECTORY, "deletionPolicy": "Delete"}],
        f"volumesnapshots.{SNAPSHOTS}": [
            {"spec": {"source": source}, "status": {}},
            {"spec": {"source": {"volumeSnapshotContentName": "hostile-1"}}, "status": {}},
        ],
        f"volumesnapshotcontents.{SNAPSHOTS}": [
            {
                "spec": {
                    "driver": DIRECTORY,
                    "deletionPolicy": "Delete",
                    "volumeSnapshotRef": {"name": "hostile-1", "namespace": "default"},
                    "source": {"volumeHandle": "hostile-1"},
                },
                "status": {},
            }
        ],
    }


def sample(kind: Kind, of_all: dict[str, Doc], name: str, namespace: str) -> Doc:
    """A whole object, nothing shared with the samples but values that are never changed."""
    metadata: Doc = {"name": name, "labels": dict(LABELS), "annotations": {"example.com/a": "b"}}
    if kind.namespaced:
        metadata["namespace"] = namespace
    named: Doc = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    doc = named | of_all[kind.resource]
    for field in ("involvedObject", "regarding"):
        if field in doc:
            doc[field] = {**doc[field], "namespace": namespace}
    return doc


def _pod() -> Doc:
    return {
        "spec": {
            "nodeName": "here",
            "containers": [
                {
                    "name": "main",
                    "image": "example.com/image:1",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "env": [{"name": "A", "value": "b"}],
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "hostile-1"}},
                {"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": _claim()["spec"]}}},
            ],
            "tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 5}],
        },
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {
                    "name": "main",
                    "image": "example.com/image:1",
                    "imageID": "example.com/image@sha256:1",
                    "ready": True,
                    "restartCount": 0,
                }
            ],
        },
    }


def _event() -> Doc:
    return {
        "reason": "Tested",
        "type": "Normal",
        "action": "Test",
        "reportingComponent": "hostile",
        "reportingInstance": "hostile-0",
        "involvedObject": REFERENCE,
        "firstTimestamp": WHEN,
        "lastTimestamp": WHEN,
        "count": 3,
        "eventTime": None,
    }


def _new_event() -> Doc:
    return {
        "reason": "Tested",
        "type": "Normal",
        "action": "Test",
        "note": "it went well",
        "reportingController": "hostile",
        "reportingInstance": "hostile-0",
        "regarding": REFERENCE,
        "eventTime": "2025-11-25T12:30:45.123456Z",
        "series": {"count": 2, "lastObservedTime": "2025-11-25T12:30:45.123456Z"},
    }


def _volume() -> Doc:
    return {
        "spec": {
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
            "capacity": dict(STORAGE),
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "volumeMode": "Filesystem",
            "mountOptions": ["ro"],
            "claimRef": REFERENCE,
            "csi": {
                "driver": "directory.mooring.dev",
                "volumeHandle": "hostile-1",
                "volumeAttributes": {"mooring.dev/pool": "local"},
                "fsType": "ext4",
                "readOnly": False,
            },
            "nodeAffinity": {"required": TERMS},
        },
        "status": {"phase": "Available", "message": "", "reason": ""},
    }


def _claim() -> Doc:
    return {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": dict(STORAGE), "limits": {"storage": "1Gi"}},
            "storageClassName": "",
            "volumeMode": "Filesystem",
            "selector": SELECTOR,
        },
        "status": {
            "phase": "Pending",
            "capacity": dict(STORAGE),
            "conditions": [{"type": "Resizing", "status": "True", "lastTransitionTime": WHEN}],
        },
    }
