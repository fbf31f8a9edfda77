"""Server-side apply as its documentation tells it, by the schemas of the kinds that are served."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mooring.objects.errors import ApplyConflict
from mooring.objects.fieldsets import paths
from mooring.objects.kind import Doc, Kind
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.schema import SCHEMAS
from tests.objects.test_apply import Thing

CASES = yaml.safe_load((Path(__file__).parent / "data/apply-cases.yaml").read_text())
KINDS = {kind.kind: kind for kind in ALL_KINDS}


def take(thing: Thing, step: Doc) -> None:
    ((how, what),) = step.items()
    if how == "update":
        thing.patch(what["by"], **what["patch"])
    elif how == "apply":
        thing.apply(what["by"], force=what.get("force", False), **what["doc"])
    else:
        with pytest.raises(ApplyConflict) as caught:
            thing.apply(what["by"], **what["doc"])
        assert [cause.field for cause in caught.value.causes] == what["with"]


def at(doc: Any, place: str) -> Any:
    for name in place.split("."):
        doc = doc.get(name, {})
    return doc


@pytest.mark.parametrize("case", [pytest.param(case, id=case["what"]) for case in CASES])
def test_applies_and_updates_one_after_the_other(case: Doc) -> None:
    kind: Kind = KINDS[case["kind"]]
    thing = Thing(kind=kind, node=SCHEMAS.node(kind))
    for step in case["steps"]:
        take(thing, step)
    assert {place: at(thing.doc, place) for place in case["then"]} == case["then"]
    owners = {entry["manager"]: sorted(paths(entry["fieldsV1"])) for entry in thing.entries}
    assert owners == {name: sorted(fields) for name, fields in case["owners"].items()}
