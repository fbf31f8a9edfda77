"""What becomes of snapshots and their contents: the part of snapshot-controller. Semantics §18.

Reasons of events are those of Kubernetes' external-snapshotter.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from mooring.model.claim import Claim
from mooring.model.metadata import View
from mooring.model.names import (
    CLAIM_AS_SOURCE,
    CLONING_PROTECTION,
    CONTENT_BOUND,
    POOL_ATTRIBUTE,
    SNAPSHOT_AS_SOURCE,
    SNAPSHOT_BOUND,
    SNAPSHOT_COMPONENT,
    SNAPSHOT_GOING,
    Phase,
)
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity
from mooring.model.snapshot import Snapshot, SnapshotClass, SnapshotContent, SnapshotError
from mooring.model.volume import Volume
from mooring.rules.events import NORMAL, WARNING, EventNote

Writes = tuple[tuple[View, View], ...]
BIND_FAILED = "SnapshotBindFailed"
CONTENT_MISSING = "SnapshotContentMissing"
NOT_MADE = "SnapshotContentCreationFailed"


class World(Protocol):
    """What a decision looks at beside the snapshot."""

    def content(self, name: str) -> SnapshotContent | None: ...

    def claim(self, key: str) -> Claim | None: ...

    def volume(self, name: str) -> Volume | None: ...

    def pool(self, name: str) -> Pool | None: ...

    def snapshot_classes(self) -> Sequence[SnapshotClass]: ...

    def restoring(self, snapshot: Snapshot) -> Sequence[Claim]:
        """Claims without a volume that are to be filled from it."""


class Making(NamedTuple):
    """What a new content is made of, all as it was looked at."""

    class_: SnapshotClass
    claim: Claim
    volume: Volume
    pool: Pool | None


class Decision(NamedTuple):
    """why     in a sentence
    writes  all or none of them, at once: pairs of as read, as wanted
    events  told once that is stored
    making  a content is to be made, in the same commit
    delete  a content that is to be deleted first
    failed  tried again after a while, and told only if what failed is another, or the while is over
    """

    why: str
    writes: Writes = ()
    events: tuple[EventNote, ...] = ()
    making: Making | None = None
    delete: SnapshotContent | None = None
    failed: bool = False


class Refused(NamedTuple):
    """Why it cannot be, as an event and status.error tell it."""

    reason: str
    message: str


def snapshot_decision(snapshot: Snapshot, world: World, now: str) -> Decision:
    """What is to become of one snapshot. now: RFC 3339"""
    if snapshot.being_deleted:
        return _leaving(snapshot, world)
    if (name := snapshot.named_content) and (content := world.content(name)) is None:
        return _refused(snapshot, Refused(CONTENT_MISSING, _missing(name)), now)
    if not name:
        name = snapshot.content_name or snapshot.made_content_name
        content = world.content(name)
        if content is None and snapshot.status.creation_time is not None:
            # Cut again it would be another: what is restored from it must be what it was.
            return _refused(snapshot, Refused(CONTENT_MISSING, _missing(name)), now)
        if content is None:
            return _made(snapshot, world, now)
    assert content is not None
    if why := _unfit(snapshot, content):
        message = f"Snapshot failed to bind VolumeSnapshotContent, {why}"
        return _refused(snapshot, Refused(BIND_FAILED, message), now)
    return _bound(snapshot, content)


def _missing(name: str) -> str:
    return f"VolumeSnapshotContent {name} is missing"


def _unfit(snapshot: Snapshot, content: SnapshotContent) -> str:
    """Why the two cannot be bound to each other, "" if they can."""
    if not content.points_at(snapshot):
        ref = content.spec.volume_snapshot_ref
        return f"spec.volumeSnapshotRef of {content.name} is {ref.key} with uid {ref.uid or 'none'}"
    if snapshot.named_content and not content.spec.source.snapshot_handle:
        return f"{content.name} is made of a volume: one that was there before has a snapshotHandle"
    if content.being_deleted and not content.spec.volume_snapshot_ref.uid:
        return f"{content.name} is being deleted"
    return ""


def _made(snapshot: Snapshot, world: World, now: str) -> Decision:
    """Of a claim, which has a volume."""
    found = _making(snapshot, world)
    if isinstance(found, Refused):
        return _refused(snapshot, found, now)
    class_, claim, _, pool = found
    wanted = snapshot.with_class(class_.name).with_status(
        bound_volume_snapshot_content_name=snapshot.made_content_name,
        ready_to_use=False,
        error=None,
    )
    wanted = wanted.with_finalizer(SNAPSHOT_AS_SOURCE).with_finalizer(SNAPSHOT_BOUND)
    held = claim.with_finalizer(CLAIM_AS_SOURCE)
    # The pool stays as it is: one that is being deleted is kept by what is in it already.
    writes: Writes = ((snapshot, wanted), (claim, held), *([(pool, pool)] if pool else []))
    message = f"Waiting for a snapshot {snapshot.key} to be created by the CSI driver."
    event = _note(snapshot, NORMAL, "CreatingSnapshot", message)
    return Decision("its content is made", writes, (event,), found)


def _making(snapshot: Snapshot, world: World) -> Making | Refused:
    claim = world.claim(snapshot.claim_key)
    failed = "Failed to create snapshot content with error: "
    name = snapshot.spec.source.persistent_volume_claim_name
    if claim is None:
        return Refused(NOT_MADE, f"{failed}claim {name} does not exist")
    if claim.being_deleted:
        return Refused(NOT_MADE, f"{failed}claim {name} is being deleted")
    volume = world.volume(claim.volume_name) if claim.volume_name else None
    if claim.phase != Phase.BOUND or volume is None:
        return Refused(NOT_MADE, f"{failed}the PVC {name} is not yet bound to a PV, as it must be")
    if volume.claim_ref is None or volume.claim_ref.uid != claim.uid:
        return Refused(NOT_MADE, f"{failed}volume {volume.name} is bound to another claim")
    if not volume.driver:
        what = f"volume {volume.name} is of source {volume.source_name}, and only csi has snapshots"
        return Refused(NOT_MADE, failed + what)
    class_ = _class(snapshot, volume.driver, world.snapshot_classes())
    if isinstance(class_, Refused):
        return class_
    pool = world.pool(volume.pool) if volume.pool else None
    if pool is not None and pool.being_deleted:
        return Refused(NOT_MADE, f"{failed}pool {pool.name} is being deleted")
    return Making(class_, claim, volume, pool)


def _class(
    snapshot: Snapshot, driver: str, classes: Sequence[SnapshotClass]
) -> SnapshotClass | Refused:
    name = snapshot.spec.volume_snapshot_class_name
    if name is not None:
        found = next((one for one in classes if one.name == name), None)
        failed = "Failed to get snapshot class with error "
        if found is None:
            return Refused(
                "GetSnapshotClassFailed", f'{failed}volumesnapshotclass "{name}" not found'
            )
        if found.driver != driver:
            what = f"volumesnapshotclass {name} is of {found.driver}, the volume of {driver}"
            return Refused("GetSnapshotClassFailed", failed + what)
        return found
    defaults = [one for one in classes if one.is_default and one.driver == driver]
    if len(defaults) == 1:
        return defaults[0]
    names = ", ".join(sorted(one.name for one in defaults))
    what = f"{len(defaults)} default snapshot classes were found: {names}"
    if not defaults:
        what = f"cannot find default snapshot class of {driver}"
    message = f"Failed to set default snapshot class with error {what}"
    return Refused("SetDefaultSnapshotClassFailed", message)


def content_document(snapshot: Snapshot, making: Making) -> dict[str, object]:
    """The content that a snapshot gets."""
    ref = snapshot.reference()
    metadata: dict[str, object] = {
        "name": snapshot.made_content_name,
        "finalizers": [CONTENT_BOUND],
    }
    if making.volume.pool:
        metadata["annotations"] = {POOL_ATTRIBUTE: making.volume.pool}
    spec = {
        "volumeSnapshotRef": {
            "kind": ref.kind,
            "apiVersion": ref.api_version,
            "namespace": ref.namespace,
            "name": ref.name,
            "uid": ref.uid,
            "resourceVersion": ref.resource_version,
        },
        "deletionPolicy": making.class_.deletion_policy,
        "driver": making.volume.driver,
        "volumeSnapshotClassName": making.class_.name,
        "source": {"volumeHandle": making.volume.handle},
        "sourceVolumeMode": making.volume.volume_mode,
    }
    return {"metadata": metadata, "spec": spec}


def _bound(snapshot: Snapshot, content: SnapshotContent) -> Decision:
    """Both point at each other, and the snapshot says what is known of its content."""
    had, has = snapshot.status, content.status
    size = has.restore_size
    wanted = snapshot.with_finalizer(SNAPSHOT_AS_SOURCE).with_finalizer(SNAPSHOT_BOUND)
    wanted = wanted.with_status(
        bound_volume_snapshot_content_name=content.name,
        creation_time=had.creation_time or _rfc3339(has.creation_time),
        ready_to_use=has.ready_to_use is True,
        restore_size=had.restore_size if size is None else Quantity.of_bytes(size).canonical(),
        error=has.error,
    )
    bound = content.with_finalizer(CONTENT_BOUND) if not content.being_deleted else content
    if not content.is_of(snapshot):
        ref = snapshot.reference()
        bound = bound.with_spec(volume_snapshot_ref=ref)
        if (class_ := snapshot.spec.volume_snapshot_class_name) is not None:
            bound = bound.with_spec(volume_snapshot_class_name=class_)
    writes: Writes = ((snapshot, wanted), (content, bound))
    if wanted == snapshot and bound == content:
        writes = ()
    events = []
    if wanted.status.creation_time is not None and had.creation_time is None:
        message = f"Snapshot {snapshot.key} was successfully created by the CSI driver."
        events.append(_note(snapshot, NORMAL, "SnapshotCreated", message))
    if wanted.is_ready and not snapshot.is_ready:
        message = f"Snapshot {snapshot.key} is ready to use."
        events.append(_note(snapshot, NORMAL, "SnapshotReady", message))
    return Decision(f"bound to {content.name}", writes, tuple(events))


def _leaving(snapshot: Snapshot, world: World) -> Decision:
    """It goes when no claim is filled from it; its content first, if its policy is Delete."""
    if restoring := world.restoring(snapshot):
        names = ", ".join(sorted(one.key for one in restoring)[:3])
        message = f"Snapshot is being used to restore a PVC: {names}"
        note = _note(snapshot, WARNING, "SnapshotDeletePending", message)
        return Decision("a claim is restored from it", events=(note,), failed=True)
    let_go = snapshot.without_finalizer(SNAPSHOT_AS_SOURCE).without_finalizer(SNAPSHOT_BOUND)
    name = snapshot.content_name or snapshot.named_content or snapshot.made_content_name
    content = world.content(name)
    if content is None or not content.is_of(snapshot):
        return Decision("it goes", ((snapshot, let_go),) if let_go is not snapshot else ())
    if SNAPSHOT_GOING not in content.annotations:
        told = content.annotated(**{SNAPSHOT_GOING: "yes"})
        return Decision("its content is told first", ((content, told),))
    doomed = content if content.is_deleted_with_snapshot and not content.being_deleted else None
    writes: Writes = ((snapshot, let_go),) if let_go is not snapshot else ()
    return Decision("it goes", writes, delete=doomed)


def content_decision(
    content: SnapshotContent, snapshot: Snapshot | None, volume: Volume | None
) -> Decision:
    """What is to become of a content by itself.

    snapshot  that its reference names   volume  that is called as its volumeHandle
    """
    ref = content.spec.volume_snapshot_ref
    wanted = content if content.being_deleted else content.with_finalizer(CONTENT_BOUND)
    if not content.pool and volume is not None and volume.pool and volume.driver == content.driver:
        wanted = wanted.annotated(**{POOL_ATTRIBUTE: volume.pool})
    # We were cut off between the two, if it was told. If not, its file may have been copied here:
    # what is behind it is not deleted for a snapshot that nobody has seen going.
    is_alone = bool(ref.uid) and (snapshot is None or snapshot.uid != ref.uid)
    goes = is_alone and SNAPSHOT_GOING in content.annotations and not content.being_deleted
    doomed = content if goes and content.is_deleted_with_snapshot else None
    writes: Writes = ((content, wanted),) if wanted is not content else ()
    return Decision("kept" if doomed is None else "its snapshot is gone", writes, delete=doomed)


def source_decision(
    claim: Claim, snapshots: Sequence[Snapshot], clones: Sequence[Claim]
) -> Decision:
    """Whether a claim is kept, for something is made from it.

    snapshots  of the claim   clones  without a volume, that are to be filled from it
    """
    wanted = claim
    if not any(_is_being_cut(one) for one in snapshots):
        wanted = wanted.without_finalizer(CLAIM_AS_SOURCE)
    if not clones:
        wanted = wanted.without_finalizer(CLONING_PROTECTION)
    if wanted is claim:
        return Decision("as it is")
    return Decision("no source any more", ((claim, wanted),))


def _is_being_cut(snapshot: Snapshot) -> bool:
    """One that failed keeps no claim: it may fail for ever."""
    status = snapshot.status
    return (
        not snapshot.being_deleted
        and bool(snapshot.content_name)
        and status.creation_time is None
        and status.error is None
    )


def _refused(snapshot: Snapshot, refused: Refused, now: str) -> Decision:
    reason, message = refused
    error = snapshot.status.error
    if error is None or error.message != message:
        error = SnapshotError(time=now, message=message)
    wanted = snapshot.with_finalizer(SNAPSHOT_AS_SOURCE)
    wanted = wanted.with_status(ready_to_use=False, error=error)
    writes: Writes = ((snapshot, wanted),) if wanted != snapshot else ()
    return Decision(message, writes, (_note(snapshot, WARNING, reason, message),), failed=True)


def _note(snapshot: Snapshot, type_: str, reason: str, message: str) -> EventNote:
    return EventNote(snapshot.reference(), type_, reason, message, SNAPSHOT_COMPONENT)


def _rfc3339(created_ns: int | None) -> str | None:
    if created_ns is None:
        return None
    return datetime.fromtimestamp(created_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
