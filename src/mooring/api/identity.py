"""Who asks: bearer tokens, known by their hashes alone."""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Final, Protocol

PREFIX: Final = "Bearer "
SEEN_AT_MOST: Final = 1024  # headers, and letters of each


def new_token() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is kept of a token. It is random, so one round is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


class Found(Protocol):
    """What is known of whoever has a token."""

    @property
    def user(self) -> str: ...

    @property
    def what(self) -> str: ...


class Known(Protocol):
    """Tokens that servers have in common."""

    def found(self, hashed: str) -> Found | None:
        """None if nobody has it now."""


class Identities:
    """Who has which token: users that this process was told of, and those that a store knows."""

    def __init__(self, users: Mapping[str, str], known: Known | None = None) -> None:
        """users: names by token hash"""
        self._users, self._known = dict(users), known
        self._hashes: dict[str, str] = {}  # by header, so that each is hashed once

    def user(self, authorization: str) -> str | None:
        """The user of an Authorization header, or None."""
        hashed = self.hash_of(authorization)
        return self._user(hashed) if hashed is not None else None

    def user_of(self, token: str) -> str | None:
        """The user whose token this is, or None."""
        return self._user(token_hash(token))

    def hash_of(self, authorization: str) -> str | None:
        """Of the token of an Authorization header; None if it has none."""
        if (seen := self._hashes.get(authorization)) is not None:
            return seen
        if not authorization.startswith(PREFIX):
            return None
        hashed = token_hash(authorization[len(PREFIX) :].strip())
        # Of strangers nothing is kept.
        if self._user(hashed) and len(self._hashes) < SEEN_AT_MOST > len(authorization):
            self._hashes[authorization] = hashed
        return hashed

    def _user(self, hashed: str) -> str | None:
        if (user := self._users.get(hashed)) is not None:
            return user
        found = self._known.found(hashed) if self._known is not None else None
        return found.user if found is not None and found.what == "user" else None
