"""`mooring edge run`: the keeper of one proxy, until it is told to end. The proxy goes on."""

import asyncio
import difflib
import logging
import signal
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509

from mooring.edge.addresses import address_of
from mooring.edge.certificates import Covered, chosen_in, covered
from mooring.edge.differences import differences
from mooring.edge.follower import Follower
from mooring.edge.haproxy.proxy import HaproxyProxy
from mooring.edge.interface import Proxy
from mooring.edge.keeper import Keeper
from mooring.edge.metrics import serve
from mooring.edge.model import Model, model_of
from mooring.edge.nginx.proxy import NginxProxy
from mooring.edge.place import Place
from mooring.edge.remembered import remembered
from mooring.edge.settings import ManagerTls, Settings
from mooring.edge.status import NoStatus, Status, read
from mooring.engine.errors import EngineAway
from mooring.engine.manager import Manager

log = logging.getLogger(__name__)

AGAIN_S: Final = 10.0  # after which what failed beside the keeper begins anew
PROXIES: Final[Mapping[str, Callable[[Settings], Proxy]]] = {
    "haproxy": HaproxyProxy,
    "nginx": NginxProxy,
}


async def run(settings: Settings) -> None:
    """Keep the proxy of an edge file until SIGTERM or SIGINT. Raises KeptAlready."""
    follower = Follower(managers_of(settings))
    keeper = Keeper(settings, proxy_of(settings), follower)
    loop, ends = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ends.set)
    for manager in settings.managers:
        if manager.startswith("tcp://") and settings.manager_tls is None:
            log.warning("manager %s is asked without TLS: anybody between can answer", manager)
    with Place(settings.directory).alone():
        # If one of the two fails, all of it does, and is started again by whoever starts it.
        async with asyncio.TaskGroup() as together:
            tasks = [together.create_task(follower.run()), together.create_task(keeper.run())]
            if (address := address_of(settings.metrics)) is not None:
                serving = beside("metrics", partial(serve, keeper.reporter.metrics, address))
                tasks.append(together.create_task(serving))
            if (agents := keeper.reporter.agents) is not None:
                tasks.append(together.create_task(beside("agents", agents.run)))
            if (forwarder := keeper.reporter.forwarder) is not None:
                tasks.append(together.create_task(beside("events", forwarder.run)))
            await ends.wait()
            for task in tasks:
                task.cancel()


async def beside(what: str, run: Callable[[], Awaitable[None]], again_s: float = AGAIN_S) -> None:
    """Do something for as long as it takes, begun anew if it fails: the proxy is kept all the
    same."""
    while True:
        try:
            return await run()
        except Exception:
            log.exception("%s: a bug of ours; they go on in %.0f s", what, again_s)
        await asyncio.sleep(again_s)


def proxy_of(settings: Settings) -> Proxy:
    """The one that the edge file names."""
    return PROXIES[settings.proxy](settings)


async def wanted(settings: Settings) -> Model:
    """What is to be for the swarm as it is now. Raises EngineAway of the last manager."""
    managers = managers_of(settings)
    for manager in managers:
        try:
            memory = remembered(Place(settings.directory))
            names, expired = _covered(settings)
            return model_of(await manager.swarm(), settings, memory, names, None, expired)[0]
        except EngineAway:
            if manager is managers[-1]:
                raise
        finally:
            await manager.stop()
    raise AssertionError("an edge file names a manager")


async def rendered(settings: Settings) -> str:
    """The configuration for the swarm as it is now. Raises EngineAway of the last manager."""
    return await proxy_of(settings).rendered(await wanted(settings))


class Difference(NamedTuple):
    """What the swarm as it is now would change.

    reload   the configuration, as a unified diff of lines; empty: no reload
    runtime  what is done without one
    """

    reload: list[str]
    runtime: list[str]


async def difference(settings: Settings) -> Difference:
    """Of the proxy as it runs, or as it ran. Raises EngineAway of the last manager, OSError."""
    model, proxy = await wanted(settings), proxy_of(settings)
    current = proxy.configuration()
    before = current.read_text().splitlines() if current.exists() else []
    after = (await proxy.rendered(model)).splitlines()
    lines = difflib.unified_diff(before, after, str(current), "wanted", lineterm="", n=2)
    status: Status | None = None
    with suppress(NoStatus):
        status = read(Path(settings.directory))
    # nginx has all of it in its configuration.
    runtime = differences(status, model) if settings.proxy == "haproxy" else []
    return Difference(list(lines), runtime)


def _covered(settings: Settings) -> Covered:
    now = datetime.now(UTC)
    return covered(chosen_in(settings.certificates, now), now)


def managers_of(settings: Settings) -> list[Manager]:
    """In the order of the edge file. Raises OSError, ssl.SSLError for files of TLS.

    They are read again for new connections, after a failure: certificates are renewed.
    """
    tls = partial(_valid_context, settings.manager_tls) if settings.manager_tls else None
    if settings.manager_tls is not None:
        _context(settings.manager_tls)
    return [Manager(one, tls if one.startswith("tcp://") else None) for one in settings.managers]


def _valid_context(files: ManagerTls) -> ssl.SSLContext:
    """Raises OSError, also for a certificate of ours that has expired: a manager hangs up on those,
    and does not say why."""
    context = _context(files)
    own = x509.load_pem_x509_certificate(Path(files.certificate).read_bytes())
    if own.not_valid_after_utc < datetime.now(UTC):
        raise OSError(f"the certificate of this edge has expired: {files.certificate}")
    return context


def _context(files: ManagerTls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.certificate, files.key)
    return context
