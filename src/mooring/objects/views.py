"""Typed views of objects, and how a changed view changes the whole object.

A view holds only the fields that Mooring decides on. Writing one back sets the difference between
what was read and what is wanted on the full document, so all other fields survive.
"""

from collections import deque
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import astuple

from mooring.model.decoding import ViewDecoder
from mooring.model.metadata import Part, View
from mooring.objects.cache import Entry
from mooring.objects.documents import MANAGED_FIELDS, encoded

V = TypeVar("V", bound=View)

SEEN_AT_MOST: Final = 1024  # views kept, some 2 KiB each: a change is looked at by several loops
SEEN_BYTES: Final = 32 * 1024  # of an object; a larger one is decoded anew, but does not stay

Fields = dict[str, Any]  # of a part of an object: bytes that are not looked into, and new values

NULL: Final = msgspec.Raw(b"null")
_decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decoders: Final[dict[type[View], ViewDecoder[Any]]] = {}
_seen: Final[deque[Entry]] = deque()  # those whose views are kept, the oldest first


def view(type_: type[V], entry: Entry) -> V:
    """What Mooring sees of an object; metadata.resource_version is that of the entry."""
    if type(entry.seen) is type_:
        return entry.seen
    decoder = _decoders.get(type_)
    if decoder is None:
        decoder = _decoders[type_] = ViewDecoder(type_)
    seen: V = decoder.decode(entry.body)
    if len(entry.body) > SEEN_BYTES:
        return seen
    if len(_seen) == SEEN_AT_MOST:
        _seen.popleft().seen = None
    entry.seen = seen
    _seen.append(entry)
    return seen


def overlaid(stored: bytes | msgspec.Raw, old: Part, new: Part) -> bytes:
    """The whole object, as stored, with what differs between two views of it.

    Views share what did not change, so nearly all of it is passed over by identity, and of the
    object only that is decoded in which something differs.
    """
    fields: Fields = _decode_fields(stored)
    values = zip(
        new.__struct_encode_fields__,
        astuple(old),
        astuple(new),
        _defaults(type(new)),
        strict=True,
    )
    for key, had, wanted, default in values:
        if had is wanted or had == wanted:
            continue
        if wanted == default and not isinstance(wanted, Part):
            fields.pop(key, None)
        else:
            _set(fields, key, had, wanted)
    if (managed := fields.pop(MANAGED_FIELDS, None)) is not None:
        fields[MANAGED_FIELDS] = managed  # the last, as the stored form has it
    return encoded(fields)


@cache
def _defaults(type_: type[Part]) -> tuple[Any, ...]:
    """What each field of a part is if it is absent."""
    return astuple(type_())


def _set(fields: Fields, key: str, had: Any, wanted: Any) -> None:
    present = fields.get(key, NULL)
    if present == NULL:
        fields[key] = wanted
    elif isinstance(had, Part) and isinstance(wanted, Part):
        fields[key] = msgspec.Raw(overlaid(present, had, wanted))
    elif isinstance(had, dict) and isinstance(wanted, dict):
        fields[key] = below = _decode_fields(present)
        for name in had.keys() - wanted.keys():
            del below[name]
        for name, value in wanted.items():
            if had.get(name) != value:
                _set(below, name, had.get(name), value)
    else:
        fields[key] = wanted
