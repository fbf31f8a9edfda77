"""Label selectors of claims and node affinity of volumes: data, and what they match."""

from collections.abc import Mapping

import msgspec

from mooring.model.metadata import Part
from mooring.model.names import HOSTNAME


class Requirement(Part, frozen=True):
    """One expression. Operators: In, NotIn, Exists, DoesNotExist; Gt and Lt on nodes only."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels satisfy it; an unknown operator matches nothing."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt" | "Lt":
                return value is not None and self._ordered(value)
        return False

    def _ordered(self, value: str) -> bool:
        """Gt and Lt compare whole numbers; anything else does not match."""
        try:
            have, bound = int(value), int(self.values[0])
        except (ValueError, IndexError):
            return False
        return have > bound if self.operator == "Gt" else have < bound


class LabelSelector(Part, frozen=True):
    """All labels and all expressions must match; an empty selector matches everything."""

    match_labels: dict[str, str] = msgspec.field(default_factory=dict)
    match_expressions: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )


class NodeSelectorTerm(Part, frozen=True):
    """Expressions that must all match; a term without any matches no node."""

    match_expressions: tuple[Requirement, ...] = ()
    match_fields: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str], node_name: str) -> bool:
        """Whether a node of this name and these labels is meant."""
        if not self.match_expressions and not self.match_fields:
            return False
        fields = {"metadata.name": node_name}
        return all(one.matches(labels) for one in self.match_expressions) and all(
            one.matches(fields) for one in self.match_fields
        )


class NodeSelector(Part, frozen=True):
    """Any one of the terms is enough."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class NodeAffinity(Part, frozen=True):
    """From which nodes a volume can be reached."""

    required: NodeSelector | None = None

    def allows(self, labels: Mapping[str, str], node_name: str = "") -> bool:
        """Whether a node of this name and these labels can reach the volume."""
        if self.required is None:
            return True
        return any(term.matches(labels, node_name) for term in self.required.node_selector_terms)

    def hosts(self) -> tuple[str, ...]:
        """The nodes that it names, as far as it does so by name."""
        terms = self.required.node_selector_terms if self.required is not None else ()
        names = [
            name
            for term in terms
            for one in (*term.match_expressions, *term.match_fields)
            if one.key in (HOSTNAME, "metadata.name") and one.operator == "In"
            for name in one.values
        ]
        return tuple(dict.fromkeys(names))


def only_node(label: str, value: str) -> NodeAffinity:
    """Reachable from the nodes whose label has this value, no other."""
    requirement = Requirement(key=label, operator="In", values=(value,))
    term = NodeSelectorTerm(match_expressions=(requirement,))
    return NodeAffinity(required=NodeSelector(node_selector_terms=(term,)))
