"""v1 Event, and the same objects as events.k8s.io/v1, which names the fields anew."""

from collections.abc import Callable
from typing import Final

from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Doc, Kind, Printing
from mooring.objects.kinds.common import (
    invalid,
    metadata_causes,
    metadata_update_causes,
    not_supported,
    required,
)

TYPES: Final = ("Normal", "Warning")
NOTE_BYTES_MAX: Final = 1024
GROUP, VERSION = "events.k8s.io", "v1"
NAMES: Final = {  # in events.k8s.io → in the core group; all others are called the same
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
NEWER: Final = {core: name for name, core in NAMES.items()}


def _to_stored(doc: Doc) -> Doc:
    return {NAMES.get(name, name): value for name, value in doc.items()}


def _from_stored(doc: Doc) -> Doc:
    served = {NEWER.get(name, name): value for name, value in doc.items()}
    return {**served, "kind": "Event", "apiVersion": f"{GROUP}/{VERSION}"}


def _about(doc: Doc) -> Doc:
    return doc.get("involvedObject") or {}


def _causes(doc: Doc) -> list[Cause]:
    """An event lies in the namespace of what it is about; one about no namespace in default."""
    namespace, about = doc["metadata"].get("namespace", ""), _about(doc).get("namespace", "")
    causes = metadata_causes(doc)
    if about != namespace and (about or namespace not in ("default", "kube-system")):
        causes.append(invalid("involvedObject.namespace", about, "does not match event.namespace"))
    return causes


def _newer_causes(doc: Doc) -> list[Cause]:
    """What events.k8s.io asks for beyond that, at creation."""
    fields = ("eventTime", "reportingComponent", "reportingInstance", "action", "reason")
    causes = [required(NEWER.get(field, field)) for field in fields if not doc.get(field)]
    if doc.get("type") not in TYPES:
        causes.append(not_supported("type", doc.get("type", ""), TYPES))
    if len(str(doc.get("message") or "").encode()) > NOTE_BYTES_MAX:
        causes.append(invalid("note", "", f"can have at most {NOTE_BYTES_MAX} bytes"))
    return _causes(doc) + causes


def _since(timestamp: str | None, now: Printing) -> str:
    if not timestamp:
        return "<unknown>"
    return printing.duration(now.now_s - printing.seconds(timestamp))


def _first_seen(doc: Doc, now: Printing) -> str:
    return _since(doc.get("firstTimestamp") or doc.get("eventTime"), now)


def _last_seen(doc: Doc, now: Printing) -> str:
    if series := doc.get("series"):
        return _since(series.get("lastObservedTime"), now)
    last = doc.get("lastTimestamp")
    return _since(last, now) if last else _first_seen(doc, now)


def _count(doc: Doc, _: Printing) -> int:
    return int((doc.get("series") or doc).get("count") or 1)


def _object(doc: Doc, _: Printing) -> str:
    kind, name = _about(doc).get("kind", "").lower(), _about(doc).get("name", "")
    return f"{kind}/{name}" if name else kind


def _source(doc: Doc, _: Printing) -> str:
    instance = (doc.get("source") or {}).get("host") or doc.get("reportingInstance") or ""
    return f"{_component(doc)}, {instance}" if instance else _component(doc)


def _of_object(name: str) -> Callable[[Doc], str]:
    return lambda doc: str(_about(doc).get(name, ""))


def _component(doc: Doc) -> str:
    """Who told: events of the newer form have no source."""
    return str((doc.get("source") or {}).get("component") or doc.get("reportingComponent") or "")


def _selectable(about: str, by: str) -> dict[str, Callable[[Doc], str]]:
    """about, by  what the two fields are called: whom it is about, and who reports it."""
    parts = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    return {
        **{f"{about}.{part}": _of_object(part) for part in parts},
        "reason": lambda doc: str(doc.get("reason", "")),
        "type": lambda doc: str(doc.get("type", "")),
        by: lambda doc: str(doc.get("reportingComponent") or ""),
        "source": _component,
    }


COLUMNS: Final = (
    Column("Last Seen", _last_seen),
    Column("Type", lambda doc, _: doc.get("type", "")),
    Column("Reason", lambda doc, _: doc.get("reason", "")),
    Column("Object", _object),
    Column("Subobject", lambda doc, _: _about(doc).get("fieldPath", ""), priority=1),
    Column("Source", _source, priority=1),
    Column("Message", lambda doc, _: str(doc.get("message", "")).strip()),
    Column("First Seen", _first_seen, priority=1),
    Column("Count", _count, type="integer", priority=1),
    Column("Name", printing.name, format="name", priority=1),
)

CORE: Final = Kind(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    singular="event",
    namespaced=True,
    short_names=("ev",),
    columns=COLUMNS,
    validate_create=_causes,
    validate_update=metadata_update_causes,
    selectable=_selectable("involvedObject", "reportingComponent"),
)

NEW: Final = Kind(
    group=GROUP,
    version=VERSION,
    kind="Event",
    plural="events",
    singular="event",
    namespaced=True,
    short_names=("ev",),
    columns=COLUMNS,
    validate_create=_newer_causes,
    validate_update=metadata_update_causes,
    selectable={
        **_selectable("involvedObject", "reportingComponent"),
        **_selectable("regarding", "reportingController"),
    },
    stored_as=CORE.resource,
    to_stored=_to_stored,
    from_stored=_from_stored,
)
