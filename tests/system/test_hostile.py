"""What no client should send: answered as Kubernetes answers, and never the end of the server.

A failure prints its seed: HOSTILE_SEED=7 repeats it, or tries something else.
"""

import asyncio
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import pytest

from mooring.controllers.recorder import REMEMBERED
from mooring.objects.cache import RECENT_BYTES
from mooring.objects.kind import Kind
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.views import SEEN_AT_MOST
from tests.system.counted import CountedServer, grown
from tests.system.hostile import MERGE_PATCH, Asked, Hostile
from tests.system.hostile_samples import sample, samples
from tests.system.json_client import Client
from tests.system.raw_http import Answer, Closed, Connection
from tests.system.server import Server

pytestmark = pytest.mark.system

SEED = int(os.environ.get("HOSTILE_SEED", "1"))
REQUESTS = int(os.environ.get("HOSTILE_REQUESTS", "20000"))
LONG = int(os.environ.get("HOSTILE_LONG", "100000"))
CONNECTIONS = 12
PIPELINED_AT_MOST = 6
HUNG_AFTER_S = 60.0  # far beyond what any of them takes on a busy machine
MEMORY, MEMORY_SOON = 1.05, 1.2  # times as much as when it was warm, or nearly
LIMITED_BYTES = 8 * 1024 * 1024  # what has a limit and was not at it: caches of texts, of events
SPARE = 200  # things more than then
MADE_ANEW = (
    "nodes",
    "csinodes",
    "csidrivers",
    "leases",
    "namespaces",
    "events",
    "csistoragecapacities",
)
LIMITS = {
    "Remembered._values": 3 * REMEMBERED,
    "mooring.objects.views:_seen": SEEN_AT_MOST,
    **dict.fromkeys(("objects Entry", "Entry._labels"), 2 * SEEN_AT_MOST),  # of those views
}
LARGE_BYTES = 200_000  # the most that annotations may have is a little more
LARGE_CHANGES = RECENT_BYTES // LARGE_BYTES + 1
NAMESPACES = "/api/v1/namespaces"
SHOWN_BYTES = 2000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CountedServer]:
    server = CountedServer(tmp_path)
    server.start()
    yield server
    assert server.process is not None
    server.process.kill()
    server.process.wait()


def complaint(asked: Asked, answer: Answer) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if answer.status >= 500:
        return f"{answer.status}"
    if answer.status < 400 or asked.method == "HEAD":
        return ""
    try:
        status = json.loads(answer.body)
    except ValueError:
        return f"{answer.status} without a Status"
    if not isinstance(status, dict) or status.get("kind") != "Status":
        return f"{answer.status} without a Status"
    if status.get("code") != answer.status or not status.get("reason"):
        return f"{answer.status} with another code or without a reason"
    return ""


class Run:
    """Many connections that send the requests of a seed and look at the answers."""

    def __init__(self, server: Server, hostile: Hostile, first: int, last: int) -> None:
        self.server, self.hostile = server, hostile
        self.numbers = iter(range(first, last))
        self.statuses: Counter[int] = Counter()
        self.bad: list[str] = []
        self.slowest_s = 0.0

    async def all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(self._one_by_one())

    async def _one_by_one(self) -> None:
        connection = await Connection.to(self.server.port)
        batch: list[int] = []
        while len(self.bad) < 10:
            wanted = 1 + sum(batch) % PIPELINED_AT_MOST
            batch = list(islice(self.numbers, wanted))
            if not batch:
                break
            connection = await self._pipelined(connection, batch)
        connection.close()

    async def _pipelined(self, connection: Connection, numbers: list[int]) -> Connection:
        """Send them in one piece. Returns the connection for the next, a new one if need be."""
        requests = [self.hostile.request(number) for number in numbers]
        connection.send(b"".join(one.wire() for one in requests))
        for at, (number, asked) in enumerate(zip(numbers, requests, strict=True)):
            began = time.monotonic()
            try:
                answer = await asyncio.wait_for(connection.answer(asked.method), HUNG_AFTER_S)
            except (Closed, TimeoutError, ValueError) as error:
                self._complain(number, asked, f"no answer: {error!r}", b"")
                connection.close()
                return await Connection.to(self.server.port)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self.statuses[answer.status] += 1
            if answer.status == 400 and answer.closes:  # HTTP itself is bad: what follows is lost
                connection.close()
                connection = await Connection.to(self.server.port)
                if rest := numbers[at + 1 :]:
                    return await self._pipelined(connection, rest)
                return connection
            if what := complaint(asked, answer):
                self._complain(number, asked, what, answer.body)
        return connection

    def _complain(self, number: int, asked: Asked, what: str, body: bytes) -> None:
        sent = asked.wire()
        length = f"… ({len(sent)} bytes)" if len(sent) > SHOWN_BYTES else ""
        self.bad.append(
            f"seed {SEED}, request {number}: {what}\n  {sent[:SHOWN_BYTES]!r}{length}\n"
            f"  answered {body[:500]!r}"
        )


