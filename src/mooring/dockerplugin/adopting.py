"""`mooring adopt`: volumes of Docker's own, copied into claims of new names. Docker volumes §11.

A claim that is not whole yet has an annotation with which nobody else is given it. An adoption
belongs to the server: it goes on when whoever asked for it is gone, and after a restart.
"""

import asyncio
import logging
import os
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from mooring.clock import timestamp
from mooring.crashpoints import crash_point, passing
from mooring.dockerplugin.adoption import Adoption, Whole, finished_document
from mooring.dockerplugin.adoption_errors import (
    AnotherIsAdopted,
    ChangedSince,
    ClaimExists,
    CopyDiffers,
    GivenUp,
    NoRoom,
    SizeBelowData,
    VolumeChanged,
)
from mooring.dockerplugin.errors import Broken, of_volume
from mooring.dockerplugin.names import DockerName, Namespaces, claim_named, shown_name
from mooring.dockerplugin.old_volumes import OldVolumes
from mooring.dockerplugin.options import Options, parsed
from mooring.dockerplugin.unfinished import Notes, Unfinished
from mooring.engine.errors import EngineAway
from mooring.errors import MooringError
from mooring.host import copies
from mooring.host.blocking import Blocking
from mooring.host.comparing import Finding
from mooring.host.copier import Ended
from mooring.host.errors import CopyFailed, DiskFull, TreeChanged
from mooring.host.scanning import Totals
from mooring.model.claim import Claim
from mooring.model.names import ADOPTED, ADOPTED_FROM, ADOPTING
from mooring.model.quantity import Quantity
from mooring.model.volume import Volume
from mooring.node.ids import ADOPTER
from mooring.node.use import Users
from mooring.objects.cache import Event
from mooring.objects.errors import NotFound, Stale
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects, Preconditions
from mooring.rules.events import NORMAL, WARNING, EventNote

log = logging.getLogger(__name__)

T = TypeVar("T")
Create = Callable[[DockerName, Options, Mapping[str, str]], Awaitable[None]]

SUFFIX: Final = "-adopted"  # of the new name, if none is said
AT_ONCE: Final = 2  # that copy; more of them would only make the disk slower
BOUND_WITHIN_S: Final = 90.0
DOCKER_WITHIN_S: Final = 600.0  # at a start of the host; then it is tried at the next start
DOCKER_RETRY_S: Final = 2.0
ENDED_AT_MOST: Final = 100  # that are remembered; what is whole, its claim says as well
EVENT_LETTERS: Final = 1000
GIB: Final = 1 << 30
_HOLD: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

NOTED: Final = crash_point("adopt.noted")
MADE: Final = crash_point("adopt.made")
COPIED: Final = crash_point("adopt.copied")
WHOLE: Final = crash_point("adopt.whole")


