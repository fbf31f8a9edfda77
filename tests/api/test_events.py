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


MERGE = "application/merge-patch+json"


@pytest.mark.parametrize(
    ("patch", "fields"),
    [
        ({"note": "more"}, ["message"]),
        ({"type": "Warning", "reason": "Else"}, ["reason", "type"]),
        ({"reportingController": "a.b/c"}, ["reportingController"]),
        ({"deprecatedCount": 2}, ["count"]),
        ({"regarding": {"name": "other"}}, ["involvedObject"]),
        ({"series": {"count": 1}}, ["series.count", "series.lastObservedTime"]),
        ({"metadata": {"labels": {"a": "b"}}}, []),
    ],
)
async def test_through_the_newer_group_only_the_series_of_an_event_changes(
    patch: dict[str, Any], fields: list[str]
) -> None:
    async with Client() as client:
        await client.send("POST", NEW, newer())
        done = await client.send("PATCH", f"{NEW}/two", patch, MERGE)
    causes = (done.body.get("details") or {}).get("causes") or ()
    assert (done.status, [one["field"] for one in causes]) == (422 if fields else 200, fields)


@pytest.mark.parametrize("name", ["data.", "Foo_Bar.x", "foo.bar:", "a" * 300])
async def test_a_name_may_be_anything_that_a_path_can_hold(name: str) -> None:
    async with Client() as client:
        assert (await client.send("POST", CORE, core(metadata={"name": name}))).status == 201
        for path, patch in ((CORE, {"count": 3}), (NEW, {"metadata": {"labels": {"a": "b"}}})):
            done = await client.send("PATCH", f"{path}/{name}", patch, MERGE)
            assert (done.status, done.body["metadata"]["name"]) == (200, name)
        generated = await client.send("POST", CORE, core(metadata={"generateName": name}))
        refused = await client.send("POST", NEW, newer(metadata={"name": name}))
    assert generated.body["metadata"]["name"].startswith(name[:58])
    assert [one["field"] for one in refused.body["details"]["causes"]] == ["metadata.name"]


@pytest.mark.parametrize(
    ("name", "wrong"), [("..", "may not be '..'"), ("a/b%", "may not contain '/'")]
)
async def test_a_name_that_no_path_can_hold_is_refused(name: str, wrong: str) -> None:
    async with Client() as client:
        answer = await client.send("POST", CORE, core(metadata={"name": name}))
    assert answer.status == 422
    assert answer.body["details"]["causes"][0]["message"] == f'Invalid value: "{name}": {wrong}'


async def test_through_the_core_group_it_is_written_anew() -> None:
    async with Client() as client:
        await client.send("POST", CORE, core())
        done = await client.send("PATCH", f"{CORE}/one", {"message": "more", "count": 3}, MERGE)
        assert (done.status, done.body["count"]) == (200, 3)
        assert (await client.send("GET", f"{NEW}/one")).body["note"] == "more"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"eventTime": None}, "eventTime"),
        ({"reportingController": None}, "reportingController"),
        ({"reportingController": "a b"}, "reportingController"),
        ({"reportingInstance": "a" * 129}, "reportingInstance"),
        ({"action": None}, "action"),
        ({"reason": None}, "reason"),
        ({"note": "a" * 1025}, "message"),
        ({"type": "Error"}, "type"),
        ({"deprecatedCount": 1}, "count"),
        ({"deprecatedSource": {"component": "x"}}, "source"),
        ({"deprecatedFirstTimestamp": "2026-01-01T00:00:00Z"}, "firstTimestamp"),
        ({"series": {"count": 1, "lastObservedTime": "2026-01-01T00:00:00.0Z"}}, "series.count"),
    ],
)
async def test_the_newer_group_asks_for_more(fields: dict[str, Any], path: str) -> None:
    async with Client() as client:
        answer = await client.send("POST", NEW, newer(**fields))
    assert answer.status == 422
    assert [cause["field"] for cause in answer.body["details"]["causes"]] == [path]


@pytest.mark.parametrize(
    ("namespace", "about", "is_newer", "status"),
    [
        ("default", "default", False, 201),
        ("default", "elsewhere", False, 422),
        ("default", "", False, 201),
        ("kube-system", "", False, 422),
        ("kube-system", "", True, 201),
        ("default", "elsewhere", True, 201),
        ("elsewhere", "", True, 422),
    ],
)
async def test_an_event_lies_where_its_object_is(
    namespace: str, about: str, is_newer: bool, status: int
) -> None:
    async with Client() as client:
        await client.send("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        path = (NEW if is_newer else CORE).replace("default", namespace)
        regarding = {**PVC, "namespace": about}
        doc = newer(regarding=regarding) if is_newer else core(involvedObject=regarding)
        answer = await client.send("POST", path, doc)
    assert answer.status == status, answer.body
    if status == 422:
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
