"""Each verb of kubectl, as people use it. Applying, explaining and schemas have their own files."""

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.system.conftest import Space
from tests.system.server import claim, eventually, volume

pytestmark = pytest.mark.system

NO_FINALIZERS = '{"metadata":{"finalizers":null}}'


def a_list(*docs: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(docs)})


def config(name: str, data: str = "1", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": {"a": data},
    }


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "example.com/image"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }


def user_of(claim_name: str) -> dict[str, Any]:
    reference = {"persistentVolumeClaim": {"claimName": claim_name}}
    return pod("user", nodeName="here", volumes=[{"name": "data", **reference}])


def sed(tmp_path: Path, expression: str) -> str:
    """An editor that does this to the file, and puts what it was given beside it, for a look."""
    editor = tmp_path / "editor"
    seen = tmp_path / "seen"
    editor.write_text(f'#!/bin/sh\ncat "$1" >> {seen}\nsed -i \'{expression}\' "$1"\n')
    editor.chmod(stat.S_IRWXU)
    return str(editor)


def test_a_list_is_created_listed_and_deleted(kubectl: Space, tmp_path: Path) -> None:
    made = tmp_path / "list.json"
    made.write_text(a_list(config("one"), config("two"), pod("three")))
    created = "configmap/one created\nconfigmap/two created\npod/three created\n"
    assert kubectl("create", "-f", str(made)) == created
    again = kubectl.refused("create", "-f", str(made))
    assert again.count("(AlreadyExists)") == 3
    names = "configmap/one\nconfigmap/two\npod/three\n"
    assert kubectl("get", "-f", str(made), "-o", "name") == names
    assert kubectl("get", "all", "-o", "name") == "pod/three\n"
    deleted = 'configmap "one" deleted\nconfigmap "two" deleted\npod "three" deleted\n'
    assert kubectl("delete", "-f", str(made)) == deleted
    assert "No resources found" in kubectl.run("get", "cm,pods").stderr


def test_objects_are_printed_in_every_form(kubectl: Space) -> None:
    kubectl("create", "-f", "-", stdin=a_list(config("one", "1"), config("two", "2")))
    one = yaml.safe_load(kubectl("get", "cm", "one", "-o", "yaml"))
    assert (one["kind"], one["apiVersion"], one["data"]) == ("ConfigMap", "v1", {"a": "1"})
    both = yaml.safe_load(kubectl("get", "cm", "-o", "yaml"))
    assert [item["metadata"]["name"] for item in both["items"]] == ["one", "two"]
    assert kubectl("get", "cm", "-o", "jsonpath={.items[*].data.a}") == "1 2"
    assert kubectl("get", "cm", "-o", "name") == "configmap/one\nconfigmap/two\n"
    template = "{{range .items}}{{.metadata.name}}={{.data.a}};{{end}}"
    assert kubectl("get", "cm", "-o", f"go-template={template}") == "one=1;two=2;"
    columns = kubectl("get", "cm", "-o", "custom-columns=N:.metadata.name,A:.data.a")
    assert columns.split() == ["N", "A", "one", "1", "two", "2"]
    assert kubectl("get", "cm", "--server-print=false").split()[:3] == ["NAME", "AGE", "one"]
    assert kubectl("get", "cm", "--chunk-size=1", "-o", "name").count("\n") == 2


