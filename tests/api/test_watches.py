"""Watches and their bookmarks."""

import asyncio
import time

import pytest

from tests.api.client import Client

MAPS = "/api/v1/namespaces/default/configmaps"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def test_a_bookmark_never_says_more_than_was_sent() -> None:
    """A client goes on from it: what it covers and was not sent, nobody would ever see."""
    async with Client() as client:
        ends = time.monotonic() + 1

        async def slowly(chunk: bytes) -> None:
            """Take the first event until the watch is about to end, and make another meanwhile."""
            if b"first" in chunk:
                await asyncio.sleep(ends - time.monotonic() + 0.5)
                await client.send("POST", MAPS, {"metadata": {"name": "second"}})

        async def make_first() -> None:
            await client.send("POST", MAPS, {"metadata": {"name": "first"}})

        query = "watch=1&timeoutSeconds=1&allowWatchBookmarks=true"
        making = asyncio.create_task(make_first())
        events = await client.watch(f"{MAPS}?{query}", meanwhile=slowly)
        await making
        kinds = [event["type"] for event in events]
        revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
        second = await client.send("GET", f"{MAPS}/second")
        assert kinds == ["ADDED", "BOOKMARK"]
        assert revisions[1] < int(second.body["metadata"]["resourceVersion"])


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "v1 ConfigMap"),
        (PARTIAL, "meta.k8s.io/v1 PartialObjectMetadata"),
        (TABLE, "meta.k8s.io/v1 Table"),
    ],
)
async def test_a_bookmark_has_the_shape_of_the_other_events(accept: str, kind: str) -> None:
    async with Client() as client:
        made = await client.send("POST", MAPS, {"metadata": {"name": "a"}})
        query = "watch=1&timeoutSeconds=1&allowWatchBookmarks=true"
        events = await client.watch(f"{MAPS}?{query}", accept)
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    for event in events:
        assert f"{event['object']['apiVersion']} {event['object']['kind']}" == kind
    bookmark = events[1]["object"]["metadata"]["resourceVersion"]
    assert bookmark == made.body["metadata"]["resourceVersion"]
