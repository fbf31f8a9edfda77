"""`mooring explain pod`: each situation, with its whole text."""

from typing import Any

import msgspec
import pytest

from mooring.model.claim import Claim
from mooring.model.node import Node
from mooring.model.pod import MIRROR, Pod
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.rules.consumers import ConsumerIndex
from mooring.rules.pod_explanation import PodSight, explained_pod
from tests.rules.making import a_claim, a_class, a_volume
from tests.rules.test_nodes import GPU, a_node
from tests.rules.test_scheduling import (
    BY_HAND,
    LATE,
    ON_N2,
    a_driver,
    a_pod,
    bound,
    its,
    late,
    room,
)

N1, N2 = a_node("n1"), a_node("n2")
CLASSES = (
    *(LATE, BY_HAND, a_class("now", provisioner="example.com")),
    msgspec.convert(
        {
            **msgspec.to_builtins(LATE),
            "metadata": {"name": "zoned"},
            "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}],
        },
        StorageClass,
    ),
)


def indexed(*volumes: Volume) -> ConsumerIndex:
    index = ConsumerIndex()
    for volume in volumes:
        index.put(volume)
    return index


def text(
    pod: Pod,
    *claims: Claim,
    nodes: Any = (N1,),
    volumes: Any = (),
    users: Any = None,
    told: Any = (),
) -> str:
    sight = PodSight(
        nodes=nodes,
        claims={one.key: one for one in claims},
        volumes={one.name: one for one in volumes},
        classes={one.name: one for one in CLASSES},
        drivers={"example.com": a_driver()} if told else {},
        index=indexed(*volumes),
        told={"late": told},
        users=users or {},
    )
    return "\n".join(explained_pod(pod, sight).lines())


def in_phase(pod: Pod, phase: str) -> Pod:
    return msgspec.structs.replace(pod, status=msgspec.structs.replace(pod.status, phase=phase))


def test_a_mirror() -> None:
    pod = a_pod("db", nodeName="n1").with_metadata(labels={MIRROR: "docker"})
    assert text(in_phase(pod, "Running"), bound()) == (
        "pod default/p is Running: it stands for a container on n1\n  claim db has volume v1"
    )


def test_a_pod_on_its_node() -> None:
    assert text(a_pod("db", "other", nodeName="n1"), bound()) == (
        "pod default/p is Pending: it is on node n1\n"
        "  claim db has volume v1\n"
        "  claim other does not exist"
    )


def test_a_pod_that_has_ended() -> None:
    assert text(in_phase(a_pod("db", nodeName="n1"), "Failed"), bound()) == (
        "pod default/p is Failed: it has ended\n"
        "  it keeps its claims from being deleted: db\n"
        "  would help: kubectl delete pod p -n default"
    )


def test_a_pod_that_is_being_deleted() -> None:
    pod = a_pod("db").with_metadata(deletion_timestamp="2026-01-01T00:00:00Z")
    why = "pod default/p is Terminating: it is being deleted, and gets no node"
    assert text(pod, late()) == why


@pytest.mark.parametrize(
    ("spec", "why", "helps"),
    [
        (
            {"schedulingGates": [{"name": "a.com/b"}]},
            "it has a scheduling gate: a.com/b",
            "to remove it: kubectl patch pod p -n default --type merge -p "
            """'{"spec":{"schedulingGates":null}}'""",
        ),
        (
            {"schedulerName": "mine"},
            "scheduler mine is to find its node, not Mooring's",
            "that scheduler at work, or schedulerName: default-scheduler",
        ),
    ],
)
def test_a_pod_that_is_not_for_this_scheduler(spec: Any, why: str, helps: str) -> None:
    said = text(a_pod("db", **spec), late())
    assert said == f"pod default/p is Pending: {why}\n  would help: {helps}"


def test_a_pod_without_claims() -> None:
    assert text(a_pod()) == (
        "pod default/p is Pending: it uses no claims, and Mooring finds nodes only for pods that "
        "do\n  would help: a pod with spec.nodeName"
    )


def test_no_node() -> None:
    assert text(a_pod("db"), late(), nodes=()) == (
        "pod default/p is Pending: there is no node\n  would help: the agent of a host at work"
    )


@pytest.mark.parametrize(
    ("claims", "why", "helps"),
    [
        (
            [],
            "its claim db does not exist",
            "create claim db in namespace default",
        ),
        (
            [a_claim(class_="now")],
            "it waits until its claim is bound: db",
            "mooring explain pvc db -n default says what that waits for",
        ),
        (
            [a_claim(phase="Lost", volume="v9")],
            "its claim db is Lost: volume v9 is not its own",
            "mooring explain pvc db -n default says how that came",
        ),
        (
            [bound(deleted=True)],
            "its claim db is being deleted",
            "a claim db made anew when this one is gone",
        ),
    ],
)
def test_a_claim_that_no_node_is_looked_for(claims: list[Claim], why: str, helps: str) -> None:
    assert text(a_pod("db"), *claims) == (f"pod default/p is Pending: {why}\n  would help: {helps}")


def test_of_several_claims_it_says_how_each_is() -> None:
    assert text(a_pod("db", "other"), bound()) == (
        "pod default/p is Pending: its claim other does not exist\n"
        "  claim db has volume v1\n"
        "  claim other does not exist\n"
        "  would help: create claim other in namespace default"
    )


