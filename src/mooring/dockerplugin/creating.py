"""`docker volume create`: from a name and options to a claim. Docker volumes §5, §6, §10."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Final

import msgspec

from mooring.crashpoints import crash_point, passing
from mooring.dockerplugin.catalogue import Catalogue
from mooring.dockerplugin.errors import (
    BadSize,
    NameTaken,
    NoDefaultClass,
    NoSuchClass,
    NoSuchVolume,
    NotSupported,
    OptionsConflict,
    ProvisioningFailed,
    Refused,
    RetainedVolumeExists,
    StillDeleting,
    VolumeInUse,
    VolumeMismatch,
    of_volume,
)
from mooring.dockerplugin.names import DockerName, Namespaces, shown_name
from mooring.dockerplugin.options import Options, raise_all
from mooring.dockerplugin.sources import Sources
from mooring.dockerplugin.sources import shown as said
from mooring.drivers.registry import features_of
from mooring.errors import MooringError
from mooring.model.claim import Claim
from mooring.model.names import (
    CREATED_BY,
    DELETE,
    FILESYSTEM,
    MANY_HOSTS,
    MODE,
    OWNER,
    RECLAIM,
    RETAIN,
    SHORT_MODES,
    SIZE_PARAMETER,
    STORAGE,
    USED,
    Phase,
)
from mooring.model.quantity import Quantity, QuantityError
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.node.waiting import Waiting
from mooring.objects.cache import Entry
from mooring.objects.errors import AlreadyExists, Forbidden, Invalid, NotFound, Stale
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects, Preconditions
from mooring.rules.default_class import default_of
from mooring.rules.sources import source_of
from mooring.rules.volumes import is_going
from mooring.store.interface import Conflict

BOUND_WITHIN_S: Final = 20.0  # after that, success: the claim is Pending, a Mount waits for it
GONE_WITHIN_S: Final = 10.0  # a claim that is taken back; nobody uses it yet
NONE: Final[Mapping[str, str]] = MappingProxyType({})
DEFAULT_SIZE: Final = "1Gi"
DEFAULT_MODE: Final = "ReadWriteOnce"
# Why a volume was not made, where the code says enough. The rest is ProvisioningFailed.
SAID_AS_THEY_ARE: Final = frozenset(
    {"PoolFull", "PoolMissing", "PoolTaken", "WrongFileSystem", "HostStuck"}
)

TAKEN: Final = crash_point("create.taken")  # a claim for a volume that was there


class Creator:
    """Makes claims for one host's Docker."""

    def __init__(
        self,
        objects: Objects,
        catalogue: Catalogue,
        waiting: Waiting,
        namespaces: Namespaces,
        node: str,
    ) -> None:
        self._objects, self._catalogue, self._waiting = objects, catalogue, waiting
        self._namespaces, self._node = namespaces, node
        self._sources = Sources(objects, namespaces)
        self._kind = objects.kinds[Claim.resource]
        self._undoing: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """What was cut off is undone when this returns."""
        await asyncio.gather(*self._undoing, return_exceptions=True)

    async def create(
        self, wanted: DockerName, options: Options, annotations: Mapping[str, str] = NONE
    ) -> None:
        """Have a claim of this name with these options; one that is there is compared with them.

        annotations  of a new claim, beside those that options mean
        raises       any code of Docker volumes §5, §6 and §10 that concerns Create; then nothing
                     of what this call made is left. Nor is it when this is cancelled, but for the
                     claim of a volume that was there: its data is not to go with that
        """
        claim = self._objects.view(Claim, wanted.key)
        if claim is not None:
            self._compare(claim, wanted, options)
            return
        making = asyncio.create_task(self._made(wanted, options, annotations))
        try:
            made, waits = await asyncio.shield(making)
            if made is not None and not waits:
                await self._settled(wanted.shown, made)
        except asyncio.CancelledError:
            undoing = asyncio.create_task(self._undone(making, options))
            self._undoing.add(undoing)
            undoing.add_done_callback(self._undoing.discard)
            await asyncio.shield(undoing)
            raise

    def refusals(
        self, wanted: DockerName, options: Options, beside: Sequence[MooringError]
    ) -> list[MooringError]:
        """What else cannot be had of options, by what there is.

        beside  what is wrong with those that are not among them
        """
        if any(isinstance(one, NoSuchClass | NoSuchVolume) for one in beside):
            return []  # what would be asked of another class or volume is not known
        claim = self._objects.view(Claim, wanted.key)
        try:
            if claim is not None:
                self._compare(claim, wanted, options)
            else:
                self._chosen(wanted, options)
        except MooringError as error:
            return [error]
        return []

    async def _made(
        self, wanted: DockerName, options: Options, annotations: Mapping[str, str]
    ) -> tuple[Claim | None, bool]:
        """The new claim, and whether it waits for its first consumer; None if another of this name,
        and like it, was there first."""
        while True:
            volume, class_ = self._chosen(wanted, options)
            if not options.fresh and volume is None:
                self._refuse_retained(wanted)
            doc = self._document(wanted, options, class_, volume)
            doc["metadata"]["annotations"] |= annotations
            with suppress(Conflict):  # the volume that was chosen is another now
                made = await self._stored(wanted, options, doc, volume)
                return made, class_ is not None and class_.waits_for_consumer

    async def _stored(
        self, wanted: DockerName, options: Options, doc: Doc, volume: Volume | None
    ) -> Claim | None:
        try:
            if volume is None:
                entry = await self._objects.create(self._kind, wanted.namespace, doc)
            else:
                entry = await self._taking(volume, wanted, doc)
        except AlreadyExists:
            if (other := self._objects.view(Claim, wanted.key)) is None:
                raise
            self._compare(other, wanted, options)
            return None
        except (Forbidden, Invalid, NotFound) as error:
            raise Refused(wanted.shown, str(error)) from error
        return self._objects.view(Claim, entry.key)

    async def _settled(self, shown: str, made: Claim) -> None:
        """Wait for the volume of a new claim; without one it is taken back."""
        try:
            await self._waiting.until_bound(made.key, BOUND_WITHIN_S)
        except MooringError as error:
            await self._take_back(made)
            if error.code in SAID_AS_THEY_ARE:
                raise of_volume(error, shown, self._node) from error
            raise ProvisioningFailed(shown, self._node, error.what) from error
        await self.reclaim_as_asked(made.key)

    async def _undone(
        self, making: "asyncio.Task[tuple[Claim | None, bool]]", options: Options
    ) -> None:
        """Whoever asked is not there any more: what was made for him goes, if nobody else uses it.
        The write may be under way; it is waited for."""
        try:
            made, _ = await making
        except MooringError:
            return
        claim = self._objects.view(Claim, made.key) if made is not None else None
        if made is None or claim is None or options.volume:
            return
        volume = self._objects.view(Volume, claim.volume_name) if claim.volume_name else None
        if volume is None or USED not in volume.annotations:
            await self._take_back(made)

    async def _take_back(self, made: Claim) -> None:
        with suppress(NotFound, Stale):  # somebody else did
            same = Preconditions(uid=made.uid)
            await self._objects.delete(self._kind, made.key, preconditions=same)
            await self._waiting.until_gone(made.key, made.uid, GONE_WITHIN_S)

    async def reclaim_as_asked(self, key: str) -> None:
        """Give a bound claim's volume the policy that was asked for with it, once."""
        while (claim := self._objects.view(Claim, key)) is not None:
            policy = claim.annotations.get(RECLAIM)
            volume = self._objects.view(Volume, claim.volume_name) if claim.volume_name else None
            if policy not in (RETAIN, DELETE) or claim.phase != Phase.BOUND:
                return
            if volume is None or not volume.points_at(claim):
                return
            changed = volume.with_spec(persistent_volume_reclaim_policy=policy)
            with suppress(Conflict):  # a volume that was just made is written to by others, too
                told = claim.without_annotations(RECLAIM)
                await self._objects.commit([(volume, changed), (claim, told)])
                return

    def _compare(self, claim: Claim, wanted: DockerName, options: Options) -> None:
        """What is there is taken for what was asked, or it is said why not."""
        shown = shown_name(claim, self._namespaces)
        if shown != wanted.shown:
            raise NameTaken(wanted.shown, claim.key, shown or claim.name)
        if claim.being_deleted:
            raise StillDeleting(wanted.shown, claim.key, 0, self._catalogue.keeps(claim))
        differs: dict[str, tuple[str, str]] = {}
        size = max(claim.request, claim.capacity)
        if options.size is not None and size < options.size:
            differs["size"] = str(size), str(options.size)
        if options.class_name is not None and options.class_name != claim.class_name:
            differs["class"] = claim.class_name, options.class_name
        if options.access is not None and options.access not in claim.modes:
            differs["access"] = _short(claim.modes), _short({options.access})
        if options.volume is not None and options.volume != claim.volume_name:
            differs["volume"] = claim.volume_name, options.volume
        if options.source is not None:
            source, asked = source_of(claim), self._sources.document(wanted, options.source)
            has = (source.kind, source.name) if source is not None else ("", "")
            if has != (asked["kind"], asked["name"]):
                differs["from"] = has[1], asked["name"]
        if differs:
            raise OptionsConflict(wanted.shown, differs, claim.key)

    def _chosen(
        self, wanted: DockerName, options: Options
    ) -> tuple[Volume | None, StorageClass | None]:
        """What a new claim is to get its storage from: one of the two."""
        if not options.volume:
            return None, self._class(wanted, options)
        volume = self._chosen_volume(wanted, options)
        if options.source is not None:
            raise NotSupported(f"from={said(options.source)}", f"volume={volume.name}")
        return volume, None

    def _class(self, wanted: DockerName, options: Options) -> StorageClass:
        classes = self._objects.views(StorageClass)
        known, name = [one.name for one in classes], options.class_name
        if name is None and options.source is not None:
            name = self._sources.class_name(wanted, options.source)
        if name is not None:
            found = next((one for one in classes if one.name == name), None)
            if found is None:
                raise NoSuchClass(name, known)
        elif (found := default_of(classes)) is None:
            raise NoDefaultClass(wanted.shown, known)
        features, by = features_of(found.provisioner), f"class {found.name}"
        lacks: list[MooringError] = []
        if lack := self._refused_source(wanted, options, found):
            lacks.append(lack)
        if options.access in MANY_HOSTS and features is not None and not features.shared:
            lacks.append(NotSupported(f"access={_short({options.access})}", by, ["rwo", "rwop"]))
        raise_all(lacks)
        return found

    def _refused_source(
        self, wanted: DockerName, options: Options, class_: StorageClass
    ) -> MooringError | None:
        if options.source is None:
            return None
        features = features_of(class_.provisioner)
        is_snapshot = options.source.kind == "snapshot"
        can = features is None or (features.snapshots if is_snapshot else features.clones)
        if not can and self._sources.exists(wanted, options.source):
            return NotSupported(f"from={said(options.source)}", f"class {class_.name}")
        doc = self._document(wanted, options, class_, None)
        doc["metadata"]["namespace"] = wanted.namespace
        return self._sources.refusal(msgspec.convert(doc, Claim), wanted, options.source, class_)

    def _refuse_retained(self, wanted: DockerName) -> None:
        """Somebody who asks for a name that had data is not to get an empty volume by surprise."""
        if retained := self._catalogue.retained_for(wanted.key):
            raise RetainedVolumeExists(wanted.shown, retained[0])

    # A volume that is there

    def _chosen_volume(self, wanted: DockerName, options: Options) -> Volume:
        name = options.volume or ""
        volume = self._objects.view(Volume, name)
        if volume is None:
            raise NoSuchVolume(name)
        ref = volume.claim_ref
        if ref is not None and ref.key != wanted.key:
            raise VolumeInUse(name, [f"claim {ref.key}"])
        differs = []
        if is_going(volume):
            differs.append("it is being deleted, as its policy says")
        if volume.volume_mode != FILESYSTEM:
            differs.append(f"it is of volumeMode {volume.volume_mode}")
        if options.size is not None and volume.capacity < options.size:
            differs.append(f"it has {volume.capacity}, asked for {options.size}")
        if options.access is not None and options.access not in volume.modes:
            offers, asked = _short(volume.modes), _short({options.access})
            differs.append(f"it offers {offers}, asked for {asked}")
        if options.class_name is not None and options.class_name != volume.class_name:
            class_ = volume.class_name
            differs.append(f"it is of class {class_!r}, asked for {options.class_name!r}")
        if differs:
            raise VolumeMismatch(wanted.shown, name, "; ".join(differs))
        return volume

    async def _taking(self, volume: Volume, wanted: DockerName, doc: Doc) -> Entry:
        """Store a claim, and have a volume that an earlier one released point at it, at once: data
        without a claim is always known to be of that name. Raises Conflict."""
        ref = volume.claim_ref
        if ref is None or not ref.uid:  # the binder points it at whoever names it
            return await self._objects.create(self._kind, wanted.namespace, doc)
        old = self._objects.view(Claim, ref.key)
        if old is not None and old.uid == ref.uid:
            raise VolumeInUse(volume.name, [f"claim {ref.key}"])

        def pointed(new: Doc) -> list[tuple[Volume, Volume]]:
            return [(volume, volume.claimed_by(msgspec.convert(new, Claim)))]

        entry = await self._objects.create(self._kind, wanted.namespace, doc, beside=pointed)
        passing(TAKEN)
        return entry

    # The claim

    def _document(
        self,
        wanted: DockerName,
        options: Options,
        class_: StorageClass | None,
        volume: Volume | None,
    ) -> Doc:
        if volume is not None:
            class_name, size = volume.class_name, options.size or volume.capacity
            mode = options.access or next(iter(volume.spec.access_modes), DEFAULT_MODE)
        else:
            assert class_ is not None
            class_name, asked = class_.name, options.size
            if asked is None and options.source is not None:
                asked = self._sources.size(wanted, options.source)
            size = asked or _default_size(class_)
            mode = options.access or DEFAULT_MODE
        spec: Doc = {
            "accessModes": [mode],
            "resources": {"requests": {STORAGE: str(size)}},
            "storageClassName": class_name,
        }
        if volume is not None:
            spec["volumeName"] = volume.name
        elif options.source is not None:
            spec["dataSource"] = self._sources.document(wanted, options.source)
        metadata: Doc = {"name": wanted.claim, "annotations": self._annotations(wanted, options)}
        if labels := {**options.labels, **wanted.labels}:
            metadata["labels"] = labels
        return {"metadata": metadata, "spec": spec}

    def _annotations(self, wanted: DockerName, options: Options) -> dict[str, str]:
        found = {CREATED_BY: f"docker/{self._node}", **wanted.annotations}
        if reclaim := DELETE if wanted.is_anonymous else options.reclaim:
            found[RECLAIM] = reclaim
        if options.uid is not None or options.gid is not None:
            found[OWNER] = f"{options.uid or 0}:{options.gid or 0}"
        if options.mode is not None:
            found[MODE] = f"{options.mode:04o}"
        return found


def _default_size(class_: StorageClass) -> Quantity:
    text = class_.parameters.get(SIZE_PARAMETER, DEFAULT_SIZE)
    try:
        return Quantity.parse(text)
    except QuantityError as error:
        why = f"is parameter {SIZE_PARAMETER} of StorageClass {class_.name}, and no quantity"
        raise BadSize(text, why) from error


def _short(modes: Iterable[str | None]) -> str:
    """Access modes as the option says them."""
    return ",".join(sorted(SHORT_MODES.get(mode or "", mode or "").lower() for mode in modes))
