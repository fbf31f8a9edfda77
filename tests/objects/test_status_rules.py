"""What is whose of a volume and a claim: the object's, or its status's. Storage semantics §1."""

from typing import Any

import pytest

from mooring.objects.admission import admitted_update
from mooring.objects.kind import Doc, Kind
from mooring.objects.kinds.volumeattributesclass import KIND as ATTRIBUTES_CLASS
from tests.objects.storage_making import (
    CLAIM,
    CLASS,
    NOW,
    VOLUME,
    World,
    changed,
    claim,
    made,
    volume,
    with_status,
)
from tests.spec.plugin import case

LATER, ANOTHER = "2026-02-02T00:00:00Z", "2020-01-01T00:00:00Z"
SINCE = "lastPhaseTransitionTime"


@pytest.mark.parametrize(
    ("kind", "short_name", "namespaced", "subresources"),
    [
        case("1.1.1", VOLUME, "pv", False, ["status"]),
        case("1.2.1", CLAIM, "pvc", True, ["status"]),
        case("1.3.1", CLASS, "sc", False, []),
        case("15.1", ATTRIBUTES_CLASS, "vac", False, []),
    ],
)
def test_1_kinds_have_kubernetes_names_and_places(
    kind: Kind, short_name: str, namespaced: bool, subresources: list[str]
) -> None:
    assert (kind.short_names, kind.namespaced) == ((short_name,), namespaced)
    assert list(kind.subresources) == subresources


FORGED: Doc = {"phase": "Bound", "message": "mine"}
BOTH = [
    (VOLUME, volume, {"persistentVolumeReclaimPolicy": "Delete"}),
    (CLAIM, claim, {"storageClassName": "other"}),
]


@pytest.mark.rule("1.1.37", "1.2.31")
@pytest.mark.parametrize(("kind", "doc", "_"), BOTH)
def test_1_a_new_object_is_pending_whatever_it_says(kind: Kind, doc: Any, _: Doc) -> None:
    status = made(kind, {**doc(), "status": dict(FORGED)})["status"]
    status.pop(SINCE, None)
    assert status == {"phase": "Pending"}


@pytest.mark.rule("1.1.38", "1.2.32")
@pytest.mark.parametrize(("kind", "doc", "change"), BOTH)
def test_1_a_write_of_the_object_leaves_its_status(kind: Kind, doc: Any, change: Doc) -> None:
    old = made(kind, doc())
    sent = {**changed(old, **change), "status": dict(FORGED)}
    new = admitted_update(kind, sent, old, World(), LATER)
    assert (new["status"], new["spec"]) == (old["status"], {**old["spec"], **change})
    bare = {key: value for key, value in changed(old, **change).items() if key != "status"}
    assert admitted_update(kind, bare, old, World(), LATER)["status"] == old["status"]


@pytest.mark.rule("1.1.39", "1.2.33")
@pytest.mark.parametrize(("kind", "doc", "change"), BOTH)
def test_1_a_write_of_the_status_leaves_the_spec(kind: Kind, doc: Any, change: Doc) -> None:
    old = made(kind, doc())
    new = with_status(kind, {**changed(old, **change), "status": dict(FORGED)}, old)
    assert new["spec"] == old["spec"]
    new["status"].pop(SINCE, None)
    assert new["status"] == FORGED


def since(phase: str, said: str | None, now: str = LATER) -> str:
    """When the phase is said to have begun, of a volume that is Pending since NOW."""
    old = made(VOLUME, volume())
    status = {"phase": phase} if said is None else {"phase": phase, SINCE: said}
    found: str = with_status(VOLUME, {**old, "status": status}, old, now)["status"][SINCE]
    return found


@pytest.mark.rule("1.1.42")
def test_1_1_a_volume_is_in_its_first_phase_since_it_was_made() -> None:
    assert made(VOLUME, volume())["status"][SINCE] == NOW


@pytest.mark.parametrize(
    ("phase", "said", "expected"),
    [
        case("1.1.43", "Available", None, LATER),
        case("1.1.43", "Available", NOW, LATER),  # sent back as it was read
        case("1.1.44", "Available", ANOTHER, ANOTHER),
        case("1.1.45", "Pending", None, NOW),
        case("1.1.45", "Pending", NOW, NOW),
        case("1.1.44", "Pending", ANOTHER, ANOTHER),
    ],
)
def test_1_1_the_time_of_a_change_of_phase_is_the_servers_unless_the_writer_gives_one(
    phase: str, said: str | None, expected: str
) -> None:
    assert since(phase, said) == expected
