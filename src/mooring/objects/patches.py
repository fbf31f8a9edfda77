"""JSON patch and JSON merge patch, with the limits and errors of Kubernetes.

Patches are pure: neither the document nor the patch is changed, so a patch can be applied anew
to a later state of the object.
"""

from typing import Any, Final

import jsonpatch
import jsonpointer
import msgspec

from mooring.errors import MooringError
from mooring.objects.kind import Doc

MAX_OPERATIONS: Final = 10_000  # as kube-apiserver
# What all `copy` operations of one patch may add, as kube-apiserver: each can double a document.
MAX_COPIED_BYTES: Final = 3 * 1024 * 1024
SHOWN: Final = 256  # characters of what the library says: it shows whole documents
# What the library raises when an operation does not fit the document.
_MISFITS: Final = (
    jsonpatch.JsonPatchException,
    jsonpointer.JsonPointerException,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ValueError,
)


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
    """The document after RFC 6902 operations.

    raises  BadPatch, PatchRefused, PatchTooLarge
    """
    if not isinstance(operations, list):
        raise BadPatch("a JSON patch is a list of operations")
    if len(operations) > MAX_OPERATIONS:
        raise PatchTooLarge(len(operations))
    try:
        steps = [_step(operation) for operation in operations]
        # The library puts values of operations into the document as they are; a later operation
        # may reach into them.
        patched = _applied(copied(doc), copied(steps))
    except RecursionError as error:
        raise BadPatch("the patch or what it makes is nested too deeply") from error
    if not isinstance(patched, dict):
        raise PatchRefused("the patch leaves no object")
    return patched


def _step(operation: Any) -> dict[str, Any]:
    """A well-formed operation. Raises BadPatch."""
    if not isinstance(operation, dict):
        raise BadPatch(f"an operation of a JSON patch is an object, not {_shown(operation)}")
    for name in ("path", "from"):
        text = operation.get(name, "")
        if not isinstance(text, str):
            raise BadPatch(f"{name} is a JSON pointer, not {_shown(text)}")
    try:
        jsonpatch.JsonPatch([operation])
    except _MISFITS as error:
        raise BadPatch(str(error)[:SHOWN]) from error
    return operation


def _applied(doc: Any, operations: list[dict[str, Any]]) -> Any:
    room = MAX_COPIED_BYTES
    for operation in operations:
        op, path = operation["op"], operation["path"]
        try:
            if op == "test":
                _tested(doc, path, operation.get("value"))
                continue
            if op == "copy":
                source = jsonpointer.resolve_pointer(doc, operation["from"])
                room -= len(msgspec.json.encode(source))
            if room < 0:
                raise PatchRefused(f"copies of a JSON patch may add {MAX_COPIED_BYTES} bytes")
            doc = jsonpatch.JsonPatch([operation]).apply(doc, in_place=True)
        except _MISFITS as error:
            why = f"{op} operation does not apply at {path[:SHOWN]}: {str(error)[:SHOWN]}"
            raise PatchRefused(why) from error
    return doc


def _tested(doc: Any, path: str, wanted: Any) -> None:
    """An absent value passes as null, as in Kubernetes; its place must exist."""
    pointer = jsonpointer.JsonPointer(path)
    place = jsonpointer.JsonPointer.from_parts(pointer.parts[:-1]).resolve(doc)
    found = pointer.resolve(doc, None) if isinstance(place, dict) else pointer.resolve(doc)
    if not _same(found, wanted):
        raise PatchRefused(f"testing value {path[:SHOWN]} failed: test failed")


def _same(found: Any, wanted: Any) -> bool:
    """As JSON: Python takes 1 for true. Looks at no more of `found` than `wanted` has."""
    if type(found) is not type(wanted):
        return False
    if type(found) is dict:
        return found.keys() == wanted.keys() and all(_same(found[k], wanted[k]) for k in wanted)
    if type(found) is list:
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    return bool(found == wanted)


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
