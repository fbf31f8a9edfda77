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
from typing import Any

import pytest
import yaml

from mooring.objects.kinds.registry import ALL_KINDS
from tests.system.hostile import Asked, Hostile
from tests.system.hostile_samples import sample, samples
from tests.system.raw_http import Answer, Closed, Connection
from tests.system.server import Server

pytestmark = pytest.mark.system

SEED = int(os.environ.get("HOSTILE_SEED", "1"))
REQUESTS = int(os.environ.get("HOSTILE_REQUESTS", "20000"))
CONNECTIONS = 12
PIPELINED_AT_MOST = 6
HUNG_AFTER_S = 60.0  # far beyond what any of them takes on a busy machine
GROWTH_BYTES = 24 * 1024 * 1024  # of the second half beyond the first: objects and history
SHOWN_BYTES = 2000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path).start()
    yield server
    assert server.process is not None
    server.process.kill()
    server.process.wait()


def token_of(server: Server) -> str:
    found: str = yaml.safe_load(server.kubeconfig.read_text())["users"][0]["user"]["token"]
    return found


def resident_bytes(server: Server) -> int:
    assert server.process is not None
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


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


async def test_no_request_brings_an_error_of_the_server_a_hang_or_memory_that_grows(
    server: Server,
) -> None:
    hostile = Hostile(SEED, server.place, token_of(server))
    marks = [0, REQUESTS // 10, REQUESTS * 11 // 20, REQUESTS]  # warm-up and two halves
    statuses: Counter[int] = Counter()
    resident = []
    for first, last in pairwise(marks):
        run = Run(server, hostile, first, last)
        await run.all()
        log = (server.place / "log").read_text(errors="replace")
        assert not run.bad, "\n".join([*run.bad, log[-SHOWN_BYTES:]])
        statuses += run.statuses
        resident.append(resident_bytes(server))
    assert statuses.total() == REQUESTS
    # Most are refused, but enough come through to be a test of more than the decoder.
    assert statuses[200] + statuses[201] > REQUESTS / 5, statuses
    first_half, second_half = resident[1] - resident[0], resident[2] - resident[1]
    assert second_half < max(first_half, 0) + GROWTH_BYTES, resident
    await every_kind_can_be_used(server)
    log = (server.place / "log").read_text(errors="replace")
    assert not [line for line in log.splitlines() if re.search(r"failed|Traceback", line)]


async def every_kind_can_be_used(server: Server) -> None:
    """Read all that is there, and write, read and remove something of each kind."""
    kinds = {kind.resource: kind for kind in ALL_KINDS}
    connection, of_all = await Connection.to(server.port), samples(server.place)

    async def ask(method: str, path: str, body: Any = None) -> Any:
        headers = ((b"Host", b"x"), (b"Authorization", b"Bearer " + token_of(server).encode()))
        sent = b"" if body is None else json.dumps(body).encode()
        connection.send(Asked(method, path.encode(), headers, sent, False).wire())
        answer = await asyncio.wait_for(connection.answer(method), HUNG_AFTER_S)
        assert answer.status in (200, 201), (method, path, answer)
        return json.loads(answer.body)

    await ask("POST", "/api/v1/namespaces", {"metadata": {"name": "after"}})
    for kind in kinds.values():
        group = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
        for item in (await ask("GET", f"{group}/{kind.plural}"))["items"]:
            home = f"/namespaces/{item['metadata']['namespace']}" if kind.namespaced else ""
            path = f"{group}{home}/{kind.plural}/{item['metadata']['name']}"
            found = await ask("GET", path)
            assert found["metadata"]["uid"] == item["metadata"]["uid"]
        home = "/namespaces/after" if kind.namespaced else ""
        doc = sample(kind, of_all, "after-all", "after")
        if kind.kind == "Pool":
            doc["spec"] = {**doc["spec"], "root": str(server.place / "after-pool")}
        if kind.kind == "PersistentVolume":  # somebody may have deleted the pool of the others
            csi = {**doc["spec"]["csi"], "volumeAttributes": {}}
            doc["spec"] = {**doc["spec"], "csi": csi}
        made = await ask("POST", f"{group}{home}/{kind.plural}", doc)
        path = f"{group}{home}/{kind.plural}/after-all"
        assert (await ask("GET", path))["metadata"]["uid"] == made["metadata"]["uid"]
        await ask("DELETE", path)
    connection.close()
