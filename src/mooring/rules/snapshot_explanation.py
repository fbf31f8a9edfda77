"""Why a snapshot is as it is, and what would help: `mooring explain snapshot`."""

from typing import Final

from mooring.model.snapshot import Snapshot, SnapshotContent
from mooring.rules.explanation import Explanation, Reasons, listed
from mooring.rules.snapshots import Decision, World, snapshot_decision

HELP: Final = {  # by the reason of the event
    "GetSnapshotClassFailed": "create that VolumeSnapshotClass, or a new snapshot of another",
    "SetDefaultSnapshotClassFailed": (
        "annotate one VolumeSnapshotClass of the driver as the default, or a new snapshot that "
        "names one"
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
        return Explanation(subject, "Failed", *_failed(decision))
    if content is not None and content.status.error is not None:
        help_ = "put that right, and it is cut by itself"
        return Explanation(subject, "Failed", content.status.error.message, (), help_)
    if snapshot.is_ready and content is not None:
        return Explanation(subject, "Ready", *_ready(snapshot, content, world))
    if decision.making is not None or content is None:
        return Explanation(subject, "Pending", "its content is about to be made")
    where = f"of the host with pool {content.pool}" if content.pool else f"of {content.driver}"
    why = f"the agent {where} is to cut it, as content {content.name} says"
    return Explanation(subject, "Pending", why)


def _terminating(snapshot: Snapshot, world: World) -> Reasons:
    if restoring := world.restoring(snapshot):
        why = f"it stays until claims are filled from it: {listed([one.key for one in restoring])}"
        return why, (), "delete those claims, or see why they wait: mooring explain pvc"
    if others := snapshot.metadata.finalizers:
        return f"it stays until its finalizers are removed: {listed(list(others))}", (), ""
    return "nothing holds it, so it goes in a moment", (), ""


def _failed(decision: Decision) -> Reasons:
    reason = decision.events[0].reason if decision.events else ""
    return decision.why, (), HELP.get(reason, "")


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
