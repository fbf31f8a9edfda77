"""The node that can give a pod its volumes. Storage semantics §10 "WFFC with scheduler", §19.

Nothing but storage, and where the pod says it may be, is asked: no processors, memory or ports.
Refusals are in the words of Kubernetes' scheduler.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from mooring.model.claim import Claim
from mooring.model.csi import CsiDriver, StorageCapacity
from mooring.model.names import NO_PROVISIONER, ONE_CONTAINER, SELECTED_NODE, Phase
from mooring.model.node import Node
from mooring.model.pod import POD_SCHEDULED, Pod, PodCondition
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.rules.nodes import objection, preference

SCHEDULER: Final = "default-scheduler"  # the component of its events
UNSCHEDULABLE, SCHEDULER_ERROR = "Unschedulable", "SchedulerError"  # reasons of the condition
NO_NODES: Final = "no nodes available to schedule pods"
UNBOUND_IMMEDIATE: Final = "pod has unbound immediate PersistentVolumeClaims"
USED_BY_OTHER: Final = (
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
)
NODE_CONFLICT: Final = "node(s) had volume node affinity conflict"
NO_VOLUMES: Final = "node(s) didn't find available persistent volumes to bind"
NO_SPACE: Final = "node(s) did not have enough free storage"
NO_SUCH_VOLUME: Final = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


class World(Protocol):
    """What a decision depends on, answered from indexes."""

    def claim(self, key: str) -> Claim | None: ...

    def volume(self, name: str) -> Volume | None: ...

    def storage_class(self, name: str) -> StorageClass | None: ...

    def csi_driver(self, name: str) -> CsiDriver | None: ...

    def capacities(self, class_name: str) -> Sequence[StorageCapacity]: ...

    def free_volume(self, claim: Claim, node: Node, taken: Collection[str]) -> Volume | None:
        """By the last paragraph of §6; `taken` are not in question."""

    def has_rival(self, claim: Claim, pod: Pod) -> bool:
        """Whether another pod that has a node, or is about to, and has not ended uses the claim."""


class Needs(NamedTuple):
    """What a pod's claims ask of its node.

    bound    with their volumes, None where there is none of that name
    unbound  those that wait for the pod, the smallest first
    rival    another pod uses a claim that only one may use
    """

    bound: tuple[tuple[Claim, Volume | None], ...]
    unbound: tuple[Claim, ...]
    rival: bool


class Plan(NamedTuple):
    """How a pod gets its volumes on a node.

    points    (claim, volume): free volumes that are to name the claims as their own
    provides  keys of the claims whose volumes are to be made for the node
    """

    node: str
    points: tuple[tuple[str, str], ...] = ()
    provides: tuple[str, ...] = ()

    @property
    def claims(self) -> tuple[str, ...]:
        """Keys of those that are not bound when it is made."""
        return (*(key for key, _ in self.points), *self.provides)


def needs(pod: Pod, world: World) -> Needs | str:
    """What the pod's claims ask, or why no node can have it before that changes."""
    bound: list[tuple[Claim, Volume | None]] = []
    unbound, immediate, rival = [], False, False
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            name, own = volume.persistent_volume_claim.claim_name, False
        elif volume.ephemeral is not None:
            name, own = f"{pod.name}-{volume.name}", True
        else:
            continue
        claim = world.claim(f"{pod.namespace}/{name}")
        if why := _unusable(claim, name, pod, own=own):
            return why
        assert claim is not None
        rival = rival or (claim.modes >= ONE_CONTAINER and world.has_rival(claim, pod))
        if claim.was_bound and claim.volume_name:
            bound.append((claim, world.volume(claim.volume_name)))
        elif _waits_for_pod(claim, world):
            unbound.append(claim)
        else:
            immediate = True
    if immediate:
        return UNBOUND_IMMEDIATE
    ordered = sorted({one.key: one for one in unbound}.values(), key=lambda one: one.request.nanos)
    return Needs(tuple(bound), tuple(ordered), rival)


def _unusable(claim: Claim | None, name: str, pod: Pod, *, own: bool) -> str:
    """own: the claim is one that is made for the pod."""
    called = f'persistentvolumeclaim "{name}"'
    if claim is None:
        made = f"waiting for ephemeral volume controller to create the {called}"
        return made if own else f"{called} not found"
    if claim.phase == Phase.LOST:
        return f'{called} bound to non-existent persistentvolume "{claim.volume_name}"'
    if claim.being_deleted:
        return f"{called} is being deleted"
    return not_its_own(claim, pod) if own else ""


def not_its_own(claim: Claim, pod: Pod) -> str:
    """Why a claim is not the one that was made for a pod, "" if it is."""
    owners = claim.metadata.owner_references
    if any(one.uid == pod.uid and one.controller for one in owners):
        return ""
    return f"PVC {claim.key} was not created for pod {pod.key} (pod is not owner)"


def _waits_for_pod(claim: Claim, world: World) -> bool:
    """Whether its volume is chosen with the pod's node; a claim that names one must be bound."""
    class_ = world.storage_class(claim.class_name) if claim.class_name else None
    return class_ is not None and class_.waits_for_consumer and not claim.volume_name


def placement(
    pod: Pod,
    nodes: Sequence[Node],
    world: World,
    taken: Collection[str] = (),
) -> Plan | str:
    """Where the pod goes and how it gets its volumes there, or why it cannot go anywhere.

    taken  names of volumes that other pods are about to get
    """
    if not nodes:
        return NO_NODES
    found = needs(pod, world)
    if isinstance(found, str):
        return f"0/{len(nodes)} nodes are available: {found}."
    plans, refused = [], Counter[str]()
    for node in nodes:
        plan = plan_on(pod, node, found, world, taken)
        if isinstance(plan, Plan):
            plans.append((_merit(pod, node, plan, world), node.name, plan))
        else:
            refused.update(plan)
    if plans:
        return min(plans)[2]
    reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in refused.items()))
    return f"0/{len(nodes)} nodes are available: {reasons}."