def test_a_claim_of_its_own_that_is_not_there_yet() -> None:
    assert text(a_pod(own=["own"])) == (
        "pod default/p is Pending: its own claim p-own is to be made in a moment"
    )


def test_a_claim_of_others_in_place_of_its_own() -> None:
    assert text(a_pod(own=["own"]), bound("p-own")) == (
        "pod default/p is Pending: claim p-own was not made for it, and has the name of its own\n"
        "  would help: kubectl delete pvc p-own -n default; or another name for the pod"
    )


def test_a_pod_that_is_about_to_be_placed() -> None:
    ready = text(a_pod(own=["own"]), its(bound("p-own")), volumes=[a_volume()])
    assert ready == "pod default/p is Pending: it is about to get node n1"
    assert text(a_pod("db"), late(selected="n1")) == (
        "pod default/p is Pending: it gets node n1 when its claim is bound: db not yet\n"
        "  would help: mooring explain pvc db -n default says what that waits for"
    )


ONE = "pod default/p is Pending: the only node cannot give it its volumes"


@pytest.mark.parametrize(
    ("node", "pod", "why", "helps"),
    [
        (a_node(unschedulable=True), a_pod("db"), "it is cordoned", "kubectl uncordon n1"),
        (a_node(ready="Unknown"), a_pod("db"), "it is not Ready", "the agent of n1 at work"),
        (
            a_node(taints=[GPU]),
            a_pod("db"),
            "the pod does not tolerate its taint {gpu: yes}",
            "a toleration of it in the pod",
        ),
        (
            a_node(),
            a_pod("db", nodeSelector={"disk": "ssd"}),
            "the pod's nodeSelector or node affinity does not choose it",
            "labels of node n1 that the pod asks for, or a pod that asks for less",
        ),
    ],
)
def test_a_node_that_the_pod_may_not_be_on(node: Node, pod: Pod, why: str, helps: str) -> None:
    said = text(pod, bound(), nodes=[node], volumes=[a_volume()])
    assert said == f"{ONE}\n  node n1: {why}\n  would help: {helps}"


@pytest.mark.parametrize(
    ("claim", "volumes", "why", "helps"),
    [
        (
            bound(),
            [a_volume(affinity=ON_N2)],
            "volume v1 of claim db is on n2",
            "the agent of n2 at work",
        ),
        (bound(), [], "volume v1 is gone", "a pod with another claim"),
        (
            a_claim(class_="hand"),
            [],
            "no free volume for claim db is reached from it, and none is made",
            "a volume of class hand, RWO, 1Gi or more, for node n1",
        ),
        (
            late(selected="n9"),
            [],
            "claim db is to be made on n9",
            "kubectl annotate pvc db -n default volume.kubernetes.io/selected-node-",
        ),
        (
            a_claim(class_="zoned"),
            [],
            "class zoned makes no volumes there, by its allowedTopologies",
            "a class that allows node n1, or a volume of class zoned, RWO, 1Gi or more, for node "
            "n1",
        ),
    ],
)
def test_a_volume_that_the_node_cannot_give(
    claim: Claim, volumes: list[Volume], why: str, helps: str
) -> None:
    said = text(a_pod("db"), claim, volumes=volumes)
    assert said == f"{ONE}\n  node n1: {why}\n  would help: {helps}"


@pytest.mark.parametrize(
    ("told", "why", "helps"),
    [
        (
            [room("n1", capacity="1Mi")],
            "claim db asks for 1Gi of class late, and 1Mi can be made there",
            "a smaller claim",
        ),
        (
            [room("n2", capacity="9Gi")],
            "claim db asks for 1Gi of class late, and nobody says that any can be made there",
            "a pool on n1 that class late takes from",
        ),
    ],
)
def test_a_node_without_room(told: Any, why: str, helps: str) -> None:
    said = text(a_pod("db"), late(), told=told)
    assert said == f"{ONE}\n  node n1: {why}\n  would help: {helps}"


def test_a_claim_for_one_pod_that_another_uses() -> None:
    other = a_pod("db", nodeName="n1").with_metadata(name="q")
    said = text(
        a_pod("db"),
        bound(modes="RWOP"),
        volumes=[a_volume(modes="RWOP")],
        users={"default/db": [other]},
    )
    why = "claim db is for one pod at a time, and q uses it"
    assert said == f"{ONE}\n  node n1: {why}\n  would help: kubectl delete pod q -n default"


def test_several_nodes_are_told_about_one_by_one() -> None:
    nodes = [a_node("n1", unschedulable=True), N2]
    assert text(a_pod("db"), a_claim(class_="hand"), nodes=nodes) == (
        "pod default/p is Pending: none of 2 nodes can give it its volumes\n"
        "  node n1: it is cordoned\n"
        "  node n2: no free volume for claim db is reached from it, and none is made\n"
        "  would help: kubectl uncordon n1; or a volume of class hand, RWO, 1Gi or more, for "
        "node n2"
    )


@pytest.mark.parametrize(("count", "more"), [(6, "1 node more"), (8, "3 nodes more")])
def test_of_many_nodes_the_first_are_told_about(count: int, more: str) -> None:
    nodes = [a_node(f"n{number}", unschedulable=True) for number in range(1, count + 1)]
    lines = text(a_pod("db"), a_claim(class_="hand"), nodes=nodes).splitlines()
    assert lines[0].endswith(f"none of {count} nodes can give it its volumes")
    assert lines[-2:] == [
        f"  and {more}",
        "  would help: kubectl uncordon n1; or kubectl uncordon n2",
    ]
