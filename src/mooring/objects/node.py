"""What patches and field management ask of a schema, one value at a time."""

from collections.abc import Mapping
from typing import Protocol


class Node(Protocol):
    """The schema of one value. Where there is none, maps are merged and lists are replaced."""

    @property
    def fields(self) -> Mapping[str, "Node"]:
        """Of an object with named fields; empty otherwise."""

    @property
    def items(self) -> "Node | None":
        """Of a list's elements."""

    @property
    def values(self) -> "Node | None":
        """Of a map's values, whose names are free: labels, annotations, capacity."""

    @property
    def patch_strategy(self) -> str:
        """Of strategic merge patch: "", "merge", "replace", "retainKeys" or "merge,retainKeys"."""

    @property
    def patch_key(self) -> str:
        """The field that tells elements of a merged list apart; empty for plain values."""

    @property
    def list_type(self) -> str:
        """Of field management: "atomic", "set" or "map"."""

    @property
    def list_keys(self) -> tuple[str, ...]:
        """The fields that tell elements of a list of type map apart."""

    @property
    def map_type(self) -> str:
        """Of field management: "granular" or "atomic"."""


def child(node: Node | None, name: str) -> Node | None:
    """The schema of a field, or of a free name's value."""
    if node is None:
        return None
    return node.fields.get(name) or node.values
