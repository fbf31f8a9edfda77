"""Brings claims to where their specs and the volumes say they belong."""

from functools import partial
from typing import Final

from mooring.clock import timestamp
from mooring.controllers.landscape import Landscape
from mooring.controllers.recorder import Recorder
from mooring.crashpoints import crash_point, passing
from mooring.model.claim import Claim
from mooring.model.names import PVC_PROTECTION
from mooring.model.volume import Volume
from mooring.objects.objects import Objects
from mooring.reconcile.queue import Done, Error, Outcome, Step
from mooring.rules.claims import Decision, claim_decision
from mooring.rules.protection import holders

BEFORE_EVENTS: Final = crash_point("binder.before-events")


class Binder:
    """Keeps nothing: what it knows is in the landscape."""

    def __init__(self, objects: Objects, landscape: Landscape, recorder: Recorder) -> None:
        self._objects, self._landscape, self._recorder = objects, landscape, recorder

    def reconcile(self, key: str) -> Outcome | Step:
        """Look at one claim and decide: what to commit at once, and why."""
        claim = self._landscape.claim(key)
        if claim is None:
            return Done("the claim is gone")
        if (protected := self._protected(claim)) is not claim:
            why = "protection changed; looked at again when that is seen"
            return Step(why, [(claim, protected)])
        now = timestamp(self._objects.clock.now())
        decision = claim_decision(claim, self._landscape, now)
        taken = next((old.name for old, _ in decision.writes if isinstance(old, Volume)), "")
        # No await between the decision and this: no volume can become free in between unnoticed.
        self._landscape.looked_at(claim, taken, waits=decision.waits)
        if decision.writes:
            return Step(decision.why, decision.writes, partial(self._written, taken, decision))
        self._tell(decision)
        return Done(decision.why)

    def _written(self, taken: str, decision: Decision, error: Error) -> None:
        self._landscape.settled(taken)
        if error is None:
            self._tell(decision)

    def _tell(self, decision: Decision) -> None:
        passing(BEFORE_EVENTS)
        for note in decision.events:
            self._recorder.note(note)

    def _protected(self, claim: Claim) -> Claim:
        """§13: a claim is kept while a pod that has a node refers to it, ended or not."""
        if not claim.being_deleted:
            return claim.with_finalizer(PVC_PROTECTION)
        if holders(claim, self._landscape.pods_of(claim.key)):
            return claim
        return claim.without_finalizer(PVC_PROTECTION)
