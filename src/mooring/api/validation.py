"""The parameter fieldValidation: what becomes of a request whose body holds more than its kind.

Ignore  unknown fields are cut off, of keys given twice the last counts; nothing is said
Warn    the same, and the answer says so in Warning headers; the default
Strict  the request is refused
"""

from collections.abc import Iterable, Sequence
from typing import Final

from mooring.api.http import Request
from mooring.api.status import ApiError
from mooring.objects.errors import Invalid
from mooring.objects.kind import Cause, Doc, Kind
from mooring.objects.schema import SCHEMAS, Unfit, cannot_be_handled

IGNORE, WARN, STRICT = "Ignore", "Warn", "Strict"
OPTIONS: Final = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}
SHOWN: Final = 256  # characters of a patch that was refused


def bad_options(name: str, causes: Sequence[Cause]) -> Invalid:
    """The refusal of query parameters. name: CreateOptions, UpdateOptions, PatchOptions."""
    return Invalid(Kind("meta.k8s.io", "v1", name, "", "", namespaced=False), "", causes)


def directive(request: Request) -> str:
    """The parameter's value. Raises Invalid if Kubernetes has none of that name."""
    value = request.query.get("fieldValidation") or WARN
    if value not in (IGNORE, WARN, STRICT):
        known = ", ".join(f'"{one}"' for one in ("", IGNORE, STRICT, WARN))
        text = f'Unsupported value: "{value}": supported values: {known}'
        cause = Cause("fieldValidation", "FieldValueNotSupported", text)
        raise bad_options(OPTIONS.get(request.method, "Options"), [cause])
    return value


def judge(request: Request, kind: Kind, findings: Iterable[str]) -> None:
    """Let pass, warn of, or refuse what a body holds beyond its kind. Raises ApiError."""
    if text := _judged(request, findings):
        raise ApiError("BadRequest", f"{cannot_be_handled(kind)}: {text}")


def conformed_patch(
    request: Request, kind: Kind, patch: bytes, repeated: Sequence[str], doc: Doc
) -> Doc:
    """An object as a patch left it, conforming to its schema. Raises Invalid, as Kubernetes.

    repeated  what the patch gives twice
    doc       changed in place
    """
    try:
        text = _judged(request, [*repeated, *SCHEMAS.conform(kind, doc)])
    except Unfit as unfit:
        text = unfit.why
    if text:
        shown = patch[:SHOWN].decode(errors="replace")
        cause = Cause("patch", "FieldValueInvalid", f'Invalid value: "{shown}": {text}')
        raise Invalid(kind, str(doc["metadata"].get("name", "")), [cause])
    return doc


def _judged(request: Request, findings: Iterable[str]) -> str:
    """Why the request is refused; empty if it is not."""
    found = list(findings)
    rule = directive(request) if found else IGNORE
    if rule == STRICT:
        return f"strict decoding error: {', '.join(found)}"
    if rule == WARN:
        for text in found:
            request.warn(text)
    return ""
