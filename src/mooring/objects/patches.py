"""JSON patch and JSON merge patch, with the limits and errors of Kubernetes.

Patches are pure: neither the document nor the patch is changed, so a patch can be applied anew
to a later state of the object.
"""

import re
from typing import Any, Final

import msgspec

from mooring.errors import MooringError
from mooring.objects.documents import same
from mooring.objects.kind import Doc

MAX_OPERATIONS: Final = 10_000  # as kube-apiserver
# What all `copy` operations of one patch may add, as kube-apiserver: each can double a document.
MAX_COPIED_BYTES: Final = 3 * 1024 * 1024
SHOWN: Final = 256  # characters of what a client sent, in messages
_INDEX: Final = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)

Place = Doc | list[Any]


class BadPatch(MooringError):
    """The patch itself cannot be read, whatever the object is: 400."""

    code = "BadRequest"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)


class PatchRefused(MooringError):
    """The patch does not fit the object, for example a `test` that fails: 422."""

    code = "Invalid"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)


class PatchTooLarge(MooringError):
    """More operations than anybody needs: 413."""

    code = "TooLarge"

    def __init__(self, operations: int) -> None:
        self.what = (
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {operations}"
        )
        super().__init__(self.what)


def copied(value: Any) -> Any:
    """A JSON value of one's own; several times faster than copy.deepcopy."""
    if type(value) is dict:
        return {key: copied(item) for key, item in value.items()}
    if type(value) is list:
        return [copied(item) for item in value]
    return value


def json_patched(doc: Doc, operations: Any) -> Doc:
    """The document after RFC 6902 operations, as Kubernetes takes them.

    It takes more than the RFC: a field that is not there is null to `test` and `copy`, and is set
    by `replace`; indexes below zero count from the end of a list.

    raises  BadPatch, PatchRefused, PatchTooLarge
    """
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        raise BadPatch("a JSON patch is a list of operations, which are objects")
    if len(operations) > MAX_OPERATIONS:
        raise PatchTooLarge(len(operations))
    try:
        patched: Doc = copied(doc)
        room = MAX_COPIED_BYTES
        for operation in operations:
            room -= _operate(patched, operation, room)
    except RecursionError as error:
        raise BadPatch("the patch or what it makes is nested too deeply") from error
    return patched


def _operate(doc: Doc, operation: Doc, room: int) -> int:
    """Change the document by one operation. Returns the bytes that it copied, at most `room`."""
    op, copied_bytes = operation.get("op"), 0
    try:
        if op == "move":
            value = _get(*_place(doc, operation, "from"))
            _remove(*_place(doc, operation, "from"))
        elif op == "copy":
            value = _get(*_place(doc, operation, "from"))
            copied_bytes = len(msgspec.json.encode(value))
            if copied_bytes > room:
                raise PatchRefused(f"copies of a JSON patch may add {MAX_COPIED_BYTES} bytes")
            value = copied(value)
        else:
            value = copied(operation.get("value"))
        place, key = _place(doc, operation, "path")
        match op:
            case "add" | "move" | "copy":
                _add(place, key, value)
            case "replace":
                _replace(place, key, value)
            case "remove":
                _remove(place, key)
            case "test":
                if not same(_get(place, key), value):
                    raise PatchRefused("test failed")
            case _:
                raise PatchRefused("there is no such operation")
    except PatchRefused as error:
        path = _shown(operation.get("path"))
        raise PatchRefused(f"{_shown(op)} operation does not apply at {path}: {error}") from error
    return copied_bytes


def _place(doc: Doc, operation: Doc, field: str) -> tuple[Place, str]:
    """The object or list that the pointer in a field leads to, and the last step into it."""
    pointer = operation.get(field)
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise PatchRefused(f"{field} is a JSON pointer to a field, not {_shown(pointer)}")
    place: Any = doc
    *steps, key = (step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/"))
    for step in steps:
        place = _get(place, step)
        if not isinstance(place, dict | list):
            raise PatchRefused(f"{field} leads through what is not there")
    return place, key


def _get(place: Place, key: str) -> Any:
    if isinstance(place, dict):
        return place.get(key)
    return place[_index(key, len(place))]


def _index(key: str, count: int) -> int:
    """The place in a list where so many are possible."""
    index = int(key) if _INDEX.fullmatch(key) else count
    if not -count <= index < count:
        raise PatchRefused(f"there is no index {_shown(key)}")
    return index % count


def _add(place: Place, key: str, value: Any) -> None:
    if isinstance(place, dict):
        place[key] = value
    elif key == "-":
        place.append(value)
    else:
        place.insert(_index(key, len(place) + 1), value)


def _replace(place: Place, key: str, value: Any) -> None:
    if isinstance(place, dict):
        place[key] = value
    else:
        place[_index(key, len(place))] = value


def _remove(place: Place, key: str) -> None:
    if isinstance(place, list):
        del place[_index(key, len(place))]
    elif key in place:
        del place[key]
    else:
        raise PatchRefused(f"there is no field {_shown(key)}")


def _shown(value: Any) -> str:
    return repr(value)[:SHOWN]


def merge_patched(doc: Doc, patch: Any) -> Doc:
    """The document after an RFC 7396 merge patch. Raises BadPatch."""
    if not isinstance(patch, dict):
        raise BadPatch("a merge patch is an object")
    try:
        return _merged(doc, patch)
    except RecursionError as error:
        raise BadPatch("the patch is nested too deeply") from error


def _merged(doc: Any, patch: dict[str, Any]) -> Doc:
    merged = dict(doc) if isinstance(doc, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merged(merged.get(key), value)
        else:
            merged[key] = copied(value)
    return merged
