"""What `docker volume inspect` shows of a claim that Docker does not know. Docker volumes §11."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from mooring.clock import timestamp
from mooring.model.claim import Claim
from mooring.model.names import SHORT_MODES
from mooring.model.snapshot import Snapshot
from mooring.model.volume import Volume
from mooring.node.containers import User
from mooring.node.usage import VolumeUsage
from mooring.rules.resizing import progress

LONGEST: Final = 4096 - len(',"usedByMore":9999999')  # bytes of JSON
AT_MOST: Final = 16  # of users, and of hosts
HOMES_AT_MOST: Final = 3
REASON_LETTERS: Final = 512
# Where all is more than may be shown.
SHORTENED: Final = ("usedBy", "attachedTo", "copies", "reason")


def status(
    claim: Claim,
    volume: Volume | None,
    *,
    attached: Sequence[str],
    users: Sequence[User],
    snapshots: Sequence[Snapshot],
    reason: str,
    node: str,
    mounts_ok: bool,
    usage: VolumeUsage | None = None,
) -> dict[str, Any]:
    """At most 4 KiB.

    attached  the hosts that have it
    users     containers of this host, which is `node`
    snapshots of the claim, ready or not
    reason    the last warning about the claim, "" if none
    mounts_ok whether dockerd sees what is mounted here, as far as that was looked at
    usage     what is in it, None if nobody looked yet
    """
    found: dict[str, Any] = {
        "claim": claim.key,
        "phase": "Terminating" if claim.being_deleted else claim.phase,
        "class": claim.class_name,
        "requested": str(claim.request),
        "access": ",".join(SHORT_MODES.get(mode, mode).lower() for mode in sorted(claim.modes)),
    }
    if volume is not None:
        found["volume"] = volume.name
        # What can be written: of a volume that grows, the size before until it is done.
        found["capacity"] = str(claim.capacity if claim.capacity.nanos else volume.capacity)
        if doing := progress(claim):
            found["growing"] = doing
        if usage is not None and usage.used_bytes is not None:
            found["usedBytes"] = usage.used_bytes
            found["usedAt"] = timestamp(datetime.fromtimestamp(usage.taken_at_s, UTC))
        found["reclaim"] = volume.reclaim_policy.lower()
        found["node"] = " or ".join(volume.hosts[:HOMES_AT_MOST]) or node
        found["attachedTo"] = list(attached[:AT_MOST])
        if volume.copies:
            found["copies"] = [one.shown for one in volume.copies[:AT_MOST]]
    found["usedBy"] = [
        {"container": one.container, "node": node, "path": one.path, "ro": one.read_only}
        for one in users[:AT_MOST]
    ]
    if snapshots:
        cut = (one.status.creation_time or "" for one in snapshots)
        found["snapshots"] = {"count": len(snapshots), "newest": max(cut)}
    found["mountsOk"] = mounts_ok
    if reason:
        found["reason"] = reason[:REASON_LETTERS]
    while len(msgspec.json.encode(found)) > LONGEST and (long := _longest(found)):
        found[long] = found[long][: len(found[long]) // 2]
    if more := len(users) - len(found["usedBy"]):
        found["usedByMore"] = more
    return found


def _longest(found: dict[str, Any]) -> str:
    """What can be left out in part, and has most to leave out; "" if nothing has."""
    parts = {
        key: len(msgspec.json.encode(found.get(key, ""))) for key in SHORTENED if found.get(key)
    }
    return max(parts, key=parts.__getitem__, default="")
