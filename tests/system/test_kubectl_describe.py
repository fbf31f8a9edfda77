"""What kubectl describes: it asks several kinds about one object, and puts the answers together."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mooring.objects.kinds.registry import ALL_KINDS
from tests.system.conftest import Space
from tests.system.hostile_samples import sample, samples
from tests.system.server import claim, eventually, volume

pytestmark = pytest.mark.system


def described(kubectl: Space, *which: str) -> dict[str, str]:
    """{field: its text, lines below it included}."""
    fields: dict[str, str] = {}
    name = ""
    for line in kubectl("describe", *which).splitlines():
        if found := re.match(r"(\S[^:]*):(.*)", line):
            name, text = found[1], found[2].strip()
            fields[name] = text
        elif line.strip():
            fields[name] += "\n" + line.strip()
    return fields


def events(fields: dict[str, str]) -> list[tuple[str, str, str]]:
    """[(type, reason, from)], below the headers of the table."""
    rows = [re.split("  +", line) for line in fields["Events"].strip().splitlines()]
    assert rows[0] == ["Type", "Reason", "Age", "From", "Message"]
    return [(row[0], row[1], row[3]) for row in rows[2:]]


def create(kubectl: Space, *docs: dict[str, Any]) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": list(docs)}
    kubectl("create", "-f", "-", stdin=json.dumps(items))


def user(name: str, claim_name: str) -> dict[str, Any]:
    data = {"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}
    spec = {"containers": [{"name": "main", "image": "example.com/image"}], "volumes": [data]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def test_a_claim_its_users_and_its_events(kubectl: Space) -> None:
    kubectl("create", "-f", "-", stdin=claim("data"))
    create(kubectl, user("one", "data"), user("two", "data"), user("other", "none"))
    eventually(lambda: kubectl.phase("pvc", "data") == "Bound", "it is Bound")
    eventually(lambda: "ProvisioningSucceeded" in kubectl.run("get", "events").stdout, "told")
    fields = described(kubectl, "pvc", "data")
    name = kubectl.get("pvc", "data")["spec"]["volumeName"]
    assert {
        "Name": "data",
        "Namespace": kubectl.name,
        "StorageClass": "local",
        "Status": "Bound",
        "Volume": name,
        "Labels": "<none>",
        "Finalizers": "[kubernetes.io/pvc-protection]",
        "Capacity": "1Gi",
        "Access Modes": "RWO",
        "VolumeMode": "Filesystem",
        "Used By": "one\ntwo",
    }.items() <= fields.items()
    assert "pv.kubernetes.io/bind-completed: yes" in fields["Annotations"]
    assert (
        "volume.kubernetes.io/storage-provisioner: directory.mooring.dev" in (fields["Annotations"])
    )
    told = events(fields)
    assert ("Normal", "ProvisioningSucceeded", "directory.mooring.dev") in told
    assert ("Normal", "ExternalProvisioning", "persistentvolume-controller") in told


def test_a_claim_that_waits_says_why(kubectl: Space) -> None:
    kubectl("create", "-f", "-", stdin=claim("waits", class_="none-such"))
    eventually(lambda: "ProvisioningFailed" in kubectl.run("get", "events").stdout, "it is told")
    fields = described(kubectl, "pvc", "waits")
    assert (fields["Status"], fields["Used By"]) == ("Pending", "<none>")
    assert events(fields) == [("Warning", "ProvisioningFailed", "persistentvolume-controller")]
    assert 'storageclass.storage.k8s.io "none-such" not found' in fields["Events"]


def test_a_provisioned_volume_and_where_it_lies(kubectl: Space) -> None:
    kubectl("create", "-f", "-", stdin=claim("data"))
    eventually(lambda: kubectl.phase("pvc", "data") == "Bound", "it is Bound")
    fields = described(kubectl, "pv", kubectl.get("pvc", "data")["spec"]["volumeName"])
    assert {
        "StorageClass": "local",
        "Status": "Bound",
        "Claim": f"{kubectl.name}/data",
        "Reclaim Policy": "Delete",
        "Access Modes": "RWO",
        "VolumeMode": "Filesystem",
        "Capacity": "1Gi",
    }.items() <= fields.items()
    assert "kubernetes.io/hostname in [here]" in fields["Node Affinity"]
    assert "CSI (a Container Storage Interface (CSI) volume source)" in fields["Source"]
    assert re.search(r"Driver: +directory.mooring.dev", fields["Source"])
    assert "mooring.dev/pool=local" in fields["Source"]


def test_a_volume_that_failed_says_why(kubectl: Space) -> None:
    name = f"{kubectl.name}-v"
    static = volume(name, "1Gi", "/srv/none", "Delete").replace(
        "spec:\n", f"spec:\n  claimRef: {{namespace: {kubectl.name}, name: data}}\n"
    )
    kubectl("create", "-f", "-", stdin=claim("data", class_="") + static)
    eventually(lambda: kubectl.phase("pvc", "data") == "Bound", "it is Bound")
    kubectl("delete", "pvc", "data")
    eventually(lambda: kubectl.phase("pv", name) == "Failed", "nobody deletes such a volume")
    fields = described(kubectl, "pv", name)
    assert (fields["Status"], fields["Claim"]) == ("Failed", f"{kubectl.name}/data")
    assert fields["Message"] != ""
    eventually(lambda: "VolumeFailedDelete" in kubectl("describe", "pv", name), "it is told")
    assert ("Warning", "VolumeFailedDelete", "persistentvolume-controller") in events(
        described(kubectl, "pv", name)
    )


def test_a_class(kubectl: Space) -> None:
    fields = described(kubectl, "sc", "local")
    assert {
        "Name": "local",
        "IsDefaultClass": "Yes",
        "Provisioner": "directory.mooring.dev",
        "Parameters": "pool=local",
        "ReclaimPolicy": "Delete",
        "VolumeBindingMode": "Immediate",
    }.items() <= fields.items()


def test_a_pool(kubectl: Space) -> None:
    text = kubectl("describe", "pool", "local")
    assert re.search(r"Kind: +Pool", text)
    assert re.search(r"Root: +/", text)


def test_a_pod_a_node_and_a_namespace(kubectl: Space) -> None:
    create(kubectl, user("one", "data"))
    assert re.search(r"ClaimName: +data", described(kubectl, "pod", "one")["Volumes"])
    node = described(kubectl, "node", "here")
    assert "kubernetes.io/hostname=here" in node["Labels"]
    assert re.search("Ready +True", node["Conditions"])
    status = described(kubectl, "ns", kubectl.name)["Status"].splitlines()
    assert [line for line in status if line] == [
        "Active",
        "No resource quota.",
        "No LimitRange resource.",
    ]


def test_what_holds_data(kubectl: Space) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=shown")
    kubectl("create", "secret", "generic", "s", "--from-literal=a=hidden")
    assert "shown" in kubectl("describe", "cm", "c")
    secret = kubectl("describe", "secret", "s")
    assert "hidden" not in secret
    assert re.search("a: +6 bytes", secret)


def test_every_kind(kubectl: Space, tmp_path: Path) -> None:
    """As discovery has them: a kind without a sample fails here."""
    of_all, kinds = samples(tmp_path), {kind.resource: kind for kind in ALL_KINDS}
    served = kubectl("api-resources", "--verbs=get", "-o", "name").split()
    if not kubectl.is_old:  # up to 1.33 it asks for those of v1beta1, whatever the server has
        served.remove("volumeattributesclasses.storage.k8s.io")
    name = f"{kubectl.name}-x"
    stored = [kinds[one] for one in served if not kinds[one].stored_as]  # the others are the same
    create(kubectl, *(sample(kind, of_all, name, kubectl.name) for kind in stored))
    told = kubectl("describe", *(f"{resource}/{name}" for resource in served))
    texts = re.split(r"\n\n+(?=Name: )", told)
    assert len(texts) == len(served)
    for resource, text in zip(served, texts, strict=True):
        kind = kinds[resource]
        assert re.match(rf"Name: +{name}\n", text), text
        assert not re.search("<(unknown|nil|error)>|%!|map\\[", text), text
        if kind.namespaced:
            assert re.search(rf"\nNamespace: +{kubectl.name}\n", text), text
        if "." in kind.group and not kind.group.endswith(".k8s.io"):
            assert re.search(rf"\nKind: +{kind.kind}\n", text), text
