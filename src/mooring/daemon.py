"""Joins the rooms into one process: store, objects, controllers, node agent, API."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import msgspec
import uvicorn

from mooring.api.app import App
from mooring.api.certificates import CLUSTER, Authority, kubeconfig, names_of, private_file
from mooring.api.host import Host
from mooring.api.identity import Identities, new_token, token_hash
from mooring.api.protocol import Protocol as HttpProtocol
from mooring.api.seats import Seats
from mooring.controllers.controllers import Controllers
from mooring.dockerplugin.adopting import Adoptions
from mooring.dockerplugin.errors import AlreadyServed
from mooring.dockerplugin.listener import BACKLOG
from mooring.dockerplugin.names import Namespaces, claim_named, shown_name
from mooring.dockerplugin.old_volumes import OldVolumes
from mooring.dockerplugin.plugin import Plugin
from mooring.dockerplugin.transport import Transport, plugin_listener
from mooring.engine.engine import Announcer, Engine
from mooring.errors import MooringError
from mooring.host.allocator import Trimmer, share_one_heap
from mooring.host.open_files import raised_limit
from mooring.model.names import DEFAULT_CLASS, DIRECTORY_DRIVER
from mooring.model.populator import VolumePopulator
from mooring.node.agent import Agent
from mooring.node.containers import Mirror
from mooring.node.use import Docker
from mooring.objects.errors import AlreadyExists
from mooring.objects.kind import Doc
from mooring.objects.kinds.common import is_subdomain
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.rules.events import EventNote
from mooring.rules.filling import FILLED_FROM, GROUP
from mooring.store.interface import Store
from mooring.store.sqlite import SqliteStore

log = logging.getLogger(__name__)

COLLECT_AFTER: Final = (20_000, 20, 50)  # allocations, then collections of the younger generation
GRACE_S: Final = 2  # for requests under way at SIGTERM; what goes on then is cut off
OWN_FILES: Final = 256  # kept for what is not a connection: the store, volumes, programs
FEW_SEATS: Final = 1024  # each watch takes one, so as many are soon taken
# Made once, so that what an admin deletes stays deleted; holds the name of the node.
FIRST_START: Final = "first-start-done"


@dataclass(frozen=True)
class DockerSettings:
    """How Docker finds us, and we find it; and which claims it may see."""

    plugin_socket: Path
    engine_socket: Path
    namespaces: Namespaces
    is_required: bool  # that the socket is ours: if not, another that serves it may go on


@dataclass(frozen=True)
class Settings:
    """What `mooring up` was told."""

    data_dir: Path
    host: str
    port: int
    kubeconfig: Path
    pool: Path
    node_name: str
    docker: DockerSettings | None = None  # None: no volume plugin is served
    import_dirs: tuple[Path, ...] = ()  # what lies below may fill volumes
    backup_dirs: tuple[Path, ...] = ()  # there, and below, repositories of backups may be


class CannotListen(MooringError):
    code = "CannotListen"

    def __init__(self, host: str, port: int, why: str) -> None:
        self.what = f"cannot listen on {host}:{port}: {why}"
        self.remedy = "stop what listens there, or choose another address with --listen"
        super().__init__(self.what)


class NotUsable(MooringError):
    """Something that the server needs on this host, before it serves."""

    code = "NotUsable"

    def __init__(self, path: Path, why: str) -> None:
        self.what = f"{path} cannot be used: {why}"
        self.remedy = "name a place on a local disk that this user may write to, see mooring up -h"
        super().__init__(self.what)


class KubeconfigOfOthers(MooringError):
    code = "KubeconfigOfOthers"

    def __init__(self, path: Path) -> None:
        self.what = f"{path} exists and is not one that Mooring wrote, so it is not overwritten"
        self.remedy = "name another file with --kubeconfig"
        super().__init__(self.what)


class BadNodeName(MooringError):
    code = "BadNodeName"

    def __init__(self, name: str) -> None:
        self.what = f"{name!r} cannot be the name of a Node"
        self.remedy = "choose one of lower case letters, digits, - and . with --node-name"
        super().__init__(self.what)


class NodeRenamed(MooringError):
    """Volumes of this host are tied to the name that it had."""

    code = "NodeRenamed"

    def __init__(self, data_dir: Path, before: str, now: str) -> None:
        self.what = f"{data_dir} is of node {before}, this host is now called {now}"
        self.remedy = f"start with --node-name {before}, or with another --data-dir"
        super().__init__(self.what)


class Part(Protocol):
    """Something that runs beside the API."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


