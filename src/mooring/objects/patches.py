"""JSON patch and JSON merge patch, with the limits and errors of Kubernetes."""

import copy
from typing import Any, Final

import jsonpatch
import jsonpointer

from mooring.errors import MooringError

MAX_OPERATIONS: Final = 10_000  # as kube-apiserver


class BadPatch(MooringError):
    """The patch itself cannot be read."""

    code = "BadRequest"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)


class PatchRefused(MooringError):
    """The patch does not fit the object, for example a `test` that fails."""

    code = "Invalid"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)


def json_patched(doc: dict[str, Any], operations: Any) -> Any:
    """The document after RFC 6902 operations; `doc` is left as it is.

    raises  BadPatch, PatchRefused
    """
    if not isinstance(operations, list):
        raise BadPatch("a JSON patch is a list of operations")
    if len(operations) > MAX_OPERATIONS:
        raise PatchRefused(f"a JSON patch has at most {MAX_OPERATIONS} operations")
    try:
        return jsonpatch.apply_patch(doc, operations)
    except jsonpatch.InvalidJsonPatch as error:
        raise BadPatch(str(error)) from error
    except (
        jsonpatch.JsonPatchException,
        jsonpointer.JsonPointerException,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        ValueError,
    ) as error:
        raise PatchRefused(f"the patch does not fit the object: {error}") from error


def merge_patched(doc: Any, patch: Any) -> Any:
    """The document after an RFC 7396 merge patch; `doc` is left as it is."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(doc) if isinstance(doc, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patched(merged.get(key), value)
    return merged
