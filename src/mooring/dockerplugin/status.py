"""What `docker volume inspect` shows of a claim that Docker does not know. Docker volumes §11."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from mooring.model.claim import Claim
from mooring.model.names import SHORT_MODES
from mooring.model.volume import Volume
from mooring.node.containers import User

LONGEST: Final = 4096  # bytes of JSON
USERS_AT_MOST: Final = 16


def status(
    claim: Claim,
    volume: Volume | None,
    *,
    attached: Sequence[str],
    users: Sequence[User],
    reason: str,
    node: str,
) -> dict[str, Any]:
    """At most 4 KiB.

    attached  the hosts that have it
    users     containers of this host, which is `node`
    reason    the last warning about the claim, "" if none
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
        found["capacity"] = str(volume.capacity)
        found["reclaim"] = volume.reclaim_policy.lower()
        found["node"] = " or ".join(volume.hosts) or node
        found["attachedTo"] = list(attached)
    found["usedBy"] = [
        {"container": one.container, "node": node, "path": one.path, "ro": one.read_only}
        for one in users[:USERS_AT_MOST]
    ]
    if len(users) > USERS_AT_MOST:
        found["usedByMore"] = len(users) - USERS_AT_MOST
    if reason:
        found["reason"] = reason[:512]
    while len(msgspec.json.encode(found)) > LONGEST and found["usedBy"]:
        found["usedBy"].pop()
        found["usedByMore"] = len(users) - len(found["usedBy"])
    return found
