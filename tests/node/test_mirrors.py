"""What the Pod of a container looks like. Docker volumes §11."""

import re
from dataclasses import replace

import pytest

from mooring.engine.container import Container, ContainerMount
from mooring.node.mirrors import Mirrored, dated, mirror_of_id, mirrors_of
from mooring.objects.kind import Doc
from mooring.objects.kinds.common import is_subdomain
from mooring.objects.kinds.core import POD
from mooring.objects.schema import SCHEMAS

ID = "26ce15f86fe78b9dbcf8e6ce8da3feb34d6cf57cb3a3573206486511755c49f6"
DB = Container(
    ID, "db", "postgres:16", "running", None, 1795735659,
    (ContainerMount("data", "mooring", "/data", False),),
)  # fmt: skip


def key_of(volume: str) -> str | None:
    """As the plugin does it, without what it does to names that Kubernetes does not have."""
    if volume.startswith("-"):
        return None
    return volume if "/" in volume else f"default/{volume}"


def mirror(container: Container = DB, node: str = "here") -> Mirrored:
    (one,) = mirrors_of(container, node, key_of)
    return one


def mount(volume: str, target: str, *, read_only: bool = False) -> ContainerMount:
    return ContainerMount(volume, "mooring", target, read_only)


def with_mounts(*mounts: ContainerMount) -> Container:
    return replace(DB, mounts=mounts)


def test_a_pod_says_where_what_and_with_which_claim() -> None:
    assert mirror() == Mirrored(
        namespace="default",
        doc={
            "metadata": {
                "name": "docker-here-db-26ce15f86fe7",
                "labels": {"mooring.dev/mirror": "docker"},
                "annotations": {
                    "mooring.dev/container-id": ID,
                    "mooring.dev/container-name": "db",
                },
            },
            "spec": {
                "nodeName": "here",
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "db",
                        "image": "postgres:16",
                        "volumeMounts": [{"name": "claim-0", "mountPath": "/data"}],
                    }
                ],
                "volumes": [{"name": "claim-0", "persistentVolumeClaim": {"claimName": "data"}}],
            },
        },
        status={
            "phase": "Running",
            "startTime": "2026-11-26T23:27:39Z",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {
                    "name": "db",
                    "image": "postgres:16",
                    "imageID": "",
                    "containerID": f"docker://{ID}",
                    "ready": True,
                    "restartCount": 0,
                    "state": {"running": {}},
                }
            ],
        },
    )


@pytest.mark.parametrize(
    ("state", "exit_code", "phase", "ready", "shown"),
    [
        ("running", None, "Running", True, {"running": {}}),
        ("paused", None, "Running", False, {"running": {}}),
        ("restarting", 1, "Running", False, {"waiting": {"reason": "Restarting"}}),
        ("exited", 0, "Succeeded", False,
         {"terminated": {"exitCode": 0, "reason": "Completed"}}),
        ("exited", 137, "Failed", False, {"terminated": {"exitCode": 137, "reason": "Error"}}),
        ("removing", None, "Failed", False, {"waiting": {"reason": "Removing"}}),
        ("dead", None, "Failed", False, {"waiting": {"reason": "Dead"}}),
    ],
)  # fmt: skip
def test_the_phase_is_that_of_the_container(
    state: str, exit_code: int | None, phase: str, ready: bool, shown: Doc
) -> None:
    status = mirror(replace(DB, state=state, exit_code=exit_code)).status
    (inner,) = status["containerStatuses"]
    assert (status["phase"], inner["ready"], inner["state"]) == (phase, ready, shown)
    assert status["conditions"] == [{"type": "Ready", "status": str(ready)}]


def test_a_container_that_was_never_started_is_a_pod_that_waits() -> None:
    assert mirror(replace(DB, state="created")).status == {"phase": "Pending"}


def test_what_a_list_does_not_date_has_the_time_when_it_was_first_seen() -> None:
    running, ended = DB, replace(DB, state="exited", exit_code=1)
    first = dated(mirror(running).status, {}, "T1")
    assert state_of(first) == {"running": {"startedAt": "T1"}}
    again = dated(mirror(replace(running, name="other")).status, first, "T2")
    assert state_of(again) == {"running": {"startedAt": "T1"}}
    last = dated(mirror(ended).status, again, "T3")
    told = {"exitCode": 1, "reason": "Error"}
    assert state_of(last) == {"terminated": {**told, "startedAt": "T1", "finishedAt": "T3"}}
    assert dated(mirror(ended).status, last, "T4") == last
    assert state_of(dated(mirror(running).status, last, "T5")) == {"running": {"startedAt": "T5"}}


def test_one_that_ended_before_it_was_seen_ran_since_it_was_made() -> None:
    status = dated(mirror(replace(DB, state="exited", exit_code=0)).status, {}, "T1")
    assert state_of(status)["terminated"]["startedAt"] == "2026-11-26T23:27:39Z"


