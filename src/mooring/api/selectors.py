"""labelSelector and fieldSelector of a request, as functions that tell whether an entry matches."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from mooring.api.status import ApiError
from mooring.model.selector import LabelSelector, Requirement
from mooring.objects.cache import Entry
from mooring.objects.documents import decoded
from mooring.objects.kind import Kind

Match = Callable[[Entry], bool]

_NO_LABELS: Final[Mapping[str, str]] = {}
_SET = re.compile(r"^\s*([^\s,()!=]+)\s+(in|notin)\s*\(([^()]*)\)\s*$")
_EQUAL = re.compile(r"^\s*([^\s,()!=]+)\s*(==|=|!=)\s*([^\s,()!=]*)\s*$")
_EXISTS = re.compile(r"^\s*(!?)\s*([^\s,()!=]+)\s*$")
_BETWEEN = re.compile(r",(?![^(]*\))")  # commas outside of brackets


def label_selector(text: str) -> LabelSelector:
    """Of kubectl's form: a=b,c!=d,e in (f,g),!h. Raises ApiError BadRequest."""
    return LabelSelector(match_expressions=tuple(map(_requirement, _BETWEEN.split(text))))


def _requirement(term: str) -> Requirement:
    if found := _SET.match(term):
        key, operator, values = found.groups()
        chosen = tuple(value.strip() for value in values.split(","))
        return Requirement(key=key, operator="In" if operator == "in" else "NotIn", values=chosen)
    if found := _EQUAL.match(term):
        key, operator, value = found.groups()
        return Requirement(key=key, operator="NotIn" if operator == "!=" else "In", values=(value,))
    if found := _EXISTS.match(term):
        absent, key = found.groups()
        return Requirement(key=key, operator="DoesNotExist" if absent else "Exists")
    raise ApiError("BadRequest", f"unable to parse requirement: {term!r} in a label selector")


def field_terms(text: str) -> list[tuple[str, str, bool]]:
    """[(path, value, whether it must be equal)]. Raises ApiError BadRequest."""
    terms = []
    for term in text.split(","):
        if not term:
            continue
        for operator, equal in (("!=", False), ("==", True), ("=", True)):
            path, found, value = term.partition(operator)
            if found:
                terms.append((path.strip(), value.strip(), equal))
                break
        else:
            raise ApiError("BadRequest", f"invalid selector: {term!r}; can't understand {term!r}")
    return terms


def matcher(kind: Kind, labels: str, fields: str) -> Match | None:
    """What selects entries, or None if all are wanted."""
    tests: list[Match] = []
    if labels:
        selector = label_selector(labels)
        tests.append(lambda entry: selector.matches(entry.labels or _NO_LABELS))
    tests.extend(_field_test(kind, *term) for term in field_terms(fields))
    if not tests:
        return None
    return lambda entry: all(test(entry) for test in tests)


def _field_test(kind: Kind, path: str, value: str, equal: bool) -> Match:
    if path == "metadata.name":
        return lambda entry: (entry.name == value) is equal
    if path == "metadata.namespace":
        return lambda entry: (entry.namespace == value) is equal
    if path not in kind.selectable:
        raise ApiError("BadRequest", f"field label not supported: {path}")
    read = kind.selectable[path]
    return lambda entry: (read(decoded(entry.body)) == value) is equal
