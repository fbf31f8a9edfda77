"""Patches of generated documents, and those that `kubectl apply` makes, beside kubectl's results.

Both are compared as they are once decoded: kube-apiserver drops what no struct has, directives
that were left over among it. tools/record_kubectl.py records them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.objects.kind import Doc, Kind
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.patches import BadPatch, PatchRefused, copied, json_patched, merge_patched
from mooring.objects.schema import SCHEMAS, Unfit
from mooring.objects.strategic import strategic_patched

DATA = Path(__file__).parent / "data"
RECORDED = [
    case
    for name in ("patches-recorded.json", "applies-recorded.json")
    for case in json.loads((DATA / name).read_text())
]


def patched(kind: Kind, doc: Doc, form: str, patch: Any) -> Doc | None:
    """What Mooring makes of it, and None if it refuses."""
    try:
        if form == "strategic":
            return decoded(kind, strategic_patched(doc, patch, SCHEMAS.node(kind)))
        return decoded(kind, (json_patched if form == "json" else merge_patched)(doc, patch))
    except (BadPatch, PatchRefused):
        return None


def decoded(kind: Kind, doc: Doc | None) -> Doc | None:
    """As the server would have it; None if it would refuse it."""
    mine = copied(doc)
    try:
        SCHEMAS.conform(kind, mine)
    except Unfit:
        return None
    return mine


def different(kind: Kind, recorded: list[Doc]) -> Iterator[Doc]:
    for case in recorded:
        if (case["doc"]["apiVersion"], case["doc"]["kind"]) == (kind.api_version, kind.kind):
            expected = case["result"] and decoded(kind, case["result"])
            found = patched(kind, case["doc"], case["form"], case["patch"])
            if found != expected:
                yield {**case, "result": expected, "found": found}


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.resource)
def test_patches_make_what_kubectl_makes_of_them(kind: Kind) -> None:
    assert list(different(kind, RECORDED)) == []
