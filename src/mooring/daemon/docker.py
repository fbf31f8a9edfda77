"""What a host's Docker is served by."""

import logging
from collections.abc import Callable

from mooring.daemon.parts import Part
from mooring.daemon.settings import DockerSettings, Settings
from mooring.dockerplugin.adopting import Adoptions
from mooring.dockerplugin.errors import AlreadyServed
from mooring.dockerplugin.names import claim_named, shown_name
from mooring.dockerplugin.old_volumes import OldVolumes
from mooring.dockerplugin.plugin import Plugin
from mooring.dockerplugin.transport import Transport, plugin_listener
from mooring.engine.engine import Announcer, Engine
from mooring.errors import MooringError
from mooring.node.agent import Agent
from mooring.node.containers import Mirror
from mooring.node.swarm_labels import SwarmLabels
from mooring.node.task_containers import TaskContainers
from mooring.node.use import Docker
from mooring.objects.objects import Objects
from mooring.rules.events import EventNote

log = logging.getLogger(__name__)


def engine_of(settings: DockerSettings) -> Engine:
    """Docker calls a driver as its socket is called."""
    return Engine(settings.engine_socket, settings.plugin_socket.stem)


def docker_of(engine: Engine, settings: DockerSettings) -> Docker:
    return Docker(engine, lambda claim: shown_name(claim, settings.namespaces))


def plugin_parts(
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
    labels = SwarmLabels(objects, engine, node)
    tasks = TaskContainers(objects.store, engine, node)
    return [mirror, labels, tasks, plugin, Transport(plugin, listener, node), Announcer(engine)]


def adoptions_of(
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
