"""GET /metrics: what Prometheus scrapes, with a bearer token as all of the API.

?collect[]=GROUP, also several times, is for a part of it: process (this process, its queues, how
long work took), pools, usage (kubelet_volume_stats_*), claims and volumes (kube_*). Text format
0.0.4. It is made in a thread a piece at a time, one piece after the other, so that it never has the
server to itself however many volumes there are. Who does not read is cut off.
"""

import asyncio
import logging
import zlib
from collections import Counter
from collections.abc import Awaitable, Iterator
from typing import Final
from urllib.parse import parse_qsl

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from mooring import __version__
from mooring.api import exposition
from mooring.api.host import Host
from mooring.api.http import Request
from mooring.api.status import ApiError
from mooring.measures import PROCESS
from mooring.model.claim import Claim
from mooring.model.pool import READY, Pool
from mooring.model.quantity import parse_quantity
from mooring.model.volume import Volume
from mooring.objects.objects import Objects
from mooring.reconcile.queue import queues

log = logging.getLogger(__name__)

PATH: Final = "/metrics"
TYPE: Final = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
GROUPS: Final = ("process", "pools", "usage", "claims", "volumes")
WAITING_AT_MOST: Final = 3  # scrapes; more are refused: each takes seconds among many volumes
SENT_BYTES: Final = 64 << 10  # of one piece, about
TAKEN_WITHIN_S: Final = 10.0  # each piece, by who asked
_POOL_LABELS: Final = ("pool", "node", "driver")
_POOL: Final = (
    ("capacity_bytes", "Size of the place of a pool."),
    ("used_bytes", "What is used of the place, by whomever."),
    ("available_bytes", "What volumes can still write there."),
    ("allocated_bytes", "What the volumes of a pool were promised."),
    ("volumes", "How many volumes a pool has."),
    ("inodes", "How many inodes the place has."),
    ("inodes_used", "How many of them are used."),
    ("ready", "1 if the place of a pool can be used."),
    ("orphans", "Data in the place that no object names: how many volumes and snapshots."),
    ("orphans_bytes", "What those were promised."),
)


class _NotTaken(Exception):
    """Who asked does not read."""


class Metrics:
    """Answers scrapes."""

    taken_within_s = TAKEN_WITHIN_S

    def __init__(self, objects: Objects, host: Host | None) -> None:
        self._objects, self._host = objects, host
        self._turn, self._waiting = asyncio.Lock(), 0

    async def serves(self, request: Request) -> bool:
        """Answer, if it is of its path. Raises ApiError."""
        if request.path != PATH or request.method != "GET":
            return False
        wanted = _groups(request)
        if self._waiting >= WAITING_AT_MOST:
            raise ApiError("TooManyRequests", "others are being answered, ask again later")
        self._waiting += 1
        try:
            await self._answer(request, wanted)
        except _NotTaken:
            log.warning("a scrape was cut off: nothing was read in %g s", self.taken_within_s)
            await request.abort()
        finally:
            self._waiting -= 1
        return True

    async def _answer(self, request: Request, wanted: frozenset[str]) -> None:
        is_squeezed = "gzip" in request.header(b"accept-encoding")
        encoding = ((b"content-encoding", b"gzip"),) if is_squeezed else ()
        await self._taken(request.begin((TYPE, (b"vary", b"Accept-Encoding"), *encoding)))
        pieces = _pieces(self._text(wanted), is_squeezed)
        while (piece := await self._made(pieces)) is not None:
            if piece:
                await self._taken(request.more(piece))
        await self._taken(request.end())

    async def _made(self, pieces: Iterator[bytes]) -> bytes | None:
        async with self._turn:  # not while it is sent: who reads slowly stops nobody else
            return await asyncio.to_thread(next, pieces, None)

    async def _taken(self, sent: Awaitable[None]) -> None:
        """Raises _NotTaken."""
        try:
            async with asyncio.timeout(self.taken_within_s):
                await sent
        except TimeoutError as error:
            raise _NotTaken from error

    def _text(self, wanted: frozenset[str]) -> Iterator[str]:
        """In a thread, but begun here: what is shown is as of one moment."""
        shelves = self._objects.cache.shelves
        made: list[Iterator[str]] = []
        if "process" in wanted:
            made.append(_rendered(PROCESS, _Queues()))
        if "pools" in wanted:
            made.append(_rendered(None, _Pools(self._objects.views(Pool), self._host)))
        volumes = shelves[Volume.resource].snapshot() if wanted & {"usage", "volumes"} else []
        if "usage" in wanted:
            usages = self._host.usages() if self._host is not None else {}
            made.append(exposition.stats(volumes, usages))
        if "claims" in wanted:
            claims = shelves[Claim.resource].snapshot()
            made += (family.chunks(claims) for family in exposition.CLAIMS)
        if "volumes" in wanted:
            made += (family.chunks(volumes) for family in exposition.VOLUMES)
        return (chunk for one in made for chunk in one)