class Adoptions:
    """Of one host."""

    def __init__(
        self,
        objects: Objects,
        users: Users,
        old: OldVolumes,
        create: Create,
        namespaces: Namespaces,
        node: str,
        state_dir: Path,
        tell: Callable[[EventNote], None],
    ) -> None:
        """create  makes a claim, with these annotations on top of its own"""
        self._objects, self._users, self._old = objects, users, old
        self._create, self._namespaces, self._node = create, namespaces, node
        self._tell = tell
        self._notes = Notes(state_dir)
        self._known: OrderedDict[str, Adoption] = OrderedDict()  # by key of the claim
        self._beginning = asyncio.Lock()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._blocking = Blocking("the copies of volumes")

    async def start(self) -> None:
        """Go on with what an earlier process left."""
        for note in await self._notes.start():
            if note.is_of(self._claim(note.claim)):
                self._begin(note, self._gone_on_after_a_restart)
            else:  # nothing was made for it, or it was given up, or finished
                await self._notes.drop(note)
        for user in self._users.ids.all():
            if user.id == ADOPTER and user.claim not in self._known:
                await self._users.take(user.claim, ADOPTER)

    async def stop(self) -> None:
        """What is under way is cut off, and gone on with at the next start."""
        tasks = [one.task for one in self._known.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def adopt(
        self,
        volume: str,
        *,
        name: str = "",
        namespace: str = "default",
        size: str = "",
        class_name: str = "",
    ) -> Doc:
        """Begin, or go on with what was begun, or say that it is done. Returns how far it is.

        volume     as Docker calls it
        name       of the new one, as Docker will call it within its namespace; "": VOLUME-adopted
        namespace  of the claim
        size       a quantity, "": what the data takes, and some room
        raises     BadName, BadSize and other codes of Docker volumes §4 and §5, NoSuchVolume,
                   NotLocal, NotReadable, VolumeInUse, NameTaken, EngineAway. What goes wrong later
                   is told with how far it is.
        """
        claim_named(volume, Namespaces())  # whether it is a name at all
        wanted = claim_named(name or volume + SUFFIX, Namespaces(namespace))
        given = {"size": size, "class": class_name}
        options = parsed({key: value for key, value in given.items() if value})
        async with self._beginning:
            known = self._known.get(wanted.key)
            if known is not None and not known.has_ended:
                if known.note.volume != volume:
                    raise AnotherIsAdopted(wanted.key, known.note.volume)
                return known.document()
            await self._old.unused(volume)
            return (await self._begun(volume, wanted, options)).document()

    def one(self, key: str) -> Doc | None:
        """How far the adoption into a claim is; None if there is none."""
        if (known := self._known.get(key)) is not None:
            return known.document()
        claim = self._claim(key)
        name = (shown_name(claim, self._namespaces) or "") if claim is not None else ""
        return finished_document(claim, name) if claim is not None else None

    def all(self) -> list[Doc]:
        """Those under way, and the last that ended."""
        return [one.document() for one in self._known.values()]

    async def _begun(self, volume: str, name: DockerName, options: Options) -> Adoption:
        claim, shown = self._claim(name.key), self._shown(name)
        if claim is None:
            if shown:
                await self._old.refuse_name(shown)
            note = Unfinished(secrets.token_hex(16), volume, name.key, shown)
            return self._begin(note, partial(self._made, name=name, options=options))
        found = self._notes.of(claim)
        if found is not None and found.volume == volume:
            return self._begin(found, self._gone_on)
        whole, source = Whole.of(claim), claim.annotations.get(ADOPTED_FROM)
        if whole is not None and source == f"{self._node}/{volume}":
            note = Unfinished("", volume, name.key, shown)
            return self._begin(note, partial(self._looked_at_again, whole=whole))
        raise ClaimExists(name.key, volume)

    def _begin(self, note: Unfinished, work: Callable[[Adoption], Awaitable[Whole]]) -> Adoption:
        adoption = self._known[note.claim] = Adoption(note)
        self._known.move_to_end(note.claim)
        ended = [key for key, one in self._known.items() if one.has_ended]
        for key in ended[: max(0, len(ended) - ENDED_AT_MOST)]:
            del self._known[key]
        adoption.task = asyncio.create_task(self._run(adoption, work), name=f"adopt {note.claim}")
        return adoption

    async def _run(self, adoption: Adoption, work: Callable[[Adoption], Awaitable[Whole]]) -> None:
        note = adoption.note
        try:
            whole = await work(adoption)
        except MooringError as error:
            adoption.fail(self._explained(note, error))
            if isinstance(error, GivenUp):
                await self._notes.drop(note)
        except OSError as error:
            adoption.fail(CopyFailed("CopyFailed", f"volume {note.volume}: {error}"))
        except Exception:
            log.exception("adoption of volume %s into %s failed", note.volume, note.claim)
            adoption.fail(Broken("mooring adopt", note.volume))
        else:
            adoption.end(whole)
        self._tell_how_it_ended(adoption)

    # The ways to a whole copy

    async def _made(self, adoption: Adoption, name: DockerName, options: Options) -> Whole:
        """Into a claim that does not exist yet. It goes again if nothing was copied into it."""
        note = adoption.note
        original = await self._old.unused(note.volume)
        size = self._size(note, options, await copies.scanned(original, adoption.tell))
        adoption.phase = "Making"
        await self._notes.add(note)
        passing(NOTED)
        said = {ADOPTING: note.token, ADOPTED_FROM: f"{self._node}/{note.volume}"}
        try:
            # `fresh`: data that an earlier claim of this name left is no reason against a full one.
            asked = msgspec.structs.replace(options, size=size, fresh=True)
            await self._create(name, asked, said)
            passing(MADE)
            made = self._claim(note.claim)
            if made is not None and not note.is_of(made):  # somebody else was faster
                raise ClaimExists(note.claim, note.volume)
            return await self._copied(adoption, original)
        except MooringError:
            if not adoption.has_begun:
                await self._take_back(note)
            raise

    async def _gone_on(self, adoption: Adoption) -> Whole:
        """Into one that was begun before."""
        return await self._copied(adoption, await self._old.unused(adoption.note.volume))

    async def _gone_on_after_a_restart(self, adoption: Adoption) -> Whole:
        """Docker may start after Mooring, and should."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DOCKER_WITHIN_S):
                while True:
                    with suppress(EngineAway):
                        await self._old.unused(adoption.note.volume)
                        break
                    await asyncio.sleep(DOCKER_RETRY_S)
        return await self._gone_on(adoption)

    async def _looked_at_again(self, adoption: Adoption, whole: Whole) -> Whole:
        """At one that is whole: whether its original is still what it was then."""
        note = adoption.note
        original = await self._old.unused(note.volume)
        if not whole.is_of(await copies.scanned(original, adoption.tell)):
            raise ChangedSince(note.volume, note.claim, whole.at)
        return whole

    # Their steps

    def _size(self, note: Unfinished, options: Options, totals: Totals) -> Quantity:
        """As asked for; else what the data takes and a fifth, in whole GiB."""
        if options.size is None:
            return Quantity.of_bytes(max(1, -(-totals.room_bytes * 6 // (5 * GIB))) * GIB)
        needed = Quantity.of_bytes(totals.room_bytes)
        if options.size < needed:
            raise SizeBelowData(note.volume, str(options.size), str(needed))
        return options.size

    async def _copied(self, adoption: Adoption, original: Path) -> Whole:
        note = adoption.note
        adoption.phase = "Waiting"
        async with self._room:
            claim = self._claim(note.claim)
            if claim is None or not note.is_of(claim):
                raise GivenUp(note.claim, note.volume)
            try:
                ended = await self._copied_into(adoption, original)
            finally:
                await self._users.take(note.claim, ADOPTER)
        passing(COPIED)
        if ended.changed.count:
            raise VolumeChanged(note.volume, ended.changed)
        if ended.differs.count:
            raise CopyDiffers(note.volume, note.claim, ended.differs)
        await self._old.unused(note.volume)  # whoever came meanwhile may be about to write
        adoption.left = ended.left
        return await self._finished(claim, note, ended.totals)

    async def _copied_into(self, adoption: Adoption, original: Path) -> Ended:
        note = adoption.note
        mounted = await self._users.give(note.claim, ADOPTER, BOUND_WITHIN_S)
        held = await self._blocking.run(partial(os.open, mounted.path, _HOLD))
        try:
            # Held, it cannot be unmounted under the copier. It was not before either, if the claim
            # is there still.
            return await self._unless_given_up(
                note, copies.copied(original, mounted.path, adoption.tell)
            )
        except DiskFull as error:
            volume = self._objects.view(Volume, mounted.volume)
            pool = volume.pool if volume is not None else ""
            raise NoRoom(note.volume, pool, error.need_bytes, error.free_bytes) from error
        finally:
            os.close(held)

    async def _unless_given_up(self, note: Unfinished, work: Coroutine[Any, Any, T]) -> T:
        """Raises GivenUp as soon as the claim is deleted."""
        gone = asyncio.Event()

        def look(event: Event) -> None:
            if event.key == note.claim and not self._is_wanted(note):
                gone.set()

        unfollow = self._objects.cache.shelves[Claim.resource].follow(look)
        working, watching = asyncio.create_task(work), asyncio.create_task(gone.wait())
        try:
            if self._is_wanted(note):
                await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise GivenUp(note.claim, note.volume)
            return working.result()
        finally:
            unfollow()
            for task in (working, watching):
                task.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)

    async def _finished(self, claim: Claim, note: Unfinished, totals: Totals) -> Whole:
        now = timestamp(self._objects.clock.now())
        whole = Whole(now, totals.files, totals.bytes, totals.changed_ns)

        def told(doc: Doc) -> Doc:
            doc["metadata"]["annotations"].pop(ADOPTING, None)
            doc["metadata"]["annotations"][ADOPTED] = msgspec.json.encode(whole).decode()
            return doc

        kind, same = self._objects.kinds[Claim.resource], Preconditions(uid=claim.uid)
        try:
            await self._objects.update(kind, claim.key, told, preconditions=same)
        except (NotFound, Stale) as error:
            raise GivenUp(note.claim, note.volume) from error
        passing(WHOLE)
        await self._notes.drop(note)
        return whole

    async def _take_back(self, note: Unfinished) -> None:
        claim = self._claim(note.claim)
        if claim is not None and note.is_of(claim):
            kind, same = self._objects.kinds[Claim.resource], Preconditions(uid=claim.uid)
            with suppress(NotFound, Stale):
                await self._objects.delete(kind, claim.key, preconditions=same)
        await self._notes.drop(note)

    # What people are told

    def _explained(self, note: Unfinished, error: MooringError) -> MooringError:
        """An error of a room that knows no volumes."""
        if isinstance(error, TreeChanged):
            return VolumeChanged(note.volume, Finding(len(error.named), error.named))
        if isinstance(error, CopyFailed):
            return of_volume(error, note.volume, self._node)
        return error

    def _tell_how_it_ended(self, adoption: Adoption) -> None:
        note, error = adoption.note, adoption.error
        if error is None:
            log.info("volume %s is adopted into claim %s", note.volume, note.claim)
        else:
            log.warning("volume %s is not adopted into %s: %s", note.volume, note.claim, error)
        claim = self._claim(note.claim)
        if claim is None:
            return
        if error is None:
            count = adoption.counts.files
            text = f"copied and verified {count} files of Docker volume {note.volume}"
            self._tell(EventNote(claim.reference(), NORMAL, "Adopted", text, "mooring"))
        elif note.is_of(claim):
            text = f"{error.code}: {error}"[:EVENT_LETTERS]
            self._tell(EventNote(claim.reference(), WARNING, "AdoptionFailed", text, "mooring"))

    def _is_wanted(self, note: Unfinished) -> bool:
        claim = self._claim(note.claim)
        return claim is not None and note.is_of(claim) and not claim.being_deleted

    def _shown(self, name: DockerName) -> str:
        """What Docker will call it, "" if it does not reach its namespace."""
        if name.namespace == self._namespaces.default:
            return name.bare
        return f"{name.namespace}/{name.bare}" if self._namespaces.reaches(name.namespace) else ""

    def _claim(self, key: str) -> Claim | None:
        return self._objects.view(Claim, key)