def test_objects_are_chosen_and_sorted(kubectl: Space) -> None:
    labels = [{"tier": "db", "size": "s"}, {"tier": "db"}, {"tier": "web"}, {}]
    docs = [config(f"c{n}", str(9 - n), labels=one) for n, one in enumerate(labels)]
    kubectl("create", "-f", "-", stdin=a_list(*docs, pod("p0", nodeName="here"), pod("p1")))

    def chosen(kind: str, *arguments: str) -> list[str]:
        return kubectl("get", kind, *arguments, "-o", "jsonpath={.items[*].metadata.name}").split()

    for selector, names in {
        "tier=db": "c0 c1",
        "tier==db,size": "c0",
        "tier!=db": "c2 c3",
        "tier in (web,db),!size": "c1 c2",
        "tier notin (db)": "c2 c3",
        "!tier": "c3",
    }.items():
        assert chosen("cm", "-l", selector) == names.split(), selector
    assert chosen("cm", "--field-selector", "metadata.name=c2") == ["c2"]
    assert chosen("pods", "--field-selector", "spec.nodeName=here") == ["p0"]
    assert chosen("pods", "--field-selector", "status.phase!=Pending") == []
    assert chosen("cm", "--sort-by=.data.a") == ["c3", "c2", "c1", "c0"]
    named = kubectl("get", "cm", "--sort-by=.data.a").split()
    assert named[3::3] == ["c3", "c2", "c1", "c0"]
    refusal = kubectl.refused("get", "pvc", "--field-selector", "spec.volumeName=x")
    assert "field label not supported: spec.volumeName" in refusal
    assert kubectl("delete", "cm", "-l", "tier=db") == (
        'configmap "c0" deleted\nconfigmap "c1" deleted\n'
    )
    assert kubectl("delete", "pods,cm", "--all").count("deleted") == 4


