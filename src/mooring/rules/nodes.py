"""Which nodes a pod may be on, volumes aside, in the words of Kubernetes' scheduler."""

from collections.abc import Iterator
from typing import Final

from mooring.model.node import Node, Taint
from mooring.model.pod import Pod, Toleration

UNSCHEDULABLE: Final = "node(s) were unschedulable"
OTHER_NODE_WANTED: Final = "node(s) didn't match Pod's node affinity/selector"
REPELLING: Final = ("NoSchedule", "NoExecute")  # effects of taints; others only advise
# What Kubernetes puts on a node that is cordoned or whose agent is away. Here nobody has to.
CORDONED: Final = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
NOT_READY: Final = Taint(key="node.kubernetes.io/not-ready", effect="NoSchedule")
UNREACHABLE: Final = Taint(key="node.kubernetes.io/unreachable", effect="NoSchedule")


def objection(pod: Pod, node: Node) -> str:
    """Why the pod may not be on the node, "" if it may; by the first rule that says so."""
    tolerations = pod.spec.tolerations
    if node.spec.unschedulable and not _is_tolerated(CORDONED, tolerations):
        return UNSCHEDULABLE
    for taint in _repelling(node):
        if not _is_tolerated(taint, tolerations):
            return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
    return "" if _is_wanted(pod, node) else OTHER_NODE_WANTED


def preference(pod: Pod, node: Node) -> int:
    """How much the pod would like the node: the weights of the terms that match it."""
    affinity = pod.spec.affinity.node_affinity
    terms = affinity.preferred_during_scheduling_ignored_during_execution
    return sum(
        term.weight for term in terms if term.preference.matches(node.labels, node.metadata.name)
    )


def looks_alike(one: Node, other: Node) -> bool:
    """Whether both states of a node are the same to a scheduler: a heartbeat changes nothing."""
    return (one.spec, one.labels, one.readiness) == (other.spec, other.labels, other.readiness)


def _repelling(node: Node) -> Iterator[Taint]:
    yield from (one for one in node.spec.taints if one.effect in REPELLING and one != CORDONED)
    if not node.is_ready:
        yield UNREACHABLE if node.readiness == "Unknown" else NOT_READY


def _is_tolerated(taint: Taint, tolerations: tuple[Toleration, ...]) -> bool:
    return any(_tolerates(one, taint) for one in tolerations)


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    if toleration.operator == "Exists":
        return True
    return (
        toleration.operator in ("", "Equal")
        and bool(toleration.key)
        and toleration.value == taint.value
    )


def _is_wanted(pod: Pod, node: Node) -> bool:
    labels = node.labels
    if any(labels.get(key) != value for key, value in pod.spec.node_selector.items()):
        return False
    required = pod.spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution
    return required is None or any(
        term.matches(labels, node.metadata.name) for term in required.node_selector_terms
    )
