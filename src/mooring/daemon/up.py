"""`mooring up`: server and node agent in one process."""

import socket
from collections.abc import Callable
from functools import partial

import uvicorn

from mooring.api.host import Host
from mooring.daemon.core import Core, core_of
from mooring.daemon.docker import adoptions_of, docker_of, engine_of, plugin_parts
from mooring.daemon.errors import BadNodeName
from mooring.daemon.parts import Part
from mooring.daemon.peers import Certificate
from mooring.daemon.serving import config, listener_of, serve
from mooring.daemon.settings import Settings
from mooring.daemon.stores import opened
from mooring.host.allocator import Trimmer, share_one_heap
from mooring.node.agent import Agent
from mooring.node.fence import Times
from mooring.node.peers import Peers
from mooring.objects.kinds.common import is_subdomain


async def run(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. Raises MooringError if it cannot start.

    on_ready  is told the server's URL once it serves
    """
    share_one_heap()
    if not is_subdomain(settings.node_name):
        raise BadNodeName(settings.node_name)
    with listener_of(settings) as listener:
        store = await opened(settings.store, settings.data_dir)
        try:
            core = await core_of(settings, listener, store)
            await _run(settings, listener, core, on_ready)
            await core.close()
        finally:
            await store.close()


async def _run(
    settings: Settings, listener: socket.socket, core: Core, on_ready: Callable[[str], None]
) -> None:
    objects, tell = core.objects, core.recorder.note
    engine = engine_of(settings.docker) if settings.docker is not None else None
    docker = docker_of(engine, settings.docker) if engine and settings.docker else None
    name, state, allowed = settings.node_name, settings.data_dir, settings.import_dirs
    times = Times(settings.node_lease_s)
    certificate = Certificate(
        *(objects, name, state / "peer", core.authority.ca.read_text),
        partial(core.certifying.signed, name),
    )
    peers = Peers(objects, name, settings.peers, certificate)
    agent = Agent(
        *(objects, name, state, tell, docker, allowed, settings.backup_dirs, times, peers)
    )
    parts: list[Part] = [Trimmer(), *core.parts, agent]
    adoptions = None
    if engine is not None and settings.docker is not None:
        served = plugin_parts(objects, agent, engine, settings.docker, settings.node_name)
        adoptions = adoptions_of(objects, agent, engine, served, settings, tell)
        parts += served if adoptions is None else [*served, adoptions]
    app = core.app(Host(agent.users, adoptions, agent.health, agent.usages))
    server = uvicorn.Server(config(app, core.authority))
    await serve(server, listener, app, core.feeds, parts, lambda: on_ready(core.url))
    if engine is not None:
        await engine.stop()
