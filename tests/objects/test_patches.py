"""JSON patch and JSON merge patch, with the limits of kube-apiserver."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.objects.patches import (
    MAX_OPERATIONS,
    BadPatch,
    PatchRefused,
    PatchTooLarge,
    json_patched,
    merge_patched,
)

DOC = {"metadata": {"name": "db", "finalizers": ["a", "b"]}, "spec": {"size": 1, "on": True}}
POINTERS = ["", "/", "/spec", "/spec/size", "/spec/new", "/spec/new/x", "/metadata/finalizers/0"]
POINTERS += ["/metadata/finalizers/-", "/metadata/finalizers/9", "/metadata/name/x", "bad", "/~2"]
LEAVES = st.sampled_from([None, True, 1, 1.5, "a", "/spec"])
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["spec", "metadata", "size", "x"]), inner, max_size=3),
    ),
    max_leaves=8,
)
OPERATION = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x", None]),
        "path": st.one_of(st.sampled_from(POINTERS), LEAVES),
        "from": st.one_of(st.sampled_from(POINTERS), LEAVES),
        "value": JSON,
    },
)


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "replace", "path": "/spec/size", "value": 2}], {"size": 2, "on": True}),
        ([{"op": "add", "path": "/spec/new", "value": {"x": 1}}], DOC["spec"] | {"new": {"x": 1}}),
        ([{"op": "remove", "path": "/spec/on"}], {"size": 1}),
        ([{"op": "copy", "from": "/spec/on", "path": "/spec/x"}], DOC["spec"] | {"x": True}),
        ([{"op": "move", "from": "/spec/on", "path": "/spec/x"}], {"size": 1, "x": True}),
        ([{"op": "test", "path": "/spec/size", "value": 1}], DOC["spec"]),
        ([{"op": "test", "path": "/spec/gone", "value": None}], DOC["spec"]),
        ([], DOC["spec"]),
        # What Kubernetes takes beyond the RFC.
        ([{"op": "replace", "path": "/spec/new", "value": 1}], DOC["spec"] | {"new": 1}),
        ([{"op": "replace", "path": "/spec/size"}], {"size": None, "on": True}),
        ([{"op": "copy", "from": "/spec/gone", "path": "/spec/on"}], {"size": 1, "on": None}),
    ],
)
def test_operations_change_the_document(operations: Any, expected: Any) -> None:
    assert json_patched(DOC, operations)["spec"] == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/spec/size", "value": 2},
        {"op": "test", "path": "/spec/on", "value": 1},
        {"op": "test", "path": "/spec/gone", "value": 1},
        {"op": "test", "path": "/gone/gone", "value": None},
        {"op": "remove", "path": "/spec/gone"},
        {"op": "replace", "path": "/gone/gone", "value": 1},
        {"op": "replace", "path": "/metadata/finalizers/-", "value": 1},
        {"op": "move", "from": "/spec/gone", "path": "/spec/on"},
        {"op": "copy", "from": "/metadata/finalizers/9", "path": "/spec/on"},
        {"op": "test", "path": "/spec/size"},
        {"op": "x", "path": "/spec"},
        {"path": "/spec"},
        {"op": "remove"},
        {"op": "remove", "path": 1},
        {"op": "remove", "path": "spec"},
        {"op": "add", "path": "/gone/x", "value": 1},
        {"op": "add", "path": "/metadata/finalizers/9", "value": 1},
        {"op": "replace", "path": "", "value": [1]},
    ],
)
def test_an_operation_that_does_not_fit_is_refused(operation: Any) -> None:
    with pytest.raises(PatchRefused) as caught:
        json_patched(DOC, [operation])
    assert caught.value.code == "Invalid"


@pytest.mark.parametrize(
    ("index", "added", "replaced"),
    [
        *[("0", "xab", "xb"), ("1", "axb", "ax"), ("-1", "abx", "ax"), ("-2", "axb", "xb")],
        *[("+1", "axb", "ax"), ("01", "axb", "ax"), ("2", "abx", None), ("-3", "xab", None)],
        *[("-", "abx", None), ("3", None, None), ("-4", None, None), ("1_0", None, None)],
    ],
)
def test_an_index_is_taken_as_kubernetes_takes_it(
    index: str, added: str | None, replaced: str | None
) -> None:
    for op, expected in (("add", added), ("replace", replaced)):
        operation = {"op": op, "path": f"/metadata/finalizers/{index}", "value": "x"}
        if expected is None:
            with pytest.raises(PatchRefused):
                json_patched(DOC, [operation])
        else:
            assert json_patched(DOC, [operation])["metadata"]["finalizers"] == list(expected)


@pytest.mark.parametrize("operations", [{}, [1], "x"])
def test_what_is_no_json_patch_is_a_bad_request(operations: Any) -> None:
    with pytest.raises(BadPatch) as caught:
        json_patched(DOC, operations)
    assert caught.value.code == "BadRequest"


def test_too_many_operations_are_too_large() -> None:
    test = {"op": "test", "path": "/spec/size", "value": 1}
    with pytest.raises(PatchTooLarge, match="is 10000, got 10001"):
        json_patched(DOC, [test] * (MAX_OPERATIONS + 1))


def test_copies_cannot_multiply_a_document_without_end() -> None:
    double = {"op": "copy", "from": "/spec", "path": "/spec/again"}
    with pytest.raises(PatchRefused, match="copies"):
        json_patched(DOC, [double, {"op": "copy", "from": "/spec", "path": "/spec/more"}] * 40)


def test_an_operation_that_reaches_into_an_earlier_one_leaves_the_patch_alone() -> None:
    operations = [
        {"op": "add", "path": "/spec/new", "value": {}},
        {"op": "add", "path": "/spec/new/x", "value": 1},
    ]
    assert json_patched(DOC, operations) == json_patched(DOC, operations)
    assert operations[0]["value"] == {}


def test_a_merge_patch_sets_removes_and_replaces() -> None:
    patch = {"metadata": {"name": None, "finalizers": ["c"]}, "spec": {"new": {"x": None, "y": 1}}}
    assert merge_patched(DOC, patch) == {
        "metadata": {"finalizers": ["c"]},
        "spec": {"size": 1, "on": True, "new": {"y": 1}},
    }


def test_a_merge_patch_is_an_object() -> None:
    with pytest.raises(BadPatch):
        merge_patched(DOC, ["a"])


def test_a_patch_nested_without_end_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(BadPatch):
        merge_patched(DOC, deep)
    with pytest.raises(BadPatch):
        json_patched(DOC, [{"op": "add", "path": "/spec/x", "value": deep}])
    while deep:  # taken apart, since freeing it at once overflows the stack too
        deep = deep.popitem()[1]


@given(operations=st.lists(OPERATION, max_size=4))
def test_any_operations_are_applied_or_refused(operations: Any) -> None:
    before = json.dumps([DOC, operations])
    with suppress(BadPatch, PatchRefused, PatchTooLarge):
        assert isinstance(json_patched(DOC, operations), dict)
    assert json.dumps([DOC, operations]) == before


@given(doc=st.dictionaries(st.text(max_size=2), JSON), patch=JSON)
def test_any_merge_patch_is_merged_or_refused(doc: Any, patch: Any) -> None:
    before = json.dumps([doc, patch])
    try:
        assert isinstance(merge_patched(doc, patch), dict)
    except BadPatch:
        assert not isinstance(patch, dict)
    assert json.dumps([doc, patch]) == before
