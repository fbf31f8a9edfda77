"""What kubectl prints, cell by cell. Storage semantics §17; other kinds as Kubernetes 1.34."""

import json
import re
from typing import Any

import pytest

from tests.system.conftest import Space
from tests.system.server import claim, eventually, volume

pytestmark = pytest.mark.system

AGE = "<age>"  # in place of an age of seconds
SECONDS = re.compile(r"\d+s")


def cells(text: str) -> list[list[str]]:
    """Of a table, line by line, headers first; ages are replaced by AGE."""
    head, *lines = text.rstrip("\n").split("\n")
    starts = [found.start() for found in re.finditer(r"(?:^|(?<=   ))\S", head)]
    ends = [*starts[1:], None]
    rows = [
        [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]
        for line in [head, *lines]
    ]
    return [[AGE if SECONDS.fullmatch(cell) else cell for cell in row] for row in rows]


def shown(kubectl: Space, *arguments: str) -> dict[str, list[str]]:
    """{"": headers, first cell: the row}."""
    headers, *rows = cells(kubectl("get", *arguments))
    return {"": headers} | {row[0]: row for row in rows}


def create(kubectl: Space, *docs: dict[str, Any]) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": list(docs)}
    kubectl("create", "-f", "-", stdin=json.dumps(items))


def named(name: str, **metadata: Any) -> dict[str, Any]:
    return {"name": name, **metadata}


PV = ["NAME", "CAPACITY", "ACCESS MODES", "RECLAIM POLICY", "STATUS", "CLAIM", "STORAGECLASS",
      "VOLUMEATTRIBUTESCLASS", "REASON", "AGE"]  # fmt: skip
PVC = ["NAME", "STATUS", "VOLUME", "CAPACITY", "ACCESS MODES", "STORAGECLASS",
       "VOLUMEATTRIBUTESCLASS", "AGE"]  # fmt: skip


@pytest.mark.rule("17.1", "17.2", "17.3", "17.5", "17.7", "17.16")
def test_volumes(kubectl: Space) -> None:
    free, kept = f"{kubectl.name}-free", f"{kubectl.name}-kept"
    spec = {
        "capacity": {"storage": "2048Mi"},
        "accessModes": ["ReadWriteMany", "ReadOnlyMany", "ReadWriteOnce"],
        "hostPath": {"path": "/srv/free"},
        "storageClassName": "slow",
        "persistentVolumeReclaimPolicy": "Delete",
        "volumeMode": "Block",
    }
    reference = {"kind": "PersistentVolumeClaim", "namespace": "elsewhere", "name": "db"}
    for name, more in ((free, {}), (kept, {"claimRef": reference})):
        create(
            kubectl,
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name},
                "spec": {**spec, **more},
            },
        )
    eventually(lambda: kubectl.phase("pv", kept) == "Available", "it is reserved")
    table = shown(kubectl, "pv", free, kept, "-o", "wide")
    assert table[""] == [*PV, "VOLUMEMODE"]
    modes = "RWO,ROX,RWX"
    assert table[free][:9] == [free, "2Gi", modes, "Delete", "Available", "", "slow", "<unset>", ""]
    assert table[free][9:] == [AGE, "Block"]
    assert table[kept][4:7] == ["Available", "elsewhere/db", "slow"]
    assert shown(kubectl, "pv", free)[""] == PV


