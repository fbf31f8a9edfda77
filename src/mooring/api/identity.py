"""Who asks: bearer tokens, known by their hashes alone."""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Final

PREFIX: Final = "Bearer "


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

    def user(self, authorization: str) -> str | None:
        """The user of an Authorization header, or None."""
        if not authorization.startswith(PREFIX):
            return None
        return self._users.get(token_hash(authorization[len(PREFIX) :].strip()))
