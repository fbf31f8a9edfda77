"""Names of hosts, as routes and the edge file have them."""

import re
from typing import Final

LONGEST: Final = 253
_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
_WILD: Final = "*."


def is_host(text: str) -> bool:
    """A DNS name in lower case; an address counts as one too."""
    return len(text) <= LONGEST and _HOST.fullmatch(text) is not None


def is_pattern(text: str) -> bool:
    """A name, or *.NAME, which stands for all names of one label more."""
    return is_host(text.removeprefix(_WILD))


def covers(pattern: str, host: str) -> bool:
    """Whether a name or pattern stands for a host, or for all that a pattern stands for."""
    if not pattern.startswith(_WILD):
        return pattern == host
    return pattern == host or host.partition(".")[2] == pattern.removeprefix(_WILD)


def is_covered(host: str, names: frozenset[str]) -> bool:
    """Whether one of these names or patterns stands for a host, or for all of a pattern."""
    return host in names or f"{_WILD}{host.partition('.')[2]}" in names
