"""The static volumes of servers on this host: what their PVs say, and what is left of them."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mooring.errors import MooringError
from mooring.model.names import USED
from mooring.model.secret import Secret
from mooring.model.volume import Volume
from mooring.node.errors import SecretMissing
from mooring.node.iscsi import IscsiSource, end_unused
from mooring.node.remote import NfsSource, RemotePlaces
from mooring.node.sources import Source
from mooring.objects.objects import Objects

log = logging.getLogger(__name__)

_LEFTOVERS_WITHIN_S: Final = 15.0  # a server that is away does not keep the start up longer


class Remotes:
    """Of one host."""

    def __init__(self, objects: Objects, state_dir: Path) -> None:
        self._objects = objects
        self._places = RemotePlaces(state_dir)

    def source(self, volume: Volume) -> Source | None:
        """None if it is not of a server. Raises SecretMissing."""
        if volume.spec.nfs is not None:
            return NfsSource.of(self._places, volume)
        if volume.spec.iscsi is not None:
            is_new, secret = USED not in volume.annotations, self._secret(volume)
            return IscsiSource.of(self._places, volume, secret, is_new=is_new)
        return None

    async def start(self, published: set[str]) -> None:
        """Undo what an earlier process began and did not publish, or did not let go of.

        published  uids of the volumes that users may have
        """
        try:
            async with asyncio.timeout(_LEFTOVERS_WITHIN_S):
                left = set(await self._places.left()) - published
                undone = (self._places.unmount(self._places.point(uid)) for uid in left)
                for uid, error in zip(
                    left, await asyncio.gather(*undone, return_exceptions=True), strict=True
                ):
                    if error is not None:
                        log.warning("pv-uid=%s is still mounted: %s", uid, error)
                await end_unused(self._places)
        except (TimeoutError, OSError, MooringError) as error:
            log.warning("leftovers of volumes of servers: %s", error)

    def _secret(self, volume: Volume) -> Mapping[str, str]:
        source = volume.spec.iscsi
        if source is None or not source.chap_auth_session or source.secret_ref is None:
            return {}
        secret = self._objects.view(Secret, source.secret_ref.key)
        if secret is None:
            raise SecretMissing(volume.name, source.secret_ref.key)
        return secret.data
