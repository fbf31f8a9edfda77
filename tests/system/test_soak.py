"""Claims that come and go, again and again: nothing of them stays behind."""

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from mooring.drivers.root import MARK
from tests.system.counted import CountedServer, grown
from tests.system.json_client import Client
from tests.system.server import eventually

pytestmark = pytest.mark.system

LONG: Final = int(os.environ.get("MOORING_SOAK", "100000"))  # claims
CLIENTS: Final = 12
NAMESPACES: Final = "/api/v1/namespaces"
VOLUMES: Final = "/api/v1/persistentvolumes"
CLAIMS: Final = "/api/v1/persistentvolumeclaims"
SPEC: Final = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
MEMORY: Final = 1.05
# History is forgotten in steps, and the file keeps the room of the longest that there was.
FILE: Final = 1.25
WARM: Final = 5_000  # claims: then all that has a limit is at it
SPARE: Final = 200  # things more than before, of tens of thousands that came and went


class Mark(NamedTuple):
    """The server at rest, when all that was made is gone again."""

    lifecycles: int
    resident_bytes: int
    file_bytes: int
    cpu_s: float
    census: dict[str, int]

    def __str__(self) -> str:
        found = [f"{self.lifecycles} lifecycles: {self.resident_bytes / 2**20:.1f} MiB"]
        found.append(f"of them {self.census['resident'] / 2**20:.1f} MiB in use")
        found.append(f"{self.cpu_s:.0f} s of processor")
        found.append(f"{self.file_bytes / 2**20:.1f} MiB of database")
        for name in ("files", "threads", "tasks", "objects"):
            found.append(f"{self.census[name]} {name}")
        return ", ".join(found)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CountedServer]:
    server = CountedServer(tmp_path)
    server.start()
    yield server
    assert server.process is not None
    server.process.kill()
    server.process.wait()


async def lifecycles(client: Client, namespace: str, number: int) -> None:
    """Claims are made, bound and deleted, until their volumes are gone; then their namespace is."""
    claims = f"{NAMESPACES}/{namespace}/persistentvolumeclaims"
    await client.done("POST", NAMESPACES, {"metadata": {"name": namespace}})
    paths = [f"{claims}/claim-{one}" for one in range(number)]
    for path in paths:
        name = path.rpartition("/")[2]
        await client.done("POST", claims, {"metadata": {"name": name}, "spec": SPEC})
    volumes = [f"{VOLUMES}/{await bound(client, path)}" for path in paths]
    for path in paths:
        await client.done("DELETE", path)
    for path in (*paths, *volumes):
        await client.gone(path)
    await client.done("DELETE", f"{NAMESPACES}/{namespace}")
    await client.gone(f"{NAMESPACES}/{namespace}")


async def bound(client: Client, path: str) -> str:
    """The volume of a claim, once it has one."""
    claim = await client.until(path, lambda _, one: one["status"].get("phase") == "Bound")
    name: str = claim["spec"]["volumeName"]
    return name


async def live(server: CountedServer, batches: Iterator[int], size: int) -> None:
    """All of these batches of claims, each in a namespace of its own, by several clients."""

    async def one_client() -> None:
        client = Client(server)
        try:
            for batch in batches:
                await lifecycles(client, f"batch-{batch}", size)
        finally:
            client.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(one_client())


async def at_rest(server: CountedServer, lifecycles: int) -> Mark:
    """Looked at when nothing is left to do."""
    client = Client(server)
    for path in (CLAIMS, VOLUMES):
        assert await client.items(path) == []
    client.close()
    plain = server.resident_bytes()  # before the census, which needs memory itself
    state = server.place / "data"
    size = sum(path.stat().st_size for path in state.glob("mooring.db*"))
    return Mark(lifecycles, plain, size, server.cpu_s(), server.census())


def leftovers(server: CountedServer) -> dict[str, Any]:
    """Of volumes, on the host."""
    pool, state = server.place / "pool", server.place / "data"
    mounts = Path(f"/proc/{server.pid}/mountinfo").read_text().splitlines()
    found = {
        "directories": sorted(set(os.listdir(pool)) - {MARK}),
        "intents": os.listdir(state / "provisioning"),
        "mounts": [line for line in mounts if str(server.place) in line],
    }
    return {what: left for what, left in found.items() if left}


# Memory is compared with that of a server that has lived as well: what it loads with the first of
# each kind of request, and what has a limit by itself (history, recent events), is there after a
# fifth of the run. At a mark nothing is left that a client could see, so what is more at a later
# one is what claims leave behind. What is in use is compared, see census.py.
@pytest.mark.parametrize("number", [200, pytest.param(LONG, marks=pytest.mark.slow)])
async def test_claims_that_come_and_go_leave_nothing_behind(
    server: CountedServer, number: int
) -> None:
    batch = 25 if number >= WARM else 5
    per_mark = number // batch // 5
    marks = []
    for fifth in range(5):
        await live(server, iter(range(fifth * per_mark, (fifth + 1) * per_mark)), batch)
        marks.append(await at_rest(server, (fifth + 1) * per_mark * batch))
        print(marks[-1], flush=True)
    eventually(lambda: not leftovers(server), "the host has nothing of them")
    log = (server.place / "log").read_text(errors="replace")
    assert not [line for line in log.splitlines() if re.search("failed|Traceback", line)]
    warm, *later = marks
    if number >= WARM * 5:  # before it is warm it grows, as anything does
        assert grown(warm.census, later[-1].census, by=SPARE) == {}
        most = max(mark.census["resident"] for mark in later)
        assert most < warm.census["resident"] * MEMORY
        assert max(mark.file_bytes for mark in later) < warm.file_bytes * FILE
