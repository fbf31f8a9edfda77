"""labelSelector and fieldSelector of a request, as functions that tell whether an entry matches."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from mooring.api.status import ApiError
from mooring.model.selector import LabelSelector, Requirement
from mooring.objects.cache import Entry
from mooring.objects.documents import decoded
from mooring.objects.kind import Kind
from mooring.objects.kinds.common import is_label_value, is_qualified

Match = Callable[[Entry], bool]

_NAME = r"[^\s,()!=<>]"
_SET = re.compile(rf"({_NAME}+)\s+(in|notin)\s*\(([^()]*)\)")
_COMPARED = re.compile(rf"({_NAME}+)\s*(==|!=|=|>|<)\s*({_NAME}*)")
_EXISTS = re.compile(rf"(!?)\s*({_NAME}+)")
_STEP = re.compile(r"[(),]")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_FIELD_TERM = re.compile(r"(?:[^\\,]|\\.?)+", re.DOTALL)
_FIELD = re.compile(r"([^!=]*)(!=|==|=)(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\([\\,=])")
_OPERATORS: Final = {"=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}
_SHOWN: Final = 256  # characters of what is refused


def label_selector(text: str) -> LabelSelector:
    """Of kubectl's form: a=b,c!=d,e in (f,g),!h,i>5. Raises ApiError BadRequest.

    Takes time in proportion to the text, whatever it is: it comes from anybody.
    """
    if not text.strip():
        return LabelSelector()
    return LabelSelector(match_expressions=tuple(map(_requirement, _terms(text))))


def _terms(text: str) -> Iterator[str]:
    """What stands between commas that are not in brackets."""
    start, depth = 0, 0
    for step in _STEP.finditer(text):
        match step[0]:
            case "(":
                depth += 1
            case ")":
                depth -= 1
            case _ if depth <= 0:
                yield text[start : step.start()]
                start = step.end()
    yield text[start:]


def _requirement(term: str) -> Requirement:
    bare = term.strip()
    if found := _SET.fullmatch(bare):
        key, operator, listed = found.groups()
        ending = listed[len(listed.rstrip(", \t\n\r")) :].count(",")
        if ending and ending % 2 == 0:  # Kubernetes reads commas by pairs, and wants an end
            raise _refusal(term)
        values = tuple(dict.fromkeys(value.strip() for value in listed.split(",")))
        requirement = Requirement(
            key=key, operator="In" if operator == "in" else "NotIn", values=values
        )
    elif found := _COMPARED.fullmatch(bare):
        key, operator, value = found.groups()
        requirement = Requirement(key=key, operator=_OPERATORS[operator], values=(value,))
        if operator in "<>" and not _WHOLE.fullmatch(value):
            raise _refusal(term)
    elif found := _EXISTS.fullmatch(bare):
        absent, key = found.groups()
        requirement = Requirement(key=key, operator="DoesNotExist" if absent else "Exists")
    else:
        raise _refusal(term)
    if not is_qualified(key) or not all(map(is_label_value, requirement.values)):
        raise _refusal(term)
    return requirement


def _refusal(term: str) -> ApiError:
    return ApiError(
        "BadRequest", f"unable to parse requirement: {term[:_SHOWN]!r} in a label selector"
    )


def field_terms(text: str) -> list[tuple[str, str, bool]]:
    """[(path, value, whether it must be equal)]. Raises ApiError BadRequest.

    A comma, an equals sign or a backslash in a value has a backslash before it.
    """
    terms = []
    for term in _FIELD_TERM.findall(text):
        if not term:
            continue
        found = _FIELD.fullmatch(term)
        if found is None:
            shown = term[:_SHOWN]
            raise ApiError("BadRequest", f"invalid selector: {shown!r}; can't understand it")
        path, operator, value = found.groups()
        terms.append((path.strip(), _ESCAPED.sub(r"\1", value.strip()), operator != "!="))
    return terms


def matcher(kind: Kind, labels: str, fields: str) -> Match | None:
    """What selects entries, or None if all are wanted."""
    tests: list[Match] = []
    if labels:
        selector = label_selector(labels)
        tests.append(lambda entry: selector.matches(entry.labels))
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
        raise ApiError("BadRequest", f"field label not supported: {path[:_SHOWN]}")
    read = kind.selectable[path]
    return lambda entry: (read(decoded(entry.body)) == value) is equal
