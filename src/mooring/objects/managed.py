"""Who owns which fields of an object: metadata.managedFields.

Every write of a client is noted. Mooring's own controllers own nothing: what they write is
nobody's, so that a client may take it, and it stays where a client omits it.
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple

from mooring.objects.fieldsets import Fields, FieldsError, difference, parsed, union
from mooring.objects.footprints import changes, created
from mooring.objects.kind import Cause, Doc, Kind
from mooring.objects.node import Node

APPLY, UPDATE = "Apply", "Update"
BEFORE_FIRST_APPLY: Final = "before-first-apply"
ANCIENT: Final = "ancient-changes"
MAX_UPDATERS: Final = 10  # as Kubernetes; older ones are merged
MAX_NAME_BYTES: Final = 128
AGENT_LETTERS: Final = 512  # of a User-Agent that are looked at: it may be a megabyte

NO_FIELDS: Final[Fields] = {}
NOTHING: Final[frozenset[str]] = frozenset()
SPEC_ALONE, STATUS_ALONE = frozenset({"spec"}), frozenset({"status"})

Entries = list[Doc]


class Manager(NamedTuple):
    """Who writes, and through which subresource."""

    name: str
    subresource: str = ""


def manager_of(parameter: str, user_agent: str) -> str:
    """The name under which a client's writes are noted: what it says, else its program."""
    return _printable_name(parameter or user_agent[:AGENT_LETTERS].partition("/")[0])


@lru_cache(maxsize=1024)
def _printable_name(name: str) -> str:
    printable = "".join(letter for letter in name if letter.isprintable())
    return printable.encode()[:MAX_NAME_BYTES].decode(errors="ignore") or "unknown"


def name_causes(name: str) -> list[Cause]:
    """What is wrong with the parameter fieldManager."""
    if len(name.encode()) > MAX_NAME_BYTES:
        text = f"Too long: may not be more than {MAX_NAME_BYTES} bytes"
        return [Cause("fieldManager", "FieldValueTooLong", text)]
    if not name.isprintable():
        text = f'Invalid value: "{name}": should only contain printable characters'
        return [Cause("fieldManager", "FieldValueInvalid", text)]
    return []


def unowned_parts(kind: Kind, subresource: str) -> frozenset[str]:
    """Top-level fields that a write does not reach: status belongs to its subresource alone."""
    if subresource:
        return SPEC_ALONE
    return STATUS_ALONE if "status" in kind.subresources else NOTHING


class Noting:
    """Notes an update or a creation, as its last step before the object is dated."""

    __slots__ = ("_api_version", "_manager", "_node", "_reset")

    def __init__(self, kind: Kind, node: Node | None, manager: Manager) -> None:
        self._api_version, self._node, self._manager = kind.api_version, node, manager
        self._reset = unowned_parts(kind, manager.subresource)

    def __call__(self, doc: Doc, old: Doc | None, now: str) -> None:
        """Set metadata.managedFields of `doc`; `old` is the object before, None if it is new."""
        entries = known(doc, old, self._manager.subresource)
        if old is None:
            put, gone = created(doc, self._node, self._reset), NO_FIELDS
        elif entries:
            put, gone = changes(old, doc, self._node, self._reset)
        else:
            put, gone = NO_FIELDS, NO_FIELDS  # not tracked, until somebody applies
        mine = new_entry(self._manager, UPDATE, self._api_version, now, put)
        set_entries(doc, capped(updated(entries, put, gone, mine)))


def unnoted(doc: Doc, old: Doc | None, _now: str) -> None:
    """Leave the owners as they are, whatever the client sends: what is stored must be readable."""
    set_entries(doc, (old["metadata"].get("managedFields") or []) if old else [])


def known(doc: Doc, old: Doc | None, subresource: str = "") -> Entries:
    """The entries that a write starts from: what the client sends if it can be read, else what is.

    A client that knows nothing of managedFields sends none: they stay. [{}] removes them all.
    """
    live: Entries = old["metadata"].get("managedFields") or [] if old else []
    given = doc["metadata"].get("managedFields")
    if subresource or not given or given == live:
        return live
    if given == [{}]:
        return []
    try:
        return [entry for entry in map(_read, given) if entry["fieldsV1"]]
    except (FieldsError, TypeError, KeyError, AttributeError):
        return live


