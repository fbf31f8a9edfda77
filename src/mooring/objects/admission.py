"""The order in which a request's object is defaulted, prepared, dated, validated and reviewed.

Source: storage semantics §1.4. What each step does for a kind is in its entry of the table.
"""

from collections.abc import Callable
from typing import Final

from mooring.objects.errors import BadObject, Forbidden, Invalid, NotFound
from mooring.objects.kind import Cause, Denied, Doc, Kind, Stamp, World, nothing

NOT_COUNTED: Final = ("apiVersion", "kind", "metadata", "status")  # by the generation


def admitted_create(kind: Kind, doc: Doc, world: World, now: str, note: Stamp = nothing) -> Doc:
    """The object as it is to be stored; `doc` is changed in place.

    note    notes in metadata.managedFields whose fields these are, before anything is added

    raises  BadObject (400), Invalid (422), Forbidden (403)
    """
    name = doc["metadata"].get("name", "")
    _default(kind, doc)
    note(doc, None, now)
    _guarded(kind, name, lambda: kind.mutate(doc, world))
    kind.prepare_create(doc)
    if kind.generation:
        doc["metadata"]["generation"] = 1
    kind.stamp(doc, None, now)
    _refuse_invalid(kind, name, kind.validate_create(doc))
    _guarded(kind, name, lambda: kind.review(doc, None, world))
    return doc


def admitted_update(
    kind: Kind, doc: Doc, old: Doc, world: World, now: str, note: Stamp = nothing
) -> Doc:
    """A changed object as it is to be stored; `doc` is changed in place, `old` is not."""
    name = old["metadata"]["name"]
    _default(kind, doc)
    kind.prepare_update(doc, old)
    note(doc, old, now)
    if kind.generation:
        generation = old["metadata"].get("generation", 1)
        doc["metadata"]["generation"] = generation + (_wanted(doc) != _wanted(old))
    kind.stamp(doc, old, now)
    _refuse_invalid(kind, name, kind.validate_update(doc, old))
    _guarded(kind, name, lambda: kind.review(doc, old, world))
    return doc


def _wanted(doc: Doc) -> Doc:
    """What the generation counts changes of: the spec, or the fields in its place."""
    return {key: value for key, value in doc.items() if key not in NOT_COUNTED}


def admitted_subresource(
    kind: Kind, subresource: str, doc: Doc, old: Doc, now: str, note: Stamp = nothing
) -> Doc:
    """A write of a subresource such as status: everything else is as it was."""
    name = old["metadata"]["name"]
    if subresource not in kind.subresources:
        raise NotFound(kind, f"{name}/{subresource}")
    rules = kind.subresources[subresource]
    _default(kind, doc)
    rules.prepare(doc, old)
    note(doc, old, now)
    kind.stamp(doc, old, now)
    _refuse_invalid(kind, name, rules.validate(doc, old))
    return doc


def _default(kind: Kind, doc: Doc) -> None:
    try:
        kind.default(doc)
    except ValueError as error:
        name = doc["metadata"].get("name", "")
        what = f"{kind.kind} in version {kind.version!r} cannot be handled as a {kind.kind}"
        raise BadObject(kind, name, f"{what}: {error}") from error


def _refuse_invalid(kind: Kind, name: str, causes: list[Cause]) -> None:
    if causes:
        raise Invalid(kind, name, causes)


def _guarded(kind: Kind, name: str, step: Callable[[], None]) -> None:
    try:
        step()
    except Denied as denied:
        raise Forbidden(kind, name, str(denied)) from denied
