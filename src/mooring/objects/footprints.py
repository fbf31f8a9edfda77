"""Which fields a document sets, and which ones differ between two documents.

Both follow the schema: an atomic map or list is one field, the elements of other lists are told
apart by value or by keys. Where there is no schema, maps have fields and lists are atomic.
"""

from collections.abc import Mapping
from typing import Any, Final

from mooring.objects.fieldsets import SELF, Fields, by_keys, by_value, with_self
from mooring.objects.kind import Doc
from mooring.objects.node import Node, child

# Keys of list elements that Kubernetes' schemas give a default.
KEY_DEFAULTS: Final = {"protocol": "TCP"}
LEAF: Final[Fields] = {}  # nothing below; shared, since sets are never changed in place
NO_FIELDS: Final[Mapping[str, Node]] = {}
UNOWNED: Final = frozenset(("apiVersion", "kind"))
# Fields of metadata that the server alone decides.
UNOWNED_METADATA: Final = frozenset(
    (
        *("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"),
        *("selfLink", "clusterName", "managedFields"),
    )
)


class BadElements(ValueError):
    """Elements of a list cannot be told apart. `path` of the list, as messages name it."""

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path}: {why}")


def is_atomic(value: Any, node: Node | None) -> bool:
    """Whether a value has one owner as a whole."""
    if type(value) is dict:
        return node is not None and node.map_type == "atomic"
    if type(value) is list:
        return node is None or node.list_type not in ("set", "map")
    return True


def step_of(item: Any, node: Node) -> str:
    """The step to an element of a list that is not atomic; as good as it goes, never fails."""
    if node.list_type == "set" or type(item) is not dict:
        return by_value(item)
    keys = {}
    for name in node.list_keys:
        value = item.get(name)
        if value is None:
            value = KEY_DEFAULTS.get(name)
        if value is not None:
            keys[name] = value
    return by_keys(keys)


def steps(items: list[Any], node: Node) -> dict[str, Any]:
    """{step: element}, the last of each step."""
    return {step_of(item, node): item for item in items}


def applied(doc: Doc, node: Node | None) -> Fields:
    """The fields that a client names by applying this document. Raises BadElements."""
    return _owned_metadata(_applied_map(doc, node, ""))


def _applied_map(doc: Doc, node: Node | None, path: str) -> Fields:
    fields: Fields = {}
    named = node.fields if node is not None else {}
    for name, item in doc.items():
        if not path and name in UNOWNED:
            continue
        below = _applied(item, child(node, name), f"{path}.{name}")
        if name not in named:
            fields[f"f:{name}"] = with_self(below or {})
        elif below is not None:
            fields[f"f:{name}"] = below
    return fields


def _applied(value: Any, node: Node | None, path: str) -> Fields | None:
    if value is None:
        return None
    if is_atomic(value, node):
        return {}
    if type(value) is dict:
        fields = _applied_map(value, node, path)
        return fields if fields or not value else None
    if not value or node is None:
        return None
    below: Fields = {}
    for step, item in checked_steps(value, node, path).items():
        inner = _applied(item, node.items, path) if type(item) is dict else None
        below[step] = with_self(inner or {})
    return below


def checked_steps(items: list[Any], node: Node, path: str) -> dict[str, Any]:
    """{step: element}. Raises BadElements for keys that are missing and for duplicates."""
    found: dict[str, Any] = {}
    for item in items:
        if node.list_type == "map":
            _refuse_keyless(item, node, path)
        elif isinstance(item, dict | list):
            raise BadElements(path, "an element of a set is a plain value")
        step = step_of(item, node)
        if step in found:
            what = "keys" if node.list_type == "map" else "value"
            raise BadElements(path, f"duplicate entries for {what} [{step[2:]}]")
        found[step] = item
    return found


def _refuse_keyless(item: Any, node: Node, path: str) -> None:
    if not isinstance(item, dict):
        raise BadElements(path, "an element of an associative list is an object")
    for name in node.list_keys:
        if item.get(name) is None and name not in KEY_DEFAULTS:
            why = f'associative list with keys has an element that omits key field "{name}"'
            raise BadElements(path, f"{why} (and doesn't have default value)")


