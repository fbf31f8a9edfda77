"""What edges are told: containers of a swarm's tasks, as agents tell of them. Decision 0034.

GET   /mooring/v1/edge/tasks    an edge: a line of JSON for each host, and then for each that is
                                other than before, without an end; {} where there is nothing to tell
POST  /mooring/v1/edge/tokens   an admin: {"edge": NAME, "days": N}, a token for it; one before it
                                ends. 0 days: none from now on

A token of an edge is good for the first of them alone.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import msgspec

from mooring.api.bodies import read_as
from mooring.api.http import JSON, Request
from mooring.api.identity import new_token, token_hash
from mooring.api.status import ApiError
from mooring.api.tokens import Token, Tokens, until
from mooring.clock import timestamp
from mooring.model.task_container import PREFIX, PROGRESS_EVERY_S, STREAM_PATH
from mooring.objects.kinds.common import is_subdomain
from mooring.objects.objects import Objects
from mooring.store.interface import Changes, Expired

TOKENS_PATH: Final = "/mooring/v1/edge/tokens"
LONGEST_DAYS: Final = 3660.0
NOTHING: Final = b"{}\n"


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    edge: str
    days: float = 365.0


class Edges:
    """Answers by path."""

    def __init__(self, objects: Objects, tokens: Tokens) -> None:
        self._objects, self._tokens = objects, tokens
        self._ends = asyncio.Event()

    def stop(self) -> None:
        """End the streams, and those that begin from now on."""
        self._ends.set()

    async def serves(self, request: Request, hashed: str) -> bool:
        """Answer an edge, if it is its path. hashed: its token, which may end meanwhile."""
        if (request.method, request.path) != ("GET", STREAM_PATH):
            return False
        page = await self._objects.store.list(PREFIX)
        await request.begin()
        for one in page.documents:
            await request.more(one.value + b"\n")
        await request.more(NOTHING)
        with suppress(Expired):  # the edge asks anew, and is told all of it
            await self._go_on(request, page.revision, hashed)
        await request.end()
        return True

    async def _go_on(self, request: Request, revision: int, hashed: str) -> None:
        batches = self._objects.store.watch(PREFIX, revision).__aiter__()
        following = asyncio.ensure_future(anext(batches))
        gone = asyncio.create_task(request.hung_up())
        ends = asyncio.create_task(self._ends.wait())
        try:
            while not gone.done() and not ends.done() and self._tokens.found(hashed):
                await asyncio.wait(
                    {following, gone, ends},
                    timeout=PROGRESS_EVERY_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if following.done():
                    told = b"".join(_lines(following.result()))
                    following = asyncio.ensure_future(anext(batches))
                    await request.more(told or NOTHING)
                else:
                    await request.more(NOTHING)
        except StopAsyncIteration:  # the store is closed
            return
        finally:
            for task in (following, gone, ends):
                task.cancel()
            await asyncio.gather(following, gone, ends, return_exceptions=True)
            with suppress(RuntimeError):
                await batches.aclose()  # type: ignore[attr-defined]  # it is a generator

    async def serves_admin(self, request: Request) -> bool:
        if (request.method, request.path) != ("POST", TOKENS_PATH):
            return False
        asked = await read_as(request, Asked)
        if not is_subdomain(asked.edge):
            raise ApiError("BadRequest", f"edge: {asked.edge[:64]!r} cannot be its name")
        if not 0 <= asked.days <= LONGEST_DAYS:
            what = f"days: {asked.days:g} is less than 0 or more than {LONGEST_DAYS:.0f}"
            raise ApiError("BadRequest", what)
        if not asked.days:
            await self._tokens.ended(asked.edge, "edge")
            await request.answer(200, b"{}", (JSON,))
            return True
        secret, expires = new_token(), until(self._objects.clock, asked.days)
        who = f"system:edge:{asked.edge}"
        token = Token("edge", who, asked.edge, expires=expires, maker=f"edge:{asked.edge}")
        await self._tokens.known(token_hash(secret), token)
        made = {"token": secret, "expires": timestamp(expires)}
        await request.answer(201, msgspec.json.encode(made), (JSON,))
        return True


def _lines(changes: Changes) -> Iterable[bytes]:
    """The last of each host. Of one that was taken away nothing: its containers may well run."""
    newest = {one.key: one.after for one in changes}
    return [value + b"\n" for value in newest.values() if value is not None]
