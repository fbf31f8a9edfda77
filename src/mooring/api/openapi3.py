"""OpenAPI v3 out of v2: the same calls and schemas in the words of the later version."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from mooring.objects.kind import Doc
from mooring.objects.schema import QUANTITY, REFERENCE, Schema

COMPONENT: Final = "#/components/schemas/"
INT_OR_STRING: Final = "int-or-string"
METHODS: Final = frozenset({"get", "put", "post", "delete", "patch"})
SAID_OTHERWISE: Final = frozenset({"consumes", "produces", "parameters", "responses"})


def document(info: Doc, paths: Mapping[str, Doc], definitions: Mapping[str, Schema]) -> Doc:
    """One document with these paths of v2, and the schemas that they lead to."""
    used = sorted(_reachable(paths, definitions))
    return {
        "openapi": "3.0.0",
        "info": info,
        "paths": {path: _path(item) for path, item in paths.items()},
        "components": {
            "schemas": {name: _definition(name, definitions[name]) for name in used},
            "securitySchemes": {"BearerToken": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"BearerToken": []}],
    }


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        target = value.get("$ref")
        if isinstance(target, str):  # else it is a field of that name
            yield target.removeprefix(REFERENCE)
        value = value.values()
    elif not isinstance(value, list):
        return
    for part in value:
        yield from _references(part)


def _reachable(paths: Mapping[str, Doc], definitions: Mapping[str, Schema]) -> set[str]:
    found: set[str] = set()
    left = set(_references(paths))
    while left:
        name = left.pop()
        found.add(name)
        left.update(set(_references(definitions[name])) - found)
    return found


def _definition(name: str, schema: Schema) -> Schema:
    if name == QUANTITY:  # v2 cannot say that numbers are taken as well
        return {"description": schema["description"], "oneOf": _types("string", "number")}
    return _schema(schema)


def _types(*names: str) -> list[Schema]:
    return [{"type": name} for name in names]


def _schema(schema: Schema) -> Schema:
    said = dict(schema)
    if "$ref" in said:
        target = {"$ref": COMPONENT + said.pop("$ref").removeprefix(REFERENCE)}
        # Whatever stands beside a $ref does not count in v3.
        return {"allOf": [target], **said} if said else target
    if said.get("format") == INT_OR_STRING:
        del said["type"]
        said["oneOf"] = _types("integer", "string")
    for field in ("items", "additionalProperties"):
        if field in said:
            said[field] = _schema(said[field])
    if "properties" in said:
        said["properties"] = {name: _schema(part) for name, part in said["properties"].items()}
    return said


def _path(item: Doc) -> Doc:
    said: Doc = {method: _operation(call) for method, call in item.items() if method in METHODS}
    if "parameters" in item:
        said["parameters"] = [_parameter(one) for one in item["parameters"]]
    return said


def _operation(call: Doc) -> Doc:
    said = {name: value for name, value in call.items() if name not in SAID_OTHERWISE}
    parameters: list[Doc] = call["parameters"]
    said["parameters"] = [_parameter(one) for one in parameters if one["in"] != "body"]
    for one in parameters:
        if one["in"] == "body":
            content = _content(call["consumes"], one["schema"])
            said["requestBody"] = {"content": content, "required": one["required"]}
    said["responses"] = {
        code: {
            "description": answer["description"],
            "content": _content(call["produces"], answer["schema"]),
        }
        for code, answer in call["responses"].items()
    }
    return said


def _content(media: Iterable[str], schema: Schema) -> Doc:
    return {one: {"schema": _schema(schema)} for one in media}


def _parameter(parameter: Doc) -> Doc:
    said = dict(parameter)
    schema = {name: said.pop(name) for name in ("type", "uniqueItems")}
    return {**said, "schema": schema}
