"""Lists, their pages and their selectors. Storage semantics §1.4."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.client import Client

MAPS = "/api/v1/namespaces/default/configmaps"
Doc = dict[str, Any]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client() as client:
        for name, labels in (("a", {"tier": "1"}), ("b", {"tier": "2"}), ("c", {})):
            await client.send("POST", MAPS, {"metadata": {"name": name, "labels": labels}})
        yield client


async def names(client: Client, query: str) -> list[str]:
    answer = await client.send("GET", f"{MAPS}?{query}")
    assert answer.status == 200, answer.body
    return [item["metadata"]["name"] for item in answer.body["items"]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("resourceVersionMatch=Exact", "resourceVersionMatch"),
        ("resourceVersionMatch=Sometime&resourceVersion=1", "resourceVersionMatch"),
        ("resourceVersionMatch=Exact&resourceVersion=0", "resourceVersionMatch"),
        ("sendInitialEvents=true", "sendInitialEvents"),
        ("watch=1&sendInitialEvents=true", "resourceVersionMatch"),
        ("watch=1&resourceVersionMatch=NotOlderThan", "resourceVersionMatch"),
    ],
)
async def test_parameters_that_do_not_go_together_are_refused(
    client: Client, query: str, field: str
) -> None:
    refused = await client.send("GET", f"{MAPS}?{query}")
    assert (refused.status, refused.body["reason"]) == (422, "Invalid")
    assert [cause["field"] for cause in refused.body["details"]["causes"]] == [field]


async def test_a_page_goes_on_as_of_the_first_one(client: Client) -> None:
    first = (await client.send("GET", f"{MAPS}?limit=2")).body
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
    await client.send("DELETE", f"{MAPS}/c")
    rest = (await client.send("GET", f"{MAPS}?continue={first['metadata']['continue']}")).body
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c"]
    assert rest["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}
    mixed = f"{MAPS}?continue={first['metadata']['continue']}&resourceVersion=1"
    assert (await client.send("GET", mixed)).status == 400


@pytest.mark.parametrize("more", ["&resourceVersionMatch=Exact", "&limit=9"])
async def test_a_list_of_a_revision_is_as_it_was_then(client: Client, more: str) -> None:
    then = (await client.send("GET", MAPS)).body["metadata"]["resourceVersion"]
    await client.send("DELETE", f"{MAPS}/a")
    assert await names(client, f"resourceVersion={then}") == ["b", "c"]  # or later
    assert await names(client, f"resourceVersion={then}{more}") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("tier=1", ["a"]),
        ("tier==1", ["a"]),
        ("tier!=1", ["b", "c"]),
        ("tier in (1, 2)", ["a", "b"]),
        ("tier notin (1)", ["b", "c"]),
        ("tier", ["a", "b"]),
        ("!tier", ["c"]),
        ("tier>1", ["b"]),
        ("tier<2", ["a"]),
        (" tier = 1 , tier in ( 1 ) ", ["a"]),
    ],
)
async def test_labels_select(client: Client, selector: str, found: list[str]) -> None:
    assert await names(client, f"labelSelector={quote(selector)}") == found


@pytest.mark.parametrize(
    "selector",
    [
        "a b",
        "a=b,",
        ",",
        "a in (b",
        "=b",
        "a=$",
        "$",
        "x/y/z=1",
        "a>b",
        "a>",
        "a=b=c",
        "-a",
        "a<1<2",
    ],
)
async def test_a_label_selector_that_is_none_is_refused(client: Client, selector: str) -> None:
    refused = await client.send("GET", f"{MAPS}?labelSelector={quote(selector)}")
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")


@pytest.mark.rule("1.4.12")
@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("metadata.name=a", ["a"]),
        ("metadata.name==a", ["a"]),
        ("metadata.name!=a", ["b", "c"]),
        ("metadata.name=a,metadata.name=b", []),
        ("metadata.namespace=default", ["a", "b", "c"]),
        ("metadata.name=a\\,b", []),
    ],
)
async def test_names_select(client: Client, selector: str, found: list[str]) -> None:
    assert await names(client, f"fieldSelector={quote(selector)}") == found


@pytest.mark.rule("1.4.13")
@pytest.mark.parametrize("selector", ["name=a", "status.phase=Bound", "metadata.name", "data.x=1"])
async def test_1_4_other_fields_do_not_select(client: Client, selector: str) -> None:
    refused = await client.send("GET", f"{MAPS}?fieldSelector={quote(selector)}")
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")
