"""Many requests of JSON over one connection that is kept."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from tests.system.raw_http import Answer, Connection
from tests.system.server import Server

ANSWER_S: Final = 60.0  # far beyond what any takes on a busy machine
WAIT_S: Final = 120.0
PAUSE_S: Final = 0.1  # between looks, which are to cost the server little


class Client:
    """Of one server; asks one thing after the other."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: Connection | None = None
        self._head = f"Host: x\r\nAuthorization: Bearer {server.token}\r\n".encode()

    async def ask(
        self, method: str, path: str, body: Any = None, media: str = "application/json"
    ) -> tuple[int, Any]:
        """The code and the body, decoded."""
        if self._connection is None:
            self._connection = await Connection.to(self._server.port)
        sent = b"" if body is None else json.dumps(body).encode()
        length = b"Content-Type: %b\r\nContent-Length: %d\r\n" % (media.encode(), len(sent))
        line = f"{method} {path} HTTP/1.1\r\n".encode()
        self._connection.send(line + self._head + length + b"\r\n" + sent)
        answer: Answer = await asyncio.wait_for(self._connection.answer(method), ANSWER_S)
        return answer.status, json.loads(answer.body)

    async def done(
        self, method: str, path: str, body: Any = None, media: str = "application/json"
    ) -> Any:
        """The same for what must succeed."""
        status, found = await self.ask(method, path, body, media)
        assert status in (200, 201), (method, path, status, found)
        return found

    async def items(self, path: str) -> list[Any]:
        found: list[Any] = (await self.done("GET", path))["items"]
        return found

    async def until(self, path: str, holds: Callable[[int, Any], bool]) -> Any:
        """Look at an object until this holds of the code and the body, which is returned."""
        async with asyncio.timeout(WAIT_S):
            while True:
                status, found = await self.ask("GET", path)
                if holds(status, found):
                    return found
                await asyncio.sleep(PAUSE_S)

    async def gone(self, path: str) -> None:
        """Wait until there is no such object."""
        await self.until(path, lambda status, _: status == 404)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
