"""A real proxy kept at a swarm that a test says, with clients of its entry points."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mooring.edge.edge import PROXIES
from mooring.edge.follower import Follower
from mooring.edge.keeper import Keeper
from mooring.edge.settings import Settings
from mooring.engine.manager import Manager
from tests.edge.clients import Client
from tests.edge.making import a_swarm


class Kept(Client):
    """A keeper with a proxy of its own, started anew like a process that was killed."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.keeper, self.swarm = self.anew(), a_swarm()

    def anew(self) -> Keeper:
        proxy = PROXIES[self.settings.proxy](self.settings)
        nowhere = Manager(str(Path(self.settings.directory) / "no.sock"))
        return Keeper(self.settings, proxy, Follower([nowhere]))

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Meanwhile the swarm is kept, as the keeper's own loop does."""
        await self.keeper.find()

        async def keep() -> None:
            pause_s = 0.0
            while True:
                await asyncio.sleep(pause_s)
                pause_s = await self.keeper.bring(self.swarm)

        async with asyncio.TaskGroup() as together:
            task = together.create_task(keep())
            yield
            task.cancel()
