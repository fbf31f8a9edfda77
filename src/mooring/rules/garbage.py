"""What goes when its owners go. Source: Kubernetes' garbage collector, storage semantics §19."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from mooring.model.metadata import OwnerReference

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"


class Propagation(StrEnum):
    """What becomes of an object's dependents when it is deleted."""

    ORPHAN = "Orphan"
    BACKGROUND = "Background"
    FOREGROUND = "Foreground"


def deletion_finalizers(finalizers: Sequence[str], policy: Propagation | None) -> list[str]:
    """Those of an object whose deletion is asked for.

    policy  None: as its finalizers say already, in the background if they say nothing
    """
    if policy is None:
        return list(finalizers)
    kept = [one for one in finalizers if one not in (ORPHAN, FOREGROUND)]
    if policy is Propagation.ORPHAN:
        kept.append(ORPHAN)
    if policy is Propagation.FOREGROUND:
        kept.append(FOREGROUND)
    return kept


class Standing(StrEnum):
    """Of an owner, as a dependent finds it."""

    SOLID = "there"
    WAITING = "being deleted, once its dependents are gone"
    ABSENT = "gone"
    UNKNOWN = "of a kind that is not served, or out of its namespace"


class Verdict(NamedTuple):
    """delete  whether the dependent goes; else `drop` are the uids of owners to be forgotten."""

    delete: bool = False
    drop: frozenset[str] = frozenset()
    foreground: bool = False  # its own dependents go first: an owner waits for it


KEEP: Final = Verdict()


def verdict(owners: Iterable[tuple[OwnerReference, Standing]], *, has_dependents: bool) -> Verdict:
    """What becomes of a dependent. One owner that is there is enough for it to stay.

    Nothing is deleted for owners that cannot be looked for.
    """
    standing = list(owners)
    if not standing:
        return KEEP
    lost = frozenset(one.uid for one, how in standing if how in (Standing.ABSENT, Standing.WAITING))
    if any(how in (Standing.SOLID, Standing.UNKNOWN) for _, how in standing):
        return Verdict(drop=lost) if any(how is Standing.SOLID for _, how in standing) else KEEP
    waits = any(how is Standing.WAITING for _, how in standing)
    return Verdict(delete=True, foreground=waits and has_dependents)
