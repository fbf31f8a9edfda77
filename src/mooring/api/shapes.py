"""In which shape a client wants objects: as they are, as tables, or their metadata alone."""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from mooring.api.status import ApiError
from mooring.clock import Clock
from mooring.objects.cache import Entry
from mooring.objects.documents import decoded, encoded
from mooring.objects.kind import Doc, Kind, Printing

META: Final = "meta.k8s.io/v1"
AS_IT_IS: Final = frozenset({"", "*/*", "application/json"})  # Accept headers that need no look


class Shape(NamedTuple):
    """How to write one object, a list of them, and an object that has nothing but this metadata.

    plain   the cached bytes as they are
    """

    plain: bool
    one: Callable[[Entry], bytes]
    many: Callable[[Iterable[Entry], Doc], bytes]
    none: Callable[[Doc], bytes]


def shape_of(kind: Kind, accept: str, include_object: str, clock: Clock) -> Shape:
    """By the first of the Accept header's choices that is served. Raises ApiError NotAcceptable.

    clock   read for each answer or event: a watch may print ages for an hour
    """
    for choice in accept.split(",") if accept else ("*/*",):
        media, *parameters = (part.strip() for part in choice.split(";"))
        if media not in ("application/json", "application/*", "*/*"):
            continue
        wanted = dict(parameter.partition("=")[::2] for parameter in parameters)
        as_ = wanted.get("as", "")
        if as_ == "Table" and wanted.get("g") == "meta.k8s.io":
            return _tables(kind, include_object or "Metadata", clock, wanted.get("v") or "v1")
        if as_ in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return _partial(kind)
        if not as_:
            return _converted(kind) if kind.stored_as else _plain(kind)
    raise ApiError(
        "NotAcceptable",
        "only the following media types are accepted: application/json, application/yaml",
    )


def _plain(kind: Kind) -> Shape:
    def many(entries: Iterable[Entry], metadata: Doc) -> bytes:
        return _list(kind.kind, kind.api_version, metadata, [entry.body for entry in entries])

    return Shape(True, lambda entry: entry.body, many, _nothing(kind.kind, kind.api_version))


def _nothing(kind: str, api_version: str) -> Callable[[Doc], bytes]:
    return lambda metadata: encoded({"kind": kind, "apiVersion": api_version, "metadata": metadata})


def _list(kind: str, api_version: str, metadata: Doc, bodies: list[bytes]) -> bytes:
    head = b'{"kind":"%bList","apiVersion":"%b","metadata":%b,"items":[' % (
        kind.encode(),
        api_version.encode(),
        encoded(metadata),
    )
    return head + b",".join(bodies) + b"]}"


def _mapped(kind: str, api_version: str, one: Callable[[Entry], bytes]) -> Shape:
    def many(entries: Iterable[Entry], metadata: Doc) -> bytes:
        return _list(kind, api_version, metadata, [one(entry) for entry in entries])

    return Shape(False, one, many, _nothing(kind, api_version))


def _converted(kind: Kind) -> Shape:
    def one(entry: Entry) -> bytes:
        doc = kind.from_stored(decoded(entry.body))
        return encoded({**doc, "kind": kind.kind, "apiVersion": kind.api_version})

    return _mapped(kind.kind, kind.api_version, one)


def _metadata_of(doc: Doc) -> Doc:
    return {"kind": "PartialObjectMetadata", "apiVersion": META, "metadata": doc["metadata"]}


def _partial(kind: Kind) -> Shape:
    return _mapped(
        "PartialObjectMetadata", META, lambda entry: encoded(_metadata_of(decoded(entry.body)))
    )


def _tables(kind: Kind, include_object: str, clock: Clock, version: str) -> Shape:
    if include_object not in ("None", "Metadata", "Object"):
        raise ApiError("BadRequest", f"unrecognized includeObject value: {include_object!r}")
    definitions = [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in kind.columns
    ]

    def row(entry: Entry, printing: Printing) -> Doc:
        doc = decoded(entry.body)
        cells = [column.cell(doc, printing) for column in kind.columns]
        shown: Doc | None = None
        if include_object == "Metadata":
            shown = _metadata_of(doc)
        elif include_object == "Object":
            shown = doc
        return {"cells": cells, "object": shown}

    def many(entries: Iterable[Entry], metadata: Doc) -> bytes:
        printing = Printing(clock.now().timestamp())
        return encoded(
            {
                "kind": "Table",
                "apiVersion": f"meta.k8s.io/{version}",
                "metadata": metadata,
                "columnDefinitions": definitions,
                "rows": [row(entry, printing) for entry in entries],
            }
        )

    def one(entry: Entry) -> bytes:
        return many((entry,), {"resourceVersion": str(entry.revision)})

    return Shape(False, one, many, lambda metadata: many((), metadata))
