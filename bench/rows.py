"""The rows of the table. Each makes what it needs, measures, and removes what it made."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Final, NamedTuple

from bench import processes
from bench.client import Connection, Refused, Target, connect, connections, drive
from bench.collection import CONNECTIONS, SLOWEST_PER_S, clear, following, load
from bench.measure import Measure, Stopwatch, percentiles_ms
from bench.objects import (
    CLAIMS,
    CONFIG_MAPS,
    OTHERS,
    ROW,
    VOLUMES,
    Seen,
    claim,
    config_map,
    names,
    volume,
)

PATIENCE_S: Final = 60.0  # beyond what SLOWEST_PER_S allows
OTHER_SIZE: Final = "2Gi"  # of volumes that are only present: they fit, but never fit best


@dataclass(frozen=True)
class Scale:
    """How much is done. The defaults are those of the design's table; tests take less."""

    connections: int = CONNECTIONS
    claims: int = 1000
    more_claims: int = 100  # so that 1,100 are listed
    gets_s: float = 5.0
    creates: int = 10_000
    singles: int = 200
    lists: int = 30
    idle_s: float = 10.0
    settle_s: float = 3.0


@dataclass(frozen=True)
class Bench:
    """A server to measure.

    pids    its processes on this machine; empty if there is none to look at
    others  volumes present beside those of a row
    """

    target: Target
    pids: list[int]
    scale: Scale
    others: int = 0

    @property
    def present(self) -> str:
        return f", {self.others:,} volumes present" if self.others else ""

    def patience_s(self, count: int) -> float:
        return PATIENCE_S + count / SLOWEST_PER_S


Row = Callable[[Bench], Awaitable[Measure]]


class Skipped(Exception):
    """This row cannot be measured here; the text says why."""


def available(seen: Seen) -> bool:
    return seen.status.phase == "Available"


def bound(seen: Seen) -> bool:
    return seen.status.phase == "Bound"


@asynccontextmanager
async def volumes(
    bench: Bench, count: int, size: str = "1Gi", label: str = ROW
) -> AsyncIterator[None]:
    """So many volumes, each of them Available when the block begins; gone after it."""
    within_s = bench.patience_s(count)
    made = [volume(name, size, label) for name in names(label, count)]
    async with following(bench.target, VOLUMES, available, label) as seen:
        await load(bench.target, VOLUMES, made, within_s)
        await seen.reach(count, within_s)
    yield
    await clear(bench.target, label)


async def get(bench: Bench) -> Measure:
    """One object asked for again and again, over all connections."""
    name, target = names("get", 1)[0], bench.target
    await load(target, CLAIMS, [claim(name)], PATIENCE_S)
    request = target.request("GET", f"{CLAIMS}/{name}")

    def for_s(duration_s: float) -> Iterator[bytes]:
        end_s = perf_counter() + duration_s
        while perf_counter() < end_s:
            yield request

    async with connections(target, bench.scale.connections) as pool:
        await drive(pool, for_s(bench.scale.gets_s / 10), 200, PATIENCE_S)  # warm
        with Stopwatch() as watch:
            count = await drive(pool, for_s(bench.scale.gets_s), 200, PATIENCE_S)
    await clear(target)
    return Measure(
        "GET one object, 32 connections, TLS",
        "/s",
        {"rate": count / watch.elapsed_s},
        {"rate": 12_000},
        more_is_better=True,
        note=watch.client,
    )


async def create(bench: Bench) -> Measure:
    """Volumes created over all connections; each answer means that the volume is durable."""
    target, count = bench.target, bench.scale.creates
    requests = [target.request("POST", VOLUMES, volume(name)) for name in names("create", count)]
    async with connections(target, bench.scale.connections) as pool:
        with Stopwatch() as watch:
            await drive(pool, requests, 201, bench.patience_s(count))
    await clear(target)
    return Measure(
        "create PV, 32 connections, durable",
        "/s",
        {"rate": count / watch.elapsed_s},
        {"rate": 4_500},
        more_is_better=True,
        note=f"{count:,} volumes, {watch.client}",
    )


async def binds(bench: Bench) -> Measure:
    """Claims created at once, as many volumes as claims waiting: first request to last Bound."""
    count = bench.scale.claims
    async with volumes(bench, count):
        elapsed_s, client = await _bind_all(bench, count)
    return Measure(
        f"1,000 claims created at once until all are Bound{bench.present}",
        "binds/s",
        {"rate": count / elapsed_s},
        {"rate": 1_500},
        more_is_better=True,
        note=client,
    )


async def _bind_all(bench: Bench, count: int) -> tuple[float, str]:
    target, within_s = bench.target, bench.patience_s(count)
    requests = [target.request("POST", CLAIMS, claim(name)) for name in names("claim", count)]
    async with (
        following(target, CLAIMS, bound) as seen,
        connections(target, bench.scale.connections) as pool,
    ):
        with Stopwatch() as watch:
            await drive(pool, requests, 201, within_s)
            last_s = await seen.reach(count, within_s)
        return last_s - watch.started_s, watch.client


