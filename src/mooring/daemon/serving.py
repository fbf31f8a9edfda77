"""The API, served over HTTPS."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import uvicorn

from mooring.api.app import App
from mooring.api.certificates import Authority
from mooring.api.protocol import Protocol as HttpProtocol
from mooring.api.seats import Seats
from mooring.daemon.errors import CannotListen
from mooring.daemon.parts import Part
from mooring.daemon.settings import Settings
from mooring.dockerplugin.listener import BACKLOG
from mooring.host.open_files import raised_limit

log = logging.getLogger(__name__)

COLLECT_AFTER: Final = (20_000, 20, 50)  # allocations, then collections of the younger generation
GRACE_S: Final = 2  # for requests under way at SIGTERM; what goes on then is cut off
OWN_FILES: Final = 256  # kept for what is not a connection: the store, volumes, programs
FEW_SEATS: Final = 1024  # each watch takes one, so as many are soon taken


async def serve(
    server: uvicorn.Server,
    listener: socket.socket,
    app: App,
    feeds: Sequence[asyncio.Task[None]],
    parts: list[Part],
    on_ready: Callable[[], None],
) -> None:
    """Until SIGTERM or SIGINT.

    feeds     that never end while it serves
    parts     started in this order before it serves, and stopped after
    on_ready  is told when it does
    """
    _calm_collector()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for part in parts:
        await part.start()
    serving = asyncio.create_task(_without_signals(server, listener))
    app.ready = True
    on_ready()
    stopping = asyncio.create_task(stop.wait())
    # They must never stop following the store: rather no server than one that goes by old news.
    await asyncio.wait({serving, stopping, *feeds}, return_when=asyncio.FIRST_COMPLETED)
    app.stop()
    server.should_exit = True
    stopping.cancel()
    for part in reversed(parts):
        await part.stop()
    await serving
    for feed in feeds:
        if feed.done() and not feed.cancelled() and (error := feed.exception()):
            raise error


def _calm_collector() -> None:
    """Cycles are rare here and the cache is large: looking through all of it often costs a fifth
    of the time under load."""
    gc.collect()
    gc.freeze()  # what was loaded at the start is not looked through again
    gc.set_threshold(*COLLECT_AFTER)


async def _without_signals(server: uvicorn.Server, listener: socket.socket) -> None:
    """uvicorn's own serving, without its signal handlers: the daemon has the only ones."""
    await server._serve(sockets=[listener])


def config(app: App, authority: Authority) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=partial(HttpProtocol, seats=_seats()),  # type: ignore[arg-type]  # it makes one
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=90,  # longer than clients' own, so that they end idle connections
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=str(authority.certificate),
        ssl_keyfile=str(authority.key),
    )


def _seats() -> Seats:
    files = raised_limit()
    seats = max(files - OWN_FILES, files // 2)
    if seats < FEW_SEATS:
        log.warning(
            "at most %d connections, as this process may have %d files open: each watch takes one; "
            "allow it more (ulimit -Hn, LimitNOFILE= of its unit)",
            seats,
            files,
        )
    return Seats(seats)


def listener_of(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)  # now, as two that only bind may have one address
    except OSError as error:
        listener.close()
        raise CannotListen(settings.host, settings.port, error.strerror or str(error)) from error
    return listener


def url_of(host: str, port: int) -> str:
    """How clients on this host reach the server."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"https://[{shown}]:{port}" if ":" in shown else f"https://{shown}:{port}"
