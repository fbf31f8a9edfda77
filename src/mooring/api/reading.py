"""GET and LIST, from the cache; pages after the first from the store, as of the first page."""

import base64
import itertools
from typing import NamedTuple

import msgspec

from mooring.api.http import JSON, Request
from mooring.api.list_options import check_list, is_exact
from mooring.api.routes import Route
from mooring.api.selectors import Match, matcher
from mooring.api.shapes import AS_IT_IS, shape_of
from mooring.api.status import ApiError
from mooring.api.watching import parsed_revision, reach
from mooring.objects.cache import Entry
from mooring.objects.errors import NotFound
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.store.interface import Expired


class Token(NamedTuple):
    """Where a list goes on: after this key, as of this revision."""

    revision: int
    after: str


async def get(request: Request, route: Route, objects: Objects) -> None:
    """One object."""
    shelf = objects.shelf(route.kind)
    if (wanted := request.query.get("resourceVersion", "")) not in ("", "0"):
        await reach(objects, parsed_revision(wanted))
    entry = shelf.get(route.key)
    if entry is None:
        raise NotFound(route.kind, route.name)
    accept = request.header(b"accept")
    if accept in AS_IT_IS and not route.kind.stored_as:
        await request.answer(200, entry.body)
        return
    shape = shape_of(route.kind, accept, request.query.get("includeObject", ""), objects.clock)
    await request.answer(200, shape.one(entry))


async def list_(request: Request, route: Route, objects: Objects) -> None:
    """A collection, or the next page of one."""
    query = request.query
    check_list(query)
    include = query.get("includeObject", "")
    shape = shape_of(route.kind, request.header(b"accept"), include, objects.clock)
    match = matcher(route.kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    limit = _limit(query.get("limit", ""))
    if text := query.get("continue", ""):
        token = _token(text)
        entries, revision, more = await _page(objects, route, token, limit, match)
    elif is_exact(query):
        token = Token(parsed_revision(query.get("resourceVersion", "")), "")
        await reach(objects, token.revision)
        entries, revision, more = await _page(objects, route, token, limit, match)
    else:
        if (wanted := query.get("resourceVersion", "")) not in ("", "0"):
            await reach(objects, parsed_revision(wanted))
        revision = objects.cache.revision
        found = objects.shelf(route.kind).entries(route.namespace)
        chosen = filter(match, found) if match else found
        entries = list(itertools.islice(chosen, limit + 1) if limit else chosen)
        more = bool(limit) and len(entries) > limit
        del entries[limit or len(entries) :]
    metadata: Doc = {"resourceVersion": str(revision)}
    if more and entries:
        metadata["continue"] = _text(Token(revision, entries[-1].key))
    await request.answer(200, shape.many(entries, metadata), (JSON,))


async def _page(
    objects: Objects, route: Route, token: Token, limit: int, match: Match | None
) -> tuple[list[Entry], int, bool]:
    """Entries as they were at the token's revision. Raises ApiError Expired."""
    shelf = objects.shelf(route.kind)
    prefix = shelf.prefix + (f"{route.namespace}/" if route.namespace else "")
    after = shelf.prefix + token.after if token.after else ""
    found: list[Entry] = []
    while True:
        try:
            page = await objects.store.list(
                prefix, limit=limit, after=after, revision=token.revision
            )
        except Expired as error:
            what = "The provided continue parameter is too old to display a consistent list result"
            raise ApiError("Expired", what, "start the list again") from error
        entries = [shelf.entry_of(*document) for document in page.documents]
        found += filter(match, entries) if match else entries
        if not page.more or (limit and len(found) > limit):
            more = page.more or bool(limit and len(found) > limit)
            del found[limit or len(found) :]
            return found, token.revision, more
        if limit and len(found) == limit:
            return found, token.revision, True
        after = page.documents[-1].key


def _limit(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ApiError("BadRequest", f"invalid limit {text!r}", "give a whole number")
    return int(text)


def _text(token: Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _token(text: str) -> Token:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        token = msgspec.json.decode(raw, type=Token)
    except (ValueError, msgspec.MsgspecError) as error:
        raise ApiError("BadRequest", "continue key is not valid", "start the list again") from error
    if token.revision <= 0:
        raise ApiError("BadRequest", "continue key is not valid", "start the list again")
    return token
