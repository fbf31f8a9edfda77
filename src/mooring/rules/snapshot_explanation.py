"""Why a snapshot is as it is, and what would help: `mooring explain snapshot`."""

from typing import Final

from mooring.model.names import (
    DEFAULT_SNAPSHOT_CLASS,
    SNAPSHOT_AS_SOURCE,
    SNAPSHOT_BOUND,
    Phase,
)
from mooring.model.snapshot import Snapshot, SnapshotContent
from mooring.rules.explanation import Explanation, Reasons, counted, held, listed
from mooring.rules.remedies import asking, deleting
from mooring.rules.snapshots import NOT_MADE, Decision, World, snapshot_decision

OURS: Final = frozenset({SNAPSHOT_AS_SOURCE, SNAPSHOT_BOUND})  # finalizers
KIND: Final = "volumesnapshot"  # as kubectl calls it
UNBOUND: Final = "Snapshot failed to bind VolumeSnapshotContent, "  # before the cause
HELP: Final = {  # by the reason of the event
    "SetDefaultSnapshotClassFailed": (
        f"exactly one VolumeSnapshotClass of the driver with annotation {DEFAULT_SNAPSHOT_CLASS}"
        ": true; or a new snapshot that names one"
    ),
    "SnapshotContentCreationFailed": "put that right, and it is cut by itself",
    "SnapshotContentMissing": "create the content again, or delete this snapshot",
    "SnapshotBindFailed": "a content and a snapshot that name each other",
}


def explained_snapshot(
    snapshot: Snapshot, content: SnapshotContent | None, world: World
) -> Explanation:
    """Why a snapshot is Ready, Pending, Failed or Terminating.

    content  that it is bound to
    """
    subject = f"snapshot {snapshot.key}"
    decision = snapshot_decision(snapshot, world, "")
    if snapshot.being_deleted:
        return Explanation(subject, "Terminating", *_terminating(snapshot, world))
    if decision.failed:
        return Explanation(subject, "Failed", *_failed(snapshot, decision, world))
    if content is not None and content.status.error is not None:
        mended = "if that can be put right, it is cut by itself"
        help_ = f"{mended}; otherwise {deleting(KIND, snapshot)}"
        return Explanation(subject, "Failed", content.status.error.message, (), help_)
    if snapshot.is_ready and content is not None:
        return Explanation(subject, "Ready", *_ready(snapshot, content, world))
    if decision.making is not None or content is None:
        return Explanation(subject, "Pending", "its content is about to be made")
    what = f"is to cut it, as content {content.name} says"
    if content.pool:
        why = f"the agent of the host with pool {content.pool} {what}"
        return Explanation(subject, "Pending", why)
    why = f"the snapshotter of {content.driver} {what}"
    return Explanation(subject, "Pending", why, (), "see that it runs")


def _terminating(snapshot: Snapshot, world: World) -> Reasons:
    if restoring := world.restoring(snapshot):
        names = [one.key for one in restoring]
        filled = counted(names, "a claim is filled from it", "claims are filled from it")
        why = f"it stays until {filled}"
        first = restoring[0]
        see = f"{asking('pvc', first)} says what that waits for"
        return why, (), f"{see}; or {deleting('pvc', first)}"
    if others := [one for one in snapshot.metadata.finalizers if one not in OURS]:
        return held(KIND, snapshot, others)
    return "nothing holds it, so it goes in a moment", (), ""


def _failed(snapshot: Snapshot, decision: Decision, world: World) -> Reasons:
    reason = decision.events[0].reason if decision.events else ""
    _, _, cause = decision.why.removeprefix(UNBOUND).rpartition("with error")
    help_ = HELP.get(reason, "")
    if reason == NOT_MADE:
        help_ = _help_with_claim(snapshot, world) or help_
    elif reason == "GetSnapshotClassFailed":
        help_ = _help_with_class(snapshot, world)
    return cause.lstrip(": "), (), help_


def _help_with_class(snapshot: Snapshot, world: World) -> str:
    name = snapshot.spec.volume_snapshot_class_name
    if any(one.name == name for one in world.snapshot_classes()):
        return "a new snapshot of a VolumeSnapshotClass of that driver"
    return f"create VolumeSnapshotClass {name}; or a new snapshot of another"


def _help_with_claim(snapshot: Snapshot, world: World) -> str:
    """What lets a content be made of its claim, "" if that is not what is missing."""
    claim = world.claim(snapshot.claim_key)
    if claim is None:
        name = snapshot.spec.source.persistent_volume_claim_name
        return f"create claim {name} in namespace {snapshot.namespace}; or delete this snapshot"
    if claim.being_deleted:
        return "delete this snapshot"
    volume = world.volume(claim.volume_name) if claim.volume_name else None
    if claim.phase != Phase.BOUND or volume is None:
        return f"{asking('pvc', claim)} says what that waits for"
    if not volume.driver:
        return "a claim of a class whose driver makes snapshots, and a snapshot of that"
    return ""


def _ready(snapshot: Snapshot, content: SnapshotContent, world: World) -> Reasons:
    of = f"claim {snapshot.claim_key}" if snapshot.claim_key else "what was there before"
    created = snapshot.status.creation_time or "a time that is not known"
    details = [f"it is {content.handle} of {content.driver}, in content {content.name}"]
    if (size := snapshot.restore_size) is not None:
        details.append(f"a claim that is restored from it needs at least {size}")
    goes = "with it" if content.is_deleted_with_snapshot else "not with it, but stays in the pool"
    details.append(f"by deletionPolicy {content.spec.deletion_policy} its data goes {goes}")
    if restoring := world.restoring(snapshot):
        details.append("claims wait to be filled from it: " + listed([x.key for x in restoring]))
    return f"it is of {of}, as that was at {created}", tuple(details), ""