# What is compared: the memory of the server when all that the requests made is deleted again, after
# a fifth of the requests and after each further one. So it is what requests leave behind: objects
# are larger or smaller by chance, and what each kind of request needs once is there after the first
# fifth. Resident memory is compared once free pages are given back, which leaves those with a
# little in use: of them there may be more later, so what is in use is compared too, more strictly.
@pytest.mark.parametrize("requests", [REQUESTS, pytest.param(LONG, marks=pytest.mark.slow)])
async def test_no_request_brings_an_error_of_the_server_a_hang_or_memory_that_grows(
    server: CountedServer, requests: int
) -> None:
    hostile = Hostile(SEED, server.place, server.token)
    statuses: Counter[int] = Counter()
    censuses = []
    is_long, fifth = requests > REQUESTS, requests // 5
    marks = (*range(0, requests, fifth), requests) if is_long else (0, fifth, requests)
    for first, last in pairwise(marks):
        run = Run(server, hostile, first, last)
        await run.all()
        log = (server.place / "log").read_text(errors="replace")
        assert not run.bad, "\n".join([*run.bad, log[-SHOWN_BYTES:]])
        statuses += run.statuses
        await emptied(server)
        await every_kind_can_be_used(server)
        plain = server.resident_bytes()
        censuses.append(server.census())
        shown = [f"{found / 2**20:.1f} MiB" for found in (plain, censuses[-1]["resident"])]
        used = (
            f"{censuses[-1]['malloc'] / 2**20:.1f} MiB and {censuses[-1]['blocks']} blocks in use"
        )
        print(f"{last} requests: {shown[0]}, trimmed {shown[1]}, {used}", flush=True)
    assert statuses.total() == requests
    # Most are refused, but enough come through to be a test of more than the decoder.
    assert statuses[200] + statuses[201] > requests / 5, statuses
    resident = [found["resident"] for found in censuses]
    most = resident[0] * (MEMORY if is_long else MEMORY_SOON) + LIMITED_BYTES
    assert max(resident) < most, resident
    if is_long:  # so much is noted of what has a limit, too
        in_use = [found["malloc"] for found in censuses]
        assert max(in_use) - in_use[0] < (MEMORY - 1) * resident[0], in_use
        blocks = [found["blocks"] for found in censuses]
        assert max(blocks) < MEMORY * blocks[0], blocks
        assert grown(censuses[0], censuses[-1], by=SPARE, limits=LIMITS) == {}
    log = (server.place / "log").read_text(errors="replace")
    assert not [line for line in log.splitlines() if re.search(r"failed|Traceback", line)]


async def emptied(server: Server) -> None:
    """Delete all there is, whoever holds it, but for what the server makes anew."""
    client, left = Client(server), [""]
    while left:
        left = []
        for kind in ALL_KINDS:
            for item in await client.items(_collection(kind)):
                metadata = item["metadata"]
                path = f"{_collection(kind, metadata.get('namespace', ''))}/{metadata['name']}"
                await client.ask("PATCH", path, {"metadata": {"finalizers": None}}, MERGE_PATCH)
                await client.ask("DELETE", path)
                left += [path] if kind.plural not in MADE_ANEW else []
    client.close()


async def every_kind_can_be_used(server: Server) -> None:
    """Write, read, change and remove something of each kind.

    The changes are so large, and those of a claim so many, that nothing older is kept any more for
    watches and for controllers: it must not be more or less by chance when memory is compared.
    """
    client, of_all = Client(server), samples(server.place)
    await client.done("POST", NAMESPACES, {"metadata": {"name": "after"}})
    for kind in ALL_KINDS:
        doc = sample(kind, of_all, "after-all", "after")
        if kind.kind == "Pool":
            doc["spec"] = {**doc["spec"], "root": str(server.place / "after-pool")}
        if kind.kind == "PersistentVolume":  # the pool of the others is gone
            csi = {**doc["spec"]["csi"], "volumeAttributes": {}}
            doc["spec"] = {**doc["spec"], "csi": csi}
        collection = _collection(kind, "after")
        path = f"{collection}/after-all"
        made = await client.done("POST", collection, doc)
        for number in range(LARGE_CHANGES):
            note = {"example.com/large": f"{number}" * LARGE_BYTES}
            await client.done("PATCH", path, {"metadata": {"annotations": note}}, MERGE_PATCH)
        for number in range(SEEN_AT_MOST if kind.kind == "PersistentVolumeClaim" else 0):
            note = {"example.com/large": None, "example.com/turn": f"{number}"}
            await client.done("PATCH", path, {"metadata": {"annotations": note}}, MERGE_PATCH)
        assert (await client.done("GET", path))["metadata"]["uid"] == made["metadata"]["uid"]
        await client.done("DELETE", path)
    await client.done("DELETE", f"{NAMESPACES}/after")
    await client.gone(f"{NAMESPACES}/after")
    client.close()


def _collection(kind: Kind, namespace: str = "") -> str:
    group = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    home = f"/namespaces/{namespace}" if kind.namespaced and namespace else ""
    return f"{group}{home}/{kind.plural}"
