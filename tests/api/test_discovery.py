"""What is announced, and is there."""

import pytest

from mooring.objects.kind import Kind
from mooring.objects.kinds.registry import ALL_KINDS
from tests.api.client import Client


async def test_namespaces_are_not_deleted_all_at_once() -> None:
    async with Client() as client:
        answer = await client.send("DELETE", "/api/v1/namespaces")
        assert answer.status == 405
        resources = (await client.send("GET", "/api/v1")).body["resources"]
    verbs = {one["name"]: one["verbs"] for one in resources}
    assert "deletecollection" not in verbs["namespaces"]
    assert "deletecollection" in verbs["persistentvolumeclaims"]


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.resource)
async def test_every_kind_is_announced_where_it_is_served(kind: Kind) -> None:
    base = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    async with Client() as client:
        resources = (await client.send("GET", base)).body["resources"]
        listed = await client.send("GET", f"{base}/{kind.plural}")
    assert {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
    }.items() <= next(one for one in resources if one["name"] == kind.plural).items()
    assert listed.body["kind"] == f"{kind.kind}List"


async def test_there_are_no_services_but_they_can_be_listed() -> None:
    async with Client() as client:
        for place in ("/api/v1/services", "/api/v1/namespaces/default/services"):
            listed = await client.send("GET", place)
            assert (listed.status, listed.body["items"]) == (200, [])
            assert (await client.send("POST", place, {})).status == 404
        assert (await client.send("GET", "/api/v1/namespaces/default/services/a")).status == 404