def plan_on(
    pod: Pod, node: Node, found: Needs, world: World, taken: Collection[str] = ()
) -> Plan | list[str]:
    """How the pod gets its volumes on a node, or all that stands against it."""
    if why := objection(pod, node):
        return [why]
    if found.rival:
        return [USED_BY_OTHER]
    reasons = []
    volumes = [volume for _, volume in found.bound]
    if any(volume is not None and not reaches(node, volume) for volume in volumes):
        reasons.append(NODE_CONFLICT)
    unbound = _plan_of_unbound(node, found.unbound, world, taken)
    if isinstance(unbound, str):
        reasons.append(unbound)
    if None in volumes:
        reasons.append(NO_SUCH_VOLUME)
    if reasons or isinstance(unbound, str):
        return reasons
    return unbound


def _plan_of_unbound(
    node: Node, claims: Iterable[Claim], world: World, taken: Collection[str]
) -> Plan | str:
    points: list[tuple[str, str]] = []
    to_make: list[Claim] = []
    chosen = set(taken)
    for claim in claims:
        selected = claim.annotations.get(SELECTED_NODE)
        if selected is not None and selected != node.name:
            return NO_VOLUMES
        volume = world.free_volume(claim, node, chosen) if selected is None else None
        if volume is None:
            to_make.append(claim)
        else:
            chosen.add(volume.name)
            points.append((claim.key, volume.name))
    for claim in to_make:
        if why := _unmakeable(claim, node, world):
            return why
    return Plan(node.name, tuple(points), tuple(one.key for one in to_make))


def _unmakeable(claim: Claim, node: Node, world: World) -> str:
    """Why no volume can be made for a claim on a node, "" if one can as far as is known."""
    class_ = world.storage_class(claim.class_name)
    if class_ is None or class_.provisioner in ("", NO_PROVISIONER):
        return NO_VOLUMES
    if not class_.allows(node.labels):
        return NO_VOLUMES
    driver = world.csi_driver(class_.provisioner)
    if driver is None or not driver.tells_capacity:
        return ""
    found = world.capacities(class_.name)
    enough = any(one.reaches(node.labels) and one.suffices(claim.request) for one in found)
    return "" if enough else NO_SPACE


def _merit(pod: Pod, node: Node, plan: Plan, world: World) -> tuple[int, int, int]:
    """Less is better: preferred by the pod, then fewer volumes to make, then the most room."""
    classes = {one.class_name for key in plan.provides if (one := world.claim(key)) is not None}
    rooms = [_room(name, node, world) for name in classes]
    return -preference(pod, node), len(plan.provides), -min(rooms, default=0)


def _room(class_name: str, node: Node, world: World) -> int:
    """The largest volume of a class that can be made on a node, in bytes; 0 if nobody says."""
    found = (one for one in world.capacities(class_name) if one.reaches(node.labels))
    return max((limit.bytes() for one in found if (limit := one.limit) is not None), default=0)


def reaches(node: Node, volume: Volume) -> bool:
    """Whether a volume can be used on a node."""
    return volume.reached_from(node.labels, node.name)


def setback(plan: Plan, written: Collection[str], node: Node | None, world: World) -> str:
    """What keeps a plan under way from being carried out, "" if nothing does. §10.

    written  keys of the claims for which the scheduler did its part
    """
    if node is None:
        return f'node "{plan.node}" not found'
    pointed = dict(plan.points)
    for key in plan.claims:
        claim = world.claim(key)
        if claim is None:
            return f'persistentvolumeclaim "{key.rpartition("/")[2]}" not found'
        volume = world.volume(claim.volume_name or pointed.get(key, ""))
        if volume is None and claim.volume_name:
            return f'failed to check binding: persistentvolume "{claim.volume_name}" not found'
        if volume is not None and not reaches(node, volume):
            why = "no matching NodeSelectorTerms"
            return f'pv "{volume.name}" node affinity doesn\'t match node "{node.name}": {why}'
        if key in written and not (claim.was_bound and claim.volume_name):
            why = _taken_back(claim, node, pointed.get(key), volume)
            if why:
                return why
    return ""


def _taken_back(claim: Claim, node: Node, pointed: str | None, volume: Volume | None) -> str:
    """What became of the scheduler's part, for a claim that is not bound yet; "" if it holds.

    pointed  the volume that was made to name the claim, None if one is to be made
    """
    if pointed is not None:
        ref = volume.claim_ref if volume is not None else None
        return "" if ref is not None and ref.uid else f'ClaimRef got reset for pv "{pointed}"'
    selected = claim.annotations.get(SELECTED_NODE)
    if selected is None:
        return f'selectedNode annotation reset for PVC "{claim.name}"'
    return "" if selected == node.name else f'provisioning failed for PVC "{claim.name}"'


def not_scheduled(pod: Pod, reason: str, message: str, now: str) -> Pod:
    """The pod as it says why it has no node. now: RFC 3339."""
    return pod.with_condition(
        PodCondition(
            type=POD_SCHEDULED,
            status="False",
            observed_generation=pod.metadata.generation,
            last_transition_time=now,
            reason=reason,
            message=message,
        )
    )


def assigned(pod: Pod, node: str, now: str) -> Pod:
    """The pod as the subresource binding leaves it. now: RFC 3339."""
    seen = pod.metadata.generation
    condition = PodCondition(
        type=POD_SCHEDULED, status="True", observed_generation=seen, last_transition_time=now
    )
    return pod.on_node(node).with_condition(condition)
