"""POST, PUT, PATCH and DELETE."""

from typing import Any, Final

from mooring.api.bodies import document, options
from mooring.api.http import Request
from mooring.api.mirrors import guarded, refuse_mirror
from mooring.api.patching import noting, patched
from mooring.api.routes import Route
from mooring.api.selectors import matcher
from mooring.api.shapes import AS_IT_IS, shape_of
from mooring.api.status import ApiError, deleted
from mooring.api.validation import bad_options
from mooring.objects.cache import Entry
from mooring.objects.documents import encoded
from mooring.objects.errors import Invalid, NotFound
from mooring.objects.kind import Cause, Doc
from mooring.objects.kinds.common import INVALID, not_supported
from mooring.objects.objects import ANY_VERSION, Objects, Preconditions
from mooring.rules.garbage import Propagation

VERSION: Final = "metadata.resourceVersion"


async def create(request: Request, route: Route, objects: Objects) -> None:
    """A new object in a collection."""
    doc = await document(request, route.kind)
    _refuse_other_namespace(route, doc)
    refuse_mirror(route.kind, doc)
    dry_run = _dry_run(request.query.get("dryRun"))
    note = noting(request, route, "CreateOptions")
    entry = await objects.create(route.kind, route.namespace, doc, dry_run=dry_run, note=note)
    await _show(request, route, objects, 201, entry)


async def replace(request: Request, route: Route, objects: Objects) -> None:
    """The whole object anew; without a resourceVersion the last write wins."""
    doc = await document(request, route.kind)
    _refuse_other_namespace(route, doc)
    name = doc["metadata"].setdefault("name", route.name)
    if name != route.name:
        what = f"the name of the object ({name}) does not match the name on the URL ({route.name})"
        raise ApiError("BadRequest", what)
    stored = route.kind.to_stored(doc)
    uid, status = doc["metadata"].get("uid", ""), 200
    dry_run = _dry_run(request.query.get("dryRun"))
    note = noting(request, route, "UpdateOptions")
    try:
        _refuse_unversioned(route, objects, doc)
        entry = await objects.update(
            route.kind,
            route.key,
            # A try changes its metadata, which the next must not see.
            guarded(route.kind, lambda _: {**stored, "metadata": dict(stored["metadata"])}),
            subresource=route.subresource,
            preconditions=Preconditions(uid=uid),
            dry_run=dry_run,
            note=note,
        )
    except NotFound:
        if not route.kind.put_creates or route.subresource or uid:
            raise
        status = 201
        entry = await objects.create(route.kind, route.namespace, doc, dry_run=dry_run, note=note)
    await _show(request, route, objects, status, entry)


def _refuse_unversioned(route: Route, objects: Objects, doc: Doc) -> None:
    """Raises Invalid if the kind wants to be told what is written over, and there is something."""
    if route.kind.overwrites or doc["metadata"].get("resourceVersion") not in (None, *ANY_VERSION):
        return
    if objects.shelf(route.kind).get(route.key) is not None:
        message = "Invalid value: 0x0: must be specified for an update"
        raise Invalid(route.kind, route.name, [Cause(VERSION, INVALID, message)])


async def patch(request: Request, route: Route, objects: Objects) -> None:
    """A change of an object, in one of the forms of patches."""
    dry_run = _dry_run(request.query.get("dryRun"))
    status, entry = await patched(request, route, objects, dry_run)
    await _show(request, route, objects, status, entry)


async def delete(request: Request, route: Route, objects: Objects) -> None:
    """One object: 200 with it while finalizers hold it, else with it or a Status, by the kind."""
    asked = await options(request, "v1", "DeleteOptions")
    wanted = asked.get("preconditions") or {}
    preconditions = Preconditions(
        uid=str(wanted.get("uid") or ""),
        resource_version=str(wanted.get("resourceVersion") or ""),
    )
    dry_run = _dry_run(request.query.get("dryRun") or asked.get("dryRun"))
    refuse_mirror(route.kind, objects.shelf(route.kind).get(route.key))
    entry, gone = await objects.delete(
        route.kind,
        route.key,
        preconditions=preconditions,
        dry_run=dry_run,
        propagation=_propagation(request, asked),
    )
    if gone and not route.kind.returns_deleted:
        doc = objects.shelf(route.kind).kind
        uid = _uid(entry)
        status = deleted(route.kind.plural, doc.group, route.name, uid)
        await request.answer(200, encoded(status))
        return
    await _show(request, route, objects, 200, entry)


async def delete_collection(request: Request, route: Route, objects: Objects) -> None:
    """Every object of a collection that the selectors choose; the answer lists them."""
    asked = await options(request, "v1", "DeleteOptions")
    query = request.query
    match = matcher(route.kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    shelf = objects.shelf(route.kind)
    entries = [e for e in shelf.entries(route.namespace) if match is None or match(e)]
    dry_run = _dry_run(query.get("dryRun") or asked.get("dryRun"))
    for entry in entries:  # before any is deleted: all or none
        refuse_mirror(route.kind, entry)
    how, removed = _propagation(request, asked), []
    for entry in entries:
        try:
            gone = await objects.delete(route.kind, entry.key, dry_run=dry_run, propagation=how)
            removed.append(gone[0])
        except NotFound:
            continue  # somebody else was faster
    shape = shape_of(route.kind, "", "", objects.clock)
    metadata = {"resourceVersion": str(objects.cache.revision)}
    await request.answer(200, shape.many(removed, metadata))


async def _show(
    request: Request, route: Route, objects: Objects, status: int, entry: Entry
) -> None:
    accept = request.header(b"accept")
    if accept in AS_IT_IS and not route.kind.stored_as:
        await request.answer(status, entry.body)
        return
    include = request.query.get("includeObject", "")
    shape = shape_of(route.kind, accept, include, objects.clock)
    await request.answer(status, shape.one(entry))


def _uid(entry: Entry) -> str:
    start = entry.body.index(b'"uid":"') + 7
    return entry.body[start : entry.body.index(b'"', start)].decode()


def _dry_run(value: Any) -> bool:
    """The parameter, or the list of DeleteOptions. Raises ApiError Invalid."""
    values = value if isinstance(value, list) else [value] if value else []
    if any(one != "All" for one in values):
        raise ApiError("Invalid", f"dryRun: Unsupported value: {value!r}", "the only one is All")
    return bool(values)


def _propagation(request: Request, asked: Doc) -> Propagation | None:
    """What becomes of what it owns, by the options in the body or the query. Raises Invalid."""
    said = asked.get("propagationPolicy") or request.query.get("propagationPolicy")
    orphan = asked.get("orphanDependents")
    if orphan is None and (text := request.query.get("orphanDependents")):
        orphan = text.lower() in ("1", "t", "true")
    if said and orphan is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        cause = Cause("propagationPolicy", INVALID, f'Invalid value: "{said}": {text}')
        raise bad_options("DeleteOptions", [cause])
    if orphan is not None:
        return Propagation.ORPHAN if orphan else Propagation.BACKGROUND
    if said and said not in list(Propagation):
        supported = ("Foreground", "Background", "Orphan", "nil")
        raise bad_options("DeleteOptions", [not_supported("propagationPolicy", said, supported)])
    return Propagation(said) if said else None


def _refuse_other_namespace(route: Route, doc: Doc) -> None:
    namespace = doc["metadata"].get("namespace")
    if route.kind.namespaced and namespace and namespace != route.namespace:
        raise ApiError(
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
        )
