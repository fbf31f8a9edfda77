"""Tokens that all servers of a store know: documents of no served kind, by the hash of the token.

tokens/HASH  who has it, and until when. The token itself is nowhere.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec
from msgspec import structs

from mooring.api.identity import new_token, token_hash
from mooring.background import Background
from mooring.clock import Clock
from mooring.objects.following import followed
from mooring.store.interface import (
    ABSENT,
    ANY,
    MAX_WRITES,
    Changes,
    Check,
    Conflict,
    Expect,
    Store,
    Unavailable,
    Write,
)

log = logging.getLogger(__name__)

PREFIX: Final = "tokens/"
TRIES: Final = 8
NOTHING: Final[Mapping[str, int]] = {}

What = Literal["user", "node", "join", "edge"]


class Token(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What is known of whoever has it.

    what        a user's, a node's or an edge's own, or one to join with, once
    user        as it is called in answers and logs
    node        a node's own, or an edge's; of one to join with, the only name that it is good
                for, if any
    namespaces  that a node serves; none: all
    expires     None: never
    maker       which place of which host has the token itself; a new one there ends this one
    """

    what: What
    user: str
    node: str = ""
    namespaces: tuple[str, ...] = ()
    expires: datetime | None = None
    maker: str = ""


class Tokens:
    """All of a store, followed."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._known: dict[str, tuple[Token, int]] = {}  # by hash, with revisions
        self._work = Background("tokens")

    async def start(self) -> None:
        """All are known when this returns, and none is kept that has ended. Raises Unavailable."""
        revision = await self._read()
        await self._tidy()
        self._work.begin(followed(self._store, PREFIX, revision, self._told, self._read))

    def feed_task(self) -> asyncio.Task[None]:
        """That must never end while the server runs: it would let in whoever was let in before."""
        return self._work.task

    async def stop(self) -> None:
        await self._work.end()

    def found(self, hashed: str) -> Token | None:
        """None if nobody has it, or it has expired."""
        token, _ = self._known.get(hashed, (None, 0))
        return None if token is None or self._has_ended(token) else token

    def _has_ended(self, token: Token) -> bool:
        return token.expires is not None and token.expires <= self._clock.now()

    async def made(
        self, token: Token, *, instead_of: str = "", checks: Sequence[Check] = ()
    ) -> str:
        """A new token, known everywhere.

        instead_of  the hash of one that ends by it, once, and all that the same node had
        raises      Conflict if that one was used up or ended by another at this moment, or a
                    check fails
        """
        secret = new_token()
        ends = {}
        if instead_of:
            ends = self._of(token.node, token.what) | {instead_of: self._revision(instead_of)}
        await self._write({token_hash(secret): (token, ABSENT)}, ends, checks)
        return secret

    async def renewed(self, hashed: str, token: Token, old_days: float) -> str:
        """A new token beside one that ends so soon, or sooner.

        Raises Conflict if that one ends at this moment.
        """
        secret, revision = new_token(), self._revision(hashed)
        old, ends = self._known[hashed][0], until(self._clock, old_days)
        old = structs.replace(old, expires=min(old.expires or ends, ends))
        await self._write({token_hash(secret): (token, ABSENT), hashed: (old, revision)})
        return secret

    async def known(self, hashed: str, token: Token) -> None:
        """Make a token known that somebody has already; those of the same maker end."""
        others = [one for one, (it, _) in self._known.items() if it.maker == token.maker != ""]
        writes = [Write(PREFIX + one, None, self._known[one][1]) for one in others if one != hashed]
        if hashed not in self._known:
            writes.append(Write(PREFIX + hashed, msgspec.json.encode(token), ABSENT))
        if writes:
            await self._store.commit(writes)
            await self._read()

    async def ended(self, node: str, what: What = "node", *ends: str) -> bool:
        """End all tokens of a node, or of an edge. Whether there was anything to end.

        ends  documents that go with them
        """
        for _ in range(TRIES):
            await self._read()
            writes = [Write(one, None) for one in ends if await self._store.get(one)]
            mine = self._of(node, what)
            writes += [Write(PREFIX + hashed, None, at) for hashed, at in mine.items()]
            try:
                for start in range(0, len(writes), MAX_WRITES):
                    await self._store.commit(writes[start : start + MAX_WRITES])
            except Conflict:  # one was renewed at this moment
                continue
            for hashed in mine:
                self._known.pop(hashed, None)
            return bool(writes)
        raise Unavailable(f"the tokens of {node} are renewed all the time", "try it again")

    def _of(self, node: str, what: What) -> dict[str, int]:
        """Of what has a name: hashes and revisions."""
        return {
            hashed: revision
            for hashed, (token, revision) in self._known.items()
            if token.node == node and token.what == what
        }

    def _revision(self, hashed: str) -> int:
        """Raises Conflict if it has ended since the request with it was let in."""
        if hashed not in self._known:
            raise Conflict(PREFIX + hashed, ANY, 0)
        return self._known[hashed][1]

    async def _write(
        self,
        new: Mapping[str, tuple[Token, int | Expect]],
        ends: Mapping[str, int] = NOTHING,
        checks: Sequence[Check] = (),
    ) -> None:
        """Of one revision as all are: what ends is used up by this, or this is nothing."""
        encode = msgspec.json.encode
        writes = [Write(PREFIX + one, encode(it), at) for one, (it, at) in new.items()]
        writes += [Write(PREFIX + one, None, at) for one, at in ends.items()]
        revision = await self._store.commit(writes, checks)
        for hashed in ends:
            self._known.pop(hashed, None)
        self._known |= {hashed: (token, revision) for hashed, (token, _) in new.items()}
        await self._tidy()

    async def _tidy(self) -> None:
        """Delete what has ended by itself: as often as tokens are made, so they do not add up."""
        over = [(key, at) for key, (one, at) in self._known.items() if self._has_ended(one)]
        writes = [Write(PREFIX + hashed, None, at) for hashed, at in over[:MAX_WRITES]]
        if writes:
            with suppress(Conflict, Unavailable):  # another server does it, or does next time
                await self._store.commit(writes)

    async def _read(self) -> int:
        page = await self._store.list(PREFIX)
        found = {}
        for key, value, revision in page.documents:
            found[key.removeprefix(PREFIX)] = msgspec.json.decode(value, type=Token), revision
        self._known = found
        return page.revision

    def _told(self, batch: Changes) -> None:
        for change in batch:
            self._changed(change.key.removeprefix(PREFIX), change.after, change.revision)

    def _changed(self, hashed: str, value: bytes | None, revision: int) -> None:
        if value is None:
            self._known.pop(hashed, None)
        else:
            self._known[hashed] = msgspec.json.decode(value, type=Token), revision


def until(clock: Clock, days: float) -> datetime:
    """A time so many days from now."""
    return clock.now() + timedelta(days=days)
