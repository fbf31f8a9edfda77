"""Who asks: bearer tokens, known by their hashes alone."""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Final

PREFIX: Final = "Bearer "
SEEN_AT_MOST: Final = 1024  # headers, and letters of each


def new_token() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is kept of a token. It is random, so one round is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


class Identities:
    """User names by token hash."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = dict(users)
        self._seen: dict[str, str] = {}  # users by header, so that each is hashed once

    def user(self, authorization: str) -> str | None:
        """The user of an Authorization header, or None."""
        if (seen := self._seen.get(authorization)) is not None:
            return seen
        if not authorization.startswith(PREFIX):
            return None
        user = self.user_of(authorization[len(PREFIX) :].strip())
        if user is not None and len(self._seen) < SEEN_AT_MOST > len(authorization):
            self._seen[authorization] = user
        return user

    def user_of(self, token: str) -> str | None:
        """The user whose token this is, or None."""
        return self._users.get(token_hash(token))
