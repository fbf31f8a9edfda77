"""Strategic merge patches, compared with what kubectl makes of them."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.objects.patches import BadPatch, PatchRefused
from mooring.objects.strategic import strategic_patched
from tests.objects.nodes import CLAIM, KINDS, POD

RECORDED = json.loads((Path(__file__).parent / "data/strategic-recorded.json").read_text())
DIRECTIVES = ["$patch", "$retainKeys", "$setElementOrder/finalizers"]
DIRECTIVES += ["$deleteFromPrimitiveList/finalizers", "$setElementOrder/conditions"]
NAMES = ["metadata", "spec", "status", "finalizers", "conditions", "type", "labels", "volumes"]
LEAVES = st.sampled_from([None, True, 1, 1.5, "a", "b", "delete", "replace", "merge"])
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(NAMES + DIRECTIVES), inner, max_size=3),
    ),
    max_leaves=12,
)


def without_directives(value: Any) -> Any:
    """kubectl leaves some directives in values that are new; the server drops them later."""
    if isinstance(value, dict):
        return {k: without_directives(v) for k, v in value.items() if not k.startswith("$")}
    return [without_directives(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("case", [pytest.param(case, id=case["what"]) for case in RECORDED])
def test_a_patch_makes_what_kubernetes_makes_of_it(case: dict[str, Any]) -> None:
    doc, patch = case["doc"], case["patch"]
    before = json.dumps([doc, patch])
    if case["result"] is None:
        with pytest.raises((BadPatch, PatchRefused)):
            strategic_patched(doc, patch, KINDS[doc["kind"]])
    else:
        patched = strategic_patched(doc, patch, KINDS[doc["kind"]])
        assert patched == without_directives(case["result"])
    assert json.dumps([doc, patch]) == before, "the inputs were changed"


def test_without_a_schema_maps_are_merged_and_lists_replaced() -> None:
    doc = {"spec": {"a": 1, "list": [{"name": "x"}]}}
    patched = strategic_patched(doc, {"spec": {"b": 2, "list": [{"name": "y"}]}}, None)
    assert patched == {"spec": {"a": 1, "b": 2, "list": [{"name": "y"}]}}


def test_values_of_a_patch_are_not_shared_with_the_document() -> None:
    patch = {"spec": {"selector": {"matchLabels": {"a": "b"}}}}
    patched = strategic_patched({"spec": {}}, patch, CLAIM)
    patched["spec"]["selector"]["matchLabels"]["a"] = "c"
    assert patch == {"spec": {"selector": {"matchLabels": {"a": "b"}}}}


def test_a_directive_in_a_new_element_makes_no_element_of_its_own() -> None:
    """Kubernetes leaves an element that has only a name: a deletion would make something."""
    doc = {"spec": {"containers": [{"name": "web"}]}}
    env = [{"$patch": "delete", "name": "A"}, {"name": "B", "value": "b"}]
    patch = {"spec": {"containers": [{"name": "new", "env": env}]}}
    new = {"name": "new", "env": [{"name": "B", "value": "b"}]}
    assert strategic_patched(doc, patch, POD)["spec"]["containers"] == [new, {"name": "web"}]


def test_a_patch_that_is_no_object_is_refused() -> None:
    with pytest.raises(BadPatch):
        strategic_patched({}, [], CLAIM)


def test_a_patch_nested_without_end_is_refused() -> None:
    patch: dict[str, Any] = {}
    for _ in range(100_000):
        patch = {"a": patch}
    with pytest.raises(BadPatch):
        strategic_patched({}, patch, None)
    while patch:  # taken apart, since freeing it at once overflows the stack too
        patch = patch.popitem()[1]


@given(doc=st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4), patch=JSON)
def test_any_patch_of_anything_is_merged_or_refused(doc: Any, patch: Any) -> None:
    before = json.dumps([doc, patch])
    for node in (CLAIM, POD):
        with suppress(BadPatch, PatchRefused):
            assert isinstance(strategic_patched(doc, patch, node), dict)
    assert json.dumps([doc, patch]) == before
