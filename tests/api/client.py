"""Requests to the application in this process, without a network."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from mooring.api.app import App
from mooring.api.identity import Identities, token_hash
from mooring.objects.errors import AlreadyExists
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.interface import Store
from mooring.store.memory import MemoryStore

Meanwhile = Callable[[bytes], Awaitable[None]]


class Answer(NamedTuple):
    """What was answered."""

    status: int
    body: Any
    warnings: tuple[str, ...] = ()


class Client:
    """A server of its own, with the namespace default."""

    def __init__(self, store: Store | None = None) -> None:
        self.objects = Objects(store or MemoryStore(), ALL_KINDS)
        self.app = App(self.objects, ALL_KINDS, Identities({token_hash("t"): "admin"}))

    async def __aenter__(self) -> "Client":
        await self.objects.start()
        namespace = {"metadata": {"name": "default"}}
        with suppress(AlreadyExists):  # in a store of several servers
            await self.objects.create(self.objects.kinds["namespaces"], "", namespace)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.objects.close()

    async def watch(
        self, path: str, accept: str = "application/json", meanwhile: Meanwhile | None = None
    ) -> list[Any]:
        """The events of a watch that ends by itself. `meanwhile` is awaited before each is out."""
        place, _, query = path.partition("?")
        headers = [(b"authorization", b"Bearer t"), (b"accept", accept.encode())]
        scope = {
            "type": "http",
            "method": "GET",
            "path": place,
            "query_string": query.encode(),
            "headers": headers,
        }
        chunks: list[bytes] = []

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()  # the client stays
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            if chunk := message.get("body"):
                if meanwhile:
                    await meanwhile(chunk)
                chunks.append(chunk)

        await self.app(scope, receive, send)
        return [json.loads(line) for line in b"".join(chunks).splitlines()]

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        media: str = "application/json",
        accept_encoding: str = "",
        token: str = "t",
        **more: str,
    ) -> Answer:
        """Ask and return the whole answer, as bytes if it is no JSON; `path` may have a query.

        more  other headers, `_` for `-`
        """
        place, _, query = path.partition("?")
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = [
            (b"authorization", f"Bearer {token}".encode()),
            *((name.replace("_", "-").encode(), value.encode()) for name, value in more.items()),
            (b"content-type", media.encode()),
            (b"user-agent", b"tester/1.0"),
            (b"accept-encoding", accept_encoding.encode()),
        ]
        scope = {
            "type": "http",
            "method": method,
            "path": place,
            "query_string": query.encode(),
            "headers": headers,
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"" if body is None else raw}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        text = b"".join(message.get("body", b"") for message in sent[1:])
        warnings = [value.decode() for name, value in sent[0]["headers"] if name == b"warning"]
        plain = (b"text/plain", b"application/msgpack", b"application/x-pem-file")
        is_text = any(value.startswith(plain) for _, value in sent[0]["headers"])
        body = text if is_text else json.loads(text) if text else None
        return Answer(sent[0]["status"], body, tuple(warnings))
