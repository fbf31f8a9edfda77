"""New volumes that are filled before anybody can mount them. Storage semantics §18.

An asset that is not noted as filled is none: whatever a crash left of it is deleted and made anew.
One that is noted, but lost with its pool's disk, is filled again: a new one would be empty.
So there are no half-filled volumes, and no two contents mixed in one.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from mooring.clock import timestamp
from mooring.crashpoints import crash_point, passing
from mooring.drivers.interface import Asset, AssetName, Driver
from mooring.errors import MooringError
from mooring.model.backup import Condition, with_condition
from mooring.model.claim import Claim, DataSource
from mooring.node.intents import Intents
from mooring.node.telling import Telling
from mooring.objects.errors import NotFound
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects, Preconditions
from mooring.rules.events import NORMAL, WARNING, EventNote
from mooring.rules.filling import POPULATING, Amount

log = logging.getLogger(__name__)

LEFT_DELETED: Final = crash_point("fill.left-deleted")
EMPTY_MADE: Final = crash_point("fill.empty-made")
FILLED: Final = crash_point("fill.filled")
NOTED: Final = crash_point("fill.noted")

Tell = Callable[[Amount], None]


class Contents(Protocol):
    """What a volume is filled with: of one moment, and of one identity."""

    @property
    def identity(self) -> str:
        """Of exactly this content, for the log."""

    async def fill(self, root: Path, room_bytes: int, tell: Tell) -> None:
        """Fill an empty directory; all is on disk when this returns. Raises MooringError.

        room_bytes  that the claim asks for, where the backend itself sees to no size
        """


class Filler(Protocol):
    """Fills volumes from objects of one kind."""

    async def contents(self, claim: Claim, source: DataSource) -> Contents:
        """What the source has now. Raises MooringError: it is not there, or not ready."""


class Place(NamedTuple):
    """Where an asset is made."""

    driver: Driver
    name: AssetName
    size_bytes: int
    component: str  # that events come from


class Filling:
    """Runs beside the provisioner, which asks again until it has its asset."""

    def __init__(
        self,
        objects: Objects,
        intents: Intents,
        fillers: Mapping[str, Filler],
        tell: Callable[[EventNote], None],
    ) -> None:
        """fillers  by the kind of the sources"""
        self._objects, self._intents, self._fillers = objects, intents, fillers
        self._tell = tell
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failed: dict[str, Exception] = {}

    def runs(self, asset: str) -> bool:
        """Whether it is being filled now."""
        return asset in self._tasks

    async def asset(
        self, claim: Claim, source: DataSource, place: Place, again: Callable[[str], None]
    ) -> Asset | None:
        """The asset of a claim if it is filled, else None: `again` is called when it is, or failed.

        raises  MooringError: why it cannot be filled; the next call begins anew
        """
        name, driver = place.name, place.driver
        if (error := self._failed.pop(name, None)) is not None:
            raise error
        if self._intents.is_filled(name):
            if any(one.name == name for one in await driver.assets()):
                return await driver.create(name, place.size_bytes)
            log.warning("asset=%s was filled and is gone: it is filled again", name)
            await self._intents.not_filled(name)
        contents = await self._fillers[source.kind].contents(claim, source)
        await driver.delete(name)
        passing(LEFT_DELETED)
        await driver.create(name, place.size_bytes)
        passing(EMPTY_MADE)
        begun = f"Filling volume {name} from {source.kind} {source.name}"
        self._tell(EventNote(claim.reference(), NORMAL, "Populating", begun, place.component))
        task = asyncio.create_task(self._fill(claim, contents, place), name=f"fill {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda ended: self._ended(claim, name, ended, again))
        return None

    def _ended(
        self, claim: Claim, name: str, task: asyncio.Task[None], again: Callable[[str], None]
    ) -> None:
        self._tasks.pop(name, None)
        if task.cancelled():
            return
        if isinstance(error := task.exception(), Exception):
            self._failed[name] = error
        again(claim.key)

    async def _fill(self, claim: Claim, contents: Contents, place: Place) -> None:
        async def write(amount: Amount, elapsed_s: float) -> None:
            await self._condition(claim, "True", "Populating", amount.shown(elapsed_s))

        about, telling = claim.reference(), Telling(write)
        try:
            root = await place.driver.publish(place.name)
            await contents.fill(root, place.size_bytes, telling)
            passing(FILLED)
            await place.driver.unpublish(place.name)
            await self._intents.filled(place.name)
            passing(NOTED)
        except (MooringError, OSError) as error:
            why = str(error)
            self._tell(EventNote(about, WARNING, "PopulatorFailed", why, place.component))
            await telling.stop()
            await self._condition(claim, "False", "PopulatorFailed", why)
            with suppress(MooringError):
                await place.driver.unpublish(place.name)
            raise
        finally:
            await telling.stop()
        log.info(
            "asset=%s filled from %s in %.1f s", place.name, contents.identity, telling.elapsed_s
        )
        done = f"Filled volume {place.name}"
        self._tell(EventNote(about, NORMAL, "PopulatorFinished", done, place.component))
        await self._condition(claim, "", "", "")

    async def _condition(self, claim: Claim, status: str, reason: str, message: str) -> None:
        """Told on the claim, as long as it is there. Without a status the condition goes."""
        now = timestamp(self._objects.clock.now())

        def changed(doc: Doc) -> Doc:
            told = doc.setdefault("status", {})
            known = msgspec.convert(told.get("conditions") or [], tuple[Condition, ...])
            new = Condition(type=POPULATING, status=status, reason=reason, message=message)
            wanted = with_condition(known, new, now)
            kept = [one for one in wanted if status or one.type != POPULATING]
            told["conditions"] = msgspec.to_builtins(kept)
            if not kept:
                del told["conditions"]
            return doc

        kind = self._objects.kinds[Claim.resource]
        same = Preconditions(uid=claim.uid)
        with suppress(NotFound):
            await self._objects.update(
                kind, claim.key, changed, subresource="status", preconditions=same
            )

    async def until_idle(self) -> None:
        """Wait until none is being filled."""
        while self._tasks:
            await asyncio.wait(set(self._tasks.values()))

    async def stop(self, asset: str) -> None:
        """It is not wanted any more. Nothing writes to it when this returns."""
        self._failed.pop(asset, None)
        if (task := self._tasks.get(asset)) is not None:
            task.cancel()
            await asyncio.wait({task})

    async def close(self) -> None:
        """End all; what is not filled is made anew after the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