def _groups(request: Request) -> frozenset[str]:
    """All, unless some are asked for. Raises ApiError: there is no such."""
    raw = request.scope["query_string"].decode("latin-1")
    asked = [value for key, value in parse_qsl(raw) if key == "collect[]"]
    if unknown := [one for one in asked if one not in GROUPS]:
        known = ", ".join(GROUPS)
        raise ApiError("BadRequest", f"collect[]: there is no {unknown[0]!r}, but {known}")
    return frozenset(asked or GROUPS)


def _pieces(chunks: Iterator[str], is_squeezed: bool) -> Iterator[bytes]:
    """What one call of `next` makes takes some milliseconds at most; it may be empty."""
    squeeze = zlib.compressobj(level=1, wbits=31)
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        data = chunk.encode()
        if is_squeezed:
            data = squeeze.compress(data)
        held.append(data)
        size += len(data)
        if size < SENT_BYTES:
            yield b""
            continue
        yield b"".join(held)
        held, size = [], 0
    yield b"".join(held) + (squeeze.flush() if is_squeezed else b"")


def _rendered(registry: CollectorRegistry | None, more: Collector) -> Iterator[str]:
    """What the library knows to write; a few hundred lines."""
    if registry is not None:
        yield generate_latest(registry).decode()
    own = CollectorRegistry()
    own.register(more)
    yield generate_latest(own).decode()


class _Queues(Collector):
    """Keys that wait to be looked at."""

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        info = GaugeMetricFamily("mooring_build_info", "Which Mooring this is.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        depth, adds, retries = Counter[str](), Counter[str](), Counter[str]()
        for one in queues():
            depth[one.name] += one.depth
            adds[one.name] += one.adds
            retries[one.name] += one.retries
        gauge = GaugeMetricFamily("workqueue_depth", "Keys that wait.", labels=["name"])
        added = CounterMetricFamily("workqueue_adds", "Keys that were added.", labels=["name"])
        again = CounterMetricFamily("workqueue_retries", "Looks that failed.", labels=["name"])
        for family, counts in ((gauge, depth), (added, adds), (again, retries)):
            for name in sorted(counts):
                family.add_metric([name], counts[name])
            yield family


class _Pools(Collector):
    def __init__(self, pools: list[Pool], host: Host | None) -> None:
        self._pools = pools
        self._host = host

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = {
            name: GaugeMetricFamily(f"mooring_pool_{name}", help_, labels=_POOL_LABELS)
            for name, help_ in _POOL
        }
        for pool in self._pools:
            labels = (pool.name, pool.node, pool.driver)
            for name, value in pool_values(pool, self._host).items():
                families[name].add_metric(labels, value)
        yield from families.values()


def pool_values(pool: Pool, host: Host | None) -> dict[str, float]:
    """By the names of _POOL; what is not known is left out."""
    status, seen = pool.status, host.seen(pool) if host is not None else None
    found: dict[str, float] = {
        "allocated_bytes": pool.allocated.bytes(),
        "volumes": status.volumes,
    }
    if pool.condition(READY) is not None:
        found["ready"] = int(pool.is_ready)
    if seen is not None:  # newer than what is written
        found["capacity_bytes"] = seen.total_bytes
        found["used_bytes"], found["available_bytes"] = seen.used_bytes, seen.available_bytes
        if seen.inodes is not None and seen.inodes_used is not None:
            found["inodes"], found["inodes_used"] = seen.inodes, seen.inodes_used
    elif status.capacity is not None:
        for name, amount in (
            ("capacity_bytes", status.capacity.total),
            ("used_bytes", status.capacity.used),
            ("available_bytes", status.capacity.available),
        ):
            found[name] = parse_quantity(amount).bytes()
        if status.inodes is not None:
            found["inodes"], found["inodes_used"] = status.inodes.total, status.inodes.used
    if status.orphans is not None:
        found["orphans"] = status.orphans.count
        found["orphans_bytes"] = parse_quantity(status.orphans.size).bytes()
    return found
