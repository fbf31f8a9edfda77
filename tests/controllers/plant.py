"""A server without its doors, in this process: store, objects and controllers."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from mooring.controllers.controllers import Controllers
from mooring.errors import MooringError
from mooring.model.claim import Claim
from mooring.model.metadata import View
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.kind import Doc
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.interface import Check, Write
from mooring.store.memory import MemoryStore

T = TypeVar("T")
V = TypeVar("V", bound=View)
CLAIMS, VOLUMES, CLASSES = (one.resource for one in (Claim, Volume, StorageClass))
COMPARED = (CLAIMS, VOLUMES, CLASSES, "pods")  # all but Events, which count on


class DawdlingStore(MemoryStore):
    """Others get their turn before a commit, as with a store that writes to a disk."""

    turns = random.Random(0)

    async def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> int:
        for _ in range(self.turns.randrange(6)):
            await asyncio.sleep(0)
        return await super().commit(writes, checks)


class Plant:
    """Runs only while one of its methods does, so a test decides when anything happens."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self.store = self._run(_made(DawdlingStore))
        self._start()
        self.create("namespaces", {"metadata": {"name": "default"}})

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def _start(self) -> None:
        async def started() -> None:
            self.objects = Objects(self.store, ALL_KINDS)
            await self.objects.start()
            self.controllers = Controllers(self.objects)
            await self.controllers.start()

        self._run(started())

    def restart(self) -> None:
        """Whatever is in work is cut off."""

        async def stopped() -> None:
            await self.controllers.stop()
            await self.objects.close()

        self._run(stopped())
        self._start()

    def close(self) -> None:
        self._run(self.controllers.stop())
        self._run(self.objects.close())
        self._run(self.store.close())
        self._runner.close()

    def dawdle(self, seed: int) -> None:
        """How long the commits from now on take depends on the seed alone."""
        self.store.turns = random.Random(seed)

    def settle(self) -> None:
        """Run until all controllers are idle."""
        self._run(self.controllers.idle())

    # What clients do. A refusal by the server is an answer like any other.

    def create(self, resource: str, doc: Doc) -> bool:
        return self._allowed(self.creation(resource, doc))

    def together(self, *requests: Coroutine[Any, Any, object]) -> None:
        """All of them at the same moment."""

        async def made() -> None:
            for outcome in await asyncio.gather(*requests, return_exceptions=True):
                if isinstance(outcome, BaseException) and not isinstance(outcome, MooringError):
                    raise outcome

        self._run(made())

    def creation(self, resource: str, doc: Doc) -> Coroutine[Any, Any, object]:
        kind = self.objects.kinds[resource]
        return self.objects.create(kind, "default" if kind.namespaced else "", doc)

    def deletion(self, resource: str, key: str) -> Coroutine[Any, Any, object]:
        return self.objects.delete(self.objects.kinds[resource], key)

    def edit(
        self, resource: str, key: str, change: Callable[[Doc], None], status: str = ""
    ) -> bool:
        def changed(doc: Doc) -> Doc:
            change(doc)
            return doc

        kind = self.objects.kinds[resource]
        return self._allowed(self.objects.update(kind, key, changed, subresource=status))

    def delete(self, resource: str, key: str) -> bool:
        return self._allowed(self.deletion(resource, key))

    def _allowed(self, request: Coroutine[Any, Any, object]) -> bool:
        try:
            self._run(request)
        except MooringError:
            return False
        return True

    # What is there

    def claims(self) -> list[Claim]:
        return self.objects.views(Claim)

    def volumes(self) -> list[Volume]:
        return self.objects.views(Volume)

    def view(self, type_: type[V], key: str) -> V | None:
        return self.objects.view(type_, key)

    def stored(self) -> dict[str, bytes]:
        """Everything as it is served, resourceVersion included."""
        return {
            f"{resource}/{entry.key}": entry.body
            for resource in COMPARED
            for entry in self.objects.cache.shelves[resource].entries()
        }


async def _made(make: Callable[[], T]) -> T:
    """Made while the event loop runs."""
    return make()


def a_volume_doc(name: str, *, size: str, modes: list[str], class_: str, policy: str) -> Doc:
    """A volume that nobody but the controllers touches."""
    return {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": modes,
            "storageClassName": class_,
            "persistentVolumeReclaimPolicy": policy,
            "csi": {"driver": "example.com", "volumeHandle": name},
        },
    }


def a_claim_doc(name: str, *, size: str, modes: list[str], class_: str | None) -> Doc:
    spec: Doc = {"accessModes": modes, "resources": {"requests": {"storage": size}}}
    if class_ is not None:
        spec["storageClassName"] = class_
    return {"metadata": {"name": name}, "spec": spec}


def a_class_doc(name: str, *, waits: bool) -> Doc:
    return {
        "metadata": {"name": name},
        "provisioner": "example.com",
        "volumeBindingMode": "WaitForFirstConsumer" if waits else "Immediate",
    }


def a_pod_doc(name: str, claim: str, node: str) -> Doc:
    use = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    spec: Doc = {"containers": [{"name": "c", "image": "i"}], "volumes": [use]}
    if node:
        spec["nodeName"] = node
    return {"metadata": {"name": name}, "spec": spec}
