"""How full things are, the fullest first: /mooring/v1/top."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.client import Client
from tests.api.test_metrics import POOLS, VOLUMES, pool, volume

TOP = "/mooring/v1/top"


async def rows(client: Client, path: str) -> list[dict[str, Any]]:
    answer = await client.send("GET", f"{TOP}/{path}")
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.body["items"]
    return found


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client() as client:
        for number in range(5):
            assert (await client.send("POST", VOLUMES, volume(f"v{number}"))).status == 201
        assert (await client.send("POST", POOLS, pool("p"))).status == 201
        yield client


async def test_what_is_not_known_is_null(client: Client) -> None:
    first, *_ = await rows(client, "volumes")
    assert first == {
        "volume": "v0",
        "claim": "",
        "class": "fast",
        "phase": "Pending",
        "capacityBytes": 2 << 30,
        "usedBytes": None,
        "availableBytes": None,
        "usedPercent": None,
        "inodes": None,
        "inodesUsed": None,
        "inodesPercent": None,
        "takenAt": None,
        "path": "",
        "abnormal": "",
    }
    (one,) = await rows(client, "pools")
    assert (one["pool"], one["ready"], one["usedBytes"]) == ("p", "Unknown", None)


async def test_the_fullest_pool_is_the_first(client: Client) -> None:
    for name, used in (("half", "50"), ("full", "99"), ("empty", "0")):
        assert (await client.send("POST", POOLS, pool(name))).status == 201
        status = {"capacity": {"total": "100", "used": used, "available": str(100 - int(used))}}
        answer = await client.send(
            "PATCH", f"{POOLS}/{name}/status", {"status": status}, "application/merge-patch+json"
        )
        assert answer.status == 200
    assert [one["pool"] for one in await rows(client, "pools")] == ["full", "half", "empty", "p"]


async def test_a_limit_leaves_rows_out_and_says_how_many_there_are(client: Client) -> None:
    answer = await client.send("GET", f"{TOP}/volumes?limit=2")
    assert (len(answer.body["items"]), answer.body["count"]) == (2, 5)
    assert len(await rows(client, "volumes?limit=0")) == 5


async def test_claims_are_those_that_have_a_volume(client: Client) -> None:
    assert await rows(client, "claims") == []


@pytest.mark.parametrize("limit", ["x", "-1", "1e3", "9" * 30])
async def test_a_limit_that_is_no_number_is_refused(client: Client, limit: str) -> None:
    assert (await client.send("GET", f"{TOP}/pools?limit={limit}")).status == 400


async def test_there_is_no_top_of_other_things(client: Client) -> None:
    assert (await client.send("GET", f"{TOP}/nodes")).status == 404
