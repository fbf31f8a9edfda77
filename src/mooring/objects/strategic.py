"""Strategic merge patch: lists are merged by what the schema says tells their elements apart.

Directives a patch may hold:
  $patch: replace | delete          in a map, or in an element of a list
  $retainKeys: [names]              of all fields of the map only these stay
  $deleteFromPrimitiveList/f: [..]  takes plain values out of the list f
  $setElementOrder/f: [..]          the order of the list f afterwards
"""

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Any, Final

from mooring.objects.kind import Doc
from mooring.objects.node import Node, child
from mooring.objects.patches import BadPatch, PatchRefused, copied

PATCH: Final = "$patch"
RETAIN_KEYS: Final = "$retainKeys"
DELETE_FROM: Final = "$deleteFromPrimitiveList"
SET_ORDER: Final = "$setElementOrder"

Items = list[Any]


def strategic_patched(doc: Doc, patch: Any, node: Node | None) -> Doc:
    """The document after a strategic merge patch; neither is changed.

    node    the schema of the document
    raises  BadPatch, PatchRefused
    """
    if not isinstance(patch, dict):
        raise BadPatch("a strategic merge patch is an object")
    try:
        return _map(doc, patch, node)
    except RecursionError as error:
        raise BadPatch("the patch is nested too deeply") from error


def _map(original: Doc, patch: Doc, node: Node | None) -> Doc:
    if PATCH in patch:
        return _directed(patch)
    merged, changes = dict(original), dict(patch)
    if RETAIN_KEYS in changes:
        _retain(merged, changes)
    _order(merged, changes, node)
    # Values are taken out of a list before others are put in, whatever the patch names first.
    for key in sorted(changes, key=lambda key: not key.startswith(DELETE_FROM)):
        _field(merged, key, changes[key], node)
    return merged


def _directed(patch: Doc) -> Doc:
    if patch[PATCH] == "replace":
        return {key: copied(value) for key, value in patch.items() if key != PATCH}
    if patch[PATCH] == "delete":
        return {}
    raise BadPatch(f"unknown patch type: {patch[PATCH]!r} in map")


def _field(merged: Doc, key: str, value: Any, node: Node | None) -> None:
    """Merge one field of a patch into a map that is ours already."""
    deleting = key.startswith(DELETE_FROM)
    name = _directive_field(key, DELETE_FROM) if deleting else key
    if value is None:
        merged.pop(name, None)
        return
    old, sub = merged.get(name), child(node, name)
    if isinstance(old, dict) and isinstance(value, dict):
        replaced = "replace" in _strategies(sub)
        merged[name] = copied(value) if replaced else _map(old, value, sub)
    elif isinstance(old, list) and isinstance(value, list):
        merging = deleting or "merge" in _strategies(sub)
        merged[name] = _list(old, value, sub, deleting) if merging else copied(value)
    elif not deleting:
        _put(merged, name, value)


def _put(merged: Doc, name: str, value: Any) -> None:
    """A value where there was none of its type: directives in it have nothing to act upon."""
    new, kept = _undirected(value)
    if kept:
        merged[name] = new
    else:
        merged.pop(name, None)


def _undirected(value: Any) -> tuple[Any, bool]:
    """A copy without directives and nulls, and whether anything is left of it."""
    if isinstance(value, dict):
        if PATCH in value:
            return None, False
        fields: Doc = {}
        for key, item in value.items():
            if item is not None and not key.startswith("$"):
                new, kept = _undirected(item)
                if kept:
                    fields[key] = new
        return fields, True
    if isinstance(value, list):
        return [new for new, kept in map(_undirected, value) if kept], True
    return value, True


def _strategies(node: Node | None) -> Sequence[str]:
    return node.patch_strategy.split(",") if node is not None else ()


def _directive_field(key: str, prefix: str) -> str:
    """The field that a directive such as $setElementOrder/finalizers is about."""
    head, slash, name = key.partition("/")
    if head != prefix or not slash or not name:
        raise BadPatch(f"invalid patch format of {prefix}: {key}")
    return name


def _retain(merged: Doc, changes: Doc) -> None:
    keys = changes.pop(RETAIN_KEYS)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise BadPatch("invalid patch format of retainKeys: it is a list of names")
    for key, value in changes.items():
        directive = key.startswith((DELETE_FROM, SET_ORDER))
        if value is not None and not directive and key not in keys:
            raise BadPatch(f"invalid patch format of retainKeys: {key} is set but not retained")
    for key in merged.keys() - set(keys):
        del merged[key]


def _order(merged: Doc, changes: Doc, node: Node | None) -> None:
    """Merge the lists whose order the patch gives, taking them out of `changes`."""
    for directive in [key for key in changes if key.startswith(SET_ORDER)]:
        name = _directive_field(directive, SET_ORDER)
        order = changes.pop(directive)
        lists = [order, *(one[name] for one in (merged, changes) if name in one)]
        # A list that is taken out as a whole, or made of something else, has no order.
        if not all(isinstance(values, list) for values in lists):
            raise BadPatch(f"{directive} is about a list of values")
        if len(lists) > 1:
            old, new = merged.get(name), changes.pop(name, None)
            merged[name] = _ordered_merge(old, new, order, child(node, name))


