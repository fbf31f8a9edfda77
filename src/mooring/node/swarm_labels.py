"""What managers of a swarm are told of its nodes: which volumes are there, and what they may take.

Each agent tells in its Node which node of a swarm its host is. The agent beside the manager that
leads labels all of them, for `--constraint`: mooring.vol.NAMESPACE.CLAIM=true where the volume of a
claim can be used. And it sets to `pause` or `drain` those whose Node is cordoned or drained.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from mooring.background import Background
from mooring.engine.engine import Engine
from mooring.engine.errors import EngineAway
from mooring.engine.swarm_node import NodeSpec
from mooring.errors import MooringError
from mooring.model.names import SWARM_DRAINED, SWARM_NODE, VOLUME_LABEL
from mooring.model.node import Node
from mooring.model.volume import Volume
from mooring.objects.cache import Entry, Event
from mooring.objects.errors import NotFound
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.rules.draining import Availability, is_drained, settled, wanted_availability
from mooring.rules.replicas import replica_hosts

log = logging.getLogger(__name__)

AFTER_S: Final = 0.3  # what changes together is told together
LOOK_S: Final = 10.0  # whether the swarm, and what it has, is as it was


class SwarmLabels:
    """Of one host."""

    def __init__(self, objects: Objects, engine: Engine, node: str) -> None:
        self._objects, self._engine, self._node = objects, engine, node
        self._labels: dict[str, set[str]] = defaultdict(set)  # by node
        self._changed = asyncio.Event()
        self._work = Background("swarm labels")
        self._unfollow: list[Callable[[], None]] = []

    async def start(self) -> None:
        shelves = self._objects.cache.shelves
        for entry in shelves[Volume.resource].entries():
            for node, label in _places(entry):
                self._labels[node].add(label)
        self._unfollow.append(shelves[Volume.resource].follow(self._volume_changed))
        self._unfollow.append(shelves[Node.resource].follow(lambda _: self._changed.set()))
        self._work.begin(self._run())

    async def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        await self._work.end()

    def _volume_changed(self, event: Event) -> None:
        before = _places(event.before) if event.before is not None else set()
        after = _places(event.after) if event.after is not None else set()
        if before == after:
            return
        for node, label in before:
            self._labels[node].discard(label)
        for node, label in after:
            self._labels[node].add(label)
        self._changed.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except EngineAway as error:
                log.debug("labels of the swarm wait: %s", error)
            except MooringError as error:
                log.warning("labels of the swarm are not as they should be: %s", error)
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._changed.wait()
                await asyncio.sleep(AFTER_S)
            except TimeoutError:
                pass
            self._changed.clear()

    async def _look(self) -> None:
        own = await self._engine.own_node()
        await self._annotate(SWARM_NODE, own.id)
        specs = await self._engine.node_specs() if own.is_manager else []
        if not any(one.id == own.id and one.is_leader for one in specs):
            await self._annotate(SWARM_DRAINED, "")
            return  # the one that leads has an agent of its own, or gets one
        hosts = {
            node.annotations[SWARM_NODE]: node
            for node in self._objects.views(Node)
            if SWARM_NODE in node.annotations
        }
        drained = []
        for spec in specs:
            if (host := hosts.get(spec.id)) is not None:
                now = await self._settle(spec, host)
                drained += [spec.id] if now == Availability.DRAIN and is_drained(host) else []
        await self._annotate(SWARM_DRAINED, " ".join(drained))

    async def _annotate(self, name: str, text: str) -> None:
        """Have our Node say it; "" for nothing."""
        node = self._objects.view(Node, self._node)
        if node is None or node.annotations.get(name, "") == text:
            return  # what is missing there is told in a later look

        def told(doc: Doc) -> Doc:
            annotations = doc["metadata"].setdefault("annotations", {})
            annotations.pop(name, None)
            if text:
                annotations[name] = text
            return doc

        with suppress(NotFound):
            await self._objects.update(self._objects.kinds[Node.resource], self._node, told)

    async def _settle(self, one: NodeSpec, node: Node) -> str:
        """Have its labels say which volumes are there, and it take what its Node is to take.

        Returns its availability.
        """
        labels = relabelled(one.labels, self._labels.get(node.name, set()))
        now = settled(labels, one.availability, wanted_availability(node))
        if (now.labels, now.availability) != (one.labels, one.availability):
            spec = {**one.spec, "Labels": now.labels, "Availability": now.availability}
            await self._engine.set_node_spec(one._replace(spec=spec))
            log.info("swarm node=%s is %s, labels=%d", one.id, now.availability, len(now.labels))
        return now.availability


def relabelled(labels: Mapping[str, str], wanted: set[str]) -> dict[str, str]:
    """With these labels of volumes and no others; everybody else's as they are."""
    kept = {name: value for name, value in labels.items() if not name.startswith(VOLUME_LABEL)}
    return kept | dict.fromkeys(sorted(wanted), "true")


def _places(entry: Entry) -> set[tuple[str, str]]:
    """(node, label) of a volume that is somewhere, and has a claim. It can be used where a whole
    replica is as well, once its home is not used or dies."""
    volume = view(Volume, entry)
    ref = volume.claim_ref
    if ref is None or not ref.uid:
        return set()
    label = f"{VOLUME_LABEL}{ref.namespace}.{ref.name}"
    return {(host, label) for host in (*volume.hosts, *replica_hosts(volume))}
