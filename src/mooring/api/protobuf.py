"""Bodies in Kubernetes' protobuf, read as the documents that their JSON would be.

A body is `k8s\\0` and a message Unknown that names the kind and holds the object's bytes. kubectl's
typed clients and those written in Go send it; answers stay JSON, which all of them take.
`messages.py` says which fields are known; others are skipped. The messages of that table hold each
other to a fixed depth and what is unknown is not looked into, so no body nests further than that.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from mooring.api.messages import Field, Form, message_of, messages
from mooring.api.status import ApiError
from mooring.objects.kind import Doc

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
PREFIX: Final = b"k8s\x00"
EPOCH: Final = datetime(1970, 1, 1)

VARINT, EIGHT_BYTES, SPAN, FOUR_BYTES = 0, 1, 2, 5  # wire types; groups (3, 4) nobody sends
FIXED: Final = {EIGHT_BYTES: 8, FOUR_BYTES: 4}

PutSpan = Callable[[Doc, bytes, int, int], None]  # into a document: the bytes from here to there
PutNumber = Callable[[Doc, int], None]


class Malformed(ApiError):
    """A body that is not what it says it is."""

    def __init__(self, what: str) -> None:
        super().__init__("BadRequest", what)


class Plan(NamedTuple):
    """How to read a message: what to do with a field, by number and wire type."""

    spans: Mapping[int, PutSpan]
    numbers: Mapping[int, PutNumber]
    known: frozenset[int]


def decoded(body: bytes, api_version: str, kind: str) -> Doc:
    """The object in a body as a JSON document, kind and apiVersion first.

    api_version, kind  what the body should be; it may leave them out. Another version that is
                       known is returned as it is, for the caller to judge
    raises             Malformed, whatever the bytes are
    """
    try:
        if not body.startswith(PREFIX):
            raise ValueError(f"expected prefix {list(PREFIX)}")
        frame = _message(body, len(PREFIX), len(body), "Unknown")
        if frame.get("contentEncoding") or frame.get("contentType", MEDIA_TYPE) != MEDIA_TYPE:
            raise ValueError("the object in it is not plain protobuf")
        said = frame.get("typeMeta", {})
        version, name = said.get("apiVersion", api_version), said.get("kind", kind)
        message = message_of(version, name)
        if not message or name != kind:
            raise ValueError(f"it is of kind {name[:64]!r} of version {version[:64]!r}")
        raw = frame.get("raw", b"")
        return {"kind": name, "apiVersion": version, **_message(raw, 0, len(raw), message)}
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        what = f"the object provided is unrecognized (must be of type {kind}): protobuf: {error}"
        raise Malformed(what) from error


def _message(data: bytes, at: int, end: int, message: str) -> Doc:
    doc: Doc = {}
    _merge(data, at, end, _plan(message), doc)
    return doc


def _merge(data: bytes, at: int, end: int, plan: Plan, doc: Doc) -> None:
    """Add the fields of a message to a document. Raises ValueError."""
    spans, numbers, known = plan
    while at < end:
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == SPAN:
            length, at = _varint(data, at, end)
            start, at = at, at + length
            if at <= end and (put := spans.get(number)) is not None:
                put(doc, data, start, at)
                continue
        elif wire == VARINT:
            value, at = _varint(data, at, end)
            if (put_number := numbers.get(number)) is not None:
                put_number(doc, value)
                continue
        elif wire in FIXED:
            at += FIXED[wire]
        else:
            raise ValueError(f"wire type {wire}")
        if at > end:
            raise ValueError("unexpected end")
        if number in known or not number:
            raise ValueError(f"wire type {wire} of field {number}")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number here, 0 <= it < 2**64, and where it ends. Raises ValueError."""
    if at < end and (value := data[at]) < 0x80:
        return value, at + 1
    value = shift = 0
    for here in range(at, min(end, at + 10)):
        byte = data[here]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, here + 1
        shift += 7
    raise ValueError("a number ends nowhere or is too large")


@cache
def _plan(message: str) -> Plan:
    fields = messages()[message]
    spans: dict[int, PutSpan] = {}
    numbers: dict[int, PutNumber] = {}
    for field in fields:
        if field.type in NUMBERS:
            numbers[field.number] = _number(field)
            if field.form is Form.LIST:
                spans[field.number] = _packed(field)
        else:
            spans[field.number] = _span(field)
    return Plan(spans, numbers, frozenset(field.number for field in fields))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


NUMBERS: Final[dict[str, Callable[[int], Any]]] = {"int": _signed, "bool": bool}


