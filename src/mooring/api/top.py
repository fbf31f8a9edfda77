"""How full things are, the fullest first, beside the Kubernetes API: /mooring/v1/top.

GET  /mooring/v1/top/volumes    {"items": [row, ...], "count": ALL}
GET  /mooring/v1/top/claims     the same of claims that have a volume
GET  /mooring/v1/top/pools      likewise of pools

?namespace=NAME is for the claims of one; ?limit=N leaves out all but the first N rows. A row of a
volume or claim is {"volume", "claim", "class", "phase", "capacityBytes", "usedBytes",
"availableBytes", "usedPercent", "inodes", "inodesUsed", "inodesPercent", "takenAt", "path",
"abnormal"}; one of a pool {"pool", "driver", "node", "ready", "message", "totalBytes", "usedBytes",
"availableBytes", "usedPercent", "allocatedBytes", "promisedPercent", "volumes", "inodes",
"inodesUsed", "inodesPercent", "orphans"}. What is not known is null.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mooring.api.exposition import slim_volume, storage_bytes
from mooring.api.host import Host
from mooring.api.http import Request
from mooring.api.metrics import pool_values
from mooring.api.status import ApiError
from mooring.clock import timestamp
from mooring.model.pool import READY, Pool
from mooring.model.volume import Volume
from mooring.node.usage import VolumeUsage
from mooring.objects.cache import Entry
from mooring.objects.documents import encoded
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects

PATH: Final = "/mooring/v1/top/"
VOLUMES, CLAIMS, POOLS = "volumes", "claims", "pools"


class Top:
    """Answers by path."""

    def __init__(self, objects: Objects, host: Host | None) -> None:
        self._objects, self._host = objects, host
        self._turn = asyncio.Lock()  # each takes memory for all volumes

    async def serves(self, request: Request) -> bool:
        """Answer, if it is one of its paths. Raises ApiError."""
        if request.method != "GET" or not request.path.startswith(PATH):
            return False
        what = request.path[len(PATH) :].rstrip("/")
        if what not in (VOLUMES, CLAIMS, POOLS):
            return False
        limit = _limit(request)
        if what == POOLS:
            rows = [_pool_row(pool, self._host) for pool in self._objects.views(Pool)]
            found = _answer(rows, limit)
        else:
            namespace = request.query.get("namespace", "")
            entries = self._objects.cache.shelves[Volume.resource].snapshot()
            usages = self._host.usages() if self._host is not None else {}
            paths = self._host.paths() if self._host is not None else {}
            async with self._turn:
                found = await asyncio.to_thread(
                    _volumes, entries, usages, paths, what == CLAIMS, namespace, limit
                )
        await request.answer(200, encoded(found))
        return True


def _limit(request: Request) -> int | None:
    text = request.query.get("limit", "")
    if not text or text == "0":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ApiError("BadRequest", f"limit is {text!r}, not a number of rows")
    return int(text)


def _answer(rows: list[Doc], limit: int | None) -> Doc:
    rows.sort(key=lambda row: (row["usedPercent"] is None, -(row["usedPercent"] or 0)))
    return {"items": rows[:limit], "count": len(rows)}


def _volumes(
    entries: Sequence[Entry],
    usages: Mapping[str, VolumeUsage],
    paths: Mapping[str, Path],
    only_claims: bool,
    namespace: str,
    limit: int | None,
) -> Doc:
    in_order = sorted(entries, key=lambda one: one.key)
    rows = [_volume_row(entry, usages.get(entry.key), paths) for entry in in_order]
    if only_claims:
        rows = [row for row in rows if row["phase"] == "Bound"]
    if namespace:
        rows = [row for row in rows if row["claim"].startswith(f"{namespace}/")]
    return _answer(rows, limit)


def _volume_row(entry: Entry, usage: VolumeUsage | None, paths: Mapping[str, Path]) -> Doc:
    volume = slim_volume(entry.body)
    ref, known = volume.spec.claim_ref, usage or VolumeUsage(storage_bytes(volume.spec.capacity))
    taken_s = known.taken_at_s
    return {
        "volume": volume.metadata.name,
        "claim": f"{ref.namespace}/{ref.name}" if ref is not None else "",
        "class": volume.spec.storage_class_name,
        "phase": volume.status.phase,
        "capacityBytes": known.capacity_bytes,
        "usedBytes": known.used_bytes,
        "availableBytes": known.available_bytes,
        "usedPercent": _percent(known.used_bytes, known.capacity_bytes),
        "inodes": known.inodes,
        "inodesUsed": known.inodes_used,
        "inodesPercent": _percent(known.inodes_used, known.inodes),
        "takenAt": timestamp(datetime.fromtimestamp(taken_s, UTC)) if taken_s else None,
        "path": str(paths.get(volume.metadata.name, "")),
        "abnormal": known.abnormal,
    }


def _pool_row(pool: Pool, host: Host | None) -> Doc:
    values = pool_values(pool, host)
    found = {name: int(values[name]) if name in values else None for name in _POOL_NAMES}
    used, available = found["used_bytes"], found["available_bytes"]
    whole = None if used is None or available is None else used + available
    ready = pool.condition(READY)
    return {
        "pool": pool.name,
        "driver": pool.driver,
        "node": pool.node,
        "ready": ready.status if ready is not None else "Unknown",
        "message": ready.message if ready is not None and ready.status != "True" else "",
        "totalBytes": found["capacity_bytes"],
        "usedBytes": used,
        "availableBytes": available,
        "usedPercent": _percent(used, whole),
        "allocatedBytes": found["allocated_bytes"],
        "promisedPercent": _percent(found["allocated_bytes"], found["capacity_bytes"]),
        "volumes": pool.status.volumes,
        "inodes": found["inodes"],
        "inodesUsed": found["inodes_used"],
        "inodesPercent": _percent(found["inodes_used"], found["inodes"]),
        "orphans": found["orphans"],
    }


_POOL_NAMES: Final = (
    *("capacity_bytes", "used_bytes", "available_bytes", "allocated_bytes"),
    *("inodes", "inodes_used", "orphans"),
)


def _percent(part: int | None, whole: int | None) -> float | None:
    if part is None or whole is None:
        return None
    return round(100 * part / whole, 1) if whole else 100.0