async def bind_one(bench: Bench) -> Measure:
    """One claim after another: from the create sent to Bound seen by a watch."""
    times_s = []
    async with volumes(bench, bench.scale.singles):
        async with following(bench.target, CLAIMS, bound) as seen:
            connection = await connect(bench.target)
            for name in names("one", bench.scale.singles):
                sent_s = await _post(bench.target, connection, CLAIMS, claim(name))
                times_s.append(await seen.see(name, PATIENCE_S) - sent_s)
            connection.close()
    return Measure(
        f"one claim, create → Bound seen by a watch{bench.present}",
        "ms",
        percentiles_ms(times_s),
        {"p50": 3},
    )


async def watch(bench: Bench) -> Measure:
    """One ConfigMap after another, which no controller acts on: create sent to event arrived."""
    times_s = []
    async with following(bench.target, CONFIG_MAPS) as seen:
        connection = await connect(bench.target)
        for name in names("event", bench.scale.singles):
            sent_s = await _post(bench.target, connection, CONFIG_MAPS, config_map(name))
            times_s.append(await seen.see(name, PATIENCE_S) - sent_s)
        connection.close()
    await clear(bench.target)
    return Measure("watch event after create sent", "ms", percentiles_ms(times_s), {"p50": 1.4})


async def _post(target: Target, connection: Connection, path: str, body: bytes) -> float:
    """Create one object; returns when the request was sent."""
    request = target.request("POST", path, body)
    sent_s = perf_counter()
    answer = await connection.exchange(request)
    if answer.status != 201:
        raise Refused(answer.status, answer.body)
    return sent_s


async def listing(bench: Bench) -> Measure:
    """All claims of a namespace in one answer, most of them Bound."""
    scale, target = bench.scale, bench.target
    async with volumes(bench, scale.claims):
        await _bind_all(bench, scale.claims)
        more = [claim(name) for name in names("more", scale.more_claims)]
        await load(target, CLAIMS, more, bench.patience_s(scale.more_claims))
        connection, request = await connect(target), target.request("GET", CLAIMS)
        times_s, size_bytes = [], 0
        for _ in range(scale.lists):
            started_s = perf_counter()
            answer = await connection.exchange(request)
            times_s.append(perf_counter() - started_s)
            if answer.status != 200:
                raise Refused(answer.status, answer.body)
            size_bytes = len(answer.body)
        connection.close()
    return Measure(
        "list 1,100 claims (1.4 MB)",
        "ms",
        percentiles_ms(times_s),
        {"p50": 6},
        note=f"{size_bytes / 1e6:.2f} MB",
    )


async def memory(bench: Bench) -> Measure:
    """Resident memory as the server was found, and with claims bound to volumes."""
    pids, count = _local(bench), bench.scale.claims
    await asyncio.sleep(bench.scale.settle_s)
    empty_mib = processes.resident_mib(pids)
    async with volumes(bench, count):
        await _bind_all(bench, count)
        await asyncio.sleep(bench.scale.settle_s)
        full_mib = processes.resident_mib(pids)
    return Measure(
        "resident memory, empty / with 2,000 objects",
        "MiB",
        {"empty": empty_mib, "with 2,000": full_mib},
        {"empty": 90, "with 2,000": 130},
        note=f"{len(processes.with_children(pids))} processes",
    )


async def memory_with_others(bench: Bench) -> Measure:
    """Resident memory while the other volumes are present and nothing else of ours is."""
    pids = _local(bench)
    await asyncio.sleep(bench.scale.settle_s)
    return Measure(
        f"resident memory{bench.present}", "MiB", {"resident": processes.resident_mib(pids)}
    )


async def idle(bench: Bench) -> Measure:
    """CPU used while nobody asks for anything."""
    pids, duration_s = _local(bench), bench.scale.idle_s
    await asyncio.sleep(bench.scale.settle_s)
    before_s, started_s = processes.cpu_s(pids), perf_counter()
    await asyncio.sleep(duration_s)
    share = (processes.cpu_s(pids) - before_s) / (perf_counter() - started_s)
    return Measure(
        "idle CPU", "% of a core", {"share": 100 * share}, {"share": 0.3}, note=f"{duration_s:g} s"
    )


def _local(bench: Bench) -> list[int]:
    if not bench.pids:
        raise Skipped("no process of the server is known on this machine; name it with --pids")
    return bench.pids


# In the order of the design's table. Memory and idleness are looked at first, on a fresh server.
ROWS: Final[dict[str, Row]] = {
    "get": get,
    "create": create,
    "binds": binds,
    "bind": bind_one,
    "list": listing,
    "watch": watch,
    "memory": memory,
    "idle": idle,
}
FIRST: Final = ("memory", "idle")
WITH_OTHERS: Final[dict[str, Row]] = {
    "memory": memory_with_others,
    "binds": binds,
    "bind": bind_one,
}


class Rows(NamedTuple):
    """What came of some rows."""

    measured: list[Measure]
    skipped: dict[str, str]  # {name: why}


async def rows(bench: Bench, wanted: Mapping[str, Row]) -> Rows:
    """These rows, one after another."""
    found, skipped = [], {}
    for name, row in wanted.items():
        try:
            found.append(await row(bench))
        except Skipped as why:
            skipped[f"{name}{bench.present}"] = str(why)
    return Rows(found, skipped)


async def with_others(bench: Bench) -> Rows:
    """The rows that are measured again with `bench.others` volumes present."""
    async with volumes(bench, bench.others, OTHER_SIZE, OTHERS):
        return await rows(bench, WITH_OTHERS)
