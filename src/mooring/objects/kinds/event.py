"""v1 Event, and the same objects as events.k8s.io/v1, which names the fields anew."""

from collections.abc import Callable
from typing import Final

from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Doc, Kind, Printing
from mooring.objects.kinds.common import (
    as_path_segment,
    invalid,
    is_qualified,
    metadata_causes,
    metadata_update_causes,
    required,
)

TYPES: Final = ("Normal", "Warning")
NOTE_MAX_BYTES: Final = 1024
TEXT_MAX_BYTES: Final = 128  # of reason, action and reportingInstance
# As stored. What recorders of the core group write, and what stays in events of the newer one.
OF_OLD: Final = ("firstTimestamp", "lastTimestamp", "count", "source")
FIXED: Final = (
    *("involvedObject", "reason", "message", *OF_OLD, "type", "eventTime", "action", "related"),
    *("reportingComponent", "reportingInstance"),
)
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


def _event_causes(doc: Doc) -> list[Cause]:
    """Of any event: where it lies; and of one that has eventTime, what those say."""
    namespace, about = doc["metadata"].get("namespace", ""), _about(doc).get("namespace", "")
    is_newer = bool(doc.get("eventTime"))
    if is_newer:
        lies_right = bool(about) or namespace in ("default", "kube-system")
    else:
        lies_right = about == namespace or (not about and namespace == "default")
    causes = _newer_causes(doc) if is_newer else []
    if not lies_right:
        causes.append(invalid("involvedObject.namespace", about, "does not match event.namespace"))
    return causes


def _newer_causes(doc: Doc) -> list[Cause]:
    causes, reporter = [], doc.get("reportingComponent") or ""
    if not reporter:
        causes.append(required("reportingController"))
    elif not is_qualified(reporter):
        causes.append(invalid("reportingController", reporter, "must be a qualified name"))
    for field in ("reportingInstance", "action", "reason"):
        text = doc.get(field) or ""
        if not text:
            causes.append(required(field))
        elif len(text.encode()) > TEXT_MAX_BYTES:
            causes.append(invalid(field, "", f"can have at most {TEXT_MAX_BYTES} characters"))
    if len((doc.get("message") or "").encode()) > NOTE_MAX_BYTES:
        causes.append(invalid("message", "", f"can have at most {NOTE_MAX_BYTES} characters"))
    return causes


def _series_causes(doc: Doc) -> list[Cause]:
    if (series := doc.get("series")) is None:
        return []
    causes = []
    if (series.get("count") or 0) < 2:
        causes.append(invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        causes.append(required("series.lastObservedTime"))
    return causes


def _core_causes(doc: Doc) -> list[Cause]:
    """Programs give events all sorts of names, which Kubernetes lets pass here."""
    return metadata_causes(doc, named=as_path_segment) + _event_causes(doc)


def _core_update_causes(doc: Doc, old: Doc) -> list[Cause]:
    return metadata_update_causes(doc, old, named=as_path_segment) + _event_causes(doc)


def _new_causes(doc: Doc) -> list[Cause]:
    """What events.k8s.io asks for beyond that, at creation."""
    causes = _event_causes(doc) + metadata_causes(doc) + _series_causes(doc)
    if not doc.get("eventTime"):
        causes.append(required("eventTime"))
    if (type_ := doc.get("type") or "") not in TYPES:
        causes.append(invalid("type", "", f"has invalid value: {type_}"))
    for field in OF_OLD:
        value = doc.get(field)
        if any(value.values()) if isinstance(value, dict) else value:
            causes.append(invalid(field, "", "needs to be unset"))
    return causes


def _new_update_causes(doc: Doc, old: Doc) -> list[Cause]:
    """An event stays as it was told, but for its series."""
    # It may have been told through the core group, under any name.
    causes = _event_causes(doc) + metadata_update_causes(doc, old, named=as_path_segment)
    if doc.get("series") != old.get("series"):
        causes += _series_causes(doc)
    for field in FIXED:
        if (doc.get(field) or None) != (old.get(field) or None):
            path = "reportingController" if field == "reportingComponent" else field
            causes.append(invalid(path, doc.get(field) or "", "field is immutable"))
    return causes


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
    put_creates=True,
    validate_create=_core_causes,
    validate_update=_core_update_causes,
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
    put_creates=True,
    validate_create=_new_causes,
    validate_update=_new_update_causes,
    selectable={
        **_selectable("involvedObject", "reportingComponent"),
        **_selectable("regarding", "reportingController"),
    },
    stored_as=CORE.resource,
    to_stored=_to_stored,
    from_stored=_from_stored,
)
