"""Why a pod has no node, node by node, and what would help: `mooring explain pod`.

What will happen is asked of the functions that decide it (rules.scheduling, rules.nodes).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mooring.model.claim import Claim
from mooring.model.csi import CsiDriver, StorageCapacity
from mooring.model.names import NO_PROVISIONER, SELECTED_NODE, Phase
from mooring.model.namespace import Namespace
from mooring.model.node import Node
from mooring.model.pod import DEFAULT_SCHEDULER, Pod
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.rules.candidates import wanted
from mooring.rules.consumers import ConsumerIndex
from mooring.rules.explanation import Explanation, Reasons, counted, listed
from mooring.rules.nodes import OTHER_NODE_WANTED, UNSCHEDULABLE
from mooring.rules.quota import exceeded_quota
from mooring.rules.remedies import asking, deleting, editing, ending, rescheduling, ungated
from mooring.rules.scheduling import (
    NO_SPACE,
    NO_SUCH_VOLUME,
    NO_VOLUMES,
    NODE_CONFLICT,
    UNBOUND_IMMEDIATE,
    USED_BY_OTHER,
    Needs,
    Plan,
    needs,
    placement,
    plan_on,
    reaches,
)
from mooring.rules.waste import WasteLimit, waste_limit

NODES_AT_MOST: Final = 5  # that are told about one by one


@dataclass(frozen=True)
class PodSight:
    """All that there is to judge a pod by; answers rules.scheduling.World.

    index      of all volumes, where one is to be chosen
    told       the capacities, by class
    users      pods by the claim that they use
    namespace  of the pod
    failure    the last that whoever makes the pod's own claims told of, "" if none
    """

    nodes: Sequence[Node] = ()
    claims: Mapping[str, Claim] = field(default_factory=dict)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    index: ConsumerIndex = field(default_factory=ConsumerIndex)
    classes: Mapping[str, StorageClass] = field(default_factory=dict)
    drivers: Mapping[str, CsiDriver] = field(default_factory=dict)
    told: Mapping[str, Sequence[StorageCapacity]] = field(default_factory=dict)
    users: Mapping[str, Sequence[Pod]] = field(default_factory=dict)
    namespace: Namespace | None = None
    failure: str = ""

    def claim(self, key: str) -> Claim | None:
        return self.claims.get(key)

    def volume(self, name: str) -> Volume | None:
        return self.volumes.get(name)

    def storage_class(self, name: str) -> StorageClass | None:
        return self.classes.get(name)

    def csi_driver(self, name: str) -> CsiDriver | None:
        return self.drivers.get(name)

    def capacities(self, class_name: str) -> Sequence[StorageCapacity]:
        return self.told.get(class_name, ())

    def free_volume(self, claim: Claim, node: Node, taken: Collection[str]) -> Volume | None:
        limit, of = self.limit(claim), self.volumes.get
        return self.index.choice(claim, of, node.labels, node.name, taken, limit)

    def limit(self, claim: Claim) -> WasteLimit | None:
        return waste_limit(claim, self.namespace, self.storage_class(claim.class_name))

    def has_rival(self, claim: Claim, pod: Pod) -> bool:
        return bool(self.rivals(claim, pod))

    def rivals(self, claim: Claim, pod: Pod) -> list[Pod]:
        """Pods that keep a claim for one pod from this one."""
        users = self.users.get(claim.key, ())
        return [one for one in users if one.key != pod.key and one.node_name and not one.has_ended]


def explained_pod(pod: Pod, sight: PodSight) -> Explanation:
    """Why a pod has its node, or none."""
    state = "Terminating" if pod.being_deleted else pod.phase or "Pending"
    why, details, help_ = _reasons(pod, sight)
    return Explanation(f"pod {pod.key}", state, why, details, help_)


def _reasons(pod: Pod, sight: PodSight) -> Reasons:
    if pod.is_mirror:
        return f"it stands for a container on {pod.node_name}", _claims(pod, sight), ""
    if pod.has_ended:
        if not pod.node_name or not pod.claim_names:
            return "it has ended", (), ""
        held = f"it keeps its claims from being deleted: {listed(sorted(pod.claim_names))}"
        return "it has ended", (held,), ending([pod])
    if pod.node_name:
        return f"it is on node {pod.node_name}", _claims(pod, sight), ""
    if pod.being_deleted:
        return "it is being deleted, and gets no node", (), ""
    if pod.spec.scheduling_gates:
        gates = [one.name for one in pod.spec.scheduling_gates]
        why = f"it has {counted(gates, 'a scheduling gate', 'scheduling gates')}"
        return why, (), f"to remove {'it' if len(gates) == 1 else 'them'}: {ungated(pod)}"
    if pod.spec.scheduler_name not in ("", DEFAULT_SCHEDULER):
        why = f"scheduler {pod.spec.scheduler_name} is to find its node, not Mooring's"
        return why, (), f"that scheduler at work, or schedulerName: {DEFAULT_SCHEDULER}"
    if not pod.claim_names:
        why = "it uses no claims, and Mooring finds nodes only for pods that do"
        return why, (), "a pod with spec.nodeName"
    return _to_be_placed(pod, sight)


def _claims(pod: Pod, sight: PodSight) -> tuple[str, ...]:
    """What the claims of a pod that has its node are."""
    found = []
    for name in sorted(pod.claim_names):
        claim = sight.claim(f"{pod.namespace}/{name}")
        if claim is None:
            found.append(f"claim {name} does not exist")
        elif claim.phase == Phase.BOUND:
            found.append(f"claim {name} has volume {claim.volume_name}")
        else:
            found.append(f"claim {name} is {claim.phase or Phase.PENDING}")
    return tuple(found)


def _to_be_placed(pod: Pod, sight: PodSight) -> Reasons:
    if not sight.nodes:
        return "there is no node", (), "the agent of a host at work"
    found = needs(pod, sight)
    if isinstance(found, str):
        return _before(pod, found, sight)
    plan = placement(pod, sight.nodes, sight)
    if isinstance(plan, Plan):
        if not plan.claims:
            return f"it is about to get node {plan.node}", (), ""
        names = [key.rpartition("/")[2] for key in plan.claims]
        when = counted(names, "its claim is bound", "its claims are bound")
        why = f"it gets node {plan.node} when {when} not yet"
        first = sight.claims[plan.claims[0]]
        return why, (), f"{asking('pvc', first)} says what that waits for"
    told = [_of_node(pod, node, found, sight) for node in sight.nodes]
    details = [why for why, _ in told[:NODES_AT_MOST]]
    if (more := len(told) - NODES_AT_MOST) > 0:
        details.append(f"and {more} {'nodes' if more > 1 else 'node'} more")
    helps = list(dict.fromkeys(help_ for _, help_ in told if help_))
    count = f"none of {len(told)} nodes" if len(told) > 1 else "the only node cannot"
    why = f"{count} can give it its volumes" if len(told) > 1 else f"{count} give it its volumes"
    return why, tuple(details), "; or ".join(helps[:2])


def _before(pod: Pod, found: str, sight: PodSight) -> Reasons:
    """Why no node is looked for yet."""
    claims = {name: sight.claim(f"{pod.namespace}/{name}") for name in sorted(pod.claim_names)}
    all_ = _claims(pod, sight) if len(claims) > 1 else ()
    there = [one for one in claims.values() if one is not None]
    if found == UNBOUND_IMMEDIATE:
        open_ = [one for one in there if one.phase != Phase.BOUND]
        names = [one.name for one in open_]
        why = f"it waits until {counted(names, 'its claim is bound', 'its claims are bound')}"
        return why, all_, f"{asking('pvc', open_[0])} says what that waits for"
    if missing := [name for name, one in claims.items() if one is None]:
        return _missing(pod, missing, all_, sight)
    if lost := [one for one in there if one.phase == Phase.LOST]:
        why = f"its claim {lost[0].name} is Lost: volume {lost[0].volume_name} is not its own"
        return why, all_, f"{asking('pvc', lost[0])} says how that came"
    if going := [one.name for one in there if one.being_deleted]:
        why = f"its claim {going[0]} is being deleted"
        return why, all_, f"a claim {going[0]} made anew when this one is gone"
    foreign = next(one for one in there if one.name in pod.ephemeral_claims)
    why = f"claim {foreign.name} was not made for it, and has the name of its own"
    return why, all_, f"{deleting('pvc', foreign)}; or another name for the pod"


def _missing(pod: Pod, missing: Sequence[str], all_: tuple[str, ...], sight: PodSight) -> Reasons:
    own = [name for name in missing if name in pod.ephemeral_claims]
    if not own:
        made = f"create claim {missing[0]} in namespace {pod.namespace}"
        return f"its claim {missing[0]} does not exist", all_, made
    if not sight.failure:
        return f"its own claim {own[0]} is to be made in a moment", all_, ""
    failure = f"it failed last with: {sight.failure}"
    why = f"its own claim {own[0]} could not be made"
    mend = "put that right"
    if quota := exceeded_quota(sight.failure):
        mend = f"{editing('quota', quota)} -n {pod.namespace}, to raise spec.hard"
    return why, (*all_, failure), f"{mend}, and it is made by itself"


def _of_node(pod: Pod, node: Node, found: Needs, sight: PodSight) -> tuple[str, str]:
    """Why not this node, and what would help."""
    reasons = plan_on(pod, node, found, sight)
    assert not isinstance(reasons, Plan)
    told = [_told(pod, node, reason, found, sight) for reason in reasons]
    helps = [help_ for _, help_ in told if help_]
    return f"node {node.name}: {', and '.join(why for why, _ in told)}", (helps or [""])[0]


def _told(pod: Pod, node: Node, reason: str, found: Needs, sight: PodSight) -> tuple[str, str]:
    if reason == UNSCHEDULABLE:
        return "it is cordoned", f"kubectl uncordon {node.name}"
    if reason == OTHER_NODE_WANTED:
        why = "the pod's nodeSelector or node affinity does not choose it"
        return why, f"labels of node {node.name} that the pod asks for, or a pod that asks for less"
    if reason == USED_BY_OTHER:
        return _used(pod, found, sight)
    if reason == NODE_CONFLICT:
        return _away(node, found, sight)
    if reason == NO_SUCH_VOLUME:
        gone = [one.volume_name for one, volume in found.bound if volume is None]
        return f"volume {listed(gone)} is gone", "a pod with another claim"
    if reason == NO_SPACE:
        return _full(node, found, sight)
    if reason == NO_VOLUMES:
        return _none(node, found, sight)
    if not node.is_ready and "node.kubernetes.io/" in reason:
        return "it is not Ready", f"the agent of {node.name} at work"
    what = reason.removeprefix("node(s) had untolerated ")
    return f"the pod does not tolerate its {what}", "a toleration of it in the pod"


def _used(pod: Pod, found: Needs, sight: PodSight) -> tuple[str, str]:
    claims = [one for one, _ in found.bound] + list(found.unbound)
    for claim in claims:
        if rivals := sight.rivals(claim, pod):
            name = rivals[0].name
            why = f"claim {claim.name} is for one pod at a time, and {name} uses it"
            return why, ending(rivals)
    return "a claim for one pod at a time is used", ""


def _away(node: Node, found: Needs, sight: PodSight) -> tuple[str, str]:
    for claim, volume in found.bound:
        if volume is not None and not reaches(node, volume):
            where = f"on {listed(volume.hosts)}" if volume.hosts else "elsewhere"
            known = {one.name for one in sight.nodes}
            absent = [one for one in volume.hosts if one not in known]
            help_ = f"the agent of {absent[0]} at work" if absent else ""
            return f"volume {volume.name} of claim {claim.name} is {where}", help_
    return "a volume is elsewhere", ""


def _full(node: Node, found: Needs, sight: PodSight) -> tuple[str, str]:
    for claim in found.unbound:
        told = [one for one in sight.capacities(claim.class_name) if one.reaches(node.labels)]
        if any(one.suffices(claim.request) for one in told):
            continue
        limits = [limit for one in told if (limit := one.limit) is not None]
        asks = f"claim {claim.name} asks for {claim.request} of class {claim.class_name}"
        if not limits:
            return f"{asks}, and nobody says that any can be made there", (
                f"a pool on {node.name} that class {claim.class_name} takes from"
            )
        class_ = sight.storage_class(claim.class_name)
        pool = class_.pool if class_ is not None else ""
        more = f"{editing('pool', pool)}, to raise spec.capacity; or " if pool else ""
        return f"{asks}, and {max(limits)} can be made there", f"{more}a smaller claim"
    return "there is not enough room", ""


def _none(node: Node, found: Needs, sight: PodSight) -> tuple[str, str]:
    for claim in found.unbound:
        selected = claim.annotations.get(SELECTED_NODE)
        if selected not in (None, node.name):
            why = f"claim {claim.name} is to be made on {selected}"
            return why, rescheduling(claim)
        if selected is None and sight.free_volume(claim, node, ()) is not None:
            continue
        class_ = sight.storage_class(claim.class_name)
        limit = sight.limit(claim)
        suitable = f"a volume of {wanted(claim, limit)}, for node {node.name}"
        if class_ is None or class_.provisioner in ("", NO_PROVISIONER):
            size = "" if limit is None else f" of at most {limit.most(claim)}"
            why = (
                f"no free volume{size} for claim {claim.name} is reached from it, and none is made"
            )
            return why, suitable
        if not class_.allows(node.labels):
            why = f"class {class_.name} makes no volumes there, by its allowedTopologies"
            return why, f"a class that allows node {node.name}, or {suitable}"
    return "no free volumes are left for all its claims", "more volumes"
