"""Whether a volume is used on a host, by the word of the kernel, Docker and the IDs. Docker volumes
§3."""

from collections.abc import Iterable
from enum import Enum
from typing import Final

# Docker waits 120 s for the answer to a Mount, and binds what it says a moment later.
KEPT_S: Final = 150.0


class Verdict(Enum):
    """What to do with a volume that is at hand."""

    IN_USE = "leave it at hand"
    LOOK_AGAIN = "look again in a moment: a container starts or stops"
    KEEP = "leave it at hand until its youngest ID is old"
    FREE = "drop its IDs and take it away"


def verdict(held: bool, running: bool | None, ages_s: Iterable[float]) -> Verdict:
    """What three witnesses say together; the kernel alone is believed against the others.

    held     another mount namespace than ours and Docker's has the volume mounted
    running  Docker has a container of it that is not stopped; None: Docker cannot be asked
    ages_s   of the IDs, since their Mounts were answered
    """
    if held:
        return Verdict.IN_USE
    if running:
        return Verdict.LOOK_AGAIN
    if any(age_s < KEPT_S for age_s in ages_s):
        return Verdict.KEEP
    return Verdict.FREE
