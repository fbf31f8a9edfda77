"""What holds after any sequence of applies and patches."""

from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.objects.fieldsets import Fields, difference, is_member, parsed, union
from mooring.objects.footprints import applied, is_atomic, steps
from mooring.objects.kind import Doc
from mooring.objects.node import Node, child
from mooring.objects.patches import copied
from tests.objects.nodes import POD
from tests.objects.test_apply import Thing, named

NAMES = st.sampled_from("abc")
VALUES = st.sampled_from(["1", "2"])
FREE = st.dictionaries(NAMES, VALUES, max_size=3)
ENV = st.lists(
    st.builds(lambda name, value: {"name": name, "value": value}, NAMES, VALUES),
    max_size=3,
    unique_by=lambda one: one["name"],
)
CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": NAMES}, optional={"image": VALUES, "env": ENV}),
    max_size=3,
    unique_by=lambda one: one["name"],
)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "labels": FREE,
                "finalizers": st.lists(NAMES, max_size=3, unique=True),
            },
        ),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "nodeName": VALUES,
                "containers": CONTAINERS,
                "tolerations": st.lists(st.fixed_dictionaries({"key": NAMES}), max_size=2),
            },
        ),
    },
)
MANAGERS = st.sampled_from(["left", "right"])
APPLIES = st.lists(st.tuples(MANAGERS, CONFIGS), min_size=1, max_size=5)


def below(fields: Fields, value: Any, node: Node | None) -> Iterator[tuple[Fields, Any, Any]]:
    """(fields, value, schema) one step further down; the value is None if there is none."""
    items: dict[str, tuple[Any, Node | None]] = {}
    if type(value) is dict:
        items = {f"f:{name}": (item, child(node, name)) for name, item in value.items()}
    elif type(value) is list and node is not None and not is_atomic(value, node):
        items = {step: (item, node.items) for step, item in steps(value, node).items()}
    for step, further in fields.items():
        if step != ".":
            yield further, *items.get(step, (None, None))


def dangling(fields: Fields, value: Any, node: Node | None) -> bool:
    """Whether something in the set is not in the document."""
    return any(
        (is_member(further) and item is None) or dangling(further, item, sub)
        for further, item, sub in below(fields, value, node)
    )


def without_empty(fields: Fields, value: Any, node: Node | None) -> Fields:
    """A set without what stands for an empty object: a part that lost all of its fields."""
    kept = {}
    for step, further in fields.items():
        ((_, item, sub),) = below({step: further}, value, node) if step != "." else ((0, 1, None),)
        left = without_empty(further, item, sub)
        if item not in ({}, []) and (left or not further):
            kept[step] = left
    return kept


@settings(max_examples=150, deadline=None)
@given(APPLIES)
def test_what_is_there_is_what_the_last_applies_named(applies: list[tuple[str, Doc]]) -> None:
    thing = Thing()
    thing.apply("base", metadata={"annotations": {"kept": "1"}})  # so that it is always tracked
    for manager, config in applies:
        thing.apply(manager, force=True, **copied(config))
        # All that was named is there, owned, and said again changes nothing.
        whole = named(copied(config))
        assert (thing.owned(manager) or {}) == applied(whole, POD)
        before = copied(thing.doc)
        thing.apply(manager, **copied(config))
        assert thing.doc == before
    owned: Fields = {}
    for entry in thing.entries:
        assert parsed(entry["fieldsV1"]) == entry["fieldsV1"]
        owned = union(owned, entry["fieldsV1"])
    assert not dangling(owned, thing.doc, POD)
    assert thing.doc is not None
    there = without_empty(applied(thing.doc, POD), thing.doc, POD)
    assert difference(there, owned) == {}


@settings(max_examples=150, deadline=None)
@given(CONFIGS, st.lists(st.tuples(MANAGERS, CONFIGS), max_size=4))
def test_a_field_has_one_updater_and_what_went_has_none(
    first: Doc, patches: list[tuple[str, Doc]]
) -> None:
    thing = Thing()
    thing.create("maker", **copied(first))
    for manager, patch in patches:
        thing.patch(manager, **copied(patch))
    for entry in thing.entries:
        assert not dangling(entry["fieldsV1"], thing.doc, POD)
    sets = [entry["fieldsV1"] for entry in thing.entries]
    for place, fields in enumerate(sets):
        for other in sets[place + 1 :]:
            assert difference(fields, other) is fields
