"""A host's agent and its Docker plugin in this process, with no Docker: what dockerd would ask."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from mooring.dockerplugin.errors import text, told_of
from mooring.dockerplugin.names import Namespaces, claim_named
from mooring.dockerplugin.plugin import Plugin
from mooring.dockerplugin.transport import Request
from mooring.engine.engine import Engine
from mooring.errors import MooringError
from mooring.model.names import WAIT_FOR_FIRST_CONSUMER
from mooring.node.containers import Mirror
from mooring.objects.kind import Doc
from mooring.reconcile.queue import Queue
from tests.controllers.clocked import make_default
from tests.controllers.plant import CLAIMS, CLASSES
from tests.node.host_plant import HERE, HostPlant, a_pool_class

TEAM: Final = "team"  # the other namespace that Docker reaches
WAITS: Final = "waits"  # a class whose volumes are made for their first consumer


class HastyPlugin(Plugin):
    gone_within_s = 0.2  # what holds a claim in these tests lets it go at once, or never


class DockerPlant(HostPlant):
    """Its default class is `local`, of policy Delete."""

    def __init__(self, place: Path, engine: Engine | None = None) -> None:
        """engine  is asked for containers of volumes that may be nobody's"""
        self.engine = engine
        super().__init__(place)
        for namespace in (TEAM, "closed"):
            self.create("namespaces", {"metadata": {"name": namespace}})
        make_default(self, "local")
        self.put(CLASSES, of_local(WAITS, volumeBindingMode=WAIT_FOR_FIRST_CONSUMER))

    def _start(self) -> None:
        super()._start()
        self._serve()

    def _serve(self) -> None:
        namespaces = Namespaces(also=frozenset({TEAM}))
        agent = self.agent
        mirror = Mirror(self.objects, None, HERE, lambda name: claim_named(name, namespaces).key)
        self.plugin = HastyPlugin(
            self.objects,
            agent.users,
            agent.publisher,
            agent.waiting,
            mirror,
            namespaces,
            HERE,
            self.engine,
            agent.usages,
        )
        self._run(self.plugin.start())

    def restart(self, meanwhile: Any = lambda: None) -> None:
        self._run(self.plugin.stop())
        super().restart(meanwhile)

    def without_plugin(self, work: Callable[[], object]) -> None:
        """Do something while Docker is not served."""
        self._run(self.plugin.stop())
        work()
        self._serve()
        self.settle()

    def close(self) -> None:
        self._run(self.plugin.stop())
        super().close()

    def _queues(self) -> list[Queue]:
        return [*super()._queues(), self.plugin.reclaims, self.plugin.unanswered.queue]

    # What dockerd asks

    def call(self, call: str, name: str = "", id_: str = "", **options: str) -> dict[str, object]:
        """The answer. Raises MooringError, as which Docker would be refused."""
        request = Request(name=name, options=options or None, id=id_)
        found = self._run(self.plugin.answer(call, request, None))
        self.settle()
        return found

    def refusal(self, call: str, name: str = "", id_: str = "", **options: str) -> str:
        """The text of Err."""
        try:
            answer = self.call(call, name, id_, **options)
        except MooringError as error:
            self.settle()
            return text(told_of(error, name, HERE))
        raise AssertionError(f"{call} of {name} was answered {answer}")

    def beside(
        self, other: Coroutine[Any, Any, object], call: str, name: str, id_: str = ""
    ) -> str:
        """A call, and something else that begins at the same moment. Returns the text of Err."""

        async def both() -> BaseException | object:
            first = self.plugin.answer(call, Request(name=name, id=id_), None)
            found = await asyncio.gather(first, other, return_exceptions=True)
            return found[0]

        found = self._run(both())
        self.settle()
        return text(told_of(found, name, HERE)) if isinstance(found, MooringError) else ""

    def delivered(self, call: str, name: str) -> None:
        """Docker has the answer."""

        async def told() -> None:
            self.plugin.delivered(call, Request(name=name))

        self._run(told())
        self.settle()

    def cut_off(self, turns: int, call: str, name: str, **options: str) -> bool:
        """A call that is given up after so many turns of the loop. Returns whether it was done."""

        async def cut() -> bool:
            request = Request(name=name, options=options or None)
            work = asyncio.create_task(self.plugin.answer(call, request, None))
            for _ in range(turns):
                await asyncio.sleep(0)
            was_done = work.done()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            return was_done

        was_done = self._run(cut())
        self.settle()
        return was_done

    def at_once(self, call: str, name: str, times: int) -> list[object]:
        """The same call several times at the same moment: the answers."""

        async def all_() -> list[object]:
            calls = (self.plugin.answer(call, Request(name=name), None) for _ in range(times))
            return list(await asyncio.gather(*calls, return_exceptions=True))

        found = self._run(all_())
        self.settle()
        return found

    def anew(self, name: str) -> None:
        """Remove, and Create before anything else had its turn."""

        async def both() -> None:
            for call in ("Remove", "Create"):
                await self.plugin.answer(call, Request(name=name), None)

        self._run(both())
        self.settle()

    def volume_named(self, name: str) -> dict[str, Any]:
        """What Get answers."""
        found = self.call("Get", name)["Volume"]
        assert isinstance(found, dict)
        return found

    def listed(self) -> list[str]:
        """The names that List answers, sorted."""
        found = self.call("List")["Volumes"]
        assert isinstance(found, list)
        return sorted(one["Name"] for one in found)

    # What there is

    def claim_names(self) -> list[str]:
        return sorted(one.key for one in self.claims())

    def left(self) -> list[str]:
        """Everything that a call could leave behind: claims, volumes, assets, intents."""
        volumes = [one.name for one in self.volumes()]
        return [*self.claim_names(), *volumes, *self.assets(), *self.intents()]

    def stored_of(self, resource: str) -> list[str]:
        return [entry.key for entry in self.objects.cache.shelves[resource].entries()]

    def hold(self, name: str, finalizer: str = "example.com/hold") -> None:
        """Keep a claim from going when it is deleted."""
        self.edit(
            CLAIMS, f"default/{name}", lambda doc: doc["metadata"]["finalizers"].append(finalizer)
        )
        self.settle()

    def phases(self) -> dict[str, str]:
        return {one.name: one.phase for one in self.volumes()}


def of_local(name: str, policy: str = "Delete", **fields: object) -> Doc:
    """A class that takes from the pool `local`, whatever it is called."""
    return a_pool_class(name, policy, **({"parameters": {"pool": "local"}} | fields))
