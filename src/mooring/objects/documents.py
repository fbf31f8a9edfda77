"""Objects as bytes: how they are stored, and how the revision joins them.

Stored bytes are compact JSON without `metadata.resourceVersion`, since a store tells the revision
only after the commit. They begin with kind, apiVersion and metadata in this order, so the place
where the revision belongs is the same for all objects of a kind.
"""

from typing import Any, Final

import msgspec

from mooring.objects.kind import Doc, Kind

MANAGED_FIELDS: Final = "managedFields"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class _HeadMetadata(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Head(msgspec.Struct):
    metadata: _HeadMetadata


_decode_head: Final = msgspec.json.Decoder(_Head).decode


def decoded(body: bytes) -> Doc:
    """The whole object as a dict of its own."""
    return _decode(body)


def labels_of(body: bytes) -> dict[str, str] | None:
    """The labels alone, without decoding the rest."""
    if b'"labels":' not in body:
        return None
    return _decode_head(body).metadata.labels


def encoded(doc: Doc) -> bytes:
    """Any JSON value as compact bytes."""
    return _encode(doc)


def splice_offset(kind: Kind) -> int:
    """Where `"resourceVersion":"N",` belongs in stored bytes of this kind."""
    return len(f'{{"kind":"{kind.kind}","apiVersion":"{kind.api_version}","metadata":{{')


def stored_form(kind: Kind, doc: Doc) -> bytes:
    """The bytes to store: kind, apiVersion, metadata first, no resourceVersion.

    managedFields stand last in metadata. Changes the order of nothing else.
    """
    metadata = dict(doc["metadata"])
    metadata.pop("resourceVersion", None)
    if (managed := metadata.pop(MANAGED_FIELDS, None)) is not None:
        metadata[MANAGED_FIELDS] = managed
    ordered: Doc = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    for key, value in doc.items():
        if key not in ordered:
            ordered[key] = value
    return _encode(ordered)


def spliced(stored: bytes, offset: int, revision: int) -> bytes:
    """The bytes that clients see."""
    return b'%b"resourceVersion":"%d",%b' % (stored[:offset], revision, stored[offset:])


def respliced(body: bytes, offset: int, revision: int) -> bytes:
    """The same object as clients see it after a later commit, such as its deletion."""
    end = body.index(b",", offset) + 1
    return spliced(body[:offset] + body[end:], offset, revision)


def unspliced(body: bytes, offset: int) -> bytes:
    """The stored form of what clients see."""
    end = body.index(b",", offset) + 1
    return body[:offset] + body[end:]


def same_content(stored: bytes, other: bytes) -> bool:
    """Whether two stored forms hold the same, in whatever order their fields stand.

    Clients with models of their own send back what they read in an order of their own.
    """
    return stored == other or (len(stored) == len(other) and same(decoded(stored), decoded(other)))


def same(value: Any, other: Any) -> bool:
    """As JSON: Python takes 1 for true. Looks at no more of `value` than `other` has."""
    if type(value) is not type(other):
        return False
    if type(value) is dict:
        return value.keys() == other.keys() and all(same(value[k], other[k]) for k in other)
    if type(value) is list:
        return len(value) == len(other) and all(map(same, value, other))
    return bool(value == other)