@pytest.mark.rule("17.8", "17.9", "17.10", "17.16")
def test_claims(kubectl: Space) -> None:
    late = volume(f"{kubectl.name}-late", "3Gi", "/srv/late")
    kubectl("create", "-f", "-", stdin=claim("free", class_="none") + claim("fits", class_=""))
    prebound = claim("named", class_="").replace("spec:\n", "spec:\n  volumeName: none-such\n")
    kubectl("create", "-f", "-", stdin=prebound)
    table = shown(kubectl, "pvc", "-o", "wide")
    assert table[""] == [*PVC, "VOLUMEMODE"]
    assert table["free"] == ["free", "Pending", "", "", "", "none", "<unset>", AGE, "Filesystem"]
    # Neither capacity nor modes are known yet, and yet Kubernetes prints a 0.
    assert table["named"][1:6] == ["Pending", "none-such", "0", "", ""]

    named_for_it = late.replace(
        "spec:\n", f"spec:\n  claimRef: {{namespace: {kubectl.name}, name: fits}}\n"
    )
    kubectl("create", "-f", "-", stdin=named_for_it)
    eventually(lambda: kubectl.phase("pvc", "fits") == "Bound", "fits is Bound")
    bound = ["fits", "Bound", f"{kubectl.name}-late", "3Gi", "RWO", "", "<unset>", AGE]
    assert shown(kubectl, "pvc", "fits") == {"": PVC, "fits": bound}


@pytest.mark.rule("8.6", "17.4")
def test_what_is_being_deleted_is_terminating(kubectl: Space) -> None:
    held = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": named(f"{kubectl.name}-held", finalizers=["example.com/hold"]),
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "held",
            "hostPath": {"path": "/srv/held"},
        },
    }
    create(kubectl, held)
    kubectl("create", "-f", "-", stdin=claim("held", class_="none"))
    kubectl("patch", "pvc", "held", "-p", '{"metadata":{"finalizers":["example.com/hold"]}}')
    name = held["metadata"]["name"]
    kubectl("delete", f"pv/{name}", "pvc/held", "--wait=false")
    assert shown(kubectl, "pv", name)[name][4] == "Terminating"
    assert shown(kubectl, "pvc")["held"][1] == "Terminating"
    for which in (f"pv/{name}", "pvc/held"):
        kubectl("patch", which, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        eventually(lambda which=which: kubectl.run("get", which).returncode != 0, "it is gone")


@pytest.mark.rule("17.11", "17.12")
def test_classes(kubectl: Space) -> None:
    name = f"{kubectl.name}-class"
    create(
        kubectl,
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": named(name),
            "provisioner": "example.com/none",
            "reclaimPolicy": "Retain",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": True,
        },
    )
    table = shown(kubectl, "sc")
    assert table[""] == ["NAME", "PROVISIONER", "RECLAIMPOLICY", "VOLUMEBINDINGMODE",
                         "ALLOWVOLUMEEXPANSION", "AGE"]  # fmt: skip
    assert table[name] == [
        name, "example.com/none", "Retain", "WaitForFirstConsumer", "true", AGE
    ]  # fmt: skip
    default = table["local (default)"]
    assert default[1:5] == ["directory.mooring.dev", "Delete", "Immediate", "true"]


def test_pods(kubectl: Space) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": named("user"),
        "spec": {"nodeName": "here", "containers": [{"name": "a", "image": "b"}]},
    }
    create(kubectl, pod)
    table = shown(kubectl, "pods", "-o", "wide")
    assert table == {
        "": ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE",
             "READINESS GATES"],
        "user": ["user", "0/1", "Pending", "0", AGE, "<none>", "here", "<none>", "<none>"],
    }  # fmt: skip
    assert len(shown(kubectl, "pods")["user"]) == 5


def test_nodes(kubectl: Space) -> None:
    name = f"{kubectl.name}-node"
    labels = {"node-role.kubernetes.io/storage": "", "node-role.kubernetes.io/backup": ""}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": named(name, labels=labels)}
    create(kubectl, node)
    kubectl("cordon", name)
    table = shown(kubectl, "nodes", "-o", "wide")
    assert table[""] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP", "EXTERNAL-IP",
                         "OS-IMAGE", "KERNEL-VERSION", "CONTAINER-RUNTIME"]  # fmt: skip
    assert table[name] == [name, "Unknown,SchedulingDisabled", "backup,storage", AGE, "",
                           "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"]  # fmt: skip
    assert table["here"][1] == "Ready"