async def run(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. Raises MooringError if it cannot start.

    on_ready  is told the server's URL once it serves
    """
    share_one_heap()
    if not is_subdomain(settings.node_name):
        raise BadNodeName(settings.node_name)
    with _listener(settings) as listener:
        with _usable(settings.data_dir):
            settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        store = await SqliteStore.opened(settings.data_dir / "mooring.db")
        try:
            await _run(settings, listener, store, on_ready)
        finally:
            await store.close()


async def _run(
    settings: Settings, listener: socket.socket, store: Store, on_ready: Callable[[str], None]
) -> None:
    url = _url(settings.host, listener.getsockname()[1])
    authority = Authority(settings.data_dir / "pki")
    with _usable(settings.data_dir / "pki"):
        await asyncio.to_thread(authority.ensure, names_of(settings.host))
    identities = Identities(_users(settings, authority, url))
    objects = Objects(store, ALL_KINDS)
    await objects.start()
    controllers = Controllers(objects)
    tell = controllers.recorder.note
    engine = _engine(settings.docker) if settings.docker is not None else None
    docker = _docker(engine, settings.docker) if engine and settings.docker else None
    name, state, allowed = settings.node_name, settings.data_dir, settings.import_dirs
    agent = Agent(objects, name, state, tell, docker, allowed, settings.backup_dirs)
    parts: list[Part] = [Trimmer(), controllers, agent]
    adoptions = None
    if engine is not None and settings.docker is not None:
        served = _plugin_parts(objects, agent, engine, settings.docker, settings.node_name)
        adoptions = _adoptions(objects, agent, engine, served, settings, tell)
        parts += served if adoptions is None else [*served, adoptions]
    host = Host(agent.users, adoptions, agent.health, agent.usages)
    app = App(objects, ALL_KINDS, identities, host)
    server = uvicorn.Server(_config(app, authority))
    await _first_start(objects, settings)
    await _serve(server, listener, app, objects, parts, lambda: on_ready(url))
    if engine is not None:
        await engine.stop()
    await objects.close()


def _engine(settings: DockerSettings) -> Engine:
    """Docker calls a driver as its socket is called."""
    return Engine(settings.engine_socket, settings.plugin_socket.stem)


def _docker(engine: Engine, settings: DockerSettings) -> Docker:
    return Docker(engine, lambda claim: shown_name(claim, settings.namespaces))


def _plugin_parts(
    objects: Objects, agent: Agent, engine: Engine, settings: DockerSettings, node: str
) -> list[Part]:
    """What serves Docker. The socket is the last: it answers when all the rest is there."""

    def key_of(volume: str) -> str | None:
        try:
            return claim_named(volume, settings.namespaces).key
        except MooringError:
            return None

    ids = agent.users.ids

    def given() -> list[tuple[str, str]]:
        return [(one.claim, one.id) for one in ids.all()]

    mirror = Mirror(objects, engine, node, key_of, given, agent.users.look_at)
    plugin = Plugin(
        objects,
        agent.users,
        agent.publisher,
        agent.waiting,
        mirror,
        settings.namespaces,
        node,
        engine,
        agent.usages,
    )
    try:
        listener = plugin_listener(settings.plugin_socket)
    except AlreadyServed as error:
        if settings.is_required:
            raise
        log.warning("Docker is not served: %s", error)
        return []
    return [mirror, plugin, Transport(plugin, listener, node), Announcer(engine)]


def _adoptions(
    objects: Objects,
    agent: Agent,
    engine: Engine,
    served: list[Part],
    settings: Settings,
    tell: Callable[[EventNote], None],
) -> Adoptions | None:
    """What copies Docker's own volumes, if Docker is served."""
    plugin = next((part for part in served if isinstance(part, Plugin)), None)
    if plugin is None or settings.docker is None:
        return None
    return Adoptions(
        objects,
        agent.users,
        OldVolumes(engine, settings.node_name),
        plugin.create,
        settings.docker.namespaces,
        settings.node_name,
        settings.data_dir,
        tell,
    )


async def _serve(
    server: uvicorn.Server,
    listener: socket.socket,
    app: App,
    objects: Objects,
    parts: list[Part],
    on_ready: Callable[[], None],
) -> None:
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
    # The cache must never stop following the store: rather no server than one that shows old news.
    feed = objects.cache.feed_task()
    await asyncio.wait({serving, stopping, feed}, return_when=asyncio.FIRST_COMPLETED)
    app.stop()
    server.should_exit = True
    stopping.cancel()
    for part in reversed(parts):
        await part.stop()
    await serving
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


def _config(app: App, authority: Authority) -> uvicorn.Config:
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


def _listener(settings: Settings) -> socket.socket:
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


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotUsable(path, error.strerror or str(error)) from error
    except (ValueError, msgspec.MsgspecError) as error:  # it is there, and not what we wrote
        raise NotUsable(path, f"it is damaged: {' '.join(str(error).split())}") from error


def _url(host: str, port: int) -> str:
    """How clients on this host reach the server."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"https://[{shown}]:{port}" if ":" in shown else f"https://{shown}:{port}"


def _users(settings: Settings, authority: Authority, url: str) -> dict[str, str]:
    """Users by token hash; the first start, or a lost kubeconfig, makes a new token for admin.

    Raises NotUsable, KubeconfigOfOthers.
    """
    known = settings.data_dir / "tokens.json"
    users: dict[str, str] = {}
    with _usable(known):
        if known.exists():
            users = msgspec.json.decode(known.read_bytes(), type=dict[str, str])
    with _usable(settings.kubeconfig):
        settings.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        token = _token_of(settings.kubeconfig)
    if token is None or token_hash(token) not in users:
        token = new_token()
        users = {token_hash(token): "admin"}
        with _usable(known):
            private_file(known, msgspec.json.encode(users))
    with _usable(settings.kubeconfig):
        private_file(settings.kubeconfig, kubeconfig(url, authority.ca.read_bytes(), token))
    return users


class _User(msgspec.Struct):
    user: dict[str, str] = {}


class _Cluster(msgspec.Struct):
    name: str


class _Kubeconfig(msgspec.Struct):
    clusters: list[_Cluster]
    users: list[_User] = []


def _token_of(path: Path) -> str | None:
    """None if there is no file, or an empty one. Raises KubeconfigOfOthers."""
    if not path.exists() or not (content := path.read_bytes()).strip():
        return None
    try:
        found = msgspec.yaml.decode(content, type=_Kubeconfig)
    except (msgspec.MsgspecError, ValueError) as error:
        raise KubeconfigOfOthers(path) from error
    if [one.name for one in found.clusters] != [CLUSTER]:
        raise KubeconfigOfOthers(path)
    return next((one.user["token"] for one in found.users if "token" in one.user), None)


async def _first_start(objects: Objects, settings: Settings) -> None:
    """Namespaces and what Mooring fills from always; Pool and StorageClass `local` once.

    Raises NodeRenamed.
    """
    marker = settings.data_dir / FIRST_START
    before = _text(marker)
    if before and before != settings.node_name:
        raise NodeRenamed(settings.data_dir, before, settings.node_name)
    for name in ("default", "kube-system"):
        await _made(objects, "namespaces", {"metadata": {"name": name}})
    for kind in sorted(FILLED_FROM):
        await _made(objects, VolumePopulator.resource, _registration(kind))
    if marker.exists():
        return
    pool = {
        "metadata": {"name": "local"},
        "spec": {
            "driver": DIRECTORY_DRIVER,
            "node": settings.node_name,
            "root": str(settings.pool.absolute()),
        },
    }
    await _made(objects, "pools.mooring.dev", pool)
    class_ = {
        "metadata": {"name": "local", "annotations": {DEFAULT_CLASS: "true"}},
        "provisioner": DIRECTORY_DRIVER,
        "parameters": {"pool": "local"},
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": True,
    }
    await _made(objects, "storageclasses.storage.k8s.io", class_)
    private_file(marker, settings.node_name.encode())


def _registration(kind: str) -> Doc:
    """Tells clients of a kind that Mooring itself fills new volumes from."""
    source = {"group": GROUP, "kind": kind}
    return {"metadata": {"name": f"{kind.lower()}.{GROUP}"}, "sourceKind": source}


def _text(path: Path) -> str:
    """Empty if there is no such file."""
    return path.read_text(errors="replace").strip() if path.exists() else ""


async def _made(objects: Objects, resource: str, doc: Doc) -> None:
    try:
        await objects.create(objects.kinds[resource], "", doc)
    except AlreadyExists:
        log.debug("%s is there already", doc["metadata"]["name"])
