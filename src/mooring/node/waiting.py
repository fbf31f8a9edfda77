"""Claims that are waited for: until they are bound, or it is known that they will not be."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from mooring.errors import Effect, MooringError
from mooring.model.claim import Claim
from mooring.model.names import Phase
from mooring.objects.cache import Event
from mooring.objects.objects import Objects


class Unmade(MooringError):
    """Why a volume was not made, in the words of whoever decided that."""

    code, effect = "ProvisioningFailed", Effect.NONE

    def __init__(self, claim: Claim, why: str, *, full: bool = False) -> None:
        self.what = why
        self.remedy = f"mooring explain pvc {claim.name} -n {claim.namespace} says more"
        if full:
            self.code = "PoolFull"
            self.remedy = "delete released volumes, raise the pool's capacity, or ask for less"

    def __str__(self) -> str:
        return self.what  # an event of the claim, beside which the remedy stands already


class Failures:
    """Why claims got no volume at the last try. Whoever waits for one is told."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, MooringError]] = {}  # claim key → its uid, and why
        self._told: dict[str, set[asyncio.Event]] = {}

    def note(self, claim: Claim, error: MooringError) -> None:
        self._known[claim.key] = (claim.uid, error)
        for waiting in self._told.get(claim.key, ()):
            waiting.set()

    def forget(self, key: str) -> None:
        """It was made, or is not wanted any more."""
        self._known.pop(key, None)

    def of(self, claim: Claim) -> MooringError | None:
        uid, error = self._known.get(claim.key, ("", None))
        return error if uid == claim.uid else None

    def follow(self, key: str, changed: asyncio.Event) -> Callable[[], None]:
        """Set `changed` at each failure of one claim. Returns what ends it."""
        self._told.setdefault(key, set()).add(changed)

        def unfollow() -> None:
            self._told[key].discard(changed)
            if not self._told[key]:
                del self._told[key]

        return unfollow


class Waiting:
    """Waits for claims, each for as long as is said."""

    def __init__(self, objects: Objects, failures: Failures) -> None:
        self._objects, self.failures = objects, failures

    async def until_bound(self, key: str, within_s: float) -> Claim | None:
        """Wait for a claim to be Bound.

        returns  the claim as it is then, Bound or, when time is over, not; None if it is gone
        raises   what kept its volume from being made, as soon as that is known
        """
        return await self._until(key, within_s, self._bound)

    async def until_gone(self, key: str, uid: str, within_s: float) -> bool:
        """Wait for a claim to be gone, or another of the same name."""
        left = await self._until(key, within_s, lambda claim: claim.uid != uid)
        return left is None or left.uid != uid

    def _bound(self, claim: Claim) -> bool:
        if claim.phase != Phase.BOUND and (error := self.failures.of(claim)) is not None:
            raise error
        return claim.phase in (Phase.BOUND, Phase.LOST)

    async def _until(
        self, key: str, within_s: float, is_right: Callable[[Claim], bool]
    ) -> Claim | None:
        changed = asyncio.Event()

        def look(event: Event) -> None:
            if event.key == key:
                changed.set()

        unfollows = (
            self._objects.cache.shelves[Claim.resource].follow(look),
            self.failures.follow(key, changed),
        )
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    while (claim := self._objects.view(Claim, key)) and not is_right(claim):
                        changed.clear()
                        await changed.wait()
        finally:
            for unfollow in unfollows:
                unfollow()
        return self._objects.view(Claim, key)
