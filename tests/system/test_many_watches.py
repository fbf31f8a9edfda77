"""Very many watches while much changes: each is told all of it, in its order."""

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pytest

from tests.system.json_client import Client
from tests.system.server import ROOT, Server
from tests.system.watchers import END, Order, Seen, Watching

pytestmark = pytest.mark.system

WRITERS: Final = 8
DEADLINE_S: Final = 300.0  # after the last change
STEPS: Final = ("ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED")  # then anew
Told = dict[str, list[tuple[str, int]]]  # by key: types and revisions; -1 of a deletion: not known


class Scale(NamedTuple):
    """How much is done."""

    narrow: int  # watches of a namespace each
    broad: int  # of all namespaces
    changes: int
    rate: float  # a second, that the writers try to keep


LONG: Final = int(os.environ.get("MOORING_WATCHED", "45000"))  # changes
SMALL, LARGE = Scale(40, 4, 600, 300.0), Scale(1000, 20, LONG, 500.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path).start()
    yield server
    assert server.process is not None
    server.process.kill()
    server.process.wait()


def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


class Writers:
    """Change one config map in each namespace, in turns, and note what watches must tell."""

    def __init__(self, server: Server, namespaces: list[str]) -> None:
        self._server, self._namespaces = server, namespaces
        self.told: Told = defaultdict(list)

    async def write(self, changes: int, rate: float) -> float:
        """Returns the real rate."""
        begun_s = time.monotonic()

        async def one(number: int) -> None:
            client, own = Client(self._server), self._namespaces[number::WRITERS]
            for turn in range(changes // WRITERS):
                due_s = begun_s + (turn * WRITERS + number) / rate
                await asyncio.sleep(due_s - time.monotonic())
                await self._change(client, own[turn % len(own)])
            client.close()

        async with asyncio.TaskGroup() as group:
            for number in range(WRITERS):
                group.create_task(one(number))
        return changes // WRITERS * WRITERS / (time.monotonic() - begun_s)

    async def end(self) -> None:
        client = Client(self._server)
        for namespace in self._namespaces:
            await self._made(client, namespace, END)
        client.close()

    async def _change(self, client: Client, namespace: str) -> None:
        told, path = self.told[f"{namespace}/one"], f"{maps(namespace)}/one"
        match STEPS[len(told) % len(STEPS)]:
            case "ADDED":
                await self._made(client, namespace, "one")
            case "DELETED":
                await client.done("DELETE", path)
                told.append(("DELETED", -1))
            case type_:
                doc = {"metadata": {"name": "one"}, "data": {"at": f"{len(told)}"}}
                found = await client.done("PUT", path, doc)
                told.append((type_, int(found["metadata"]["resourceVersion"])))

    async def _made(self, client: Client, namespace: str, name: str) -> None:
        found = await client.done("POST", maps(namespace), {"metadata": {"name": name}})
        revision = int(found["metadata"]["resourceVersion"])
        self.told[f"{namespace}/{name}"].append(("ADDED", revision))


def differences(watching: Watching, seen: Seen, told: Told) -> list[str]:
    """What a watch was told otherwise than it happened."""
    found = [seen.wrong] if seen.wrong else []
    revisions = [revision for _, _, revision in seen.events]
    if sorted(set(revisions)) != revisions:
        found.append("its revisions do not rise")
    by_key: Told = defaultdict(list)
    for type_, key, revision in seen.events:
        by_key[key].append((type_, -1 if type_ == "DELETED" else revision))
    mine = {key for key in told if key.partition("/")[0] == watching.namespace}
    mine = mine if watching.namespace else set(told)
    found += [
        f"{key}: {by_key.get(key)}, not {told[key]}" for key in mine if by_key[key] != told[key]
    ]
    return [*found, *(f"{key} was not for it" for key in by_key.keys() - mine)]


# Some of those of all namespaces are ended by the server now and then and resumed, half of them so
# late that what they missed is not in the server's memory any more.
def watchings(scale: Scale, namespaces: list[str]) -> list[Watching]:
    narrow = [Watching(namespace) for namespace in namespaces]
    kinds = (Watching(), Watching(ends_s=2), Watching(ends_s=3, pause_s=6.0), Watching())
    return [*narrow, *(kinds[number % len(kinds)] for number in range(scale.broad))]


def watchers(order: Order, asked: Path, told: Path) -> subprocess.Popen[bytes]:
    asked.write_bytes(msgspec.json.encode(order))
    program = ("-m", "tests.system.watchers")
    return subprocess.Popen(
        [sys.executable, *program, asked, told], cwd=ROOT, stdout=subprocess.PIPE
    )


@pytest.mark.parametrize(
    "scale", [SMALL, pytest.param(LARGE, marks=pytest.mark.slow)], ids=["small", "large"]
)
async def test_none_of_many_watches_loses_anything(server: Server, scale: Scale) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < scale.narrow + 500:
        pytest.skip("too few files may be open here")
    namespaces = [f"n{number}" for number in range(scale.narrow)]
    client = Client(server)
    for namespace in namespaces:
        await client.done("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    now = (await client.done("GET", maps("default")))["metadata"]["resourceVersion"]
    client.close()
    watches = watchings(scale, namespaces)
    within_s = scale.changes / scale.rate * 10 + DEADLINE_S
    url = f"https://127.0.0.1:{server.port}"
    order = Order(url, server.token, int(now), scale.narrow, within_s, watches)
    writers, told = Writers(server, namespaces), server.place / "told"
    watching = watchers(order, server.place / "order", told)
    try:
        assert watching.stdout is not None
        assert await asyncio.to_thread(watching.stdout.readline) == b"ready\n"
        before_s = server.cpu_s()
        rate = await writers.write(scale.changes, scale.rate)
        cost_ms = (server.cpu_s() - before_s) * 1000 / scale.changes
        await writers.end()
        assert await asyncio.to_thread(watching.wait, DEADLINE_S) == 0
    finally:
        watching.kill()
        watching.wait()
    seen = msgspec.json.decode(told.read_bytes(), type=list[Seen])
    wrong = {
        number: found[:3]
        for number, (one, what) in enumerate(zip(watches, seen, strict=True))
        if (found := differences(one, what, writers.told))
    }
    assert wrong == {}
    events, resumed = sum(len(one.events) for one in seen), sum(one.resumed for one in seen)
    print(f"{rate:.0f} changes/s, {cost_ms:.2f} ms of the server's processor for each")
    print(f"{events} events to {len(seen)} watches, {resumed} times resumed")
