"""Explanations, beside the Kubernetes API: /mooring/v1/explain and /mooring/v1/status.

GET /mooring/v1/explain/pvc/NAMESPACE/NAME    one claim; ?delete=1: what deleting it would do
GET /mooring/v1/explain/pv/NAME               one volume; likewise
GET /mooring/v1/explain/pvc                   all claims; ?namespace=NAME: those of one
GET /mooring/v1/explain/pv                    all volumes
GET /mooring/v1/status                        pools, claims, waste

An explanation is {"subject", "state", "why", "details": [...], "help", "lines": [...]}; several are
{"items": [...]}. They look at all volumes, so they are worked out in a thread.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from mooring.api.http import Request
from mooring.model.claim import Claim
from mooring.model.decoding import ViewDecoder
from mooring.model.metadata import View
from mooring.model.pod import Pod
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.documents import encoded
from mooring.objects.errors import NotFound
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.rules.default_class import default_of
from mooring.rules.explanation import (
    Explanation,
    Sight,
    deletion_of_claim,
    deletion_of_volume,
    explained_claim,
    explained_volume,
    waste,
)

V = TypeVar("V", bound=View)
PATH: Final = "/mooring/v1/"
WASTERS_AT_MOST: Final = 10  # claims listed with what they waste
VIEWS: Final[tuple[type[View], ...]] = (Claim, Volume, StorageClass, Pool, Pod)


class World:
    """All that explanations look at, as of one moment. May be used in a thread."""

    def __init__(self, objects: Objects) -> None:
        shelves = objects.cache.shelves
        self._bodies: dict[type[View], list[tuple[str, bytes]]] = {
            type_: [(entry.key, entry.body) for entry in shelves[type_.resource].entries()]
            for type_ in VIEWS
        }
        self._decoded: dict[type[View], dict[str, Any]] = {}

    def all(self, type_: type[V]) -> dict[str, V]:
        """By key; decoded when first asked for."""
        if type_ not in self._decoded:
            decode = ViewDecoder(type_).decode
            self._decoded[type_] = {key: decode(body) for key, body in self._bodies[type_]}
        return self._decoded[type_]

    def claim(self, key: str) -> Explanation:
        claim = self.all(Claim)[key]
        bound = self.all(Volume).get(claim.volume_name)
        classes = self.all(StorageClass)
        sight = Sight(
            volumes=[bound] if bound else list(self.all(Volume).values()),
            class_=classes.get(claim.class_name),
            default=default_of(classes.values()),
            pools=list(self.all(Pool).values()),
            pods=self.users(key),
        )
        return explained_claim(claim, sight)

    def claim_deleted(self, key: str) -> Explanation:
        claim = self.all(Claim)[key]
        volume = self.all(Volume).get(claim.volume_name)
        return deletion_of_claim(claim, volume, self.users(key))

    def volume(self, name: str) -> Explanation:
        return explained_volume(self.all(Volume)[name])

    def volume_deleted(self, name: str) -> Explanation:
        volume = self.all(Volume)[name]
        ref = volume.claim_ref
        return deletion_of_volume(volume, self.all(Claim).get(ref.key) if ref else None)

    def users(self, claim_key: str) -> list[Pod]:
        """Pods that have not ended and use the claim."""
        namespace, _, name = claim_key.partition("/")
        return [
            pod
            for pod in self.all(Pod).values()
            if pod.namespace == namespace and name in pod.claim_names and not pod.has_ended
        ]

    def status(self) -> Doc:
        """What `mooring status` shows."""
        volumes, claims = self.all(Volume), self.all(Claim)
        wasted = []
        for key, claim in claims.items():
            volume = volumes.get(claim.volume_name)
            if volume is not None and (more := waste(claim, volume)).nanos:
                wasted.append((more, key, volume))
        wasted.sort(key=lambda one: (-one[0].nanos, one[1]))
        total = Quantity(0)
        for more, _, _ in wasted:
            total = total.plus(more)
        return {
            "pools": [_pool(pool) for pool in self.all(Pool).values()],
            "claims": _phases(claim.phase for claim in claims.values()),
            "volumes": _phases(volume.phase for volume in volumes.values()),
            "waste": {
                "total": total.canonical(),
                "claims": len(wasted),
                "largest": [
                    {"claim": key, "volume": volume.name, "waste": more.canonical()}
                    for more, key, volume in wasted[:WASTERS_AT_MOST]
                ],
            },
        }


class Explaining:
    """Answers by path."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def serves(self, request: Request) -> bool:
        """Answer, if it is one of its paths. Raises NotFound."""
        if request.method != "GET" or not request.path.startswith(PATH):
            return False
        world = World(self._objects)
        match request.path[len(PATH) :].strip("/").split("/"):
            case ["status"]:
                found = await asyncio.to_thread(world.status)
            case ["explain", "pvc", namespace, name]:
                key = f"{namespace}/{name}"
                self._require(Claim, key)
                pvc = world.claim_deleted if request.flag("delete") else world.claim
                found = _shown(await asyncio.to_thread(pvc, key))
            case ["explain", "pv", name]:
                self._require(Volume, name)
                pv = world.volume_deleted if request.flag("delete") else world.volume
                found = _shown(await asyncio.to_thread(pv, name))
            case ["explain", "pvc"]:
                namespace = request.query.get("namespace", "")
                found = await asyncio.to_thread(_claims, world, namespace)
            case ["explain", "pv"]:
                found = await asyncio.to_thread(_volumes, world)
            case _:
                return False
        await request.answer(200, encoded(found))
        return True

    def _require(self, type_: type[View], key: str) -> None:
        if self._objects.entry(type_.resource, key) is None:
            raise NotFound(self._objects.kinds[type_.resource], key.rpartition("/")[2])


def _claims(world: World, namespace: str) -> Doc:
    keys = [key for key, one in world.all(Claim).items() if namespace in ("", one.namespace)]
    return {"items": [_shown(world.claim(key)) for key in keys]}


def _volumes(world: World) -> Doc:
    return {"items": [_shown(world.volume(name)) for name in world.all(Volume)]}


def _shown(explanation: Explanation) -> Doc:
    return {**explanation._asdict(), "lines": explanation.lines()}


def _phases(phases: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(phase or "Pending" for phase in phases).items()))


def _pool(pool: Pool) -> Doc:
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
        "namespaces": namespaces,
    }
