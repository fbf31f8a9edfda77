"""Events of both groups are the same objects."""

from typing import Any

import pytest

from tests.api.client import Client

CORE = "/api/v1/namespaces/default/events"
NEW = "/apis/events.k8s.io/v1/namespaces/default/events"
PVC = {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "data", "uid": "u"}


def core(**fields: Any) -> dict[str, Any]:
    event = {"metadata": {"name": "one"}, "involvedObject": PVC, "reason": "Told", "count": 2}
    return {**event, "message": "what happened", "type": "Normal", **fields}


def newer(**fields: Any) -> dict[str, Any]:
    event = {"metadata": {"name": "two"}, "regarding": PVC, "reason": "Told", "type": "Normal"}
    said = {"note": "what happened", "action": "Tell", "eventTime": "2026-01-01T00:00:00.000000Z"}
    return {**event, **said, "reportingController": "x.y/z", "reportingInstance": "a", **fields}


async def test_a_core_event_is_read_through_the_newer_group() -> None:
    async with Client() as client:
        assert (await client.send("POST", CORE, core())).status == 201
        found = (await client.send("GET", f"{NEW}/one")).body
    assert found["apiVersion"] == "events.k8s.io/v1"
    assert found["regarding"]["name"] == "data"
    assert found["note"] == "what happened"
    assert found["deprecatedCount"] == 2
    assert "involvedObject" not in found
    assert "message" not in found


async def test_an_event_of_the_newer_group_is_read_through_the_core_group() -> None:
    async with Client() as client:
        made = await client.send("POST", NEW, newer())
        assert (made.status, made.body["apiVersion"]) == (201, "events.k8s.io/v1")
        found = (await client.send("GET", f"{CORE}/two")).body
        listed = (await client.send("GET", NEW)).body
    assert found["apiVersion"] == "v1"
    assert found["involvedObject"]["name"] == "data"
    assert found["message"] == "what happened"
    assert found["reportingComponent"] == "x.y/z"
    assert listed["kind"] == "EventList"
    assert [item["note"] for item in listed["items"]] == ["what happened"]


async def test_a_patch_through_the_newer_group_uses_its_names() -> None:
    async with Client() as client:
        await client.send("POST", CORE, core())
        media = "application/merge-patch+json"
        done = await client.send("PATCH", f"{NEW}/one", {"note": "more"}, media)
        assert (done.status, done.body["note"]) == (200, "more")
        assert (await client.send("GET", f"{CORE}/one")).body["message"] == "more"


@pytest.mark.parametrize("field", ["eventTime", "reportingController", "action", "reason"])
async def test_the_newer_group_asks_for_more(field: str) -> None:
    async with Client() as client:
        answer = await client.send("POST", NEW, newer(**{field: None}))
    assert answer.status == 422
    assert [cause["field"] for cause in answer.body["details"]["causes"]] == [field]


async def test_an_event_lies_where_its_object_is() -> None:
    async with Client() as client:
        other = {**PVC, "namespace": "elsewhere"}
        answer = await client.send("POST", CORE, core(involvedObject=other))
    assert answer.status == 422
    assert answer.body["details"]["causes"][0]["field"] == "involvedObject.namespace"


async def test_the_newer_group_selects_by_what_an_event_is_about() -> None:
    async with Client() as client:
        await client.send("POST", CORE, core())
        for query, count in (("regarding.name=data", 1), ("regarding.name=other", 0)):
            found = await client.send("GET", f"{NEW}?fieldSelector={query}")
            assert len(found.body["items"]) == count


@pytest.mark.parametrize(
    "query",
    [
        *(f"involvedObject.{part}={value}" for part, value in {**PVC, "fieldPath": ""}.items()),
        "involvedObject.apiVersion=",
        "involvedObject.resourceVersion=",
        "reason=Told",
        "type=Normal",
        "source=teller",
        "reportingComponent=",
        "metadata.name=one",
        "metadata.namespace=default",
    ],
)
async def test_events_are_selected_by_each_field_that_kubernetes_knows(query: str) -> None:
    async with Client() as client:
        await client.send("POST", CORE, core(source={"component": "teller"}))
        await client.send("POST", NEW, newer(regarding={**PVC, "name": "other"}))
        other = {"metadata": {"name": "three"}, "type": "Warning", "reason": "Else"}
        about = {"kind": "Pod", "namespace": "default", "fieldPath": "spec.containers{a}"}
        more = {"uid": "v", "name": "p", "apiVersion": "v1", "resourceVersion": "7"}
        told = {"source": {"component": "x"}, "reportingComponent": "x"}
        made = {**other, **told, "involvedObject": about | more}
        assert (await client.send("POST", CORE, made)).status == 201
        found = (await client.send("GET", f"{CORE}?fieldSelector={query}")).body["items"]
        names = [one["metadata"]["name"] for one in found]
        excluded = query.replace("=", "!=", 1)
        others = (await client.send("GET", f"{CORE}?fieldSelector={excluded}")).body["items"]
    assert "one" in names
    assert ("three" in names) == ("namespace" in query)
    assert {"one", "two", "three"} == {*names, *(one["metadata"]["name"] for one in others)}
    assert not {*names} & {one["metadata"]["name"] for one in others}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (CORE, "source=x.y/z"),
        (CORE, "reportingComponent=x.y/z"),
        (NEW, "reportingController=x.y/z"),
    ],
)
async def test_who_reports_an_event_of_the_newer_form_is_its_source(path: str, query: str) -> None:
    async with Client() as client:
        await client.send("POST", CORE, core())
        await client.send("POST", NEW, newer())
        found = (await client.send("GET", f"{path}?fieldSelector={query}")).body["items"]
    assert [one["metadata"]["name"] for one in found] == ["two"]


async def test_a_series_is_counted_in_both_groups() -> None:
    series = {"count": 5, "lastObservedTime": "2026-01-01T00:10:00.000000Z"}
    media = "application/strategic-merge-patch+json"
    async with Client() as client:
        await client.send("POST", NEW, newer())
        done = await client.send("PATCH", f"{NEW}/two", {"series": series}, media)
        assert (done.status, done.body["series"]) == (200, series)
        assert (await client.send("GET", f"{CORE}/two")).body["series"] == series


async def test_owners_that_the_newer_group_is_told_of_are_not_stored() -> None:
    """They would be read as those of the core group's fields."""
    async with Client() as client:
        metadata = {"name": "two", "managedFields": [{"manager": "me", "operation": "Apply"}]}
        await client.send("POST", NEW, newer(metadata=metadata))
        assert "managedFields" not in (await client.send("GET", f"{CORE}/two")).body["metadata"]
        media = "application/merge-patch+json"
        await client.send("PATCH", f"{CORE}/two", {"message": "more"}, media)
        await client.send("PATCH", f"{NEW}/two", {"metadata": {"managedFields": [{}]}}, media)
        done = await client.send("PATCH", f"{CORE}/two", {"message": "again"}, media)
    assert (done.status, done.body["message"]) == (200, "again")
