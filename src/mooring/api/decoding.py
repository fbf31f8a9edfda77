"""Bytes of bodies into JSON values, and the keys that they give twice."""

import json
import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
import yaml

from mooring.objects.documents import encoded
from mooring.objects.schema_nodes import Findings, Place

YAML: Final = "tag:yaml.org,2002:"
TEXTS_ELSEWHERE: Final = (f"{YAML}timestamp", f"{YAML}value")  # to Go, they are texts
NUMBER_LETTERS: Final = 400  # the largest float has 309; to read one takes the square of them
# YAML's aliases can make a few bytes stand for any number of values. Somebody who means no harm
# stays below this, or below one value a byte.
FREE_VALUES: Final = 10_000
# Many times more than any object of a served kind has. Each takes 500 bytes and 10 µs, twice.
YAML_VALUES: Final = 100_000


def json_value(body: bytes) -> Any:
    """Raises ValueError or RecursionError."""
    return msgspec.json.decode(body)  # its errors are ValueErrors


def yaml_value(body: bytes) -> Any:
    """YAML as the JSON value that Kubernetes makes of it. Raises ValueError or RecursionError."""
    try:
        value = yaml.load(body, Loader=_Loader)  # derived from CSafeLoader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except (LookupError, AttributeError, TypeError, OverflowError) as error:
        # How PyYAML says that a value is not what its tag says: `!!bool x`, `!!int ""`.
        raise ValueError(f"a value does not fit its tag: {error}") from error
    return _Copying(min(max(FREE_VALUES, len(body)), YAML_VALUES)).json_like(value)


class _Loader(yaml.CSafeLoader):
    """Reads values as Go does, and ends early where there is too much to load."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        letter: [one for one in resolvers if one[0] not in TEXTS_ELSEWHERE]
        for letter, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self._left = YAML_VALUES

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """Called for each value. Resolves by paths, of which there are none here."""
        self._left -= 1
        if self._left < 0:
            raise yaml.YAMLError(f"more than {YAML_VALUES} values; send them as JSON")

    def ascend_resolver(self) -> None:
        """Nothing to leave."""


def _number(loader: Any, node: yaml.ScalarNode, read: Callable[[Any, Any], Any]) -> Any:
    """An int that JSON can hold, a float, or the text where YAML knows a number to the base 60."""
    text = node.value
    if ":" in text:
        return text
    if len(text) > NUMBER_LETTERS:
        raise ValueError(f"a number of {len(text)} digits")
    number = read(loader, node)
    return number if -(2**63) <= number < 2**64 else float(number)


for _tag, _read in (
    ("int", yaml.CSafeLoader.construct_yaml_int),
    ("float", yaml.CSafeLoader.construct_yaml_float),
):
    _Loader.add_constructor(YAML + _tag, partial(_number, read=_read))


class _Copying:
    """Copies what YAML says, so that no two places share a value, with all keys texts."""

    def __init__(self, values: int) -> None:
        self._left = values

    def json_like(self, value: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError("document contains excessive aliasing")
        if isinstance(value, dict):
            return {_key(key): self.json_like(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.json_like(one) for one in value]
        if value is None or isinstance(value, str | bool | int):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        raise ValueError(f"a {type(value).__name__} has no form in JSON")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int | float):
        return str(key)
    raise ValueError(f"a {type(key).__name__} is no key in JSON")


def duplicates(body: bytes, value: Any) -> list[str]:
    """`duplicate field "spec.x"` for each key that an object of a JSON text has twice.

    value   what the text was decoded into, which holds one of them only
    """
    if _surely_none(body, value):
        return []
    found = Findings()
    try:
        _look_through(json.loads(body, object_pairs_hook=_Pairs), None, found)
    except RecursionError as error:
        raise ValueError("exceeded max depth") from error
    return found


def _surely_none(body: bytes, value: Any) -> bool:
    """Tell it fast for nearly every text: written anew, it has as many quotation marks as before.

    A key has two, which are missing where it was given twice. Marks within texts are written alike
    in both forms, unless letters are written as numbers.
    """
    if b"\\" in body and b"\\u" in body:
        return False
    return body.count(b'"') == encoded(value).count(b'"')


class _Pairs(list[tuple[str, Any]]):
    """An object with all of its keys."""


def _look_through(value: Any, at: Place, found: Findings) -> None:
    if isinstance(value, _Pairs):
        seen = set()
        for key, one in value:
            if key in seen:
                found.add("duplicate", (at, key))
            seen.add(key)
            _look_through(one, (at, key), found)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            _look_through(one, (at, index), found)


def yaml_duplicates(body: bytes) -> list[str]:
    """The same of a YAML text that has been decoded before. Raises ValueError."""
    found = Findings()
    try:
        _look_through_yaml(yaml.compose(body, Loader=_Loader), None, found, set())
    except RecursionError as error:
        raise ValueError("exceeded max depth") from error
    return found


def _look_through_yaml(node: Any, at: Place, found: Findings, known: set[int]) -> None:
    if id(node) in known:  # an alias
        return
    known.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                found.add("duplicate", (at, name))
            seen.add(name)
            _look_through_yaml(value, (at, name), found, known)
    elif isinstance(node, yaml.SequenceNode):
        for index, one in enumerate(node.value):
            _look_through_yaml(one, (at, index), found, known)
