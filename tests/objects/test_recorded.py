"""Patches of generated documents, and those that `kubectl apply` makes, beside kubectl's results.

tools/record_kubectl.py records them.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.objects.kind import Doc, Kind
from mooring.objects.kinds.registry import ALL_KINDS
from tests.objects.kubectl_merges import CLIENT_KINDS, decoded, patched

LEAST = 5  # cases
DATA = Path(__file__).parent / "data"
RECORDED = [
    case
    for name in ("patches-recorded.json", "applies-recorded.json")
    for case in json.loads((DATA / name).read_text())
]


def different(kind: Kind, recorded: list[Doc]) -> Iterator[Doc]:
    for case in recorded:
        if (case["doc"]["apiVersion"], case["doc"]["kind"]) == (kind.api_version, kind.kind):
            expected = case["result"] and decoded(kind, case["result"])
            found = patched(kind, case["doc"], case["form"], case["patch"])
            if found != expected:
                yield {**case, "result": expected, "found": found}


def test_kubectl_made_something_of_cases_of_each_kind() -> None:
    docs = [case["doc"] for case in RECORDED if case["result"] is not None]
    made = Counter((doc["apiVersion"], doc["kind"]) for doc in docs)
    few = [kind for kind in CLIENT_KINDS if made[kind.api_version, kind.kind] < LEAST]
    assert few == []


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.resource)
def test_patches_make_what_kubectl_makes_of_them(kind: Kind) -> None:
    assert list(different(kind, RECORDED)) == []
