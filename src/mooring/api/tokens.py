"""Tokens that all servers of a store know: documents of no served kind, by the hash of the token.

tokens/HASH  who has it, and until when. The token itself is nowhere.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec
from msgspec import structs

from mooring.api.identity import new_token, token_hash
from mooring.background import Background
from mooring.clock import Clock
from mooring.store.interface import ABSENT, ANY, Conflict, Expired, Store, Write

log = logging.getLogger(__name__)

PREFIX: Final = "tokens/"

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

    def serves(self, namespace: str) -> bool:
        """Whether it may see what is in a namespace."""
        return not self.namespaces or namespace in self.namespaces


class Tokens:
    """All of a store, followed."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._known: dict[str, tuple[Token, int]] = {}  # by hash, with revisions
        self._work = Background("tokens")

    async def start(self) -> None:
        """All are known when this returns. Raises Unavailable."""
        revision = await self._read()
        self._work.begin(self._follow(revision))

    async def stop(self) -> None:
        await self._work.end()

    def found(self, hashed: str) -> Token | None:
        """None if nobody has it, or it has expired."""
        token, _ = self._known.get(hashed, (None, 0))
        if token is None or (token.expires is not None and token.expires <= self._clock.now()):
            return None
        return token

    async def made(self, token: Token, *, instead_of: str = "") -> str:
        """A new token, known everywhere. instead_of: the hash of one that ends by it, once.

        Raises Conflict if that one was used up or ended by another at this moment.
        """
        secret = new_token()
        await self._write({token_hash(secret): token}, instead_of)
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

    async def shortened(self, hashed: str, days: float) -> None:
        """Have one end so soon. One that goes meanwhile has ended."""
        token, revision = self._known.get(hashed, (None, 0))
        if token is not None:
            sooner = structs.replace(token, expires=until(self._clock, days))
            write = Write(PREFIX + hashed, msgspec.json.encode(sooner), revision)
            with suppress(Conflict):
                self._known[hashed] = sooner, await self._store.commit([write])

    async def ended(self, node: str, what: What = "node") -> None:
        """End all tokens of a node, or of an edge."""
        for hashed, (token, revision) in list(self._known.items()):
            if token.node == node and token.what == what:
                await self._store.commit([Write(PREFIX + hashed, None, revision)])
                self._known.pop(hashed, None)

    async def _write(self, new: Mapping[str, Token], instead_of: str) -> None:
        writes = [Write(PREFIX + one, msgspec.json.encode(it), ABSENT) for one, it in new.items()]
        if instead_of:
            _, revision = self._known.get(instead_of, (None, 0))
            if not revision:  # since the request with it was let in
                raise Conflict(PREFIX + instead_of, ANY, 0)
            # Of one revision as both are: it is used up by this, or this is nothing.
            writes.append(Write(PREFIX + instead_of, None, revision))
        revision = await self._store.commit(writes)
        self._known.pop(instead_of, None)
        self._known |= {hashed: (token, revision) for hashed, token in new.items()}

    async def _read(self) -> int:
        page = await self._store.list(PREFIX)
        found = {}
        for key, value, revision in page.documents:
            found[key.removeprefix(PREFIX)] = msgspec.json.decode(value, type=Token), revision
        self._known = found
        return page.revision

    async def _follow(self, revision: int) -> None:
        while True:
            try:
                async for batch in self._store.watch(PREFIX, revision):
                    for change in batch:
                        self._changed(
                            change.key.removeprefix(PREFIX), change.after, change.revision
                        )
                return
            except Expired:
                revision = await self._read()

    def _changed(self, hashed: str, value: bytes | None, revision: int) -> None:
        if value is None:
            self._known.pop(hashed, None)
        else:
            self._known[hashed] = msgspec.json.decode(value, type=Token), revision


def until(clock: Clock, days: float) -> datetime:
    """A time so many days from now."""
    return clock.now() + timedelta(days=days)
