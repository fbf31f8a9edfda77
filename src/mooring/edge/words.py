"""Words that may stand in a proxy's configuration, and the sentences that it says itself."""

import re
from typing import Final

NO_SERVER: Final = "no server of this service answers"
NO_ROUTE: Final = "no service has this name"
_WORD: Final = re.compile(r"[A-Za-z0-9._~:/*@+-]+", re.ASCII)


class Unwritable(ValueError):
    """A text that the grammar should have refused: a bug of ours, and nothing is written."""


def word(text: str) -> str:
    """The same, if it is one word wherever either proxy reads it. Raises Unwritable."""
    if not _WORD.fullmatch(text) or text.startswith("-"):
        raise Unwritable(f"{text[:80]!a} is no word")
    return text
