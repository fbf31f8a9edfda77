"""A file with a file system of its own for each volume: its size holds, clones share blocks.

ROOT/NAME/             an asset, as a whole: it comes and goes with one rename; drivers/images.py
ROOT/.snapshot-NAME/   a snapshot, likewise

What else is in ROOT: drivers/root.py. Who works on an asset has its directory locked (flock), and
so have the programs that it starts.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from errno import EDQUOT, ENOSPC, EPERM
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, TypeVar
from weakref import WeakValueDictionary

from msgspec.structs import replace

from mooring.crashpoints import crash_point, passing
from mooring.drivers import images
from mooring.drivers.errors import (
    BadPoolOption,
    CannotDo,
    GrowsLater,
    InUse,
    NeedsRepair,
    NoSuchAsset,
    PoolFailed,
    PoolFull,
    SizeMismatch,
)
from mooring.drivers.imagefs import DAMAGE, EXT4, KINDS, XFS, Damaged, ImageFs, can_have_xfs
from mooring.drivers.imagepool import Aside, Busy, ImagePool
from mooring.drivers.images import About, Held
from mooring.drivers.interface import (
    Asset,
    AssetName,
    Features,
    Place,
    Snapshot,
    Source,
    Usage,
    asset_name,
    checked_attributes,
)
from mooring.drivers.root import ITSELF, SNAPSHOT, PoolRoot, flag_of, id_of, mode_of, usage_of
from mooring.host import loops
from mooring.host.blocking import Blocking
from mooring.host.errors import HostStuck, MountFailed, ProgramFailed

T = TypeVar("T")

DIRECT_IO: Final = "directIO"  # an attribute

_TURN_S: Final = 90.0  # to wait for somebody else who works on the same asset
_LOOK_S: Final = 0.02  # between two looks at what ends by itself
_END_S: Final = 5.0  # of a device whose last mount is gone
_SLOW_S: Final = 120.0  # a large log that is replayed, a large file that is unlinked
_FULL: Final = (ENOSPC, EDQUOT)
_FULL_WORDS: Final = os.strerror(ENOSPC)

START_MARKED: Final = crash_point("loopfile.start.marked")
CREATE_ALLOCATED: Final = crash_point("loopfile.create.allocated")
CREATE_FORMATTED: Final = crash_point("loopfile.create.formatted")
CREATE_FILLED: Final = crash_point("loopfile.create.filled")
CREATE_DESCRIBED: Final = crash_point("loopfile.create.described")
CREATE_RENAMED: Final = crash_point("loopfile.create.renamed")
CLONE_COPIED: Final = crash_point("loopfile.clone.copied")
CLONE_GROWN: Final = crash_point("loopfile.clone.grown")
CLONE_DESCRIBED: Final = crash_point("loopfile.clone.described")
CLONE_RENAMED: Final = crash_point("loopfile.clone.renamed")
DELETE_UNMOUNTED: Final = crash_point("loopfile.delete.unmounted")
DELETE_RENAMED: Final = crash_point("loopfile.delete.renamed")
DELETE_EMPTIED: Final = crash_point("loopfile.delete.emptied")
EXPAND_INTENDED: Final = crash_point("loopfile.expand.intended")
EXPAND_GROWN: Final = crash_point("loopfile.expand.grown")
EXPAND_WRITTEN: Final = crash_point("loopfile.expand.written")
UNPUBLISH_UNMOUNTED: Final = crash_point("loopfile.unpublish.unmounted")
SNAPSHOT_RENAMED: Final = crash_point("loopfile.snapshot.renamed")
UNSNAPSHOT_RENAMED: Final = crash_point("loopfile.delete_snapshot.renamed")


def _features(kind: ImageFs, can_clone: bool) -> Features:
    return Features(
        enforces_size=True,
        snapshots=can_clone,
        clones=can_clone,
        expands=True,
        min_size_bytes=kind.min_size_bytes,
        attributes={DIRECT_IO: ("true", "false")},
    )


class LoopfileDriver:
    """Images below the root of a pool.

    kind      of new file systems; old ones stay what they are
    allocate  take the whole size from the pool's disk at once: then no volume finds that disk full
    mode      of the root directory of a new volume
    uid, gid  its owner
    """

    FEATURES: Final = _features(EXT4, can_clone=True)  # where the place lets it
    call_deadline_s: ClassVar[float] = 30

    def __init__(self, place: Place) -> None:
        """Raises BadPoolOption."""
        self.place = place
        self.kind = _kind(place)
        self.allocate = flag_of(place, "allocate")
        self.mode, self.uid, self.gid = mode_of(place), id_of(place, "uid"), id_of(place, "gid")
        self.features = _features(self.kind, can_clone=True)
        self._images = ImagePool(PoolRoot(place), self.allocate)
        self._blocking = Blocking(f"pool {place.pool}", deadline_s=self.call_deadline_s)
        self._removing = Blocking(f"pool {place.pool}")  # apart: it would be in everybody's way
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # Apart from those: of two that are to be made from each other none waits for the other.
        self._makings: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._options = () if self.allocate else ("discard",)  # gives back what files leave

    async def start(self, *, new: bool) -> None:
        work = partial(self._images.start, START_MARKED if new else None)
        can_clone = await self._done(work, about=ITSELF)
        self.features = _features(self.kind, can_clone)

    async def stop(self) -> None:
        await self._done(self._images.root.let_go)

    async def create(self, name: AssetName, size_bytes: int, source: Source | None = None) -> Asset:
        asset_name(name)
        asked_bytes = max(size_bytes, self.kind.min_size_bytes)
        async with self._makings.setdefault(name, asyncio.Lock()):
            has = await self._described(name)
            if has is None:
                if source is None:
                    await self._make(name, asked_bytes)
                else:
                    await self._make_from(name, asked_bytes, source)
                has = await self._described(name)
        if has is None:  # it was made, and deleted by somebody else at once
            raise NoSuchAsset(name, self.place.pool)
        if asked_bytes not in (has.size_bytes, has.asked_bytes):
            raise SizeMismatch(name, has.size_bytes, asked_bytes)
        return Asset(name, has.size_bytes)

    async def delete(self, name: AssetName) -> None:
        async with self._turn(asset_name(name)) as held:
            if held is not None:
                await self._in(held, partial(self._images.hide_to_delete, name))
                passing(DELETE_UNMOUNTED)
                if (user := await self._device_left(held)) is not None:
                    raise InUse(name, user)
            removal = partial(self._images.remove, name, (DELETE_RENAMED, DELETE_EMPTIED))
            await self._done(removal, about=name, deadline_s=_SLOW_S)

    async def expand(self, name: AssetName, size_bytes: int) -> Asset:
        async with self._existing(name) as (held, has):
            if has.size_bytes < size_bytes:
                intends = replace(has, grows_to=max(size_bytes, has.grows_to))
                write = partial(images.write_about, about=intends)
                await self._in(held, write, need_bytes=size_bytes)
                passing(EXPAND_INTENDED)
                try:
                    has = await self._grown(name, held, intends)
                except PoolFull:  # nothing grew, so nothing of it is to be finished later
                    with await self._image(held) as image:
                        image_bytes = os.fstat(image.fd).st_size
                    left = has.grows_to if image_bytes > has.image_bytes else 0
                    has = replace(has, grows_to=left)
                    await self._in(held, partial(images.write_about, about=has))
                    raise
            return Asset(name, has.size_bytes)

    async def modify(self, name: AssetName, attributes: Mapping[str, str]) -> None:
        checked_attributes(attributes, self.features.attributes, f"pool {self.place.pool}")
        async with self._existing(name) as (held, has):
            if DIRECT_IO in attributes:
                has = replace(has, direct_io=attributes[DIRECT_IO] == "true")
                await self._in(held, partial(images.modify, has=has))

    async def assets(self) -> list[Asset]:
        found = await self._done(partial(self._images.all, ""), about=ITSELF)
        return [Asset(name, has.size_bytes) for name, has in found.items()]

    async def snapshot(self, name: AssetName, of: AssetName) -> Snapshot:
        if (has := await self._described(SNAPSHOT + asset_name(name))) is not None:
            return Snapshot(name, has.size_bytes, has.made_ns)
        if not self.features.snapshots:
            raise CannotDo("snapshots", self.place.pool)
        async with self._existing(of) as (held, has):
            work = partial(self._images.take_snapshot, name, of, renamed=SNAPSHOT_RENAMED)
            return await self._in(held, work, need_bytes=has.size_bytes)

    async def delete_snapshot(self, name: AssetName) -> None:
        removal = partial(
            self._images.remove, SNAPSHOT + asset_name(name), (UNSNAPSHOT_RENAMED, None)
        )
        await self._done(removal, about=SNAPSHOT + name, deadline_s=_SLOW_S)

    async def snapshots(self) -> list[Snapshot]:
        found = await self._done(partial(self._images.all, SNAPSHOT), about=ITSELF)
        return [Snapshot(name, has.size_bytes, has.made_ns) for name, has in found.items()]

    async def used_bytes(self, name: AssetName) -> int | None:
        async with self._existing(name) as (held, has):
            return min(await self._in(held, self._images.used_bytes), has.size_bytes)

    async def publish(self, name: AssetName) -> Path:
        async with self._existing(name) as (held, has):
            if not await self._in(held, partial(self._images.is_shown, name)):
                await self._show(name, held, has)
        return self.place.root / name / images.POINT / images.DATA

    async def unpublish(self, name: AssetName) -> None:
        async with self._turn(asset_name(name)) as held:
            if held is not None:
                await self._in(held, self._images.hide, deadline_s=_SLOW_S)
                passing(UNPUBLISH_UNMOUNTED)
                await self._device_left(held)

    async def usage(self) -> Usage:
        return await self._done(self._usage, about=ITSELF)

    # Making

    async def _make(self, name: AssetName, asked_bytes: int) -> None:
        kind, image_bytes = self.kind, self.kind.image_bytes(asked_bytes)
        need_bytes = image_bytes if self.allocate else kind.first_bytes
        async with self._aside(name) as aside:
            allocation = partial(self._images.new_image, aside, image_bytes, kind.first_bytes)
            with await self._done(allocation, about=name, need_bytes=need_bytes) as image:
                passing(CREATE_ALLOCATED)
                async with self._told_if_full(need_bytes):
                    await kind.make(image.fd, asked_bytes)
                    passing(CREATE_FORMATTED)
                    fill = partial(
                        images.make_data, kind=kind, mode=self.mode, uid=self.uid, gid=self.gid
                    )
                    await self._in(image, fill, need_bytes=need_bytes)
            passing(CREATE_FILLED)
            has = About(asked_bytes, image_bytes, asked_bytes, time.time_ns())
            await self._finish(aside, name, has, (CREATE_DESCRIBED, CREATE_RENAMED))

    async def _make_from(self, name: AssetName, asked_bytes: int, source: Source) -> None:
        if not self.features.clones:
            raise CannotDo("volume with content", self.place.pool)
        async with self._aside(name) as aside:
            async with self._opened(source) as (of, held):
                copying = partial(self._images.copy, aside, of)
                has = await self._in(held, copying, need_bytes=asked_bytes)
            passing(CLONE_COPIED)
            made_ns = time.time_ns()
            has = replace(has, asked_bytes=asked_bytes, made_ns=made_ns, grows_to=asked_bytes)
            if has.grows_to > has.size_bytes:
                has = await self._grown(name, aside.held, has)
            passing(CLONE_GROWN)
            has = replace(has, grows_to=0)
            await self._finish(aside, name, has, (CLONE_DESCRIBED, CLONE_RENAMED))

    @asynccontextmanager
    async def _opened(self, source: Source) -> AsyncIterator[tuple[str, Held]]:
        """Where a new asset comes from: an asset that nobody else works on, or a snapshot."""
        if source.snapshot is not None:
            opening = partial(self._images.snapshot_directory, asset_name(source.snapshot))
            about = SNAPSHOT + source.snapshot
            with await self._done(opening, about=about) as held:
                yield source.snapshot, held
        else:
            assert source.asset is not None
            async with self._existing(source.asset) as (held, _):
                yield source.asset, held

    @asynccontextmanager
    async def _aside(self, name: AssetName) -> AsyncIterator[Aside]:
        """A place to make an asset in; what is left in it at the end goes."""
        need_bytes = self.kind.first_bytes
        begin = partial(self._images.aside, name)
        aside = await self._done(begin, about=name, need_bytes=need_bytes)
        try:
            yield aside
        finally:
            aside.held.close()
            drop = partial(self._images.drop, aside)
            await self._done(drop, about=name, deadline_s=_SLOW_S)

    async def _finish(
        self, aside: Aside, name: AssetName, has: About, renamed: tuple[str, str]
    ) -> None:
        finish = partial(self._images.finish, aside, name, has, renamed)
        await self._done(finish, about=name, need_bytes=has.size_bytes)

    # Of an asset that is locked

    async def _show(self, name: AssetName, held: Held, has: About) -> None:
        """Mount it: the device that it has already, else a new one, once it is seen to be whole."""
        with await self._image(held) as image:
            kind = await self._in(image, partial(self._images.kind, name))
            is_used = await self._in(image, loops.loop_of) is not None
            if not is_used:
                try:
                    await kind.check(image.fd, held.fd)
                except Damaged as error:
                    raise self._broken(name, kind, str(error)) from error
            if has.grows_to > has.size_bytes and (kind is XFS or not is_used):
                with suppress(PoolFull):  # it stays usable as it is
                    await self._grown(name, held, has)
            try:
                show = partial(images.show, kind=kind, options=self._options)
                await self._in(held, show, deadline_s=_SLOW_S)
            except MountFailed as error:
                if error.number not in DAMAGE:
                    raise
                raise self._broken(name, kind, error.what) from error

    async def _grown(self, name: str, held: Held, has: About) -> About:
        """Have image and file system as large as it is to be, and say so."""
        size_bytes = has.grows_to
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._told_if_full(size_bytes))
            image = stack.enter_context(await self._image(held))
            kind = await self._in(image, partial(self._images.kind, name))
            image_bytes = kind.grown_bytes(image.fd, has.image_bytes, size_bytes - has.size_bytes)
            if kind is not XFS and not self.allocate:
                await self._refuse_without_room(kind.growth_bytes(image_bytes - has.image_bytes))
            if kind is XFS or await self._in(image, loops.loop_of) is not None:
                sizes = (image_bytes, self.allocate, has.image_bytes)
                grow = partial(_grow_or_later, name, kind, sizes)
                await self._in(image, grow, need_bytes=size_bytes)
            else:
                resize = partial(images.resize, size_bytes=image_bytes, allocate=self.allocate)
                await self._in(image, resize, need_bytes=size_bytes)
                try:
                    await kind.grow_unmounted(image.fd, held.fd, image_bytes)
                except (Damaged, ProgramFailed) as error:
                    keep = partial(images.give_back, kind=kind, keep_bytes=has.image_bytes)
                    await self._in(image, keep)
                    if isinstance(error, ProgramFailed):
                        raise
                    raise self._broken(name, kind, str(error)) from error
        passing(EXPAND_GROWN)
        has = replace(has, size_bytes=size_bytes, image_bytes=image_bytes, grows_to=0)
        await self._in(held, partial(images.write_about, about=has), need_bytes=size_bytes)
        passing(EXPAND_WRITTEN)
        return has

    async def _device_left(self, held: Held) -> str | None:
        """Wait for its device to end. Returns what it is called if something uses it still."""
        clock = asyncio.get_running_loop()
        until = clock.time() + _END_S
        while (loop := await self._in(held, self._images.loop)) is not None:
            if await self._done(partial(loops.is_held, loop), about=held.about):
                return loop.node
            if clock.time() > until:  # somebody made it by hand, and it would stay
                await self._done(partial(loops.detach, loop), about=held.about)
                return loop.node
            await asyncio.sleep(_LOOK_S)
        return None

    def _broken(self, name: str, kind: ImageFs, said: str) -> NeedsRepair:
        image = self.place.root / name / images.IMAGE
        return NeedsRepair(name, self.place.pool, said, f"{kind.repair} {image}")

    async def _image(self, held: Held) -> Held:
        def opened(fd: int) -> Held:
            with images.opened_image(fd) as image:
                return Held(os.dup(image), held.about)

        return await self._in(held, opened)

    async def _refuse_without_room(self, need_bytes: int) -> None:
        """An ext4 is left damaged that meets a full disk as it grows, mounted or not. PoolFull."""
        free_bytes = await self._done(self._images.sure_bytes)
        if free_bytes < need_bytes:
            raise PoolFull(self.place.pool, need_bytes, free_bytes)

    @asynccontextmanager
    async def _told_if_full(self, need_bytes: int) -> AsyncIterator[None]:
        """Programs and mounts say in their own words that the pool's disk is full: PoolFull."""
        try:
            yield
        except (ProgramFailed, MountFailed) as error:
            free_bytes = (await self.usage()).free_bytes
            if _FULL_WORDS not in error.what and free_bytes > self.kind.first_bytes:
                raise
            raise PoolFull(self.place.pool, need_bytes, free_bytes) from error

    # Calls in threads

    @asynccontextmanager
    async def _existing(self, name: AssetName) -> AsyncIterator[tuple[Held, About]]:
        """An asset, and what is known of it, while nobody else works on it. NoSuchAsset."""
        async with self._turn(asset_name(name)) as held:
            if held is None:
                raise NoSuchAsset(name, self.place.pool)
            yield held, await self._in(held, partial(self._images.about, name))

    @asynccontextmanager
    async def _turn(self, name: AssetName) -> AsyncIterator[Held | None]:
        """The directory of an asset, None if there is none, while nobody else works on it."""
        async with self._turns.setdefault(name, asyncio.Lock()):
            held = await self._locked(name)
            try:
                yield held
            finally:
                if held is not None:
                    held.close()

    async def _locked(self, name: AssetName) -> Held | None:
        """Raises HostStuck: another process has it for too long."""
        clock = asyncio.get_running_loop()
        until = clock.time() + _TURN_S
        while clock.time() < until:
            with suppress(Busy):
                return await self._done(partial(self._images.locked, name), about=name)
            await asyncio.sleep(_LOOK_S)
        raise HostStuck(f"other work on asset {name}", _TURN_S)

    async def _described(self, name: str) -> About | None:
        return await self._done(partial(self._images.described, name), about=name)

    async def _in(
        self,
        held: Held,
        work: Callable[[int], T],
        *,
        need_bytes: int = 0,
        deadline_s: float | None = None,
    ) -> T:
        """As _done; the thread has the descriptor, and its lock, also if nobody waits any more."""
        kept = held.again()
        begun = threading.Lock()  # acquired once: by the thread, or by who gives up before that

        def done() -> T:
            if not begun.acquire(blocking=False):
                raise HostStuck(f"a call about {held.about}", 0)  # nobody waits to hear it
            with kept:
                return work(kept.fd)

        try:
            return await self._done(
                done, about=held.about, need_bytes=need_bytes, deadline_s=deadline_s
            )
        finally:
            # Not left to be collected: an error that somebody keeps would keep the lock.
            if begun.acquire(blocking=False):
                kept.close()

    async def _done(
        self,
        work: Callable[[], T],
        *,
        about: str = "",
        need_bytes: int = 0,
        deadline_s: float | None = None,
    ) -> T:
        """One call.

        about       the asset or snapshot: what hangs keeps only calls about the same waiting
        need_bytes  what PoolFull says
        """
        try:
            where = self._removing if deadline_s == _SLOW_S else self._blocking
            return await where.run(work, deadline_s, about)
        except OSError as error:
            if error.errno not in _FULL:
                raise PoolFailed(self.place.pool, str(error)) from error
            free_bytes = (await self.usage()).free_bytes
            raise PoolFull(self.place.pool, need_bytes, free_bytes) from error

    def _usage(self) -> Usage:
        with self._images.root.opened() as root:
            return usage_of(root)


def _grow_or_later(name: str, kind: ImageFs, sizes: tuple[int, bool, int], image: int) -> None:
    """Sizes as of images.grow_mounted. Raises GrowsLater: the kernel does not do it now."""
    try:
        images.grow_mounted(image, kind, *sizes)
    except OSError as error:
        if error.errno not in images.CANNOT_NOW:
            raise
        lacks = "this process has not CAP_SYS_RESOURCE" if error.errno == EPERM else str(error)
        raise GrowsLater(name, lacks) from error


def _kind(place: Place) -> ImageFs:
    wanted = place.options.get("fsType") or ("xfs" if can_have_xfs() else "ext4")
    if wanted not in KINDS:
        raise BadPoolOption(place.pool, "fsType", wanted, "xfs or ext4")
    return KINDS[wanted]