def created(doc: Doc, node: Node | None, reset: frozenset[str] = frozenset()) -> Fields:
    """The fields of an object that is new; `reset` names top-level fields that are left out."""
    fields: Fields = {}
    for name, item in doc.items():
        if item is None or name in UNOWNED or name in reset:
            continue
        sub = child(node, name)
        if name == "metadata" and type(item) is dict:
            item = {key: one for key, one in item.items() if key not in UNOWNED_METADATA}
        below = everything(item, sub)
        # metadata, spec and status are there from the start: they are no fields of their own.
        if below and _is_part(item, sub):
            del below[SELF]
        if below or name != "metadata":
            fields["f:" + name] = below
    return fields


def changes(
    old: Doc, new: Doc, node: Node | None, reset: frozenset[str] = frozenset()
) -> tuple[Fields, Fields]:
    """Fields of `new` that `old` has not or has otherwise; and fields that only `old` has.

    reset   names of top-level fields that are left out
    """
    put: Fields = {}
    gone: Fields = {}
    for name in (*new, *(old.keys() - new.keys())):
        if name in UNOWNED or name in reset:
            continue
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        sub, step = child(node, name), f"f:{name}"
        if _is_part(before, sub) and _is_part(after, sub):
            added: Fields = {}
            removed: Fields = {}
            _compare_maps(before or {}, after or {}, sub, added, removed)
            if added:
                put[step] = added
            if removed:
                gone[step] = removed
        else:
            _compare(before, after, sub, step, put, gone)
    return _owned_metadata(put), _owned_metadata(gone)


def _is_part(value: Any, node: Node | None) -> bool:
    if node is not None and not (node.fields and node.map_type == "granular"):
        return False
    return value is None or type(value) is dict


def _compare_maps(old: Doc, new: Doc, node: Node | None, put: Fields, gone: Fields) -> None:
    for name, after in new.items():
        before = old.get(name)
        if before is None:
            if type(after) is dict or type(after) is list:
                put["f:" + name] = everything(after, child(node, name))
            elif after is not None:
                put["f:" + name] = LEAF
        elif before != after:
            _compare(before, after, child(node, name), f"f:{name}", put, gone)
    for name, before in old.items():
        if before is not None and name not in new:
            gone[f"f:{name}"] = everything(before, child(node, name))


def _compare(
    before: Any, after: Any, node: Node | None, step: str, put: Fields, gone: Fields
) -> None:
    """Two values that differ; None is no value."""
    if before is None:
        put[step] = everything(after, node)
        return
    if after is None:
        gone[step] = everything(before, node)
        return
    if type(before) is not type(after) or is_atomic(after, node):
        put[step] = {}
        return
    added: Fields = {}
    removed: Fields = {}
    if type(after) is dict:
        _compare_maps(before, after, node, added, removed)
    elif node is not None:
        _compare_lists(before, after, node, added, removed)
    if added:
        put[step] = added
    if removed:
        gone[step] = removed


def _compare_lists(
    before: list[Any], after: list[Any], node: Node, put: Fields, gone: Fields
) -> None:
    old, new = steps(before, node), steps(after, node)
    for step, item in new.items():
        if step not in old:
            put[step] = everything(item, node.items)
        elif old[step] != item:
            _compare(old[step], item, node.items, step, put, gone)
    for step, item in old.items():
        if step not in new:
            gone[step] = everything(item, node.items)


def everything(value: Any, node: Node | None) -> Fields:
    """A value itself and all below it."""
    if type(value) is dict:
        return _all_of_map(value, node)
    if node is None or is_atomic(value, node):
        return LEAF
    below: Fields = {SELF: LEAF}
    for item in value:
        below[step_of(item, node)] = everything(item, node.items)
    return below if len(below) > 1 else LEAF


def _all_of_map(value: Doc, node: Node | None) -> Fields:
    """Of each new object in its whole: written for speed."""
    if node is None:
        fields, values = NO_FIELDS, None
    elif node.map_type == "atomic":
        return LEAF
    else:
        fields, values = node.fields, node.values
    below: Fields = {SELF: LEAF}
    for name, item in value.items():
        if type(item) is dict or type(item) is list:
            below["f:" + name] = everything(item, fields.get(name) or values)
        elif item is not None:
            below["f:" + name] = LEAF
    return below if len(below) > 1 else LEAF


def _owned_metadata(fields: Fields) -> Fields:
    metadata = fields.get("f:metadata")
    if metadata:
        left = {step: below for step, below in metadata.items() if step[2:] not in UNOWNED_METADATA}
        if left:
            fields["f:metadata"] = left
        else:
            del fields["f:metadata"]
    return fields
