"""The other way around: documents as Kubernetes' protobuf, by the same table."""

from base64 import b64decode
from datetime import datetime
from typing import Any

from mooring.api.messages import Field, Form, message_of, messages


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative ones as protobuf has them
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def span(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def framed(api_version: str, kind: str, raw: bytes) -> bytes:
    """A body, as Go's clients write it."""
    named = span(1, api_version.encode()) + span(2, kind.encode())
    return b"k8s\x00" + span(1, named) + span(2, raw) + span(3, b"") + span(4, b"")


def body_of(doc: dict[str, Any]) -> bytes:
    message = message_of(doc["apiVersion"], doc["kind"])
    return framed(doc["apiVersion"], doc["kind"], encoded(message, doc))


def encoded(message: str, doc: dict[str, Any]) -> bytes:
    """What of the document belongs to the message; a null is an empty message."""
    return b"".join(_encoded_field(field, doc) for field in messages()[message])


def _encoded_field(field: Field, doc: dict[str, Any]) -> bytes:
    if field.form is Form.JOINED:
        return span(field.number, encoded(field.type, doc))
    if field.name not in doc:
        return b""
    value = doc[field.name]
    if field.form is Form.LIST:
        return b"".join(_one(field, item) for item in value)
    if field.form is Form.MAP:
        value_field = Field(2, "value", field.type, Form.ONE, True)
        return b"".join(
            span(field.number, span(1, key.encode()) + _one(value_field, item))
            for key, item in value.items()
        )
    return _one(field, value)


def _one(field: Field, value: Any) -> bytes:
    if field.type in ("int", "bool"):
        return number(field.number, int(value))
    return span(field.number, _content(field.type, value))


def _content(type_: str, value: Any) -> bytes:
    if value is None:
        return b""
    if type_ == "str":
        return str(value).encode()
    if type_ == "bytes":
        return b64decode(value)
    if type_ == "Quantity":
        return span(1, value.encode())
    if type_ in ("Time", "MicroTime"):
        moment = datetime.fromisoformat(value)
        return number(1, int(moment.timestamp())) + number(2, moment.microsecond * 1000)
    if type_ == "IntOrString":
        return (
            (number(1, 0) + number(2, value))
            if isinstance(value, int)
            else (number(1, 1) + span(3, value.encode()))
        )
    return encoded(type_, value)
