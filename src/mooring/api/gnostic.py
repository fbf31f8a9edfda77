"""OpenAPI documents in protobuf, as kubectl reads those of v2: gnostic's messages.

A writer makes a field of a message: a function from its number and a JSON value to bytes. Tables
join writers by their names in JSON. They hold what our documents say, and no more of OpenAPI: any
other name is a KeyError, so that nothing is lost in silence.

Numbers: github.com/google/gnostic, openapiv2/OpenAPIv2.proto and openapiv3/OpenAPIv3.proto.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Writer = Callable[[int, Any], bytes]
Fields = Mapping[str, tuple[int, Writer]]

SPAN: Final = 2  # wire type: a length, and that many bytes
VENDOR: Final = "x-"  # how names begin that OpenAPI leaves to others


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _span(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | SPAN) + _varint(len(content)) + content


def _text(number: int, value: Any) -> bytes:
    return _span(number, value.encode())


def _flag(number: int, value: Any) -> bytes:
    return _varint(number << 3) + _varint(bool(value))


def _any(number: int, value: Any) -> bytes:
    """Message Any, which holds a value as YAML; JSON is that too."""
    return _span(number, _text(2, json.dumps(value)))


def message(fields: Fields, vendor: int = 0) -> Writer:
    """A message with these fields, and vendor extensions in the field of that number if any."""
    return lambda number, value: _span(number, b"".join(_content(value, fields, vendor)))


def _content(value: Any, fields: Fields, vendor: int) -> Iterator[bytes]:
    for name, part in value.items():
        if vendor and name.startswith(VENDOR):
            yield _entry(vendor, name, part, _any)
        else:
            number, write = fields[name]
            yield write(number, part)


def _entry(number: int, name: str, value: Any, write: Writer) -> bytes:
    """One of the messages Named…, which are the entries of maps."""
    return _span(number, _text(1, name) + write(2, value))


def many(write: Writer) -> Writer:
    return lambda number, value: b"".join(write(number, part) for part in value)


def inside(inner: int, write: Writer) -> Writer:
    """A message of which one field matters: a choice of several, or a list."""
    return lambda number, value: _span(number, write(inner, value))


def named(write: Writer, inner: int = 1) -> Writer:
    """A map, as a message that lists its entries in the field `inner`."""

    def writer(number: int, value: Any) -> bytes:
        entries = (_entry(inner, name, part, write) for name, part in value.items())
        return _span(number, b"".join(entries))

    return writer


# OpenAPI v2.

_SCHEMA: Final[dict[str, tuple[int, Writer]]] = {}  # filled here below: it holds itself
_schema: Final = message(_SCHEMA, vendor=31)
_SCHEMA.update(
    {
        "$ref": (1, _text),
        "format": (2, _text),
        "description": (4, _text),
        "required": (19, many(_text)),
        "additionalProperties": (21, inside(1, _schema)),
        "type": (22, inside(1, _text)),
        "items": (23, inside(1, _schema)),
        "properties": (25, named(_schema)),
    }
)
_BODY: Final[Fields] = {
    "name": (2, _text),
    "in": (3, _text),
    "required": (4, _flag),
    "schema": (5, _schema),
}
_PLACED: Final = {  # parameters of a path and of a query alike
    "required": (1, _flag),
    "in": (2, _text),
    "description": (3, _text),
    "name": (4, _text),
}
_QUERY: Final[Fields] = {**_PLACED, "type": (6, _text), "uniqueItems": (20, _flag)}
_IN_PATH: Final[Fields] = {**_PLACED, "type": (5, _text), "uniqueItems": (19, _flag)}
_PARAMETERS: Final[Mapping[str, Writer]] = {
    "body": inside(1, message(_BODY)),
    "query": inside(2, inside(3, message(_QUERY))),
    "path": inside(2, inside(4, message(_IN_PATH))),
}
_parameters: Final = many(
    lambda number, value: _span(number, _PARAMETERS[value["in"]](1, value)),
)
_RESPONSE: Final[Fields] = {"description": (1, _text), "schema": (2, inside(1, _schema))}
_OPERATION: Final[Fields] = {
    "tags": (1, many(_text)),
    "description": (3, _text),
    "operationId": (5, _text),
    "produces": (6, many(_text)),
    "consumes": (7, many(_text)),
    "parameters": (8, _parameters),
    "responses": (9, named(inside(1, message(_RESPONSE)))),
}
_operation: Final = message(_OPERATION, vendor=13)
_ITEM: Final[Fields] = {
    "get": (2, _operation),
    "put": (3, _operation),
    "post": (4, _operation),
    "delete": (5, _operation),
    "patch": (8, _operation),
    "parameters": (9, _parameters),
}
_KEY: Final[Fields] = {"type": (1, _text), "name": (2, _text), "in": (3, _text)}
_rights: Final = many(named(inside(1, many(_text))))
_DOCUMENT: Final[Fields] = {
    "swagger": (1, _text),
    "info": (2, message({"title": (1, _text), "version": (2, _text)})),
    "paths": (8, named(message(_ITEM), inner=2)),
    "definitions": (9, named(_schema)),
    "security": (12, _rights),
    "securityDefinitions": (13, named(inside(2, message(_KEY)))),
}

# OpenAPI v3.

_SCHEMA3: Final[dict[str, tuple[int, Writer]]] = {}
_schema3: Final = message(_SCHEMA3, vendor=36)
_reference: Final = message({"$ref": (1, _text)})


def _schema_or_reference(number: int, value: Any) -> bytes:
    return _span(number, _reference(2, value) if "$ref" in value else _schema3(1, value))


_SCHEMA3.update(
    {
        "uniqueItems": (20, _flag),
        "required": (23, many(_text)),
        "type": (25, _text),
        "allOf": (26, many(_schema_or_reference)),
        "oneOf": (27, many(_schema_or_reference)),
        "items": (30, inside(1, _schema_or_reference)),
        "properties": (31, named(_schema_or_reference)),
        "additionalProperties": (32, inside(1, _schema_or_reference)),
        "description": (34, _text),
        "format": (35, _text),
    }
)
_PARAMETER3: Final[Fields] = {
    "name": (1, _text),
    "in": (2, _text),
    "description": (3, _text),
    "required": (4, _flag),
    "schema": (10, _schema_or_reference),
}
_parameters3: Final = many(inside(1, message(_PARAMETER3)))
_content3: Final = named(message({"schema": (1, _schema_or_reference)}))
_BODY3: Final[Fields] = {"content": (2, _content3), "required": (3, _flag)}
_RESPONSE3: Final[Fields] = {"description": (1, _text), "content": (3, _content3)}
_OPERATION3: Final[Fields] = {
    "tags": (1, many(_text)),
    "description": (3, _text),
    "operationId": (5, _text),
    "parameters": (6, _parameters3),
    "requestBody": (7, inside(1, message(_BODY3))),
    "responses": (8, named(inside(1, message(_RESPONSE3)), inner=2)),
}
_operation3: Final = message(_OPERATION3, vendor=13)
_ITEM3: Final[Fields] = {
    "get": (4, _operation3),
    "put": (5, _operation3),
    "post": (6, _operation3),
    "delete": (7, _operation3),
    "patch": (10, _operation3),
    "parameters": (13, _parameters3),
}
_SCHEME3: Final[Fields] = {"type": (1, _text), "scheme": (5, _text)}
_COMPONENTS3: Final[Fields] = {
    "schemas": (1, named(_schema_or_reference)),
    "securitySchemes": (7, named(inside(1, message(_SCHEME3)))),
}
_DOCUMENT3: Final[Fields] = {
    "openapi": (1, _text),
    "info": (2, message({"title": (1, _text), "version": (6, _text)})),
    "paths": (4, named(message(_ITEM3))),
    "components": (5, message(_COMPONENTS3)),
    "security": (6, _rights),
}


def document2(document: Any) -> bytes:
    """A whole document of OpenAPI v2 as openapi.v2.Document. Raises KeyError, see above."""
    return b"".join(_content(document, _DOCUMENT, 0))


def document3(document: Any) -> bytes:
    """A whole document of OpenAPI v3 as openapi.v3.Document. Raises KeyError, see above."""
    return b"".join(_content(document, _DOCUMENT3, 0))
