"""Selectors inside of objects: which of them are none. Paths and texts as Kubernetes has them."""

from typing import Any, Final

from mooring.objects.kind import Cause, Doc
from mooring.objects.kinds.common import (
    duplicate,
    forbidden,
    invalid,
    is_label_value,
    is_qualified,
    is_subdomain,
    required,
)

KEY_TEXT: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc'), with an "
    "optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
)
VALUE_TEXT: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character, of at most 63 characters"
)
NO_OPERATOR: Final = "not a valid selector operator"


def label_selector_causes(path: str, selector: Doc) -> list[Cause]:
    """Of a LabelSelector, such as spec.selector of a claim."""
    causes = []
    for key, value in (selector.get("matchLabels") or {}).items():
        causes += _key_causes(f"{path}.matchLabels", key)
        if not is_label_value(value):
            causes.append(invalid(f"{path}.matchLabels", value, VALUE_TEXT))
    for number, expression in enumerate(selector.get("matchExpressions") or ()):
        causes += _expression_causes(f"{path}.matchExpressions[{number}]", expression)
    return causes


def node_selector_causes(path: str, selector: Doc) -> list[Cause]:
    """Of a NodeSelector, such as spec.nodeAffinity.required of a volume."""
    path = f"{path}.nodeSelectorTerms"
    terms = selector.get("nodeSelectorTerms") or ()
    causes = [] if terms else [required(path, "must have at least one node selector term")]
    for number, term in enumerate(terms):
        at = f"{path}[{number}]"
        for index, expression in enumerate(term.get("matchExpressions") or ()):
            causes += _expression_causes(
                f"{at}.matchExpressions[{index}]", expression, ordered=True
            )
        for index, expression in enumerate(term.get("matchFields") or ()):
            causes += _field_causes(f"{at}.matchFields[{index}]", expression)
    return causes


def topology_causes(path: str, terms: Any) -> list[Cause]:
    """Of the TopologySelectorTerms of a class: keys and values, each given once."""
    causes: list[Cause] = []
    seen: list[dict[str, frozenset[str]]] = []
    for number, term in enumerate(terms or ()):
        at = f"{path}[{number}].matchLabelExpressions"
        meant: dict[str, frozenset[str]] = {}
        for index, expression in enumerate(term.get("matchLabelExpressions") or ()):
            key, values = expression.get("key") or "", expression.get("values") or []
            causes += _key_causes(f"{at}[{index}].key", key)
            if key in meant:
                causes.append(duplicate(f"{at}[{index}].key", key))
            if not values:
                causes.append(required(f"{at}[{index}].values"))
            causes += [
                duplicate(f"{at}[{index}].values[{place}]", value)
                for place, value in enumerate(values)
                if value in values[:place]
            ]
            meant[key] = frozenset(values)
        if meant in seen:
            causes.append(duplicate(at, ""))
        seen.append(meant)
    return causes


def _key_causes(path: str, key: str) -> list[Cause]:
    return [] if is_qualified(key) else [invalid(path, key, KEY_TEXT)]


def _expression_causes(path: str, expression: Doc, *, ordered: bool = False) -> list[Cause]:
    """ordered: whether Gt and Lt are known, as for the labels of nodes."""
    causes = []
    operator, values = expression.get("operator") or "", expression.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            message = "must be specified when `operator` is 'In' or 'NotIn'"
            causes.append(required(f"{path}.values", message))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(forbidden(f"{path}.values", message))
    elif ordered and operator in ("Gt", "Lt"):
        if len(values) != 1:
            message = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            causes.append(required(f"{path}.values", message))
    else:
        causes.append(invalid(f"{path}.operator", operator, NO_OPERATOR))
    causes += _key_causes(f"{path}.key", expression.get("key") or "")
    causes += [
        invalid(f"{path}.values[{place}]", value, VALUE_TEXT)
        for place, value in enumerate(values)
        if not is_label_value(value)
    ]
    return causes


def _field_causes(path: str, expression: Doc) -> list[Cause]:
    """Nodes can be chosen by one field alone, their name."""
    causes = []
    operator, values = expression.get("operator") or "", expression.get("values") or ()
    if operator not in ("In", "NotIn"):
        causes.append(invalid(f"{path}.operator", operator, NO_OPERATOR))
    elif len(values) != 1:
        message = (
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        )
        causes.append(required(f"{path}.values", message))
    key = expression.get("key") or ""
    if key != "metadata.name":
        causes.append(invalid(f"{path}.key", key, "not a valid field selector key"))
    else:
        causes += [
            invalid(f"{path}.values[{place}]", value, "must be a DNS-1123 subdomain")
            for place, value in enumerate(values)
            if not is_subdomain(value)
        ]
    return causes
