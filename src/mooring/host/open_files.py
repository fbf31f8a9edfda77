"""How many files this process may have open, among them the connections of clients."""

import resource
from typing import Final

# More than the clients of one server. Not all that a machine may allow, which can be a thousand
# million: programs that we start may try to close all numbers that they could have inherited.
WANTED: Final = 65_536


def raised_limit() -> int:
    """Raise our limit to WANTED, or as far as we may. Returns how many there may be."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if most == resource.RLIM_INFINITY else min(WANTED, most)
    if limit == resource.RLIM_INFINITY:
        return WANTED
    if limit < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return max(limit, wanted)
