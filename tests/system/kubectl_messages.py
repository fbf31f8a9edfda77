"""Kubernetes' messages as kubectl knows them: a Go program holds their descriptors."""

import re
import zlib
from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor as Wire
from google.protobuf.message import DecodeError, Message

# Messages whose fields are their parent's in JSON; descriptors do not say it.
JOINED = {
    "ephemeralContainerCommon",
    "handler",
    "localObjectReference",
    "persistentVolumeSource",
    "volumeSource",
}
# Messages that are no objects in JSON: their fields, and what JSON shows for them.
SHOWN: dict[str, tuple[dict[str, Any], Any]] = {
    "Time": ({"seconds": 1764073845}, "2025-11-25T12:30:45Z"),
    "MicroTime": ({"seconds": -1, "nanos": 5000}, "1969-12-31T23:59:59.000005Z"),
    "Quantity": ({"string": "1536Mi"}, "1536Mi"),
    "IntOrString": ({"type": 1, "strVal": "http"}, "http"),
    "FieldsV1": ({"Raw": b'{"f:spec":{}}'}, {"f:spec": {}}),
    "ExtraValue": ({"items": ["a", ""]}, ["a", ""]),
}
VALUES: dict[int, tuple[Any, Any]] = {  # by type: one to send, and how JSON shows it
    Wire.TYPE_STRING: ("täxt", "täxt"),
    Wire.TYPE_BYTES: (b"\x00\xff", "AP8="),
    Wire.TYPE_BOOL: (True, True),
    Wire.TYPE_INT32: (-7, -7),
    Wire.TYPE_INT64: (2**63 - 1, 2**63 - 1),
}


def _files(program: bytes) -> Iterator[descriptor_pb2.FileDescriptorProto]:
    for found in re.finditer(rb"\x1f\x8b\x08", program):  # each is gzipped
        try:
            raw = zlib.decompressobj(31).decompress(program[found.start() :][: 1 << 20])
            file = descriptor_pb2.FileDescriptorProto.FromString(raw)
        except (zlib.error, DecodeError):
            continue
        if file.name.startswith("k8s.io/"):
            needed = [name for name in file.dependency if name.startswith("k8s.io/")]
            file.ClearField("dependency")
            file.dependency.extend(needed)  # without the options of the Go generator
            yield file


def pool_of(program: bytes) -> descriptor_pool.DescriptorPool:
    """Every message of Kubernetes in a program."""
    pool = descriptor_pool.DescriptorPool()
    files = {file.name: file for file in _files(program)}

    def add(file: descriptor_pb2.FileDescriptorProto | None) -> None:
        if file is not None:
            for name in file.dependency:
                add(files.pop(name, None))
            pool.Add(file)

    while files:
        add(files.pop(next(iter(files))))
    return pool


def made(pool: descriptor_pool.DescriptorPool, name: str) -> type[Message]:
    """The class of a message."""
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def full(pool: descriptor_pool.DescriptorPool, name: str) -> tuple[Message, Any]:
    """A message with every field set, lists of two and maps of one, and its JSON."""
    message = made(pool, name)()
    return message, _fill(message)


def _fill(message: Message) -> Any:
    descriptor = message.DESCRIPTOR
    if descriptor.name in SHOWN:
        fields, shown = SHOWN[descriptor.name]
        message.MergeFrom(type(message)(**fields))
        return shown
    doc: dict[str, Any] = {}
    for field in descriptor.fields:
        shown = _fill_field(message, field)
        if field.name in JOINED:
            doc.update(shown)
        else:
            doc[field.name] = shown
    return doc


def _fill_field(message: Message, field: Wire) -> Any:
    place = getattr(message, field.name)
    nested = field.message_type
    if nested is not None and nested.GetOptions().map_entry:
        value = nested.fields_by_name["value"]
        if value.message_type is not None:
            return {"key": _fill(place["key"])}
        place["key"], shown = VALUES[value.type]
        return {"key": shown}
    many = hasattr(place, "append")
    if nested is not None:
        return [_fill(place.add()), _fill(place.add())] if many else _fill(place)
    sent, shown = VALUES[field.type]
    if many:
        place.extend([sent, sent])
        return [shown, shown]
    setattr(message, field.name, sent)
    return shown