def _ordered_merge(old: Items | None, new: Items | None, order: Items, node: Node | None) -> Items:
    key = _key(node)
    if order and new:
        _refuse_other_order(new, order, key)
    merged: Items
    if old is None:
        merged = _undirected(new)[0]
    elif new is None:
        merged = old
    elif "merge" in _strategies(node):
        merged = _list(old, new, node, deleting=False)
    else:
        merged = copied(new)
    _element_kind(old or [], new or [])  # an order of nothing is refused
    return _arranged(merged, order, old or [], key)


def _refuse_other_order(new: Items, order: Items, key: str) -> None:
    """The elements of a patch must stand in its $setElementOrder, in this order."""
    places = iter([_identity(item, key) for item in order])
    for item in new:
        if isinstance(item, dict) and item.get(PATCH) == "delete":
            continue
        wanted = _identity(item, key)
        if not any(place == wanted for place in places):
            raise BadPatch(f"the order in the patch list does not match its {SET_ORDER} list")


def _key(node: Node | None) -> str:
    return node.patch_key if node is not None else ""


def _list(original: Items, patch: Items, node: Node | None, deleting: bool) -> Items:
    if not original and not patch:
        return []
    key = _key(node)
    if _element_kind(original, patch) is not dict:
        if deleting:
            doomed = {_identity(item, "") for item in patch}
            return [item for item in original if _identity(item, "") not in doomed]
        merged = list({_identity(item, ""): item for item in [*patch, *original]}.values())
        return _arranged(merged, patch, original, "")
    if not key:
        raise PatchRefused("cannot merge lists of objects without a merge key")
    original, patch = _after_directives(original, patch, key)
    merged = _by_key(original, patch, key, node.items if node is not None else None)
    return _arranged(merged, patch, original, key)


def _after_directives(original: Items, patch: Items, key: str) -> tuple[Items, Items]:
    """The list without what the patch deletes, and the patch without its directives."""
    plain = []
    replace = False
    for item in patch:
        directive = item.get(PATCH)
        if PATCH not in item:
            plain.append(item)
        elif directive == "delete":
            doomed = _identity(item, key)
            original = [old for old in original if _identity_or_none(old, key) != doomed]
        elif directive == "replace":
            replace = True
        else:
            raise BadPatch(f"unknown patch type: {directive!r} in an element of a list")
    return (copied(plain), []) if replace else (original, plain)


def _by_key(original: Items, patch: Items, key: str, node: Node | None) -> Items:
    merged = list(original)
    places: dict[Hashable, int] = {}
    for place, item in enumerate(original):
        places.setdefault(_identity_or_none(item, key), place)
    for item in patch:
        identity = _identity(item, key)
        place = places.get(identity, -1)
        if place >= 0:
            merged[place] = _map(merged[place], item, node)
        else:
            places[identity] = len(merged)
            merged.append(_undirected(item)[0])
    return merged


def _element_kind(*lists: Items) -> type:
    """The one type of all elements; lists of lists and mixtures are refused."""
    kinds = {type(item) for items in lists for item in items}
    if len(kinds) != 1:
        raise PatchRefused("list element types are not identical")
    kind = kinds.pop()
    if kind is list or kind is type(None):
        raise PatchRefused("lists of lists or of nulls are not supported")
    return kind


def _identity(item: Any, key: str) -> Hashable:
    """What tells an element apart; of its JSON type, since Python takes 1 for true."""
    if key:
        if not isinstance(item, dict) or key not in item:
            raise PatchRefused(f"an element of a list does not contain the merge key: {key}")
        item = item[key]
    if isinstance(item, dict | list):
        raise PatchRefused("an element of a list is told apart by a plain value")
    return type(item), item


def _identity_or_none(item: Any, key: str) -> Hashable:
    """The same of an element that is stored already and may lack the key."""
    return _identity(item, key) if key in item else None


def _arranged(merged: Items, order: Items, live: Items, key: str) -> Items:
    """Elements in the order given; the others where the live order has them, as well as it goes."""
    ordered = {_identity(item, key): place for place, item in reversed([*enumerate(order)])}
    places = {_identity(item, key): place for place, item in reversed([*enumerate(live)])}
    pairs = [(_identity(item, key), item) for item in merged]
    mine = deque(sorted((p for p in pairs if p[0] in ordered), key=lambda p: ordered[p[0]]))
    last = len(places)
    rest = [pair for pair in pairs if pair[0] not in ordered]
    others = deque(sorted(rest, key=lambda pair: places.get(pair[0], last)))
    arranged: Items = []
    while mine and others:
        left, right = places.get(others[0][0], last), places.get(mine[0][0], -1)
        arranged.append((others if left < right else mine).popleft()[1])
    return arranged + [item for _, item in (*mine, *others)]