def _read(entry: Any) -> Doc:
    """One entry in canonical form. Raises whatever shows that it is none."""
    if entry["operation"] not in (APPLY, UPDATE) or entry.get("fieldsType") != "FieldsV1":
        raise FieldsError("not an entry of managedFields")
    manager = Manager(_text(entry.get("manager", "")), _text(entry.get("subresource", "")))
    fields = parsed(entry.get("fieldsV1") or {})
    version, time = _text(entry.get("apiVersion", "")), _text(entry.get("time") or "")
    return new_entry(manager, entry["operation"], version, time, fields)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise FieldsError(f"{value!r} is no text")
    return value


def new_entry(manager: Manager, operation: str, api_version: str, time: str, fields: Fields) -> Doc:
    """An entry of metadata.managedFields."""
    entry: Doc = {"manager": manager.name, "operation": operation, "apiVersion": api_version}
    if time:
        entry["time"] = time
    entry["fieldsType"] = "FieldsV1"
    entry["fieldsV1"] = fields
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry


def identity(entry: Doc) -> tuple[str, str, str, str]:
    """What tells entries apart. An applier is the same in every version."""
    version = "" if entry["operation"] == APPLY else entry["apiVersion"]
    return entry["manager"], entry["operation"], version, entry.get("subresource", "")


def updated(entries: Entries, put: Fields, gone: Fields, mine: Doc) -> Entries:
    """The entries after an update: what it put is owned by `mine` alone, what went by nobody.

    mine    an entry whose fields are `put`
    """
    if not entries:
        return [mine] if put else []
    me, touched = identity(mine), union(put, gone)
    kept = []
    for entry in entries:
        left = without_fields(entry, touched)
        if put and identity(entry) == me:
            mine = {**mine, "fieldsV1": union(left["fieldsV1"], put)}
        elif left["fieldsV1"]:
            kept.append(left)
    return [*kept, mine] if put else kept


def without_fields(entry: Doc, fields: Fields) -> Doc:
    """An entry that owns none of these fields; the very same if it never did."""
    left = difference(entry["fieldsV1"], fields)
    return entry if left is entry["fieldsV1"] else {**entry, "fieldsV1": left}


def capped(entries: Entries) -> Entries:
    """At most so many updaters: the oldest of a version are merged into one."""
    if len(entries) <= MAX_UPDATERS:
        return entries
    updaters = [entry for entry in entries if entry["operation"] == UPDATE]
    excess = len(updaters) - MAX_UPDATERS
    if excess <= 0:
        return entries
    rest = [entry for entry in entries if entry["operation"] != UPDATE]
    buckets: dict[str, Doc] = {}
    for entry in sorted(updaters, key=_age):
        version = entry["apiVersion"]
        bucket = buckets.get(version)
        if excess <= 0:
            rest.append(entry)
        elif bucket is None:
            buckets[version] = entry
        else:
            fields = union(bucket["fieldsV1"], entry["fieldsV1"])
            time = entry.get("time", "")
            buckets[version] = new_entry(Manager(ANCIENT), UPDATE, version, time, fields)
            excess -= 1
    return [*rest, *buckets.values()]


def _age(entry: Doc) -> tuple[str, str]:
    return entry.get("time", ""), entry["manager"]


def set_entries(doc: Doc, entries: Entries) -> None:
    """Make these the object's managedFields, in Kubernetes' order."""
    if entries:
        ordered = sorted(entries, key=_place) if len(entries) > 1 else entries
        doc["metadata"]["managedFields"] = ordered
    else:
        doc["metadata"].pop("managedFields", None)


def _place(entry: Doc) -> tuple[str, ...]:
    version = entry["apiVersion"]
    return entry["operation"], *_age(entry), version, entry.get("subresource", "")
