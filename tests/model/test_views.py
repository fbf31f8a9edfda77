"""Claims and volumes as they are seen: from stored bytes, with what is left out filled in."""

import json

import pytest

from mooring.model.claim import Claim
from mooring.model.decoding import ViewDecoder
from mooring.model.metadata import View
from mooring.model.names import STORAGE_CLASS_BETA, Phase
from mooring.model.volume import Volume
from tests.rules.making import LONG_AGO, NOW, a_claim, a_volume, pointer


def seen(type_: type[View], doc: dict) -> View:
    return ViewDecoder(type_).decode(json.dumps(doc).encode())


@pytest.mark.rule("1.2.35", "1.2.36", "2.11")
@pytest.mark.parametrize(
    ("annotation", "spec", "effective", "said"),
    [
        (None, None, "", False),
        (None, "", "", True),
        (None, "c", "c", True),
        ("a", None, "a", True),
        ("a", "c", "a", True),
        ("", "c", "", True),
    ],
)
def test_the_class_of_a_claim_is_the_annotation_if_there_else_the_spec(
    annotation: str | None, spec: str | None, effective: str, said: bool
) -> None:
    annotations = {} if annotation is None else {STORAGE_CLASS_BETA: annotation}
    claim = a_claim(class_=spec, annotations=annotations)
    assert (claim.class_name, claim.has_class) == (effective, said)


@pytest.mark.rule("1.2.35", "2.11")
def test_the_class_of_a_volume_is_the_annotation_if_there_else_the_spec() -> None:
    assert a_volume(class_="c").class_name == "c"
    assert a_volume(class_="c", annotations={STORAGE_CLASS_BETA: ""}).class_name == ""


@pytest.mark.parametrize("nothing", [{}, {"spec": None, "status": None}])
def test_a_null_means_the_same_as_an_absent_field(nothing: dict) -> None:
    claim = seen(Claim, {"metadata": {"name": "db", "labels": None}, **nothing})
    assert claim == Claim(metadata=claim.metadata)
    assert claim.metadata.labels == {}


def test_what_is_left_out_has_its_default() -> None:
    claim, volume = seen(Claim, {}), seen(Volume, {})
    assert claim.volume_mode == volume.volume_mode == "Filesystem"
    assert claim.request.nanos == volume.capacity.nanos == 0
    assert claim.modes == volume.modes == frozenset()
    assert volume.reclaim_policy == "Retain"
    assert (volume.source_name, volume.driver, volume.handle, volume.pool) == ("", "", "", "")


def test_fields_that_the_view_does_not_name_are_skipped() -> None:
    doc = {"metadata": {"name": "v", "x": 1}, "spec": {"csi": {"driver": "d", "y": []}}, "z": {}}
    volume = seen(Volume, doc)
    assert (volume.name, volume.driver, volume.source_name) == ("v", "d", "csi")


@pytest.mark.rule("20.4")
def test_sizes_may_be_json_numbers() -> None:
    claim = seen(Claim, {"spec": {"resources": {"requests": {"storage": 1024}}}})
    assert claim.request.bytes() == 1024


POINTING = {
    "its name and uid": (pointer(uid="uid-db"), True),
    "its name alone": (pointer(), True),
    "another uid": (pointer(uid="uid-old"), False),
    "another name": (pointer("web", uid="uid-db"), False),
    "nothing": (None, False),
}


@pytest.mark.parametrize(("ref", "means_it"), POINTING.values(), ids=POINTING)
def test_a_volume_points_at_a_claim_by_namespace_and_name_and_uid_if_any(ref, means_it) -> None:
    assert a_volume(claim=ref).points_at(a_claim()) is means_it


def test_a_volume_in_a_new_phase_says_since_when() -> None:
    volume = a_volume(phase=Phase.RELEASED)
    failed = volume.in_phase(Phase.FAILED, NOW, "no")
    assert (failed.status.message, failed.status.last_phase_transition_time) == ("no", NOW)
    free = failed.in_phase(Phase.AVAILABLE, NOW)
    assert free.status.message == ""
    assert volume.in_phase(Phase.RELEASED, NOW) is volume
    assert volume.status.last_phase_transition_time == LONG_AGO


def test_a_change_that_changes_nothing_is_the_same_view() -> None:
    volume = a_volume(annotations={"a": "1"}).with_finalizer("f")
    assert volume.annotated(a="1") is volume
    assert volume.without_annotations("b") is volume
    assert volume.with_finalizer("f") is volume
    assert volume.without_finalizer("g") is volume
    assert a_claim(volume="v1").with_volume(a_volume("v1")).volume_name == "v1"
