"""Claims without a name of which Docker may not know that it has them: it will never remove them.

Docker names such a volume at random and sends Remove for it with its container. If it never hears
how Create ended, it knows of none, and nobody else does. So the claim says that it is unanswered
until Docker was told. What says so still after a crash is looked at here: it is taken away if it is
old, was never used, and no container has it.
"""

import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from mooring.dockerplugin.names import Namespaces, shown_name
from mooring.engine.engine import Engine
from mooring.engine.errors import EngineAway
from mooring.model.claim import Claim
from mooring.model.names import ANONYMOUS, CREATED_BY, UNANSWERED, USED
from mooring.model.volume import Volume
from mooring.objects.errors import NotFound, Stale
from mooring.objects.objects import Objects, Preconditions
from mooring.reconcile.queue import Again, Done, Outcome, Queue

log = logging.getLogger(__name__)

OLD_S: Final = 600.0  # Docker has its container by then: a Create ends after 100 s
RETRY_S: Final = 60.0  # while Docker does not answer


class Unanswered:
    """Of one host's Docker."""

    def __init__(
        self, objects: Objects, engine: Engine | None, namespaces: Namespaces, node: str
    ) -> None:
        self._objects, self._engine = objects, engine
        self._namespaces, self._node = namespaces, node
        self._answered: set[str] = set()  # keys of claims, until that is written
        self.queue = Queue("unanswered", self._looked_at)  # by claim

    def start(self) -> None:
        """Look at what an earlier process left."""
        self.look()
        self.queue.start()

    async def stop(self) -> None:
        await self.queue.until_idle()  # what was answered is noted as such
        await self.queue.stop()

    def look(self) -> None:
        """At all, as Docker is new, or Mooring."""
        for entry in self._objects.cache.shelves[Claim.resource].entries():
            if entry.labels and ANONYMOUS in entry.labels and UNANSWERED.encode() in entry.body:
                self.queue.add(entry.key)

    def answered(self, key: str) -> None:
        """Docker knows of this claim."""
        self._answered.add(key)
        self.queue.add(key)

    async def lost(self, key: str) -> None:
        """Docker does not, and never will."""
        claim = self._objects.view(Claim, key)
        if claim is not None and self._is_one(claim) and not self._is_used(claim):
            await self._take_away(claim)

    async def _looked_at(self, key: str) -> Outcome:
        claim = self._objects.view(Claim, key)
        if claim is None or not self._is_one(claim):
            self._answered.discard(key)
            return Done("it is gone, or was answered")
        if key not in self._answered and not self._is_used(claim):
            age_s = self._age_s(claim)
            if age_s < OLD_S:
                return Again(OLD_S - age_s, "Docker may have it soon")
            try:
                has_it = await self._has_container(claim)
            except EngineAway as error:
                return Again(RETRY_S, str(error))
            if not has_it:
                await self._take_away(claim)
                return Done("Docker does not know of it")
        known = claim.without_annotations(UNANSWERED)
        await self._objects.commit([(claim, known)])  # Conflict: looked at anew
        self._answered.discard(key)
        return Done("Docker knows of it")

    def _is_one(self, claim: Claim) -> bool:
        """Whether this host's Docker asked for it, and was not told yet."""
        mine = claim.annotations.get(CREATED_BY) == f"docker/{self._node}"
        return mine and UNANSWERED in claim.annotations and not claim.being_deleted

    def _is_used(self, claim: Claim) -> bool:
        volume = self._objects.view(Volume, claim.volume_name) if claim.volume_name else None
        return volume is not None and USED in volume.annotations

    def _age_s(self, claim: Claim) -> float:
        made = datetime.fromisoformat(claim.metadata.creation_timestamp or "1970-01-01T00:00:00Z")
        return (self._objects.clock.now().astimezone(UTC) - made).total_seconds()

    async def _has_container(self, claim: Claim) -> bool:
        """Raises EngineAway."""
        name = shown_name(claim, self._namespaces)
        if self._engine is None or name is None:
            return True  # nobody can tell
        return bool(await self._engine.containers(name))

    async def _take_away(self, claim: Claim) -> None:
        log.warning("claim %s is removed: Docker was not told of it", claim.key)
        with suppress(NotFound, Stale):  # somebody else did
            kind, same = self._objects.kinds[Claim.resource], Preconditions(uid=claim.uid)
            await self._objects.delete(kind, claim.key, preconditions=same)
