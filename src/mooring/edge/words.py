"""Words that may stand in a proxy's configuration, and the sentences that it says itself."""

import re
from collections.abc import Callable
from typing import Final

from mooring.errors import MooringError

NO_SERVER: Final = "no server of this service answers"
NOT_FOR_YOU: Final = "this service is not for clients from where you are"
TOO_MANY: Final = "too many requests"
TOO_LARGE: Final = "this service takes no request of that size"
NO_LENGTH: Final = "this service takes no request of that size without a Content-Length"
AMBIGUOUS: Final = "the host or the path of this request can be read in more than one way"
NO_ROUTE: Final = "no service has this name"
PREFIX_HEADER: Final = "X-Forwarded-Prefix"  # with the path that was taken off
# Where a CA asks for what proves that a name is ours (ACME, RFC 8555 §8.3).
CHALLENGES: Final = "/.well-known/acme-challenge/"
_WORD: Final = re.compile(r"[A-Za-z0-9._~:/*@+-]+", re.ASCII)


class Unwritable(MooringError):
    """A text that the grammar should have refused: a bug of ours, and nothing is written."""

    code = "Unwritable"

    def __init__(self, text: str) -> None:
        self.what = f"{text[:80]!a} is no word of a configuration"
        self.remedy = "what was before goes on; report it"
        super().__init__(self.what)


def word(text: str) -> str:
    """The same, if it is one word wherever either proxy reads it. Raises Unwritable."""
    if not _WORD.fullmatch(text) or text.startswith("-"):
        raise Unwritable(text)
    return text


def before_port(address: str) -> str:
    """An address as it stands before a port. Raises Unwritable."""
    return f"[{word(address)}]" if ":" in address else word(address)


def is_a(kind: Callable[[str], object], text: str) -> bool:
    """Whether a text is what `kind` reads, as ipaddress.ip_network does."""
    try:
        kind(text)
    except ValueError:
        return False
    return True
