"""A real proxy on this machine, and real servers behind it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mooring.edge.certificates import Certificate, chosen_in
from mooring.edge.haproxy.proxy import HaproxyProxy
from mooring.edge.model import Memory, Model, Server, Wish, model_of
from mooring.edge.nginx.proxy import NginxProxy, Pace
from mooring.edge.settings import Settings
from mooring.engine.swarm import Service
from tests.edge.clients import Client
from tests.edge.making import a_node, a_service, a_swarm

AT_ONCE = Pace(quiet_s=0.0, between_s=0.0)
LOOKS = 400  # until what was brought is there

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Plant(Client):
    """A proxy, kept at services whose servers are said by a test."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        super().__init__(settings)
        self.stack = stack
        self.proxy = self._found_again()
        self.services: tuple[Service, ...] = ()
        self.servers: dict[str, Sequence[Server]] = {}
        self._listening: dict[Server, asyncio.Server] = {}

    def _found_again(self) -> HaproxyProxy | NginxProxy:
        if self.settings.proxy == "nginx":
            return NginxProxy(self.settings, AT_ONCE)
        return HaproxyProxy(self.settings)

    async def serve(self, what: Serve, **words: object) -> Server:
        """A server of this machine, until the end."""

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.stack.callback(asyncio.ensure_future(what(reader, writer)).cancel)

        listening = await asyncio.start_server(begin, "127.0.0.1", 0, **words)  # type: ignore[arg-type]
        await self.stack.enter_async_context(listening)
        port = listening.sockets[0].getsockname()[1]
        made = server_at(port)
        self._listening[made] = listening
        return made

    def end(self, server: Server) -> None:
        """Nobody listens there any more."""
        self._listening[server].close()

    async def bring(self, *services: Service, **servers: Sequence[Server]) -> Model:
        """To these services, by name with these servers; until those that are to serve do."""
        self.services, self.servers = services, dict(servers)
        for _ in range(LOOKS):
            model = self.model()
            pause_s = await self.proxy.bring(model, self.certificates())
            if self._is_there(model):
                return model
            await asyncio.sleep(min(pause_s, 0.1))
        raise AssertionError(f"{model.backends} is not what the proxy came to")

    async def reload(self) -> None:
        """Of the proxy, for one more service."""
        before = self.proxy.reloads
        await self.bring(*self.services, a_service("more"), **self.servers)
        assert self.proxy.reloads == before + 1

    def model(self) -> Model:
        names = frozenset().union(*(one.names for one in self.certificates().values()))
        model, _ = model_of(a_swarm(*self.services, a_node()), self.settings, Memory(), names)
        # A node of this machine would be at a loopback address, which no swarm has.
        backends = {
            name: replace(one, servers=tuple(self.servers.get(one.route.service, ())))
            for name, one in model.backends.items()
        }
        return replace(model, backends=backends)

    def certificates(self) -> Mapping[str, Certificate]:
        found = chosen_in(self.settings.certificates, datetime.now(UTC))
        return {one.file: one for one in found}

    def put(self, name: str, pem: tuple[str, str]) -> None:
        """A certificate into the edge's directory."""
        (Path(self.settings.certificates) / name).write_text("".join(pem))

    def _is_there(self, model: Model) -> bool:
        if isinstance(self.proxy, HaproxyProxy) and not set(model.backends) <= set(
            self.proxy.process.slots
        ):
            return False
        return all(
            self.proxy.state_of(name, one) == ("serves" if one.wish is Wish.SERVE else "leaves")
            for name, backend in model.backends.items()
            for one in backend.servers
        )


def server_at(port: int) -> Server:
    """One of this machine."""
    return Server(f"t{port}", "127.0.0.1", port, "n1")


class Answering:
    """It answers every request of HTTP with its name."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = self.name.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with suppress(OSError, EOFError):
            while await reader.readuntil(b"\r\n\r\n"):
                await self.work()
                writer.write(head + body)
                await writer.drain()
        writer.close()

    async def work(self) -> None:
        """What it does for a request: nothing."""


class Greeting:
    """It says its name to whoever connects, and then whatever it is told. Many databases speak
    first too."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(f"{self.name}\n".encode())
            while said := await reader.read(1 << 16):
                writer.write(said)
                await writer.drain()
        writer.close()


class Proxied(Greeting):
    """It waits for the PROXY protocol, and does without it nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.heads: list[bytes] = []  # what came first

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.read(16)
        if head.startswith(b"PROXY "):
            head += await reader.readline()
        elif len(head) == 16:
            head += await reader.readexactly(int.from_bytes(head[14:16], "big"))
        self.heads.append(head)
        await super().__call__(reader, writer)
