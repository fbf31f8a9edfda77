"""Mounts of the host that serves this, beside the Kubernetes API: /mooring/v1/mounts.

GET     /mooring/v1/mounts                    what is at hand: {"items": [mount, ...]}
POST    /mooring/v1/mounts/NAMESPACE/CLAIM    have a claim at its path: the mount
DELETE  /mooring/v1/mounts/NAMESPACE/CLAIM    take the path away: the mount; 404 if there is none

A mount is {"claim": "ns/name", "volume": NAME, "path": PATH, "note": TEXT}; note is empty unless
the path is not a mount of its own. /mooring/v1/adoptions is of adoptions.py, /mooring/v1/pools of
orphans.py. What this host cannot
do is 409, as a Status whose reason is the error's code and whose details hold the remedy.
"""

from pathlib import Path
from typing import Final

from mooring.api import adoptions, orphans
from mooring.api.adoptions import Adopting
from mooring.api.http import Request
from mooring.api.status import CODES, ApiError, failure
from mooring.errors import MooringError
from mooring.model.pool import Pool
from mooring.node.health import Health
from mooring.node.ids import BY_HAND
from mooring.node.mounting import Mounted
from mooring.node.usage import Usages, VolumeUsage
from mooring.node.use import Users
from mooring.objects.documents import encoded
from mooring.objects.kind import Doc
from mooring.rules.pool_health import Seen

PATH: Final = "/mooring/v1/mounts"


class Host:
    """Answers by path."""

    def __init__(
        self,
        users: Users,
        adopting: Adopting | None = None,
        health: Health | None = None,
        usages: Usages | None = None,
    ) -> None:
        """adopting  None where no Docker is served"""
        self._health, self._usages = health, usages
        self._users, self._mounting = users, users.mounting
        self._adopting = adopting

    async def serves(self, request: Request) -> bool:
        """Answer, if it is one of its paths. Raises NotFound and other errors of the API."""
        ours = (PATH, adoptions.PATH, orphans.PATH)
        if not f"{request.path}/".startswith(tuple(f"{one}/" for one in ours)):
            return False
        try:
            return await self._answered(request)
        except MooringError as error:
            if error.code in CODES:
                raise
            status = {**failure(error), "code": 409, "reason": error.code, "message": error.what}
            status["details"] = {"remedy": error.remedy}
            await request.answer(409, encoded(status))
            return True

    def usages(self) -> dict[str, VolumeUsage]:
        """What volumes of this host use, by name."""
        return self._usages.all() if self._usages is not None else {}

    def seen(self, pool: Pool) -> Seen | None:
        """What its place had when it was looked at last."""
        return self._health.seen(pool) if self._health is not None else None

    def paths(self) -> dict[str, Path]:
        """Where volumes are mounted here, by name."""
        return self._mounting.paths()

    async def disk(self, pool: Pool) -> Doc | None:
        """Where a pool of this host is: {"totalBytes", "usedBytes", "freeBytes"}."""
        usage = await self._mounting.pools.usage(pool)
        if usage is None:
            return None
        total, used = usage.total_bytes, usage.used_bytes
        return {"totalBytes": total, "usedBytes": used, "freeBytes": usage.free_bytes}

    async def path(self, key: str) -> str:
        """Where a claim is mounted, "" if it is not."""
        mounts = await self._mounting.mounts()
        return next((str(one.path) for one in mounts if one.claim == key), "")

    async def _answered(self, request: Request) -> bool:
        if request.path.startswith(adoptions.PATH):
            adoption = await adoptions.answered(request, self._adopting)
            if adoption is not None:
                await request.answer(200, encoded(adoption))
            return adoption is not None
        if request.path.startswith(orphans.PATH):
            left = None
            if self._health is not None:
                left = await orphans.answered(request, self._health)
            if left is not None:
                await request.answer(200, encoded(left))
            return left is not None
        parts = [part for part in request.path[len(PATH) :].split("/") if part]
        if not parts and request.method == "GET":
            found: Doc = {"items": [_shown(one) for one in await self._mounting.mounts()]}
        elif len(parts) == 2 and request.method == "POST":
            found = _shown(await self._users.give("/".join(parts), BY_HAND))
        elif len(parts) == 2 and request.method == "DELETE":
            mounted = await self._users.take_away("/".join(parts))
            if mounted is None:
                raise ApiError("NotFound", f"claim {'/'.join(parts)} is not mounted on this host")
            found = _shown(mounted)
        else:
            return False
        await request.answer(200, encoded(found))
        return True


def _shown(mounted: Mounted) -> Doc:
    return {**mounted._asdict(), "path": str(mounted.path)}
