"""Which nodes a pod may be on, volumes aside: as Kubernetes' scheduler says."""

from typing import Any

import msgspec
import pytest

from mooring.model.node import Node
from mooring.model.pod import Pod
from mooring.rules.nodes import OTHER_NODE_WANTED, UNSCHEDULABLE, objection, preference


def a_node(
    name: str = "n1", *, ready: str | None = "True", labels: Any = None, **spec: Any
) -> Node:
    conditions = [] if ready is None else [{"type": "Ready", "status": ready}]
    doc = {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": spec,
        "status": {"conditions": conditions},
    }
    return msgspec.convert(doc, Node)


def a_pod(**spec: Any) -> Pod:
    return msgspec.convert({"metadata": {"name": "p", "namespace": "default"}, "spec": spec}, Pod)


def required(*terms: Any) -> Any:
    chosen = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": chosen}}


def in_(key: str, *values: str) -> Any:
    return {"key": key, "operator": "In", "values": list(values)}


GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
NOT_READY = "node(s) had untolerated taint {node.kubernetes.io/not-ready: }"
UNREACHABLE = "node(s) had untolerated taint {node.kubernetes.io/unreachable: }"
WITH_GPU = "node(s) had untolerated taint {gpu: yes}"


def test_a_pod_that_asks_nothing_may_be_on_any_ready_node() -> None:
    assert objection(a_pod(), a_node()) == ""


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (a_node(unschedulable=True), UNSCHEDULABLE),
        (a_node(ready="False"), NOT_READY),
        (a_node(ready=None), NOT_READY),
        (a_node(ready="Unknown"), UNREACHABLE),
        (a_node(taints=[GPU]), WITH_GPU),
        (a_node(taints=[{**GPU, "effect": "NoExecute"}]), WITH_GPU),
        (a_node(taints=[{**GPU, "effect": "PreferNoSchedule"}]), ""),
        (a_node(unschedulable=True, taints=[GPU]), UNSCHEDULABLE),
    ],
)
def test_a_node_that_is_cordoned_away_or_tainted_takes_no_pod(node: Node, why: str) -> None:
    assert objection(a_pod(), node) == why


@pytest.mark.parametrize(
    ("toleration", "tolerates"),
    [
        ({"key": "gpu", "value": "yes"}, True),
        ({"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "value": "no"}, False),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "cpu", "operator": "Exists"}, False),
        ({"key": "gpu", "operator": "Is", "value": "yes"}, False),
        ({"value": "yes"}, False),
    ],
)
def test_a_toleration_lets_a_pod_onto_a_tainted_node(toleration: Any, tolerates: bool) -> None:
    assert (objection(a_pod(tolerations=[toleration]), a_node(taints=[GPU])) == "") is tolerates


@pytest.mark.parametrize(
    ("key", "node"),
    [
        ("node.kubernetes.io/unschedulable", a_node(unschedulable=True)),
        ("node.kubernetes.io/not-ready", a_node(ready="False")),
        ("node.kubernetes.io/unreachable", a_node(ready="Unknown")),
    ],
)
def test_what_a_node_is_can_be_tolerated_as_the_taint_that_kubernetes_puts_on_it(
    key: str, node: Node
) -> None:
    assert objection(a_pod(tolerations=[{"key": key, "operator": "Exists"}]), node) == ""


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, True),
        ({"nodeSelector": {"disk": "hdd"}}, False),
        ({"affinity": required({"matchExpressions": [in_("disk", "ssd", "nvme")]})}, True),
        ({"affinity": required({"matchExpressions": [in_("disk", "hdd")]})}, False),
        ({"affinity": required({"matchFields": [in_("metadata.name", "n1")]})}, True),
        ({"affinity": required({"matchFields": [in_("metadata.name", "n2")]})}, False),
        (
            {
                "affinity": required(
                    {"matchExpressions": [in_("disk", "hdd")]},
                    {"matchExpressions": [in_("disk", "ssd")]},
                )
            },
            True,
        ),
        ({"affinity": required({})}, False),
    ],
)
def test_a_pod_goes_where_its_selector_and_its_affinity_let_it(spec: Any, fits: bool) -> None:
    found = objection(a_pod(**spec), a_node(labels={"disk": "ssd"}))
    assert found == ("" if fits else OTHER_NODE_WANTED)


def test_weights_of_the_terms_that_match_add_up() -> None:
    terms = [
        {"weight": 10, "preference": {"matchExpressions": [in_("disk", "ssd")]}},
        {"weight": 5, "preference": {"matchExpressions": [in_("zone", "a")]}},
        {"weight": 50, "preference": {"matchExpressions": [in_("zone", "b")]}},
    ]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}
    pod = a_pod(affinity=affinity)
    assert preference(pod, a_node(labels={"disk": "ssd", "zone": "a"})) == 15
    assert objection(pod, a_node()) == ""
