"""Server-side apply: a client says which fields it wants how, and owns just these from then on.

What it named before and omits now goes, unless somebody else owns it. What others own with another
value is a conflict, which `force` decides for the applier.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mooring.objects.documents import decoded, encoded
from mooring.objects.errors import ApplyConflict, BadObject
from mooring.objects.fieldsets import Fields, difference, intersection, paths, union, without
from mooring.objects.footprints import BadElements, applied, changes, created
from mooring.objects.kind import Cause, Doc, Kind
from mooring.objects.managed import (
    APPLY,
    BEFORE_FIRST_APPLY,
    UPDATE,
    Entries,
    Manager,
    capped,
    identity,
    known,
    new_entry,
    set_entries,
    unowned_parts,
    without_fields,
)
from mooring.objects.merging import merged, pruned
from mooring.objects.node import Node
from mooring.objects.patches import copied

# kubectl's client-side apply keeps there what it applied, and so knows what to remove.
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL: Final = "kubectl"
IGNORED_METADATA: Final = ("generation", "selfLink")


class Application:
    """One document to be applied by one manager. `change` and `note` go to Objects.update."""

    def __init__(
        self,
        kind: Kind,
        node: Node | None,
        config: Any,
        manager: Manager,
        *,
        force: bool = False,
    ) -> None:
        """Raises BadObject if the document cannot be applied.

        config    without nulls; changed in place
        """
        self._kind, self._api_version, self._node = kind, kind.api_version, node
        self._manager, self._force = manager, force
        self._reset = unowned_parts(kind, manager.subresource)
        self.config = config
        metadata = self.config["metadata"]
        if metadata.get("managedFields"):
            name = metadata.get("name", "")
            raise BadObject(kind, name, "metadata.managedFields must be nil")
        for field in (*IGNORED_METADATA, "managedFields"):
            metadata.pop(field, None)
        self._fields = self._fields_of(self.config)

    def _fields_of(self, config: Doc) -> Fields:
        try:
            fields = applied(config, self._node)
        except BadElements as error:
            metadata = config["metadata"]
            shown = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
            shown += f"; {self._kind.api_version}, Kind={self._kind.kind}"
            what = f"failed to create typed patch object ({shown}): {error}"
            raise BadObject(self._kind, metadata.get("name", ""), what) from error
        return without(fields, {f"f:{name}": {} for name in self._reset})

    def _mine(self, time: str = "") -> Doc:
        return new_entry(self._manager, APPLY, self._api_version, time, self._fields)

    def fresh(self) -> Doc:
        """The document as an object that is not there yet."""
        new: Doc = copied(self.config)
        return new

    def change(self, old: Doc) -> Doc:
        """The object merged with the document, without what this manager no longer names."""
        whole = merged(old, self.config, self._node)
        me = identity(self._mine())
        last: Fields = {}
        kept = self._fields
        for entry in known(old, old):
            if identity(entry) == me:
                last = entry["fieldsV1"]
            else:
                kept = union(kept, entry["fieldsV1"])
        return pruned(whole, last, kept, self._node) if last else whole

    def note(self, doc: Doc, old: Doc | None, now: str) -> None:
        """Set the owners of an applied object. Raises ApplyConflict."""
        if old is None:
            set_entries(doc, [self._mine(now)] if self._fields else [])
            return
        put, gone = changes(old, doc, self._node, self._reset)
        me = identity(self._mine())
        before: Doc | None = None
        others = []
        for entry in known(old, old) or self._first_owners(old, now):
            if identity(entry) == me:
                before = entry
            else:
                others.append(entry)
        if not self._force:
            self._refuse_conflicts(doc, old, others, put)
        touched = union(put, gone)
        entries = [e for e in (without_fields(e, touched) for e in others) if e["fieldsV1"]]
        if self._fields:
            same = before is not None and before["fieldsV1"] == self._fields and not touched
            entries.append(before if same and before is not None else self._mine(now))
        set_entries(doc, capped(entries))
        self._keep_last_applied(doc, old)

    def _first_owners(self, old: Doc, now: str) -> Entries:
        """Of an object whose owners nobody noted: one that owns all there is."""
        put = created(old, self._node, unowned_parts(self._kind, ""))
        if not put:
            return []
        first = Manager(BEFORE_FIRST_APPLY)
        return [new_entry(first, UPDATE, self._api_version, now, put)]

    def _refuse_conflicts(self, doc: Doc, old: Doc, others: Entries, put: Fields) -> None:
        clashes = [(entry, intersection(entry["fieldsV1"], put)) for entry in others]
        if not any(fields for _, fields in clashes):
            return
        allowed = self._last_applied(old)
        causes = [
            Cause(path, "FieldManagerConflict", f"conflict with {_shown(entry)}")
            for entry, fields in clashes
            for path in paths(difference(fields, allowed))
        ]
        if causes:
            causes.sort(key=lambda cause: (cause.message, cause.field))
            raise ApplyConflict(self._kind, doc["metadata"]["name"], causes)

    def _last_applied(self, old: Doc) -> Fields:
        """What kubectl applied on its side and nobody changed since: no conflict."""
        text = _annotations(old).get(LAST_APPLIED)
        if self._manager.name != KUBECTL or not text:
            return {}
        try:
            config = without_nulls(decoded(text.encode()))
            fields = applied(config, self._node)
        except (msgspec.MsgspecError, BadElements):
            return {}
        put, gone = changes(config, old, self._node)
        return difference(fields, union(put, gone))

    def _keep_last_applied(self, doc: Doc, old: Doc) -> None:
        """Keep kubectl's annotation true, so that it may go back to client-side apply."""
        if self._manager.name != KUBECTL or LAST_APPLIED not in _annotations(old):
            return
        config = self.fresh()
        annotations = config["metadata"].get("annotations") or {}
        annotations.pop(LAST_APPLIED, None)
        text = encoded(config).decode() + "\n"
        metadata = doc["metadata"]
        metadata["annotations"] = {**_annotations(doc), LAST_APPLIED: text}


def _annotations(doc: Doc) -> Mapping[str, Any]:
    return doc["metadata"].get("annotations") or {}


def _shown(entry: Doc) -> str:
    shown = f'"{entry["manager"]}"'
    if subresource := entry.get("subresource"):
        shown += f' with subresource "{subresource}"'
    return f"{shown} using {entry['apiVersion']}" if entry["operation"] == UPDATE else shown


def without_nulls(value: Any) -> Any:
    """A copy in which fields that are null are absent, as they are in a stored object."""
    if type(value) is dict:
        return {k: without_nulls(item) for k, item in value.items() if item is not None}
    if type(value) is list:
        return [without_nulls(item) for item in value]
    return value
