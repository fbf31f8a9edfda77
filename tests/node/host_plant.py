"""A plant with the agent of a host, a pool in a real directory, and a class that takes from it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from mooring.model.names import DIRECTORY_DRIVER
from mooring.model.volume import Volume
from mooring.node.agent import Agent
from mooring.objects.kind import Doc
from mooring.reconcile.queue import Queue
from tests.controllers.clocked import ClockedPlant
from tests.controllers.plant import CLAIMS, CLASSES

HERE = "here"


class HostPlant(ClockedPlant):
    """Its agent starts and stops with the controllers."""

    pool_spec: ClassVar[Doc] = {}  # of its pool, beside what it needs

    def __init__(self, place: Path) -> None:
        self.state, self.root = place / "state", place / "pool"
        super().__init__()
        self.put("pools.mooring.dev", a_pool("local", self.root, **self.pool_spec))
        self.put(CLASSES, a_pool_class("local"))

    def _start(self) -> None:
        super()._start()
        self.agent = self._agent()
        self._run(self.agent.start())

    def _agent(self) -> Agent:
        tell, place = self.controllers.recorder.note, self.state.parent
        allowed = {"import_dirs": [place / "import"], "backup_dirs": [place / "backups"]}
        return Agent(self.objects, HERE, self.state, tell, **allowed)

    def restart(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """meanwhile  happens while nothing runs."""
        self._run(self.agent.health.queue.until_idle())  # a thread would outlive the agent
        self._run(self.agent.stop())
        self._run(self.controllers.stop())
        self._run(self.objects.close())
        meanwhile()
        self._start()

    def close(self) -> None:
        self._run(self.agent.stop())
        super().close()

    def settle(self) -> None:
        self._run(self._settled())

    async def _settled(self) -> None:
        while not all(queue.idle for queue in self._queues()):
            for queue in self._queues():
                await queue.until_idle()
            await self.agent.filling.until_idle()
            await asyncio.sleep(0)  # what is done when a fill ends is done in this turn
        await self.controllers.recorder.written()

    def _queues(self) -> list[Queue]:
        agent = self.agent
        queues = [agent.claims, agent.volumes, agent.growth, agent.modifier.queue]
        queues += [agent.users.queue, agent.health.queue, agent.snapshots.queue]
        queues.append(agent.registrar.queue)
        return [*self.controllers.queues, *queues]

    def pass_time(self, seconds: float) -> None:
        self.clock.move(seconds)

        async def hurried() -> None:
            for queue in self._queues():
                queue.hurry()
            await self._settled()

        self._run(hurried())

    def beat(self) -> None:
        """The next heartbeat of the agent, now."""
        self._run(self.agent.heartbeat.beat())
        self.settle()

    def assets(self) -> list[str]:
        return sorted(one.name for one in self.root.glob("pvc-*"))

    def intents(self) -> list[str]:
        return sorted(one.name for one in (self.state / "provisioning").iterdir())

    def made(self, name: str = "db") -> Volume:
        """The volume of a bound claim."""
        return self.volume(self.claim(name).volume_name)

    def drop(self, name: str = "db") -> None:
        self.delete(CLAIMS, f"default/{name}")
        self.settle()


def a_pool(name: str, root: Path, **spec: object) -> Doc:
    fixed = {"driver": DIRECTORY_DRIVER, "node": HERE, "root": str(root)}
    return {"metadata": {"name": name}, "spec": fixed | spec}


def a_pool_class(name: str, policy: str = "Delete", **fields: object) -> Doc:
    """Of the pool of the same name."""
    return {
        "metadata": {"name": name},
        "provisioner": DIRECTORY_DRIVER,
        "parameters": {"pool": name},
        "reclaimPolicy": policy,
        **fields,
    }