def test_events(kubectl: Space) -> None:
    kubectl("create", "-f", "-", stdin=claim("waits", class_=""))
    eventually(lambda: "FailedBinding" in kubectl.run("get", "events").stdout, "it is told")
    headers, row = cells(kubectl("get", "events", "-o", "wide"))
    assert headers == ["LAST SEEN", "TYPE", "REASON", "OBJECT", "SUBOBJECT", "SOURCE", "MESSAGE",
                       "FIRST SEEN", "COUNT", "NAME"]  # fmt: skip
    why = "no persistent volumes available for this claim and no storage class is set"
    assert row[:-2] == [AGE, "Normal", "FailedBinding", "persistentvolumeclaim/waits", "",
                        "persistentvolume-controller", why, AGE]  # fmt: skip
    assert row[-1].startswith("waits.")
    assert cells(kubectl("get", "events"))[0] == [*headers[:4], "MESSAGE"]


@pytest.mark.parametrize(
    ("doc", "headers", "row"),
    [
        (
            {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1", "b": "2"}},
            ["DATA", "AGE"],
            ["2", AGE],
        ),
        (
            {"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "1"}},
            ["TYPE", "DATA", "AGE"],
            ["Opaque", "1", AGE],
        ),
        (
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "spec": {"holderIdentity": "me"},
            },
            ["HOLDER", "AGE"],
            ["me", AGE],
        ),
        ({"apiVersion": "v1", "kind": "Namespace"}, ["STATUS", "AGE"], ["Active", AGE]),
        (
            {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "spec": {}},
            ["ATTACHREQUIRED", "PODINFOONMOUNT", "STORAGECAPACITY", "TOKENREQUESTS",
             "REQUIRESREPUBLISH", "MODES", "AGE"],
            ["true", "false", "false", "<unset>", "false", "Persistent", AGE],
        ),
        (
            {
                "apiVersion": "populator.storage.k8s.io/v1beta1",
                "kind": "VolumePopulator",
                "sourceKind": {"kind": "Hello", "group": "hello.example.com"},
            },
            ["SOURCEKIND"],
            ['{"group":"hello.example.com","kind":"Hello"}'],
        ),
        (
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "VolumeAttachment",
                "spec": {
                    "attacher": "a",
                    "nodeName": "n",
                    "source": {"persistentVolumeName": "v"},
                },
            },
            ["ATTACHER", "PV", "NODE", "ATTACHED", "AGE"],
            ["a", "v", "n", "false", AGE],
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_other_kinds(
    kubectl: Space, doc: dict[str, Any], headers: list[str], row: list[str]
) -> None:
    name = f"{kubectl.name}-it"
    create(kubectl, {**doc, "metadata": named(name)})
    table = shown(kubectl, doc["kind"], name)
    assert table == {"": ["NAME", *headers], name: [name, *row]}


def test_several_kinds_are_printed_below_each_other(kubectl: Space) -> None:
    name = f"{kubectl.name}-v"
    kubectl("create", "-f", "-", stdin=claim("c", class_="none") + volume(name, "1Gi", "/srv/v"))
    claims, volumes = kubectl("get", "pvc,pv").split("\n\n")
    assert cells(claims)[1][0] == "persistentvolumeclaim/c"
    assert f"persistentvolume/{name}" in [row[0] for row in cells(volumes)]
    everywhere = cells(kubectl("get", "pvc", "-A"))
    assert everywhere[0] == ["NAMESPACE", *PVC]
    assert [kubectl.name, "c"] in [row[:2] for row in everywhere]
    labelled = cells(kubectl("get", "ns", kubectl.name, "--show-labels"))
    assert labelled[1][-1] == f"kubernetes.io/metadata.name={kubectl.name}"
    column = cells(kubectl("get", "ns", kubectl.name, "-L", "kubernetes.io/metadata.name"))
    assert column[1][-1] == kubectl.name
    assert kubectl("get", "pvc", "--no-headers").split()[:2] == ["c", "Pending"]
