"""Finds the nodes that can give pods their volumes. Storage semantics §10 "WFFC with scheduler".

What it decided for a pod is in the objects as soon as it matters: volumes that name a claim, claims
with a selected node. A new start decides the same from them.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from mooring.clock import timestamp
from mooring.controllers.landscape import Landscape
from mooring.controllers.recorder import Recorder
from mooring.model.claim import Claim
from mooring.model.csi import CsiDriver, StorageCapacity
from mooring.model.metadata import View
from mooring.model.names import SELECTED_NODE
from mooring.model.node import Node
from mooring.model.pod import Pod
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.cache import Entry
from mooring.objects.index import Index
from mooring.objects.objects import Objects
from mooring.objects.unclaimed import UnclaimedVolumes
from mooring.objects.views import view
from mooring.objects.waste import limit_for
from mooring.reconcile.backoff import Backoff
from mooring.reconcile.queue import Again, Done, Error, Outcome, Step
from mooring.rules.binding import pointing
from mooring.rules.events import NORMAL, WARNING, EventNote
from mooring.rules.matching import fits
from mooring.rules.scheduling import (
    SCHEDULER,
    SCHEDULER_ERROR,
    UNSCHEDULABLE,
    Plan,
    assigned,
    not_scheduled,
    placement,
    setback,
)
from mooring.rules.waiting_pods import A_NODE, WaitingPods, of_class, of_volume

BIND_WITHIN_S: Final = 600.0  # as Kubernetes' scheduler
TOO_LATE: Final = "context deadline exceeded"


@dataclass
class Attempt:
    """A plan under way.

    uses     keys of all claims of the pod
    written  keys of the claims for which our part is done
    """

    uid: str
    uses: frozenset[str]
    plan: Plan
    since_s: float  # monotonic
    written: set[str] = field(default_factory=set)


class Scheduler:
    """Looks at one pod at a time; answers rules.scheduling.World."""

    def __init__(
        self,
        objects: Objects,
        landscape: Landscape,
        recorder: Recorder,
        wake: Callable[[str], None],
        later: Callable[[str, float], None],
    ) -> None:
        """wake   has a pod looked at soon
        later  has it looked at after so many seconds
        """
        self._objects, self._landscape, self._recorder = objects, landscape, recorder
        self._wake, self._later = wake, later
        self.waiting = WaitingPods()
        self._attempts: dict[str, Attempt] = {}
        self.promised: set[str] = set()  # volumes that pods under way are about to get
        self._backoff = Backoff(objects.clock)
        self._unclaimed = UnclaimedVolumes(objects)
        shelf = objects.cache.shelves[StorageCapacity.resource]
        self._capacities = Index(shelf, _class_of_capacity)

    def stop(self) -> None:
        """Follow nothing any longer."""
        self._unclaimed.stop()
        self._capacities.stop()

    # Answers

    def claim(self, key: str) -> Claim | None:
        return self._landscape.claim(key)

    def volume(self, name: str) -> Volume | None:
        return self._landscape.volume(name)

    def storage_class(self, name: str) -> StorageClass | None:
        return self._landscape.storage_class(name)

    def csi_driver(self, name: str) -> CsiDriver | None:
        return self._objects.view(CsiDriver, name)

    def capacities(self, class_name: str) -> Sequence[StorageCapacity]:
        found = (
            self._objects.view(StorageCapacity, key) for key in self._capacities.keys(class_name)
        )
        return [one for one in found if one is not None]

    def free_volume(self, claim: Claim, node: Node, taken: Collection[str]) -> Volume | None:
        return self._unclaimed.choice(claim, node.labels, node.name, taken)

    def has_rival(self, claim: Claim, pod: Pod) -> bool:
        return any(
            other.key != pod.key
            and not other.has_ended
            and bool(other.node_name or other.key in self._attempts)
            for other in self._landscape.pods_of(claim.key)
        )

    # Looks

    def hurry(self, key: str) -> None:
        """What it failed for may be different now."""
        self._backoff.forget(key)

    def reconcile(self, key: str) -> Outcome | Step:
        """Bring one pod a step nearer to its node, or say why it cannot have one."""
        pod = self._objects.view(Pod, key)
        attempt = self._attempts.get(key)
        if attempt is not None and (pod is None or attempt.uid != pod.uid):
            self._give_up(key)
            attempt = None
        if pod is None or not pod.is_to_be_placed:
            self._give_up(key, placed=pod is not None and bool(pod.node_name))
            self._backoff.forget(key)
            return Done("no pod that needs a node")
        done = self._advanced(pod, attempt) if attempt is not None else None
        if done is not None:
            return done
        self._give_up(key)
        begun = self._begun(pod)
        done = self._advanced(pod, begun) if isinstance(begun, Attempt) else begun
        assert done is not None  # nobody can have been faster than a plan of this moment
        return done

    def _begun(self, pod: Pod) -> Attempt | Outcome | Step:
        if (left_s := self._backoff.left_s(pod.key, pod.uid)) > 0:
            return Again(left_s, "it failed, and is tried again later")
        plan = placement(pod, self._objects.views(Node), self, self.promised)
        if isinstance(plan, str):
            return self._unplaceable(pod, plan)
        uses = frozenset(f"{pod.namespace}/{name}" for name in pod.claim_names)
        attempt = Attempt(pod.uid, uses, plan, self._objects.clock.monotonic_s())
        self._attempts[pod.key] = attempt
        self.promised.update(name for _, name in plan.points)
        self.waiting.put(pod.key, [A_NODE, *(of_volume(name) for _, name in plan.points)])
        return attempt

    def _advanced(self, pod: Pod, attempt: Attempt) -> Outcome | Step | None:
        """Do what comes next; None if somebody was faster, and the plan is not to be had."""
        plan = attempt.plan
        node = self._objects.view(Node, plan.node)
        if why := setback(plan, attempt.written, node, self):
            return self._failed(pod, why)
        for key in plan.claims:
            if key in attempt.written:
                continue
            pair = self._part(key, plan)
            if pair is None:
                return None
            if pair[0] is not pair[1]:
                then = partial(self._written, pod.key, attempt, key)
                return Step(f"{key} on {plan.node}", [pair], then)
            attempt.written.add(key)
        if all(self._is_bound(key) for key in plan.claims):
            placed = assigned(pod, plan.node, self._now())
            return Step(f"on {plan.node}", [(pod, placed)], partial(self._placed, pod, plan.node))
        left_s = attempt.since_s + BIND_WITHIN_S - self._objects.clock.monotonic_s()
        if left_s <= 0:
            return self._failed(pod, TOO_LATE)
        return Again(left_s, "its claims are not bound yet")

    def _part(self, key: str, plan: Plan) -> tuple[View, View] | None:
        """What we write for a claim, the same twice if nothing; None if it is too late for it."""
        claim = self.claim(key)
        assert claim is not None  # or it was a setback
        if claim.volume_name:
            return claim, claim
        if name := dict(plan.points).get(key):
            volume = self.volume(name)
            limit = limit_for(self._objects, claim)
            if volume is None or not fits(claim, volume, limit=limit):
                return None
            return volume, pointing(volume, claim)
        if claim.annotations.get(SELECTED_NODE, plan.node) != plan.node:
            return None
        return claim, claim.annotated(**{SELECTED_NODE: plan.node})

    def _is_bound(self, key: str) -> bool:
        claim = self.claim(key)
        return claim is not None and claim.was_bound and bool(claim.volume_name)

    def _written(self, pod: str, attempt: Attempt, claim: str, error: Error) -> None:
        if error is None:
            attempt.written.add(claim)
            self._wake(pod)

    def _placed(self, pod: Pod, node: str, error: Error) -> None:
        if error is None:
            message = f"Successfully assigned {pod.key} to {node}"
            self._tell(pod, NORMAL, "Scheduled", message)

    def _unplaceable(self, pod: Pod, why: str) -> Outcome | Step:
        marks = [A_NODE]
        for name in pod.claim_names:
            claim = self.claim(f"{pod.namespace}/{name}")
            if claim is not None and claim.volume_name:
                marks.append(of_volume(claim.volume_name))
            elif claim is not None:
                marks.append(of_class(claim.class_name))
        self.waiting.put(pod.key, marks)
        tell = partial(self._tell, pod, WARNING, "FailedScheduling", why)
        return self._said(pod, UNSCHEDULABLE, why, tell, Done(why))

    def _failed(self, pod: Pod, why: str) -> Outcome | Step:
        """A plan did not work out: the pod is placed anew, after a while."""
        self._give_up(pod.key)
        message = f'running PreBind plugin "VolumeBinding": binding volumes: {why}'
        delay_s = self._backoff.failed(pod.key, pod.uid)

        def then() -> None:
            self._tell(pod, WARNING, "FailedScheduling", message)
            self._later(pod.key, delay_s)

        return self._said(pod, SCHEDULER_ERROR, message, then, Again(delay_s, message))

    def _said(
        self, pod: Pod, reason: str, why: str, then: Callable[[], None], outcome: Outcome
    ) -> Outcome | Step:
        """Have the pod say why it has no node."""
        says = not_scheduled(pod, reason, why, self._now())
        if says is pod:
            then()
            return outcome
        return Step(why, [(pod, says)], lambda error: then() if error is None else None)

    def _give_up(self, key: str, *, placed: bool = False) -> None:
        """Hold nothing for a pod any longer: who could have it otherwise is looked at.

        placed  it has what it was to have
        """
        self.waiting.remove(key)
        attempt = self._attempts.pop(key, None)
        if attempt is None:
            return
        self.promised.difference_update(name for _, name in attempt.plan.points)
        if placed:
            return
        for claim in attempt.uses:
            for other in self._landscape.pods_of(claim):
                if other.key != key and other.is_to_be_placed:
                    self._wake(other.key)
        for _, name in attempt.plan.points:
            if (volume := self.volume(name)) is not None:
                for other_key in self.waiting.of(of_class(volume.class_name)):
                    self._wake(other_key)

    def _now(self) -> str:
        return timestamp(self._objects.clock.now())

    def _tell(self, pod: Pod, type_: str, reason: str, message: str) -> None:
        self._recorder.note(EventNote(pod.reference(), type_, reason, message, SCHEDULER))


def _class_of_capacity(entry: Entry) -> list[str]:
    return [view(StorageCapacity, entry).storage_class_name]
