"""Events as kubectl shows them: listed, of one object, described, again and again."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.system.conftest import Space
from tests.system.server import claim

pytestmark = pytest.mark.system

NEW = "/apis/events.k8s.io/v1/namespaces/{}/events"


def ago(hours: int, *, exact: bool = False) -> str:
    """So long ago that it is shown in whole hours, and will be for half an hour."""
    when = datetime.now(UTC) - timedelta(hours=hours, minutes=30)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if exact else "%Y-%m-%dT%H:%M:%SZ")


def about(kubectl: Space, name: str) -> dict[str, Any]:
    found = kubectl.get("pvc", name)
    uid = found["metadata"]["uid"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": kubectl.name,
        "name": name,
        "uid": uid,
    }


def post(kubectl: Space, event: dict[str, Any]) -> None:
    kubectl("create", "-f", "-", stdin=json.dumps(event))


def told_often(kubectl: Space) -> dict[str, Any]:
    """As recorders of the core group write it."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "often"},
        "involvedObject": about(kubectl, "data"),
        "type": "Warning",
        "reason": "Often",
        "message": "it was told three times",
        "source": {"component": "teller"},
        "firstTimestamp": ago(20),
        "lastTimestamp": ago(10),
        "count": 3,
    }


def told_in_a_series(kubectl: Space) -> dict[str, Any]:
    """As those of events.k8s.io do."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "series"},
        "regarding": about(kubectl, "data"),
        "type": "Normal",
        "reason": "Series",
        "action": "Tell",
        "note": "it was told in a series",
        "reportingController": "example.com/teller",
        "reportingInstance": "one",
        "eventTime": ago(20, exact=True),
        "series": {"count": 4, "lastObservedTime": ago(10, exact=True)},
    }


def test_how_often_an_event_was_told_and_when_is_shown(kubectl: Space) -> None:
    kubectl("create", "-f", "-", stdin=claim("data", class_="none") + claim("other", class_="none"))
    post(kubectl, told_often(kubectl))
    post(kubectl, told_in_a_series(kubectl))
    uid = about(kubectl, "data")["uid"]
    which = f"involvedObject.kind=PersistentVolumeClaim,involvedObject.uid={uid}"
    rows = {
        row.split()[2]: row.split()
        for row in kubectl("get", "events", "-o", "wide", "--field-selector", which).splitlines()
    }
    for reason, source, count in (("Often", "teller", "3"), ("Series", "example.com/teller,", "4")):
        assert rows[reason][0] == "10h"
        assert rows[reason][4] == source
        assert rows[reason][-2] == count
    described = kubectl("describe", "pvc", "data")
    assert "(x3 over 20h" in described
    assert "it was told in a series" in described
    assert "Often" not in kubectl("describe", "pvc", "other")
    if kubectl.is_old:
        return
    shown = kubectl("events", "--for", "pvc/data")
    assert "(x3 over 20h" in shown
    assert "(x4 over 20h" in shown
    assert "Often" not in kubectl.run("events", "--for", "pvc/other").stdout
    warned = kubectl("events", "--for", "pvc/data", "--types=Warning", "--no-headers")
    assert "Often" in warned
    assert "Series" not in warned


def test_events_are_watched_as_they_are_told(kubectl: Space) -> None:
    command = ("get", "events") if kubectl.is_old else ("events",)
    watching = kubectl.background(*command, "--watch", "--no-headers")
    try:
        kubectl("create", "-f", "-", stdin=claim("data", class_=""))
        assert watching.stdout is not None
        line = next(watching.stdout)
    finally:
        watching.kill()
        watching.wait()
    told = line.split()[1:4]
    assert told[:2] == ["Normal", "FailedBinding"]
    assert told[2].lower() == "persistentvolumeclaim/data"
