"""PATCH in its four forms, and whose writes they are noted as."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from mooring.api.bodies import LARGE_BYTES, decoded, media_type, of_kind, refuse_too_large
from mooring.api.http import Request
from mooring.api.mirrors import guarded, refuse_mirror
from mooring.api.routes import Route
from mooring.api.status import ApiError
from mooring.api.validation import bad_options, conformed_patch, judge
from mooring.objects.apply import Application, without_nulls
from mooring.objects.cache import Entry
from mooring.objects.documents import decoded as stored_document
from mooring.objects.errors import AlreadyExists, NotFound
from mooring.objects.kind import Cause, Doc, Kind, Stamp
from mooring.objects.managed import Manager, Noting, manager_of, name_causes, unnoted
from mooring.objects.objects import Change, Objects, Preconditions
from mooring.objects.patches import json_patched, merge_patched
from mooring.objects.schema import SCHEMAS
from mooring.objects.strategic import strategic_patched

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
PATCHES: Final = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
NO_MANAGER: Final = Cause(
    "fieldManager", "FieldValueRequired", "Required value: is required for apply patch"
)
TRIES: Final = 16  # of an apply that finds no object to change and then one that is in its way


def noting(request: Request, route: Route, options: str) -> Stamp:
    """What notes the owners of what a request writes. Raises Invalid for a bad fieldManager.

    options   the kind of the request's options, named in the error: CreateOptions
    """
    name = request.query.get("fieldManager", "")
    if name and (causes := name_causes(name)):
        raise bad_options(options, causes)
    kind = route.kind
    if kind.stored_as:
        return unnoted  # its fields have other names where they are stored
    manager = Manager(manager_of(name, request.header(b"user-agent")), route.subresource)
    return Noting(kind, SCHEMAS.node(kind), manager)


async def patched(
    request: Request, route: Route, objects: Objects, dry_run: bool
) -> tuple[int, Entry]:
    """Change an object, or by an apply make one: (HTTP code, the object)."""
    media = media_type(request)
    if media not in PATCHES or (media == APPLY_PATCH and route.kind.stored_as):
        what = "the body of the request was in an unknown format - accepted media types include: "
        raise ApiError("UnsupportedMediaType", what + ", ".join(PATCHES))
    if media == APPLY_PATCH:
        return await _applied(request, route, objects, dry_run)
    if "force" in request.query:
        text = "Forbidden: may not be specified for non-apply patch"
        raise bad_options("PatchOptions", [Cause("force", "FieldValueForbidden", text)])
    note = noting(request, route, "PatchOptions")
    body, value, twice = await decoded(request, media)
    conformed = partial(conformed_patch, request, route.kind, body, twice)
    change = guarded(route.kind, partial(_changed, route.kind, media, value, conformed, body))
    if len(body) > LARGE_BYTES:
        change = await _tried(change, route, objects)
    entry = await objects.update(
        route.kind,
        route.key,
        change,
        subresource=route.subresource,
        dry_run=dry_run,
        note=note,
    )
    return 200, entry


async def _tried(change: Change, route: Route, objects: Objects) -> Change:
    """The same change, already made to the object as it is now, on a thread: it takes long."""
    entry = objects.shelf(route.kind).get(route.key)
    if entry is None:
        return change
    made = {entry.revision: await asyncio.to_thread(change, stored_document(entry.body))}

    def again(old: Doc) -> Doc:
        # Taken out, since a write changes it.
        new = made.pop(int(old["metadata"]["resourceVersion"]), None)
        return change(old) if new is None else new

    return again


def _changed(
    kind: Kind,
    media: str,
    change: Any,
    conformed: Callable[[Doc], Doc],
    body: bytes,
    old: Doc,
) -> Doc:
    served = kind.from_stored(old)
    if media == JSON_PATCH:
        new = json_patched(served, change)
    elif media == MERGE_PATCH:
        new = merge_patched(served, change)
    else:
        new = strategic_patched(served, change, SCHEMAS.node(kind))
    doc = conformed(of_kind(new, kind))
    refuse_too_large(kind, doc, body)
    return kind.to_stored(doc)


async def _applied(
    request: Request, route: Route, objects: Objects, dry_run: bool
) -> tuple[int, Entry]:
    name = request.query.get("fieldManager", "")
    if causes := name_causes(name) if name else [NO_MANAGER]:
        raise bad_options("PatchOptions", causes)
    body, value, twice = await decoded(request, APPLY_PATCH)
    judge(request, route.kind, twice)
    kind, manager = route.kind, Manager(name, route.subresource)

    def prepared() -> tuple[Doc, Application]:
        config = _config(value, route, body)
        force = request.flag("force")
        return config, Application(kind, SCHEMAS.node(kind), config, manager, force=force)

    large = len(body) > LARGE_BYTES
    config, application = await asyncio.to_thread(prepared) if large else prepared()
    uid = config["metadata"].get("uid") or ""
    for _ in range(TRIES):
        try:
            entry = await objects.update(
                kind,
                route.key,
                guarded(kind, application.change),
                subresource=route.subresource,
                preconditions=Preconditions(uid=uid),
                dry_run=dry_run,
                note=application.note,
            )
            return 200, entry
        except NotFound:
            # A version or uid says which object was meant: it is not to be made anew.
            if route.subresource or uid or config["metadata"].get("resourceVersion"):
                raise
        fresh = application.fresh()
        refuse_mirror(kind, fresh)
        try:
            entry = await objects.create(
                kind, route.namespace, fresh, dry_run=dry_run, note=application.note
            )
            return 201, entry
        except AlreadyExists:
            continue  # somebody else was faster: theirs is to be changed
    raise AlreadyExists(kind, route.name)


def _config(config: Any, route: Route, body: bytes) -> Doc:
    """The document that is applied, if it is about this object. Raises ApiError BadRequest."""
    if not isinstance(config, dict):
        raise ApiError("BadRequest", "the body of an apply is an object")
    for field in ("apiVersion", "kind"):
        if not config.get(field):
            raise ApiError("BadRequest", f"Object '{field}' is missing in the body")
    doc = of_kind(without_nulls(config), route.kind)
    metadata = doc["metadata"]
    for field, named in (("name", route.name), ("namespace", route.namespace)):
        if (metadata.get(field) or named) != named:
            what = f"the {field} of the provided object does not match the {field} sent on the"
            raise ApiError("BadRequest", f"{what} request")
        if named:
            metadata[field] = named
    if findings := SCHEMAS.conform(route.kind, doc):
        # Refused whatever fieldValidation says: nobody could own it.
        what = f"failed to create typed patch object ({route.key}; {doc['apiVersion']}, "
        why = findings[0].removeprefix('unknown field "').removesuffix('"')
        what += f"Kind={doc['kind']}): .{why}: field not declared in schema"
        raise ApiError("BadRequest", what)
    refuse_too_large(route.kind, doc, body)
    return doc
