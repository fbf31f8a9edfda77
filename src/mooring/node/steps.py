"""What changes volumes for claims a step at a time has in common: each step is stored, and told."""

from collections.abc import Callable
from typing import TypeVar

from mooring.clock import timestamp
from mooring.model.claim import Claim
from mooring.model.metadata import View
from mooring.objects.objects import Objects
from mooring.rules.events import EventNote
from mooring.rules.resizing import COMPONENT
from mooring.store.interface import Conflict

V = TypeVar("V", bound=View)


class Steps:
    """Of growth and of change of attributes.

    tell  takes notes for events
    """

    def __init__(self, objects: Objects, tell: Callable[[EventNote], None]) -> None:
        self._objects, self._note = objects, tell

    async def stored(self, old: V, new: V) -> V:
        """Store one changed view. Returns it as it is then. Raises Conflict, Forbidden."""
        if new == old:
            return old
        await self._objects.commit([(old, new)])
        found = self._objects.view(type(old), old.key)
        if found is None or found.uid != old.uid:
            raise Conflict(old.key, 0, 0)
        return found

    def tell(self, claim: Claim, type_: str, reason: str, message: str, driver: str) -> None:
        """An event, as of Kubernetes' external-resizer beside the driver."""
        component = f"{COMPONENT} {driver}"
        self._note(EventNote(claim.reference(), type_, reason, message, component))

    def now(self) -> str:
        return timestamp(self._objects.clock.now())
