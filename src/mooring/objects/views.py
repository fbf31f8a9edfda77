"""Typed views of objects, and how a changed view changes the whole object.

A view holds only the fields that Mooring decides on. Writing one back sets the difference between
what was read and what is wanted on the full document, so all other fields survive.
"""

from collections import deque
from typing import Any, Final, TypeVar

import msgspec

from mooring.model.decoding import ViewDecoder
from mooring.model.metadata import Part, View
from mooring.objects.cache import Entry
from mooring.objects.documents import decoded
from mooring.objects.kind import Doc

V = TypeVar("V", bound=View)

SEEN_AT_MOST: Final = 1024  # views kept, some 2 KiB each: a change is looked at by several loops

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
    if len(_seen) == SEEN_AT_MOST:
        _seen.popleft().seen = None
    entry.seen = seen
    _seen.append(entry)
    return seen


def overlaid(body: bytes, old: View, new: View) -> Doc:
    """The whole object with what differs between two views of it."""
    doc = decoded(body)
    _overlay(doc, old, new)
    return doc


def _overlay(doc: Doc, old: Part, new: Part) -> None:
    """Views share what did not change, so nearly all of it is passed over by identity."""
    encoded: Doc | None = None
    for field, key in zip(new.__struct_fields__, new.__struct_encode_fields__, strict=True):
        had, wanted = getattr(old, field), getattr(new, field)
        if had is wanted or had == wanted:
            continue
        if _overlaid_below(doc.get(key), had, wanted):
            continue
        if encoded is None:
            encoded = msgspec.to_builtins(new)  # what is as by default is absent
        _set(doc, key, had, wanted, encoded.get(key))


def _overlaid_below(present: Any, had: Any, wanted: Any) -> bool:
    """Whether only the difference within a part was to be set, and is."""
    within = isinstance(present, dict) and isinstance(had, Part) and isinstance(wanted, Part)
    if within:
        _overlay(present, had, wanted)
    return within


def _set(doc: Doc, key: str, had: Any, wanted: Any, encoded: Any) -> None:
    present = doc.get(key)
    if _overlaid_below(present, had, wanted):
        return
    if encoded is None:
        doc.pop(key, None)
    elif isinstance(present, dict) and isinstance(had, dict) and isinstance(wanted, dict):
        for name in had.keys() | wanted.keys():
            if had.get(name) != wanted.get(name):
                _set(present, name, had.get(name), wanted.get(name), encoded.get(name))
    else:
        doc[key] = encoded