@pytest.mark.parametrize("state", ["created", "restarting", "dead"])
def test_what_neither_runs_nor_has_ended_has_no_times(state: str) -> None:
    status = mirror(replace(DB, state=state)).status
    assert dated(status, {}, "T1") == status


def state_of(status: Doc) -> Doc:
    state: Doc = status["containerStatuses"][0]["state"]
    return state


def test_each_claim_is_named_once_and_each_path_is_told() -> None:
    container = with_mounts(mount("a", "/one"), mount("b", "/two"), mount("a", "/three"))
    spec = mirror(container).doc["spec"]
    assert [one["persistentVolumeClaim"]["claimName"] for one in spec["volumes"]] == ["a", "b"]
    shown = [(one["mountPath"], one["name"]) for one in spec["containers"][0]["volumeMounts"]]
    assert shown == [("/one", "claim-0"), ("/two", "claim-1"), ("/three", "claim-0")]


def test_a_claim_is_read_only_if_it_is_so_at_every_path() -> None:
    container = with_mounts(
        mount("a", "/1", read_only=True), mount("a", "/2"), mount("b", "/3", read_only=True)
    )
    spec = mirror(container).doc["spec"]
    claims = [one["persistentVolumeClaim"] for one in spec["volumes"]]
    assert claims == [{"claimName": "a"}, {"claimName": "b", "readOnly": True}]
    read_only = [one.get("readOnly", False) for one in spec["containers"][0]["volumeMounts"]]
    assert read_only == [True, False, True]


def test_a_container_with_claims_of_two_namespaces_is_a_pod_in_each() -> None:
    found = mirrors_of(with_mounts(mount("a", "/1"), mount("shop/b", "/2")), "here", key_of)
    claims = {
        one.key: [use["persistentVolumeClaim"]["claimName"] for use in one.doc["spec"]["volumes"]]
        for one in found
    }
    name = "docker-here-db-26ce15f86fe7"
    assert claims == {f"default/{name}": ["a"], f"shop/{name}": ["b"]}


def test_a_volume_that_is_no_claim_has_no_pod() -> None:
    assert mirrors_of(with_mounts(mount("-bad", "/1")), "here", key_of) == []


@pytest.mark.parametrize(
    ("node", "name", "expected"),
    [
        ("here", "shop_web_1", "docker-here-shop-web-1-26ce15f86fe7"),
        ("here", "Shop.DB", "docker-here-shop.db-26ce15f86fe7"),
        ("here", "a_.b", "docker-here-a.b-26ce15f86fe7"),
        ("here", "a._.-_b__", "docker-here-a.b-26ce15f86fe7"),
        ("host.example.com", "db", "docker-host.example.com-db-26ce15f86fe7"),
        ("here", "", "docker-here-26ce15f86fe7"),
        ("here", "web.1.pm3jtx8uq6", "docker-here-web.1.pm3jtx8uq6-26ce15f86fe7"),
    ],
)
def test_the_name_is_as_kubernetes_wants_names(node: str, name: str, expected: str) -> None:
    assert mirror(replace(DB, name=name), node).name == expected
    assert is_subdomain(expected)


@pytest.mark.parametrize("letter", ["a", ".", "_", "é"])
def test_a_long_name_is_cut_and_still_told_apart(letter: str) -> None:
    long = f"a{letter * 300}b"
    names = {mirror(replace(DB, name=long, id=one * 64)).name for one in "12"}
    assert len(names) == 2
    assert all(is_subdomain(name) and len(name) <= 253 for name in names)
    inner = mirror(replace(DB, name=long)).doc["spec"]["containers"][0]["name"]
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", inner)


@pytest.mark.parametrize(
    "mirrored",
    [
        mirror(),
        mirror(replace(DB, state="exited", exit_code=3)),
        mirror(replace(DB, state="paused", image="")),
        mirror_of_id("default/data", "a" * 64, "here"),
    ],
)
def test_it_is_a_pod_by_its_schema_and_its_rules(mirrored: Mirrored) -> None:
    doc = {"apiVersion": "v1", "kind": "Pod", **mirrored.doc, "status": mirrored.status}
    assert SCHEMAS.conform(POD, doc) == []
    assert POD.validate_create(doc) == []


@pytest.mark.parametrize("id_", ["ab" * 32, "../../etc", "\n", "é" * 5000, "A"])
def test_an_id_is_a_pod_whatever_it_is(id_: str) -> None:
    one = mirror_of_id("default/data", id_, "here")
    assert is_subdomain(one.name)
    assert one == mirror_of_id("default/data", id_, "here")


def test_an_id_that_has_several_claims_is_a_pod_for_each() -> None:
    names = {mirror_of_id(f"default/{claim}", "ab" * 32, "here").name for claim in ("a", "b")}
    assert len(names) == 2
    assert all(name.startswith("docker-here-abababababab-") for name in names)
