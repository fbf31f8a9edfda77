"""What a commit changes, decided against the documents as they are. Pure; every store uses it."""

from collections.abc import Mapping, Sequence

from mooring.store.interface import (
    ABSENT,
    ANY,
    MAX_VALUE_BYTES,
    MAX_WRITES,
    Change,
    Check,
    Conflict,
    Document,
    TooLarge,
    Write,
)


def changes_of(
    heads: Mapping[str, Document], writes: Sequence[Write], checks: Sequence[Check], revision: int
) -> list[Change]:
    """The changes that these writes make as the commit of this revision; none if all is equal.

    heads   the documents now, of the keys written and checked at least
    raises  Conflict, naming the first key that is not at the revision expected
    """
    for key, expected in checks:
        found = heads.get(key)
        if (found.revision if found else 0) != expected:
            raise Conflict(key, expected, found.revision if found else 0)
    changes = []
    for key, value, wanted in writes:
        head = heads.get(key)
        at, before = (head.revision, head.value) if head else (0, None)
        if wanted is not ANY and at != (0 if wanted is ABSENT else wanted):
            raise Conflict(key, wanted, at)
        if value != before:
            changes.append(Change(key, before, value, revision, at))
    return changes


def size_of(writes: Sequence[Write], checks: Sequence[Check]) -> int:
    """The bytes of all values. Raises TooLarge, ValueError: what no state could accept."""
    size_bytes = 0
    for key, value, expected in writes:
        if isinstance(expected, int) and expected < 0:
            raise ValueError(f"{key}: {expected} is no revision")
        if value is not None:
            if len(value) > MAX_VALUE_BYTES:
                raise TooLarge(key, len(value))
            size_bytes += len(value)
    for key, revision in checks:
        if revision < 0:
            raise ValueError(f"{key}: {revision} is no revision")
    if len(writes) > MAX_WRITES or len(checks) > MAX_WRITES:
        raise ValueError(f"a commit has at most {MAX_WRITES} writes and as many checks")
    if len(writes) > 1 and len({write.key for write in writes}) < len(writes):
        raise ValueError("a commit writes a key at most once")
    return size_bytes
