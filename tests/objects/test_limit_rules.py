"""What quotas and limits of a namespace refuse. Storage semantics §16."""

from typing import Any

import pytest

from mooring.objects.admission import admitted_create
from mooring.objects.errors import BadObject, Invalid
from mooring.objects.kind import Doc
from mooring.objects.kinds import limits
from tests.objects.admitting import Nothing

NOW = "2026-01-01T00:00:00Z"


def quota(**spec: Any) -> Doc:
    doc = {"metadata": {"name": "q", "namespace": "default"}, "spec": spec}
    return admitted_create(limits.QUOTA, doc, Nothing(), NOW)


def fields(error: pytest.ExceptionInfo[Invalid]) -> list[str]:
    return [cause.field for cause in error.value.causes]


@pytest.mark.parametrize(
    ("hard", "field"),
    [
        ({"storage": "1"}, "spec.hard[storage]"),
        ({"requests.storage": "-1"}, "spec.hard[requests.storage]"),
        ({"persistentvolumeclaims": "500m"}, "spec.hard[persistentvolumeclaims]"),
        ({"count/persistentvolumeclaims": "1.5"}, "spec.hard[count/persistentvolumeclaims]"),
        ({"a b": "1"}, "spec.hard[a b]"),
    ],
)
def test_a_quota_names_what_it_limits_in_amounts_that_can_be(hard: Doc, field: str) -> None:
    with pytest.raises(Invalid) as error:
        quota(hard=hard)
    assert field in fields(error)


def test_an_amount_that_cannot_be_read_is_no_object() -> None:
    with pytest.raises(BadObject):
        quota(hard={"requests.storage": "ten"})


@pytest.mark.parametrize(
    ("one", "field"),
    [
        ({"scopeName": "Moon", "operator": "Exists"}, "scopeName"),
        ({"scopeName": "VolumeAttributesClass", "operator": "Is"}, "operator"),
        ({"scopeName": "VolumeAttributesClass", "operator": "In"}, "values"),
        (
            {"scopeName": "VolumeAttributesClass", "operator": "Exists", "values": ["a"]},
            "values",
        ),
    ],
)
def test_a_scope_can_be_told(one: Doc, field: str) -> None:
    with pytest.raises(Invalid) as error:
        quota(hard={}, scopeSelector={"matchExpressions": [one]})
    assert fields(error) == [f"spec.scopeSelector.matchExpressions[0].{field}"]


@pytest.mark.parametrize(
    ("limit", "field"),
    [
        ({"type": "PersistentVolumeClaim"}, "spec.limits[0]"),
        (
            {"type": "PersistentVolumeClaim", "min": {"storage": "2"}, "max": {"storage": "1"}},
            "spec.limits[0].min[storage]",
        ),
        (
            {"type": "PersistentVolumeClaim", "min": {"storage": "1"}, "default": {"storage": "1"}},
            "spec.limits[0].default",
        ),
        ({"type": "Moon", "max": {"storage": "1"}}, "spec.limits[0].type"),
    ],
)
def test_a_range_says_bounds_of_what_there_is(limit: Doc, field: str) -> None:
    doc = {"metadata": {"name": "r", "namespace": "default"}, "spec": {"limits": [limit]}}
    with pytest.raises(Invalid) as error:
        admitted_create(limits.RANGE, doc, Nothing(), NOW)
    assert fields(error) == [field]
