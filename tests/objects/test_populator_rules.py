"""What a VolumePopulator must say, and how it is printed. Storage semantics §18."""

import pytest

from mooring.objects.admission import admitted_create
from mooring.objects.errors import Invalid
from mooring.objects.kind import Doc, Printing
from mooring.objects.kinds import volumepopulator
from tests.objects.admitting import Nothing

NOW = "2026-01-01T00:00:00Z"


def made(**fields: Doc) -> Doc:
    doc = {"metadata": {"name": "p"}, **fields}
    return admitted_create(volumepopulator.KIND, doc, Nothing(), NOW)


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({}, ["sourceKind"]),
        ({"sourceKind": {}}, ["sourceKind.group", "sourceKind.kind"]),
        ({"sourceKind": {"group": ""}}, ["sourceKind.kind"]),
    ],
)
def test_it_says_group_and_kind(fields: Doc, missing: list[str]) -> None:
    with pytest.raises(Invalid) as error:
        made(**fields)
    assert [(one.field, one.reason) for one in error.value.causes] == [
        (field, "FieldValueRequired") for field in missing
    ]


def test_its_kind_is_printed_as_kubectl_prints_an_object() -> None:
    doc = made(sourceKind={"group": "hello.example.com", "kind": "Hello"})
    cells = [column.cell(doc, Printing(0)) for column in volumepopulator.KIND.columns]
    assert cells == ["p", '{"group":"hello.example.com","kind":"Hello"}']
