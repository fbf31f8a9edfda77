"""Shapes other than the stored one."""

import json
from datetime import UTC, datetime, timedelta

from mooring.api.shapes import shape_of
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.memory import MemoryStore
from tests.api.client import Client

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class Steps:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.passed_s)

    def monotonic_s(self) -> float:
        return self.passed_s


async def test_a_table_that_is_written_again_later_shows_the_age_of_then() -> None:
    clock = Steps()
    objects = Objects(MemoryStore(), ALL_KINDS, clock=clock)
    await objects.start()
    kind = objects.kinds["namespaces"]
    shape = shape_of(kind, TABLE, "", clock)
    clock.passed_s = 3600
    await objects.create(kind, "", {"metadata": {"name": "team"}})
    clock.passed_s += 45
    entry = objects.shelf(kind).get("team")
    assert entry is not None
    assert json.loads(shape.one(entry))["rows"][0]["cells"] == ["team", "Active", "45s"]
    await objects.close()


async def test_a_subresource_that_no_kind_has_is_not_found() -> None:
    async with Client() as client:
        for method in ("GET", "PUT", "PATCH"):
            answer = await client.send(method, "/api/v1/namespaces/default/daemonsets", {})
            assert answer.status == 404
            assert answer.body["message"] == "the server could not find the requested resource"
