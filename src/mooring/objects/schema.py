"""The schemas of all served kinds, compiled when first asked for.

Source: data/definitions.json, which tools/schemas.py writes.
"""

import copy
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec

from mooring.objects.errors import BadObject
from mooring.objects.kind import Doc, Kind
from mooring.objects.node import Node
from mooring.objects.schema_nodes import (
    INT32,
    INT64,
    JSON_NAMES,
    Amount,
    Base64,
    Fields,
    Findings,
    Flag,
    Integer,
    Items,
    Mismatch,
    Names,
    Number,
    Place,
    SchemaNode,
    Text,
    TextOrInteger,
    Time,
    path,
    steps,
)

Schema = dict[str, Any]

GROUP_VERSION_KIND: Final = "x-kubernetes-group-version-kind"
REFERENCE: Final = "#/definitions/"
META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"


@cache
def definitions() -> dict[str, Schema]:
    """All definitions in the form of OpenAPI v2, by name. Shared: not to be changed."""
    text = resources.files("mooring.objects").joinpath("data/definitions.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, Schema])


@cache
def definition_names() -> dict[tuple[str, str, str], str]:
    """The definition of each (group, version, kind)."""
    return {
        (one["group"], one["version"], one["kind"]): name
        for name, schema in definitions().items()
        for one in schema.get(GROUP_VERSION_KIND, ())
    }


class Unfit(BadObject):
    """A value is of another type than its field.

    why   Go's sentence about it, without the kind
    """

    def __init__(self, kind: Kind, why: str) -> None:
        self.why = why
        super().__init__(kind, "", f"{cannot_be_handled(kind)}: {why}")


class Schemas:
    """The schema of each kind. Raises LookupError for one that has none: run `make schemas`."""

    def __init__(self) -> None:
        self._named: dict[str, SchemaNode] = {}
        self._of_kind: dict[str, SchemaNode] = {}

    def node(self, kind: Kind) -> Node:
        """What patches and field management ask."""
        return self._root(kind)

    def conform(self, kind: Kind, doc: Doc) -> list[str]:
        """Make a decoded document what Kubernetes would have decoded it into; in place.

        returns  what was not as it should be: `unknown field "spec.foo"`, at most 100; unknown
                 fields are gone, and so are those that are null
        raises   Unfit if a value is of another type than its field
        """
        findings, root = Findings(), self._root(kind)
        try:
            root.conformed(doc, None, findings)
        except Mismatch as mismatch:
            raise Unfit(kind, _explained(root, mismatch)) from mismatch
        except RecursionError as error:
            raise Unfit(kind, "json: exceeded max depth") from error
        return findings

    def _root(self, kind: Kind) -> SchemaNode:
        key = f"{kind.api_version} {kind.kind}"
        found = self._of_kind.get(key)
        if found is None:
            names = definition_names()
            if (kind.group, kind.version, kind.kind) not in names:
                raise LookupError(f"{key} has no schema: run `make schemas`")
            found = self._definition(names[kind.group, kind.version, kind.kind])
            self._of_kind[key] = found
        return found

    def _definition(self, name: str) -> SchemaNode:
        found = self._named.get(name)
        if found is None:
            schema = definitions()[name]
            if "properties" in schema:
                fields: dict[str, SchemaNode] = {}
                # Known before its fields are: one of them may lead back here.
                self._named[name] = found = Fields(".".join(name.split(".")[-2:]), fields)
                _annotate(found, schema)
                for field, part in schema["properties"].items():
                    fields[field] = self._value(part)
            else:
                self._named[name] = found = _annotate(self._unnamed(name, schema), schema)
        return found

    def _value(self, schema: Schema) -> SchemaNode:
        if "$ref" not in schema:
            return _annotate(self._unnamed("", schema), schema)
        target = self._definition(schema["$ref"].removeprefix(REFERENCE))
        if not any(key.startswith("x-kubernetes-") for key in schema):
            return target
        return _annotate(copy.copy(target), schema)

    def _unnamed(self, name: str, schema: Schema) -> SchemaNode:
        match schema.get("type"), schema.get("format"):
            case "string", _ if name == QUANTITY:
                return Amount()
            case "string", "int-or-string":
                return TextOrInteger()
            case "string", "byte":
                return Base64()
            case "string", "date-time":
                return Time("microseconds" if name == f"{META}.MicroTime" else "seconds")
            case "string", _:
                return Text()
            case "boolean", _:
                return Flag()
            case "integer", form:
                return Integer(INT32 if form == "int32" else INT64)
            case "number", _:
                return Number()
            case "array", _:
                return Items(self._value(schema["items"]))
            case "object", _ if "additionalProperties" in schema:
                return Names(self._value(schema["additionalProperties"]))
        return SchemaNode()


SCHEMAS: Final = Schemas()


def cannot_be_handled(kind: Kind) -> str:
    """How Kubernetes begins to say that a body is not of a kind."""
    return f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'


def _annotate(node: SchemaNode, schema: Schema) -> SchemaNode:
    """What a schema says of merging and of field management."""
    node.patch_strategy = schema.get("x-kubernetes-patch-strategy", node.patch_strategy)
    node.patch_key = schema.get("x-kubernetes-patch-merge-key", node.patch_key)
    node.list_type = schema.get("x-kubernetes-list-type", node.list_type)
    node.list_keys = tuple(schema.get("x-kubernetes-list-map-keys", node.list_keys))
    node.map_type = schema.get("x-kubernetes-map-type", node.map_type)
    return node


def _explained(root: SchemaNode, mismatch: Mismatch) -> str:
    """The mismatch as Go's decoder says it: with the struct, and a path without indexes."""
    if mismatch.node is None:
        return f"{path(mismatch.at)}: {mismatch.why}"
    value = _named(mismatch.value, mismatch.node)
    owner, field = _field(root, mismatch.at)
    place = f"Go struct field {owner}.{field}" if field else "Go value"
    return f"json: cannot unmarshal {value} into {place} of type {mismatch.node.go_type()}"


def _named(value: Any, node: SchemaNode) -> str:
    """What sort of JSON value it is; a number is shown if it is one of the wrong sort."""
    if type(value) in JSON_NAMES:
        return JSON_NAMES[type(value)]
    if not isinstance(value, int | float):
        return "value"
    if not isinstance(node, Integer | TextOrInteger):
        return "number"
    # Python refuses to write integers of thousands of digits.
    return f"number {value}" if -(2.0**128) < value < 2.0**128 else "number beyond all types"


def _field(root: SchemaNode, at: Place) -> tuple[str, str]:
    """(struct, path of its fields from the top) of a place."""
    node: SchemaNode | None = root
    owner, names = "", []
    for step in steps(at):
        if isinstance(node, Fields):
            owner = node.name.rpartition(".")[2]
            names.append(str(step))
            node = node.fields.get(str(step))
        elif node is not None:
            node = node.items or node.values
    return owner, ".".join(names)  # which are those of the schema, so few and short
