"""Explanations, beside the Kubernetes API: /mooring/v1/explain and /mooring/v1/status.

GET /mooring/v1/explain/pvc/NAMESPACE/NAME    one claim; ?delete=1: what deleting it would do
GET /mooring/v1/explain/pv/NAME               one volume; likewise
GET /mooring/v1/explain/snapshot/NAMESPACE/NAME    one snapshot
GET /mooring/v1/explain/pod/NAMESPACE/NAME    one pod
GET /mooring/v1/explain/pod                   all pods; ?namespace=NAME: those of one
GET /mooring/v1/explain/pvc                   all claims; ?namespace=NAME: those of one
GET /mooring/v1/explain/pv                    all volumes
GET /mooring/v1/status                        pools, claims, waste

An explanation is {"subject", "state", "why", "details": [...], "help", "lines": [...]}; several are
{"items": [...]}. They look at all volumes, so they are worked out in a thread.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final, TypeVar

from mooring.api.host import Host
from mooring.api.http import Request
from mooring.api.snapshots import Snapshots
from mooring.model.attributes_class import AttributesClass
from mooring.model.claim import Claim
from mooring.model.csi import CsiDriver, StorageCapacity
from mooring.model.decoding import ViewDecoder
from mooring.model.event import Event
from mooring.model.metadata import View
from mooring.model.names import Phase
from mooring.model.namespace import Namespace
from mooring.model.node import Node
from mooring.model.pod import Pod
from mooring.model.pool import Pool
from mooring.model.populator import VolumePopulator
from mooring.model.quantity import Quantity
from mooring.model.snapshot import Snapshot, SnapshotClass, SnapshotContent
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.cache import Entry
from mooring.objects.documents import encoded
from mooring.objects.errors import NotFound
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.rules.consumers import ConsumerIndex
from mooring.rules.deletion import deletion_of_claim, deletion_of_volume
from mooring.rules.explanation import Explanation, explained_claim
from mooring.rules.matching import VolumeIndex
from mooring.rules.moving import way_of
from mooring.rules.outlook import Supply
from mooring.rules.pod_explanation import PodSight, explained_pod
from mooring.rules.sight import Sight
from mooring.rules.sources import is_clone, is_restore, source_of
from mooring.rules.volume_explanation import explained_volume
from mooring.rules.waste import waste

V = TypeVar("V", bound=View)
PATH: Final = "/mooring/v1/"
NOT_MADE: Final = ("ProvisioningFailed", "PopulatorFailed")  # reasons of events
MOVING_AT_MOST: Final = 100  # volumes listed that are on their way to another host
WASTERS_AT_MOST: Final = 10  # claims listed with what they waste
VIEWS: Final[tuple[type[View], ...]] = (
    *(Claim, Volume, StorageClass, AttributesClass, Pool, Node, Pod, Event),
    *(Snapshot, SnapshotContent, SnapshotClass),
    *(CsiDriver, StorageCapacity, Namespace, VolumePopulator),
)


class World:
    """All that explanations look at, as of one moment. May be used in a thread."""

    def __init__(self, objects: Objects) -> None:
        shelves = objects.cache.shelves
        self._snapshots = {type_: shelves[type_.resource].snapshot() for type_ in VIEWS}
        self._entries: dict[type[View], dict[str, Entry]] = {}
        self._decoded: dict[type[View], dict[str, Any]] = {}

    def all(self, type_: type[V]) -> dict[str, V]:
        """By key, in its order; decoded when first asked for."""
        if type_ not in self._decoded:
            decode, entries = ViewDecoder(type_).decode, self._by_key(type_)
            self._decoded[type_] = {key: decode(entries[key].body) for key in sorted(entries)}
        return self._decoded[type_]

    def one(self, type_: type[V], key: str) -> V | None:
        """Without a look at the others."""
        if type_ in self._decoded:
            found: V | None = self._decoded[type_].get(key)
            return found
        entry = self._by_key(type_).get(key)
        return None if entry is None else ViewDecoder(type_).decode(entry.body)

    def _by_key(self, type_: type[View]) -> dict[str, Entry]:
        if type_ not in self._entries:
            self._entries[type_] = {entry.key: entry for entry in self._snapshots[type_]}
        return self._entries[type_]

    def claim(self, claim: Claim, path: str) -> Explanation:
        """path  where it is mounted on this host, "" if it is not."""
        volume = self.one(Volume, claim.volume_name)
        if claim.volume_name:  # then no other volume is in question
            volumes = {} if volume is None else {volume.name: volume}
        else:
            volumes = self.all(Volume)
        return explained_claim(claim, replace(self._sight(claim, volumes), path=path))

    def claim_in_short(self, claim: Claim) -> Explanation:
        """As one of many: volumes are found by the index."""
        sight = self._sight(claim, self.all(Volume), self._index)
        return explained_claim(claim, sight, in_short=True)

    def claim_deleted(self, claim: Claim, path: str) -> Explanation:
        """path  as of `claim`."""
        volume = self.one(Volume, claim.volume_name)
        return deletion_of_claim(claim, volume, self.users(claim.key), self._supply.pools, path)

    def volume(self, volume: Volume) -> Explanation:
        told = "" if volume.phase == Phase.BOUND else self._told(volume, "VolumeFailedDelete")
        return explained_volume(volume, self._claim_of(volume), self._supply.pools, told)

    def volume_in_short(self, volume: Volume) -> Explanation:
        """As one of many."""
        return explained_volume(volume, self._claim_of(volume), self._supply.pools)

    def volume_deleted(self, volume: Volume) -> Explanation:
        claim = self._claim_of(volume)
        users = self.users(claim.key) if claim is not None else ()
        return deletion_of_volume(volume, claim, users, self._supply.pools)

    def pod(self, pod: Pod) -> Explanation:
        """Volumes that its claims do not name are looked at only where one is to be chosen."""
        keys = [f"{pod.namespace}/{name}" for name in pod.claim_names]
        claims = {key: claim for key in keys if (claim := self.one(Claim, key)) is not None}
        if all(one.volume_name for one in claims.values()):
            named = (self.one(Volume, one.volume_name) for one in claims.values())
            volumes, index = {one.name: one for one in named if one is not None}, ConsumerIndex()
        else:
            volumes, index = self.all(Volume), self._consumers
        sight = PodSight(
            nodes=self._nodes,
            claims=claims,
            volumes=volumes,
            index=index,
            classes=self.all(StorageClass),
            drivers=self.all(CsiDriver),
            told=self._capacities,
            users={key: self.users(key) for key in keys},
            namespace=self.one(Namespace, pod.namespace),
            failure=self._told(pod, "FailedBinding") if pod.ephemeral_claims else "",
        )
        return explained_pod(pod, sight)

    def _sight(
        self, claim: Claim, volumes: dict[str, Volume], index: VolumeIndex | None = None
    ) -> Sight:
        volume = self.one(Volume, claim.volume_name)
        return Sight(
            volumes,
            self._supply,
            self.one(Namespace, claim.namespace),
            self.users(claim.key),
            self.all(VolumePopulator).values(),
            index,
            holder=None if volume is None else self._claim_of(volume),
            source=self._source(claim),
            attributes=self.one(AttributesClass, claim.attributes_class),
            told="" if claim.volume_name else self._told(claim, *NOT_MADE),
        )

    def _source(self, claim: Claim) -> Claim | Snapshot | None:
        source = source_of(claim)
        if source is None or not (is_clone(source) or is_restore(source)):
            return None
        key = f"{claim.namespace}/{source.name}"
        return self.one(Claim, key) if is_clone(source) else self.one(Snapshot, key)

    def _told(self, about: Claim | Volume | Pod, *reasons: str) -> str:
        """What was told last of an object, for one of these reasons; "" if nothing."""
        fitting = [one for one in self._events.get(about.uid, ()) if one.reason in reasons]
        return max(fitting, key=lambda one: one.last_time).message if fitting else ""

    def _claim_of(self, volume: Volume) -> Claim | None:
        ref = volume.claim_ref
        return self.one(Claim, ref.key) if ref is not None else None

    def users(self, claim_key: str) -> Sequence[Pod]:
        """Pods that use the claim, ended or not."""
        return self._users.get(claim_key, ())

    # What one question for one of many objects must not look for among all others

    @cached_property
    def _index(self) -> VolumeIndex:
        index = VolumeIndex()
        for volume in self.all(Volume).values():
            index.put(volume)
        return index

    @cached_property
    def _consumers(self) -> ConsumerIndex:
        index = ConsumerIndex()
        for volume in self.all(Volume).values():
            index.put(volume)
        return index

    @cached_property
    def _nodes(self) -> list[Node]:
        return list(self.all(Node).values())

    @cached_property
    def _supply(self) -> Supply:
        return Supply(self.all(StorageClass), list(self.all(Pool).values()), self._nodes)

    @cached_property
    def _capacities(self) -> Mapping[str, Sequence[StorageCapacity]]:
        """By class."""
        told = defaultdict(list)
        for one in self.all(StorageCapacity).values():
            told[one.storage_class_name].append(one)
        return told

    @cached_property
    def _events(self) -> Mapping[str, Sequence[Event]]:
        """By the uid of what they are of."""
        decode, told = ViewDecoder(Event).decode, defaultdict(list)
        for entry in self._snapshots[Event]:
            event = decode(entry.body)
            told[event.involved_object.uid].append(event)
        return told

    @cached_property
    def _users(self) -> Mapping[str, Sequence[Pod]]:
        """By the key of the claim that they use."""
        users = defaultdict(list)
        for pod in self.all(Pod).values():
            for name in pod.claim_names:
                users[f"{pod.namespace}/{name}"].append(pod)
        return users

    def status(self, disks: Mapping[str, Doc | None]) -> Doc:
        """What `mooring status` shows.

        disks  by pool: as Host.disk says, None where it is not known
        """
        volumes, claims = self.all(Volume), self.all(Claim)
        wasted = []
        for key, claim in claims.items():
            volume = volumes.get(claim.volume_name)
            if volume is None or not volume.points_at(claim):
                continue
            if (more := waste(claim, volume)).nanos:
                wasted.append((more, key, volume))
        wasted.sort(key=lambda one: (-one[0].nanos, one[1]))
        total = Quantity(0)
        for more, _, _ in wasted:
            total = total.plus(more)
        return {
            "pools": [_pool(pool, disks.get(pool.name)) for pool in self.all(Pool).values()],
            "claims": _phases(claim.phase for claim in claims.values()),
            "volumes": _phases(volume.phase for volume in volumes.values()),
            "snapshots": Snapshots(self).counted(),
            "moving": _moving(volumes.values()),
            "waste": {
                "total": total.canonical(),
                "claims": len(wasted),
                "largest": [
                    {"claim": key, "volume": volume.name, "waste": more.canonical()}
                    for more, key, volume in wasted[:WASTERS_AT_MOST]
                ],
            },
        }


def _moving(volumes: Iterable[Volume]) -> list[Doc]:
    """Those on their way to another host, or that are to be."""
    found = []
    for volume in volumes:
        if (way := way_of(volume)) is not None:
            claim = volume.claim_ref.key if volume.claim_ref is not None else ""
            said = {"from": way.source, "to": way.target, "told": way.told}
            found.append({"volume": volume.name, "claim": claim, **said})
    return found[:MOVING_AT_MOST]


class Explaining:
    """Answers by path."""

    def __init__(self, objects: Objects, host: Host | None) -> None:
        self._objects, self._host = objects, host
        self._turn = asyncio.Lock()  # each takes memory and time for all objects

    async def serves(self, request: Request) -> bool:
        """Answer, if it is one of its paths. Raises NotFound."""
        if request.method != "GET" or not request.path.startswith(PATH):
            return False
        found: Doc
        match request.path[len(PATH) :].strip("/").split("/"):
            case ["status"]:
                found = await self._status()
            case ["explain", "pvc", namespace, name]:
                found = await self._claim(f"{namespace}/{name}", request.flag("delete"))
            case ["explain", "pv", name]:
                found = await self._volume(name, request.flag("delete"))
            case ["explain", "snapshot", namespace, name]:
                found = await self._snapshot(f"{namespace}/{name}")
            case ["explain", "pod", namespace, name]:
                found = await self._pod(f"{namespace}/{name}")
            case ["explain", "pod"]:
                namespace = request.query.get("namespace", "")
                found = await self._apart(lambda world: _pods(world, namespace))
            case ["explain", "pvc"]:
                namespace = request.query.get("namespace", "")
                found = await self._apart(lambda world: _claims(world, namespace))
            case ["explain", "pv"]:
                found = await self._apart(_volumes)
            case _:
                return False
        await request.answer(200, encoded(found))
        return True

    async def _status(self) -> Doc:
        disks: dict[str, Doc | None] = {}
        for pool in self._objects.views(Pool):
            disks[pool.name] = await self._host.disk(pool) if self._host else None
        return await self._apart(lambda world: world.status(disks))

    async def _apart(self, work: Callable[[World], Doc]) -> Doc:
        """Done in a thread, one at a time."""
        async with self._turn:
            return await asyncio.to_thread(work, World(self._objects))

    async def _claim(self, key: str, delete: bool) -> Doc:
        claim = self._objects.view(Claim, key)
        if claim is None:
            raise NotFound(self._objects.kinds[Claim.resource], key.rpartition("/")[2])
        explain = World.claim_deleted if delete else World.claim
        path = await self._host.path(key) if self._host else ""
        return await self._apart(lambda world: _shown(explain(world, claim, path)))

    async def _pod(self, key: str) -> Doc:
        pod = self._objects.view(Pod, key)
        if pod is None:
            raise NotFound(self._objects.kinds[Pod.resource], key.rpartition("/")[2])
        return await self._apart(lambda world: _shown(world.pod(pod)))

    async def _volume(self, name: str, delete: bool) -> Doc:
        volume = self._objects.view(Volume, name)
        if volume is None:
            raise NotFound(self._objects.kinds[Volume.resource], name)
        explain = World.volume_deleted if delete else World.volume
        return await self._apart(lambda world: _shown(explain(world, volume)))

    async def _snapshot(self, key: str) -> Doc:
        snapshot = self._objects.view(Snapshot, key)
        if snapshot is None:
            raise NotFound(self._objects.kinds[Snapshot.resource], key.rpartition("/")[2])
        return await self._apart(lambda world: _shown(Snapshots(world).explained(snapshot)))


def _claims(world: World, namespace: str) -> Doc:
    claims = [one for one in world.all(Claim).values() if namespace in ("", one.namespace)]
    return {"items": [_shown(world.claim_in_short(one)) for one in claims]}


def _pods(world: World, namespace: str) -> Doc:
    pods = [one for one in world.all(Pod).values() if namespace in ("", one.namespace)]
    return {"items": [_shown(world.pod(one)) for one in pods]}


def _volumes(world: World) -> Doc:
    return {"items": [_shown(world.volume_in_short(one)) for one in world.all(Volume).values()]}


def _shown(explanation: Explanation) -> Doc:
    return {**explanation._asdict(), "lines": explanation.lines()}


def _phases(phases: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(phase or "Pending" for phase in phases).items()))


def _pool(pool: Pool, disk: Doc | None) -> Doc:
    names = set(pool.status.namespaces) | {one.name for one in pool.spec.namespaces or ()}
    namespaces = [
        {
            "name": name,
            "allocated": pool.allocated_to(name).canonical(),
            "quota": quota.canonical() if (quota := pool.quota(name)) is not None else None,
        }
        for name in sorted(names)
    ]
    return {
        "name": pool.name,
        "driver": pool.driver,
        "node": pool.node,
        "root": pool.root,
        "capacity": pool.capacity.canonical() if pool.capacity is not None else None,
        "allocated": pool.allocated.canonical(),
        "volumes": pool.status.volumes,
        "disk": disk,
        "conditions": [one.message for one in pool.status.conditions if one.is_bad],
        "orphans": pool.status.orphans.count if pool.status.orphans is not None else 0,
        "namespaces": namespaces,
    }
