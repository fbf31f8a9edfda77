"""What a request asks for, as either proxy has to read it: its host, and its path.

A path can be written in many ways that a service takes for the same: `/%61dmin`, `//admin`. Both
proxies look at it decoded, with one slash for several, and pass it on as it came. What one of
them, or a service, may read as another path, or a host as part of one, is refused by both.
"""

import re
from typing import Final
from urllib.parse import unquote

# What nginx and HAProxy take with the library PCRE; without spaces and quotes. Of a host also what
# is none in the DNS, but may be an address, or a name below a pattern.
HOST: Final = r"^([A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*[.]?|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?$"
_SLASH, _DOT = "(?:/|%2[Ff])", "(?:[.]|%2[Ee])"
# Of what stands before a query: a fragment, an escape that is none or a NUL, segments . and ..
ODD_PATH: Final = f"^[^?]*(#|%00|%(?![0-9A-Fa-f][0-9A-Fa-f])|{_SLASH}{_DOT}{_DOT}?({_SLASH}|[?]|$))"


def is_odd(path: str) -> bool:
    """Whether a request for it is refused."""
    return re.search(ODD_PATH, path) is not None


def read(path: str) -> str:
    """A path as the proxies look at it."""
    return re.sub("//+", "/", unquote(path))


def spelled(path: str) -> str:
    """A regular expression for all that stands for a path of whole segments, with the slashes
    behind it. It has no group that counts.

    path  of a route, with no slash at its end
    """
    some_slashes = f"{_SLASH}++"  # a regular expression gives up where it may try too much
    return "".join(some_slashes if one == "/" else _letter(one) for one in path) + (
        f"(?:{some_slashes}|$)"
    )


def _letter(one: str) -> str:
    digits = (f"[{two.upper()}{two}]" if two.isalpha() else two for two in f"{ord(one):02x}")
    plain = one if one.isalnum() else f"[{one}]"
    return f"(?:{plain}|%{''.join(digits)})"
