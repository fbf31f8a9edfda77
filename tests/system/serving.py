"""The API served over HTTP by a thread of this process, so that a test can reach behind it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import uvicorn

from mooring.api.app import App
from mooring.api.identity import Identities, token_hash
from mooring.api.protocol import Protocol
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.memory import MemoryStore
from tests.system.server import eventually, free_port

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class Place:
    """Where it is served, and what can be done to it from behind."""

    token = "secret"

    def __init__(self, around: Callable[[Asgi], Asgi]) -> None:
        """around  what stands before the application; it may answer by itself"""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.store = MemoryStore()
        self.objects = Objects(self.store, ALL_KINDS)
        app = App(self.objects, ALL_KINDS, Identities({token_hash(self.token): "admin"}))
        self.server = uvicorn.Server(
            uvicorn.Config(
                around(app),
                port=self.port,
                http=Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
            )
        )
        self.loop = asyncio.new_event_loop()

    def do(self, what: Coroutine[Any, Any, Any]) -> Any:
        """Run it where the server runs."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(30)

    def write_config_maps(self, times: int) -> None:
        """One config map, written so often."""
        kind = self.objects.kinds["configmaps"]

        async def write() -> None:
            await self.objects.create(kind, "default", {"metadata": {"name": "a"}})
            for number in range(times - 1):
                written = {"data": {"at": str(number)}}
                await self.objects.update(kind, "default/a", lambda doc, to=written: {**doc, **to})

        self.do(write())

    def forget(self) -> None:
        """All history up to now."""
        self.do(self.store.compact(self.objects.cache.revision))

    async def serve(self) -> None:
        await self.objects.start()
        namespace = {"metadata": {"name": "default"}}
        await self.objects.create(self.objects.kinds["namespaces"], "", namespace)
        await self.server.serve()
        await self.objects.close()


@contextmanager
def served(around: Callable[[Asgi], Asgi] = lambda app: app) -> Iterator[Place]:
    place = Place(around)
    thread = threading.Thread(target=place.loop.run_until_complete, args=(place.serve(),))
    thread.start()
    try:
        eventually(lambda: place.server.started, "it serves")
        yield place
    finally:
        place.server.should_exit = True
        thread.join(30)
        place.loop.close()
