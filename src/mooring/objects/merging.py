"""What an applied document makes of an object: merged by the schema, without what is dropped."""

from collections import deque
from typing import Any

from mooring.objects.fieldsets import Fields, is_member
from mooring.objects.footprints import is_atomic, step_of
from mooring.objects.kind import Doc
from mooring.objects.node import Node, child
from mooring.objects.patches import copied


def merged(live: Doc, config: Doc, node: Node | None) -> Doc:
    """The object with all that a document says; neither is changed, subtrees may be shared."""
    whole = dict(live)
    for name, value in config.items():
        sub, old = child(node, name), live.get(name)
        if value == [] and not (old or is_atomic(value, sub)):
            continue  # an empty list of elements with owners says nothing
        whole[name] = _merged(old, value, sub)
    return whole


def _merged(old: Any, new: Any, node: Node | None) -> Any:
    if type(old) is not type(new) or is_atomic(new, node):
        return copied(new)
    if type(new) is dict:
        return merged(old, new, node)
    return new if node is None else _merged_list(old, new, node)


def _merged_list(old: list[Any], new: list[Any], node: Node) -> list[Any]:
    """Elements in the order of the new list; those of the old list alone keep their places."""
    live = [(step_of(item, node), item) for item in old]
    wanted = deque((step_of(item, node), item) for item in new)
    in_new = {step for step, _ in wanted}
    in_old = dict(reversed(live))
    shared = deque(step for step, _ in wanted if step in in_old)
    whole: list[Any] = []
    done: set[str] = set()

    def take() -> None:
        step, item = wanted.popleft()
        whole.append(_merged(in_old.get(step), item, node.items))
        done.add(step)
        if shared and shared[0] == step:
            shared.popleft()

    rest = deque(live)
    while rest or wanted:
        step = rest[0][0] if rest else ""
        if rest and wanted and step == wanted[0][0]:
            rest.popleft()
            take()
        elif rest and wanted and step in in_new and shared and shared[0] != step:
            rest.popleft()  # it comes later, where the new list has it
        elif rest and step not in in_new:
            whole.append(rest.popleft()[1])
        elif rest and step in done:
            rest.popleft()
        else:
            take()
    return whole


def pruned(doc: Doc, last: Fields, kept: Fields, node: Node | None) -> Doc:
    """The object without what an applier named before and nobody names now.

    last    fields of the applier before
    kept    fields of all owners now
    Unlike in Kubernetes, entries of maps and lists that nobody owns stay when the map itself is
    dropped: Mooring's controllers own nothing, and their annotations and finalizers must not go.
    """
    whole = dict(doc)
    for step, below in last.items():
        name = step[2:]
        if name in whole:
            whole[name] = _without(whole[name], below, kept.get(step) or {}, child(node, name))
    return whole


def _without(value: Any, last: Fields, kept: Fields, node: Node | None) -> Any:
    if is_atomic(value, node):
        return value
    if type(value) is dict:
        return _pruned_map(value, last, kept, node)
    return value if node is None else _pruned_list(value, last, kept, node)


def _pruned_map(value: Doc, last: Fields, kept: Fields, node: Node | None) -> Doc:
    whole = dict(value)
    for step, below in last.items():
        name = step[2:]
        if not step.startswith("f:") or name not in whole:
            continue
        sub, named = child(node, name), node is not None and name in node.fields
        held = kept.get(step)
        still = held is not None and (named or is_member(held))
        shared = named and _is_shared(whole[name], sub)
        if not (still or shared) and (named or is_member(below)):
            del whole[name]
        elif below:
            rest = _without(whole[name], below, held or {}, sub)
            if rest or (held is not None and (not shared or is_member(held))):
                whole[name] = rest
            else:
                del whole[name]
        elif not (still or whole[name]):
            del whole[name]
    return whole


def _is_shared(value: Any, node: Node | None) -> bool:
    """Whether it is a list or a map of free names, where each entry has its own owner."""
    return not is_atomic(value, node) and not (node is not None and node.fields)


def _pruned_list(items: list[Any], last: Fields, kept: Fields, node: Node) -> list[Any]:
    whole = []
    for item in items:
        step = step_of(item, node)
        below, held = last.get(step), kept.get(step)
        if below is None or (held is not None and is_member(held)) or not is_member(below):
            rest = _without(item, below or {}, held or {}, node.items) if below else item
            whole.append(rest)
    return whole
