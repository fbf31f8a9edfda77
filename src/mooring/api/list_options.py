"""Which parameters of a list or a watch go together. Source: Kubernetes' ListOptions."""

from collections.abc import Mapping
from typing import Final

from mooring.api.status import ApiError
from mooring.api.validation import bad_options
from mooring.objects.kind import Cause

EXACT, NOT_OLDER = "Exact", "NotOlderThan"
MATCH, INITIAL = "resourceVersionMatch", "sendInitialEvents"
ONLY_NOT_OLDER: Final = f"{INITIAL} requires setting {MATCH} to {NOT_OLDER}"


def check_list(query: Mapping[str, str]) -> None:
    """Refuse what a list cannot mean. Raises Invalid, ApiError BadRequest."""
    match, version = query.get(MATCH, ""), query.get("resourceVersion", "")
    causes = []
    if match:
        if not version:
            causes.append(
                _forbidden(MATCH, f"{MATCH} is forbidden unless resourceVersion is given")
            )
        causes += _with_continue(query)
        if match not in (EXACT, NOT_OLDER):
            causes.append(_unknown(match, EXACT, NOT_OLDER, ""))
        if match == EXACT and version == "0":
            message = f'{MATCH} "Exact" is forbidden for resourceVersion "0"'
            causes.append(_forbidden(MATCH, message))
    if INITIAL in query:
        causes.append(_forbidden(INITIAL, f"{INITIAL} is forbidden for list"))
    if causes:
        raise bad_options("ListOptions", causes)
    if query.get("continue") and version not in ("", "0"):
        what = "specifying resource version is not allowed when using continue"
        raise ApiError("BadRequest", what)


def check_watch(query: Mapping[str, str]) -> None:
    """Refuse what a watch cannot mean. Raises Invalid."""
    match, causes = query.get(MATCH, ""), []
    if INITIAL in query and match != NOT_OLDER:
        causes.append(_forbidden(MATCH, ONLY_NOT_OLDER))
    if match:
        if INITIAL not in query:
            message = f"{MATCH} is forbidden for watch unless {INITIAL} is provided"
            causes.append(_forbidden(MATCH, message))
        if match != NOT_OLDER:
            causes.append(_unknown(match, NOT_OLDER))
        causes += _with_continue(query)
    if causes:
        raise bad_options("ListOptions", causes)


def is_exact(query: Mapping[str, str]) -> bool:
    """Whether the objects as of resourceVersion are wanted, and no later ones.

    A page of a given revision has always meant that, from before it could be said.
    """
    match, version = query.get(MATCH, ""), query.get("resourceVersion", "")
    limited = query.get("limit", "") not in ("", "0") and version not in ("", "0")
    return match == EXACT or (limited and not match)


def _with_continue(query: Mapping[str, str]) -> list[Cause]:
    if not query.get("continue"):
        return []
    return [_forbidden(MATCH, f"{MATCH} is forbidden when continue is provided")]


def _forbidden(field: str, message: str) -> Cause:
    return Cause(field, "FieldValueForbidden", f"Forbidden: {message}")


def _unknown(match: str, *known: str) -> Cause:
    listed = ", ".join(f'"{one}"' for one in known)
    text = f'Unsupported value: "{match}": supported values: {listed}'
    return Cause(MATCH, "FieldValueNotSupported", text)
