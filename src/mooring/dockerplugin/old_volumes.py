"""Docker's own volumes, of its driver `local`: where their data is, and that nobody uses it."""

import os
from functools import partial
from pathlib import Path
from typing import Final

from mooring.dockerplugin.adoption_errors import (
    NameInDocker,
    NoSuchDockerVolume,
    NotLocal,
    NotReadable,
    OldVolumeInUse,
)
from mooring.engine.engine import Engine
from mooring.host import files, mounts
from mooring.host.blocking import Blocking

LOCAL: Final = "local"
# With any of these, data is where the volume is mounted from, and not in the directory it has.
_MOUNTS: Final = ("device", "type", "o")


class OldVolumes:
    """Of one host's Docker."""

    def __init__(self, engine: Engine, node: str) -> None:
        self._engine, self._node = engine, node
        self._blocking = Blocking("Docker's volumes")

    async def unused(self, name: str) -> Path:
        """The directory that has a volume's data, which nothing uses and no container will.

        raises  NoSuchDockerVolume, NotLocal, OldVolumeInUse, NotReadable, EngineAway, HostStuck
        """
        volume = await self._engine.volume(name)
        if volume is None:
            raise NoSuchDockerVolume(name, self._node)
        if volume.driver != LOCAL:
            raise NotLocal(name, volume.driver)
        if any(volume.options.get(key) for key in _MOUNTS):
            raise NotLocal(name, LOCAL, volume.options.get("device", ""))
        if containers := await self._engine.containers(name, driver=LOCAL):
            used = [f"container {one.name} ({one.state})" for one in containers]
            raise OldVolumeInUse(name, used, is_docker=True)
        try:
            holders = await self._blocking.run(partial(_holders, volume.path))
        except OSError as error:
            raise NotReadable(name, volume.path, error.strerror or str(error)) from error
        if holders:  # of another engine, or by path
            raise OldVolumeInUse(name, holders, is_docker=False)
        return Path(volume.path)

    async def refuse_name(self, name: str) -> None:
        """Raises NameInDocker if Docker has a volume of this name that is none of Mooring's."""
        volume = await self._engine.volume(name)
        if volume is not None and volume.driver != self._engine.driver:
            raise NameInDocker(name, volume.driver)


def _holders(path: str) -> list[str]:
    with files.directory(path) as directory:
        os.listdir(directory)  # whether that is allowed
        return mounts.holders(directory)