def lines_of(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return process.stdout


def test_a_watch_shows_what_happens(kubectl: Space) -> None:
    kubectl("create", "-f", "-", stdin=a_list(config("watched")))
    watching = kubectl.background("get", "cm", "-w", "--output-watch-events")
    try:
        lines = lines_of(watching)
        assert next(lines).split() == ["EVENT", "NAME", "DATA", "AGE"]
        assert next(lines).split()[:3] == ["ADDED", "watched", "1"]
        kubectl("patch", "cm", "watched", "-p", '{"data":{"b":"2"}}')
        assert next(lines).split()[:3] == ["MODIFIED", "watched", "2"]
        kubectl("create", "configmap", "late")
        assert next(lines).split()[:3] == ["ADDED", "late", "0"]
        kubectl("delete", "cm", "watched")
        assert next(lines).split()[:3] == ["DELETED", "watched", "2"]
    finally:
        watching.kill()
        watching.wait()


def test_a_watch_of_one_object_follows_a_claim_until_it_is_bound(kubectl: Space) -> None:
    kubectl("create", "-f", "-", stdin=claim("data", class_="none"))
    watching = kubectl.background(
        "get", "pvc", "data", "-w", "-o", "jsonpath={.status.phase}{'\\n'}"
    )
    try:
        lines = lines_of(watching)
        assert next(lines) == "Pending\n"
        claimed = volume(f"{kubectl.name}-v", "1Gi", "/srv/v").replace(
            "spec:\n",
            "spec:\n  storageClassName: none\n"
            f"  claimRef: {{namespace: {kubectl.name}, name: data}}\n",
        )
        kubectl("create", "-f", "-", stdin=claimed)
        assert "Bound\n" in lines
    finally:
        watching.kill()
        watching.wait()


def test_waiting_for_a_condition_a_field_and_an_end(kubectl: Space) -> None:
    assert kubectl("wait", "--for=condition=Ready", "node/here") == "node/here condition met\n"
    kubectl("create", "-f", "-", stdin=claim("data"))
    if not kubectl.is_old:  # it came with 1.23
        met = kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/data", "--timeout=20s")
        assert met == "persistentvolumeclaim/data condition met\n"
        name = kubectl.get("pvc", "data")["spec"]["volumeName"]
        path = f"jsonpath={{.spec.claimRef.namespace}}={kubectl.name}"
        assert kubectl("wait", f"--for={path}", "pv", name) == (
            f"persistentvolume/{name} condition met\n"
        )
    late = kubectl.refused("wait", "--for=condition=Never", "pvc/data", "--timeout=1s")
    assert "timed out waiting for the condition on persistentvolumeclaims/data" in late
    waiting = kubectl.background("wait", "--for=delete", "pvc/data", "--timeout=50s")
    kubectl("delete", "pvc", "data")
    assert waiting.wait(55) in (0, 1)  # 1: it began when all was over


def test_what_has_finalizers_stays_until_they_are_gone(kubectl: Space) -> None:
    kubectl("create", "-f", "-", stdin=a_list(config("held", finalizers=["example.com/hold"])))
    late = kubectl.refused("delete", "cm", "held", "--timeout=1s")
    assert "timed out waiting for the condition" in late
    assert kubectl.get("cm", "held")["metadata"]["deletionTimestamp"]
    deleting = kubectl.background("delete", "cm", "held")
    kubectl("patch", "cm", "held", "--type=merge", "-p", NO_FINALIZERS)
    assert deleting.wait(30) in (0, 1)  # 1: it began when all was over
    assert "(NotFound)" in kubectl.refused("get", "cm", "held")
    assert kubectl("delete", "cm", "held", "--ignore-not-found") == ""


def test_a_claim_that_a_pod_uses_is_deleted_after_the_pod(kubectl: Space) -> None:
    text = claim("data", class_="none") + "---\n" + json.dumps(user_of("data"))
    kubectl("create", "-f", "-", stdin=text)
    kubectl("delete", "pvc", "data", "--wait=false")
    assert kubectl("get", "pvc", "data", "--no-headers").split()[1] == "Terminating"
    deleting = kubectl.background("delete", "pvc", "data")
    eventually(lambda: kubectl.run("delete", "pod", "user").returncode == 0, "the pod is gone")
    assert deleting.wait(30) in (0, 1)
    eventually(lambda: "(NotFound)" in kubectl.run("get", "pvc", "data").stderr, "so is the claim")


@pytest.mark.parametrize("way", ["--now", "--force --grace-period=0", "--cascade=foreground"])
def test_an_object_is_deleted_in_every_way(kubectl: Space, way: str) -> None:
    kubectl("create", "-f", "-", stdin=a_list(pod("user")))
    assert 'pod "user"' in kubectl.run("delete", "pod", "user", *way.split()).stdout
    assert "(NotFound)" in kubectl.refused("get", "pod", "user")


def test_what_is_owned_goes_or_stays_as_cascade_says(kubectl: Space) -> None:
    for cascade in ("background", "foreground", "orphan"):
        kubectl("create", "configmap", f"{cascade}-owner")
        uid = kubectl.get("cm", f"{cascade}-owner")["metadata"]["uid"]
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": f"{cascade}-owner", "uid": uid}
        owned = config(cascade, ownerReferences=[{**owner, "blockOwnerDeletion": True}])
        kubectl("create", "-f", "-", stdin=a_list(owned))
        kubectl("delete", "cm", f"{cascade}-owner", f"--cascade={cascade}")
        assert "(NotFound)" in kubectl.refused("get", "cm", f"{cascade}-owner")
    assert "(NotFound)" in kubectl.refused("get", "cm", "foreground")
    assert "ownerReferences" not in kubectl.get("cm", "orphan")["metadata"]
    gone = ("get", "cm", "background")
    eventually(lambda: "(NotFound)" in kubectl.run(*gone).stderr, "it went after its owner")
    assert kubectl.get("cm", "orphan")["data"] == {"a": "1"}


def test_a_namespace_goes_with_what_is_in_it(kubectl: Space) -> None:
    name = f"{kubectl.name}-x"
    kubectl("create", "namespace", name)
    kubectl.run("-n", name, "create", "-f", "-", stdin=a_list(config("one"), pod("two")))
    assert kubectl("delete", "ns", name) == f'namespace "{name}" deleted\n'
    assert "No resources found" in kubectl.run("-n", name, "get", "cm,pods").stderr
    refusal = kubectl.refused("-n", name, "create", "configmap", "late")
    assert f'namespaces "{name}" not found' in refusal
    for kept in ("default", "kube-system"):
        told = f'namespaces "{kept}" is forbidden: this namespace may not be deleted'
        assert told in kubectl.refused("delete", "ns", kept)


def test_replacing_takes_the_whole_object_and_notices_that_it_changed(
    kubectl: Space, tmp_path: Path
) -> None:
    kubectl("create", "-f", "-", stdin=a_list(config("one", "1", labels={"x": "1"})))
    old = kubectl("get", "cm", "one", "-o", "json")
    assert kubectl("replace", "-f", "-", stdin=json.dumps(config("one", "2"))) == (
        "configmap/one replaced\n"
    )
    current = kubectl.get("cm", "one")
    assert (current["data"], current["metadata"].get("labels")) == ({"a": "2"}, None)
    assert "(Conflict)" in kubectl.refused("replace", "-f", "-", stdin=old)
    file = tmp_path / "one.json"
    file.write_text(json.dumps(config("one", "3")))
    forced = kubectl("replace", "--force", "-f", str(file))
    assert forced == 'configmap "one" deleted\nconfigmap/one replaced\n'
    again = kubectl.get("cm", "one")
    assert again["metadata"]["uid"] != current["metadata"]["uid"]


def test_a_claim_is_edited_and_a_wrong_edit_is_given_back(kubectl: Space, tmp_path: Path) -> None:
    kubectl("create", "-f", "-", stdin=claim("data", class_="none"))
    label = sed(tmp_path, "s/^  name: data/  labels: {edited: yes-it-is}\\n  name: data/")
    done = kubectl.run("edit", "pvc", "data", editor=label)
    assert (done.returncode, done.stdout) == (0, "persistentvolumeclaim/data edited\n"), done.stderr
    assert kubectl.get("pvc", "data")["metadata"]["labels"] == {"edited": "yes-it-is"}
    nothing = kubectl.run("edit", "pvc", "data", editor="true")
    assert "Edit cancelled, no changes made" in nothing.stdout + nothing.stderr
    (tmp_path / "seen").unlink()
    wrong = sed(tmp_path, "s/storageClassName: none/storageClassName: other/")
    assert kubectl.run("edit", "pvc", "data", editor=wrong).returncode == 1
    told = '# persistentvolumeclaims "data" was not valid:'
    assert told in (tmp_path / "seen").read_text()
    assert "spec is immutable after creation" in (tmp_path / "seen").read_text()
    assert kubectl.get("pvc", "data")["spec"]["storageClassName"] == "none"


def test_a_claim_is_patched_in_every_form(kubectl: Space) -> None:
    kubectl("create", "-f", "-", stdin=claim("data", class_="none"))

    def patch(form: str, text: str) -> str:
        return kubectl("patch", "pvc", "data", f"--type={form}", "-p", text)

    patched = "persistentvolumeclaim/data patched\n"
    assert patch("json", '[{"op":"add","path":"/metadata/labels","value":{"j":"1"}}]') == patched
    assert patch("merge", '{"metadata":{"labels":{"m":"1"}}}') == patched
    assert patch("strategic", '{"metadata":{"labels":{"s":"1"}}}') == patched
    assert kubectl.get("pvc", "data")["metadata"]["labels"] == {"j": "1", "m": "1", "s": "1"}
    same = patch("merge", '{"metadata":{"labels":{"m":"1"}}}')
    assert same == "persistentvolumeclaim/data patched (no change)\n"
    # Finalizers are merged by strategic patches and replaced by the others.
    patch("strategic", '{"metadata":{"finalizers":["example.com/b"]}}')
    finalizers = kubectl.get("pvc", "data")["metadata"]["finalizers"]
    assert sorted(finalizers) == ["example.com/b", "kubernetes.io/pvc-protection"]
    patch("merge", '{"metadata":{"finalizers":["kubernetes.io/pvc-protection"]}}')

    def refused(form: str, text: str) -> str:
        return kubectl.refused("patch", "pvc", "data", f"--type={form}", "-p", text)

    assert "spec is immutable" in refused("merge", '{"spec":{"storageClassName":"other"}}')
    invalid = "The request is invalid"
    assert invalid in refused("json", '[{"op":"test","path":"/metadata/name","value":"x"}]')
    assert invalid in refused("json", '[{"op":"remove","path":"/metadata/none"}]')
    assert "(BadRequest)" in refused("merge", '{"metadata":[]}')


def test_labels_and_annotations_are_set_changed_and_removed(kubectl: Space) -> None:
    kubectl("create", "-f", "-", stdin=a_list(config("one"), config("two")))
    for verb, field in (("label", "labels"), ("annotate", "annotations")):
        kubectl(verb, "cm", "one", "x=1", "y=1")
        assert "--overwrite is false" in kubectl.refused(verb, "cm", "one", "x=2")
        kubectl(verb, "cm", "one", "--overwrite", "x=2", "y-")
        assert kubectl.get("cm", "one")["metadata"][field] == {"x": "2"}
        kubectl(verb, "cm", "--all", "z=1")
        assert kubectl.get("cm", "two")["metadata"][field] == {"z": "1"}
    kubectl("label", "cm", "-l", "x=2", "chosen=yes")
    assert kubectl("get", "cm", "-l", "chosen", "-o", "name") == "configmap/one\n"
    assert "a valid label must be" in kubectl.refused("label", "cm", "one", "x=not valid")


def test_the_server_says_what_it_is_and_has(kubectl: Space) -> None:
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert "v1.34.0+mooring" in kubectl.run("version").stdout
    info = kubectl("cluster-info")
    assert "Kubernetes control plane" in info
    assert f"https://127.0.0.1:{kubectl.server.port}" in info
    versions = kubectl("api-versions").split()
    assert versions == sorted(versions)
    assert {"v1", "storage.k8s.io/v1", "events.k8s.io/v1", "mooring.dev/v1"} <= set(versions)
    headers, *rows = (line.split() for line in kubectl("api-resources").splitlines())
    assert headers == ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    assert ["persistentvolumeclaims", "pvc", "v1", "true", "PersistentVolumeClaim"] in rows
    assert ["storageclasses", "sc", "storage.k8s.io/v1", "false", "StorageClass"] in rows
    cluster = kubectl("api-resources", "--namespaced=false", "--verbs=list", "-o", "name").split()
    assert "persistentvolumes" in cluster
    assert "pools.mooring.dev" in cluster
    listable = kubectl("api-resources", "--verbs=list", "-o", "name").split()
    assert kubectl.run("get", ",".join(listable), "-A").returncode == 0


def test_rights_can_be_asked_for(kubectl: Space) -> None:
    assert kubectl("auth", "can-i", "create", "pvc") == "yes\n"
    assert kubectl.run("auth", "can-i", "delete", "nodes").stdout == "yes\n"
    assert "*.*" in kubectl("auth", "can-i", "--list")
    if not (kubectl.is_old or kubectl.path.endswith("1.27")):  # which ask an API of alpha or beta
        assert "admin" in kubectl("auth", "whoami")


def test_events_of_one_object_can_be_asked_for(kubectl: Space) -> None:
    kubectl("create", "-f", "-", stdin=claim("one", class_="") + claim("two", class_=""))

    def told(*arguments: str) -> list[str]:
        shown = kubectl.run("get", "events", "--no-headers", *arguments).stdout
        return sorted(line.split()[3] for line in shown.splitlines())

    both = ["persistentvolumeclaim/one", "persistentvolumeclaim/two"]
    eventually(lambda: told("--field-selector", "reason=FailedBinding") == both, "it is told")
    about_one = "involvedObject.kind=PersistentVolumeClaim,involvedObject.name=one,type!=Warning"
    assert told("--field-selector", about_one) == both[:1]
    assert told("--sort-by=.metadata.creationTimestamp") == both
    if not kubectl.is_old:  # it came with 1.23
        header, *rows = kubectl("events", "--for", "pvc/two").splitlines()
        assert header.split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
        assert [row.split()[2:4] for row in rows] == [
            ["FailedBinding", "PersistentVolumeClaim/two"]
        ]
        normal = kubectl("events", "--types=Normal", "--no-headers").splitlines()
        assert sorted(row.split()[3].lower() for row in normal) == both
        assert kubectl.run("events", "--types=Warning").stdout == ""


def test_nodes_are_cordoned_drained_and_tainted(kubectl: Space) -> None:
    name = f"{kubectl.name}-node"
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    kubectl("create", "-f", "-", stdin=a_list(node, pod("user", nodeName=name)))
    assert kubectl("cordon", name) == f"node/{name} cordoned\n"
    assert kubectl.get("node", name)["spec"]["unschedulable"] is True
    assert kubectl.run("drain", name, "--force").returncode == 0
    assert "(NotFound)" in kubectl.refused("get", "pod", "user")
    assert kubectl("uncordon", name) == f"node/{name} uncordoned\n"
    kubectl("taint", "nodes", name, "disk=broken:NoSchedule")
    taint = {"key": "disk", "value": "broken", "effect": "NoSchedule"}
    assert kubectl.get("node", name)["spec"]["taints"] == [taint]


def test_objects_are_created_by_their_own_commands(kubectl: Space) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=1")
    assert kubectl.get("cm", "c")["data"] == {"a": "1"}
    kubectl("create", "secret", "generic", "s", "--from-literal=a=1")
    assert kubectl.get("secret", "s")["data"] == {"a": "MQ=="}
    assert kubectl("create", "namespace", f"{kubectl.name}-dry", "--dry-run=server").endswith(
        "created (server dry run)\n"
    )
    assert "(NotFound)" in kubectl.refused("get", "namespace", f"{kubectl.name}-dry")
    assert kubectl("run", "p", "--image=example.com/i", "--restart=Never") == "pod/p created\n"


def test_what_is_applied_no_more_is_pruned(kubectl: Space) -> None:
    first = a_list(*(config(name, labels={"set": "one"}) for name in ("stays", "goes")))
    kubectl("apply", "-f", "-", stdin=first)
    later = a_list(config("stays", labels={"set": "one"}))
    which = "--prune-whitelist" if kubectl.is_old else "--prune-allowlist"  # renamed in 1.26
    command = ("apply", "--prune", "-l", "set=one", f"{which}=core/v1/ConfigMap", "-f", "-")
    done = kubectl.run(*command, stdin=later)
    assert done.stdout == "configmap/stays unchanged\nconfigmap/goes pruned\n", done.stderr
    assert kubectl("get", "cm", "-o", "name") == "configmap/stays\n"


def test_what_is_not_served_is_not_found(kubectl: Space) -> None:
    kubectl("create", "-f", "-", stdin=a_list(pod("user")))
    nothing = "the server could not find the requested resource"
    assert nothing in kubectl.refused("logs", "user")
    assert nothing in kubectl.refused("exec", "user", "--", "ls")
    unknown = "the server doesn't have a resource type"
    assert unknown in kubectl.refused("get", "deployments")
    assert unknown in kubectl.refused("rollout", "status", "deployment/user")
    assert unknown in kubectl.refused("scale", "deployment/user", "--replicas=1")
    assert kubectl.run("get", "services").stderr.startswith("No resources found")
    assert "(NotFound)" in kubectl.refused("get", "pvc", "none")


def test_a_conflict_between_appliers_is_told_and_can_be_forced(kubectl: Space) -> None:
    def run(manager: str, data: str, *more: str) -> subprocess.CompletedProcess[str]:
        command = ("apply", "--server-side", "--field-manager", manager, *more, "-f", "-")
        return kubectl.run(*command, stdin=json.dumps(config("contested", data)))

    assert run("left", "1").returncode == 0
    refusal = run("right", "2")
    assert refusal.returncode == 1
    assert 'Apply failed with 1 conflict: conflict with "left": .data.a' in refusal.stderr
    assert run("right", "2", "--force-conflicts").returncode == 0
    assert kubectl.get("cm", "contested")["data"] == {"a": "2"}
