"""Sets of fields, as managedFields name them: which paths of an object somebody owns.

A set is kept as its JSON form, FieldsV1: a tree of dicts whose names are steps of a path.
  f:NAME          a field                   k:{"name":"a"}   the element of a list with these keys
  v:VALUE         an element of a set       i:N              the N-th element of a list
An empty dict is a path that is in the set; "." in a dict says the same of a path that others in
the set go on from. Operations share subtrees with what they are given and change nothing in place;
where nothing changes they return the very same object.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

Fields = dict[str, Any]

SELF: Final = "."
_MEMBER: Final[Fields] = {SELF: {}}  # an empty dict written as any other tree
_STEPS: Final = frozenset("fkvi")
_encode: Final = msgspec.json.Encoder(order="sorted").encode


class FieldsError(ValueError):
    """What was given is not a set of fields."""


def parsed(value: Any) -> Fields:
    """The set that FieldsV1 describe, with steps in their canonical form. Raises FieldsError."""
    if not isinstance(value, dict):
        raise FieldsError(f"a set of fields is an object, not {value!r}")
    try:
        fields = _parsed(value)
    except RecursionError as error:
        raise FieldsError("a set of fields is nested too deeply") from error
    fields.pop(SELF, None)
    return fields


def _parsed(value: Fields) -> Fields:
    fields: Fields = {}
    for step, below in value.items():
        if not isinstance(below, dict):
            raise FieldsError(f"{step} holds {below!r} and not fields")
        if step == SELF:
            fields[SELF] = {}
        else:
            fields[_canonical(step)] = _collapsed(_parsed(below))
    return fields


def _canonical(step: str) -> str:
    mark, colon, rest = step[:1], step[1:2], step[2:]
    if colon != ":" or mark not in _STEPS:
        raise FieldsError(f"{step!r} is no step of a path: it begins with f:, k:, v: or i:")
    if mark == "f":
        return step
    try:
        value = msgspec.json.decode(rest)
    except msgspec.DecodeError as error:
        raise FieldsError(f"{step!r} holds no JSON value") from error
    if mark == "k" and not (isinstance(value, dict) and value):
        raise FieldsError(f"{step!r} holds no keys")
    if mark == "i" and type(value) is not int:
        raise FieldsError(f"{step!r} holds no index")
    return f"{mark}:{_encode(value).decode()}"


def by_value(value: Any) -> str:
    """The step to an element of a set."""
    return f"v:{_encode(value).decode()}"


def by_keys(keys: dict[str, Any]) -> str:
    """The step to the element of a list with these keys."""
    return f"k:{_encode(keys).decode()}"


def with_self(below: Fields) -> Fields:
    """A path that is in the set itself, beside what is below it."""
    return {SELF: {}, **below} if below else below


def is_member(below: Fields) -> bool:
    """Whether a path is in the set itself."""
    return not below or SELF in below


def _collapsed(below: Fields) -> Fields:
    return {} if len(below) == 1 and SELF in below else below


def union(left: Fields, right: Fields) -> Fields:
    """Paths in either."""
    joined: Fields | None = None
    for step, other in right.items():
        mine = left.get(step)
        if mine is None:
            new = other
        elif step == SELF or not (mine or other):
            continue
        else:
            whole = mine or _MEMBER
            new = union(whole, other or _MEMBER)
            if new is whole:
                continue
        joined = dict(left) if joined is None else joined
        joined[step] = new
    return left if joined is None else joined


def intersection(left: Fields, right: Fields) -> Fields:
    """Paths in both."""
    both: Fields = {}
    for step, mine in left.items():
        other = right.get(step)
        if other is None:
            continue
        if step == SELF:
            both[SELF] = {}
        elif below := intersection(mine or _MEMBER, other or _MEMBER):
            both[step] = _collapsed(below)
    return both


def difference(left: Fields, right: Fields) -> Fields:
    """Paths of the left that are not in the right; what is below those that leave stays."""
    rest: Fields | None = None
    for step, other in right.items():
        mine = left.get(step)
        if mine is None:
            continue
        whole = mine or _MEMBER
        below = {} if step == SELF else difference(whole, other or _MEMBER)
        if below is whole:
            continue
        rest = dict(left) if rest is None else rest
        if below:
            rest[step] = _collapsed(below)
        else:
            del rest[step]
    return left if rest is None else rest


def without(left: Fields, right: Fields) -> Fields:
    """Paths of the left that are neither in the right nor below one that is."""
    rest: Fields | None = None
    for step, other in right.items():
        mine = left.get(step)
        if mine is None:
            continue
        whole = mine or _MEMBER
        below = {} if is_member(other) else without(whole, other)
        if below is whole:
            continue
        rest = dict(left) if rest is None else rest
        if below:
            rest[step] = _collapsed(below)
        else:
            del rest[step]
    return left if rest is None else rest


def paths(fields: Fields, above: str = "") -> Iterator[str]:
    """Every path in the set as messages name it: `.spec.ports[port=80,protocol="TCP"].name`."""
    for step, below in fields.items():
        if step == SELF:
            continue
        path = above + _shown(step)
        if is_member(below):
            yield path
        yield from paths(below, path)


def _shown(step: str) -> str:
    mark, rest = step[0], step[2:]
    if mark == "f":
        return f".{rest}"
    if mark == "k":
        keys = msgspec.json.decode(rest)
        listed = ",".join(f"{name}={_encode(value).decode()}" for name, value in keys.items())
        return f"[{listed}]"
    return f"[={rest}]" if mark == "v" else f"[{rest}]"
