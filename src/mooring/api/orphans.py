"""Data in pools that no object names, beside the Kubernetes API: /mooring/v1/pools.

GET     /mooring/v1/pools/POOL/orphans         as of now: {"count", "size", "used", "items": [...]}
DELETE  /mooring/v1/pools/POOL/orphans/NAME    delete one with its data: what it was

An item is {"name", "kind": "asset" or "snapshot", "size", "used"}. What an object names, or what is
being made, is refused: 409, as a Status whose reason is NotOrphan; that of another host's pool is
PoolElsewhere.
"""

from typing import Final

import msgspec

from mooring.api.http import Request
from mooring.node.health import Health
from mooring.objects.kind import Doc

PATH: Final = "/mooring/v1/pools"


async def answered(request: Request, health: Health) -> Doc | None:
    """The answer, if it is one of its paths. Raises NotFound, and what the agent says."""
    parts = [part for part in request.path[len(PATH) :].split("/") if part]
    if len(parts) not in (2, 3) or parts[1] != "orphans":
        return None
    if (request.method, len(parts)) not in (("GET", 2), ("DELETE", 3)):
        return None
    pool = health.pool(parts[0])
    if len(parts) == 2:
        found: Doc = msgspec.to_builtins(await health.orphans.now(pool))
        return {"count": 0, "size": "0", "used": None, "items": [], **found}
    removed: Doc = msgspec.to_builtins(await health.orphans.remove(pool, parts[2]))
    health.look_for_orphans(pool)
    return removed
