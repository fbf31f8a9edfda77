"""Typed views of objects, and how a changed view changes the whole object.

A view holds only the fields that Mooring decides on. Writing one back sets the difference between
what was read and what is wanted on the full document, so all other fields survive.
"""

from collections import deque
from typing import Any, Final, TypeVar

import msgspec

from mooring.model.decoding import ViewDecoder
from mooring.model.metadata import View
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
    _overlay(doc, msgspec.to_builtins(old), msgspec.to_builtins(new))
    return doc


def _overlay(doc: Doc, old: dict[str, Any], new: dict[str, Any]) -> None:
    for key, wanted in new.items():
        had = old.get(key)
        if wanted == had:
            continue
        present = doc.get(key)
        if isinstance(wanted, dict) and isinstance(present, dict):
            _overlay(present, had if isinstance(had, dict) else {}, wanted)
        else:
            doc[key] = wanted
    for key in old.keys() - new.keys():
        doc.pop(key, None)