def _number(field: Field) -> PutNumber:
    name, shows_zero, read = field.name, field.shows_zero, NUMBERS[field.type]

    def put(doc: Doc, value: int) -> None:
        if value or shows_zero:
            doc[name] = read(value)

    def add(doc: Doc, value: int) -> None:
        doc.setdefault(name, []).append(read(value))

    return add if field.form is Form.LIST else put


def _packed(field: Field) -> PutSpan:
    """Many numbers in one field, as protobuf allows any list of numbers to be sent."""
    add = _number(field)

    def put(doc: Doc, data: bytes, at: int, end: int) -> None:
        while at < end:
            value, at = _varint(data, at, end)
            add(doc, value)

    return put


def _span(field: Field) -> PutSpan:
    if field.form is Form.MAP:
        return _entry(field)
    if field.type in messages() and field.type not in SHOWN:
        return _object(field)
    name, read = field.name, _reader(field.type)
    shown = field.shows_zero or field.type in SHOWN

    def put(doc: Doc, data: bytes, at: int, end: int) -> None:
        if at < end or shown:
            doc[name] = read(data, at, end)

    def add(doc: Doc, data: bytes, at: int, end: int) -> None:
        doc.setdefault(name, []).append(read(data, at, end))

    return add if field.form is Form.LIST else put


def _object(field: Field) -> PutSpan:
    """A message that is an object in JSON. One that comes twice is one, as protobuf has it."""
    name, plan = field.name, _plan(field.type)

    def put(doc: Doc, data: bytes, at: int, end: int) -> None:
        _merge(data, at, end, plan, doc.setdefault(name, {}))

    def join(doc: Doc, data: bytes, at: int, end: int) -> None:
        _merge(data, at, end, plan, doc)

    def add(doc: Doc, data: bytes, at: int, end: int) -> None:
        one: Doc = {}
        _merge(data, at, end, plan, one)
        doc.setdefault(name, []).append(one)

    return {Form.LIST: add, Form.JOINED: join}.get(field.form, put)


def _entry(field: Field) -> PutSpan:
    """One key of a map, with its value."""
    name, read = field.name, _reader(field.type)
    key = _span(Field(1, "key", "str", Form.ONE, True))

    def value(entry: Doc, data: bytes, at: int, end: int) -> None:
        entry["value"] = read(data, at, end)

    plan = Plan({1: key, 2: value}, {}, frozenset({1, 2}))

    def put(doc: Doc, data: bytes, at: int, end: int) -> None:
        entry: Doc = {}
        _merge(data, at, end, plan, entry)
        found = entry["value"] if "value" in entry else read(b"", 0, 0)
        doc.setdefault(name, {})[entry.get("key", "")] = found

    return put


def _reader(type_: str) -> Callable[[bytes, int, int], Any]:
    """The JSON value of the bytes from here to there."""
    if type_ in SCALARS:
        of_bytes = SCALARS[type_]
        return lambda data, at, end: of_bytes(data[at:end])
    plan, shown = _plan(type_), SHOWN[type_]

    def read(data: bytes, at: int, end: int) -> Any:
        doc: Doc = {}
        _merge(data, at, end, plan, doc)
        return shown(doc)

    return read


def _object_of(raw: bytes) -> Doc:
    found = msgspec.json.decode(raw)
    if not isinstance(found, dict):
        raise ValueError("fieldsV1 is not an object")
    return found


SCALARS: Final[dict[str, Callable[[bytes], Any]]] = {
    "str": bytes.decode,
    "bytes": lambda raw: b64encode(raw).decode(),
    "json": _object_of,
    "raw": bytes,
}


def _moment(doc: Doc, timespec: str) -> str | None:
    """A point in time in RFC 3339; None for the time that is not set."""
    if not doc:
        return None
    past = timedelta(seconds=doc.get("seconds", 0), microseconds=doc.get("nanos", 0) // 1000)
    return (EPOCH + past).isoformat(timespec=timespec) + "Z"


def _int_or_string(doc: Doc) -> int | str:
    found: int | str = doc.get("strVal", "") if doc.get("type") else doc.get("intVal", 0)
    return found


# Messages that are something else than an object in JSON: what of their fields.
SHOWN: Final[dict[str, Callable[[Doc], Any]]] = {
    "Time": lambda doc: _moment(doc, "seconds"),
    "MicroTime": lambda doc: _moment(doc, "microseconds"),
    "Quantity": lambda doc: doc.get("string", "0"),
    "IntOrString": _int_or_string,
    "FieldsV1": lambda doc: doc.get("Raw", {}),
    "ExtraValue": lambda doc: doc.get("items", []),
}
