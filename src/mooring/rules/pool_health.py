"""What a look at a pool's place means: its status, and what people are told of it."""

from typing import Final, NamedTuple

import msgspec

from mooring.model.pool import (
    CAPACITY_PRESSURE,
    INODE_PRESSURE,
    READY,
    Condition,
    Pool,
    PoolCapacity,
    PoolInodes,
    PoolOrphans,
    PoolStatus,
    PoolThresholds,
)
from mooring.model.quantity import Quantity, parse_quantity
from mooring.rules.events import NORMAL, WARNING, EventNote
from mooring.rules.pool_room import ratio_text

COMPONENT: Final = "pool-health"
CALM, FILLING, NEARLY_FULL = "EnoughRoom", "PoolFilling", "PoolNearlyFull"
INODES_CALM, INODES_LOW = "EnoughInodes", "PoolInodesLow"
RECOVERED: Final = "PoolRecovered"
READ_ONLY: Final = "ReadOnly"
# Below a threshold by so much a pool is out of it again: one that goes up and down at the border
# must not tell people of it each time.
MARGIN_PERCENT: Final = 3
# Of the place: less is not written. What is used changes all the time, and each write is one to
# the store and to all who watch.
NEWS_PERCENT: Final = 1
_UNITS: Final = ("bytes", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


class Seen(NamedTuple):
    """How much there is in a place; inodes are None where their number is not fixed."""

    total_bytes: int
    used_bytes: int
    available_bytes: int
    inodes: int | None = None
    inodes_used: int | None = None


class Look(NamedTuple):
    """One look at a place.

    seen     None: it could not be asked
    reason   "" if it can be used, else in a word why not, with a message for people
    orphans  None: they were not looked for
    """

    seen: Seen | None = None
    reason: str = ""
    message: str = ""
    orphans: PoolOrphans | None = None


def looked_at(pool: Pool, look: Look, now: str) -> tuple[Pool, list[EventNote]]:
    """The pool after a look, the same one if nothing of weight is new; and what is to be told.

    now  RFC 3339
    """
    status, conditions, notes = pool.status, [], []
    had = {one.type: one for one in status.conditions}
    capacity, inodes = status.capacity, status.inodes
    if look.seen is not None:
        capacity = _capacity(status, look.seen)
        inodes = _inodes(status, look.seen)
    pressure = _pressure(pool, look.seen, had.get(CAPACITY_PRESSURE))
    crowded = _crowded(pool, look.seen, had.get(INODE_PRESSURE))
    for before, after in (
        (had.get(READY), _ready(look)),
        (had.get(CAPACITY_PRESSURE), pressure),
        (had.get(INODE_PRESSURE), crowded),
    ):
        if after is not None:
            conditions.append(_since(before, after, now))
            notes += _told(pool, before, after)
    kept = [one for one in status.conditions if one.type not in {made.type for made in conditions}]
    new = msgspec.structs.replace(
        status,
        capacity=capacity,
        inodes=inodes,
        overcommit_ratio=ratio_text(pool.allocated, _total(capacity)),
        conditions=(*conditions, *kept),
        orphans=status.orphans if look.orphans is None else look.orphans,
    )
    if _says_the_same(new, status):
        return pool, notes
    return msgspec.structs.replace(pool, status=new), notes


def percent(used: Quantity, available: Quantity) -> int:
    """How full a place is: what is kept from volumes, such as root's reserve, counts as neither."""
    whole = used.nanos + available.nanos
    return min(round(100 * used.nanos / whole), 100) if whole > 0 else 100


def shown_bytes(count: float) -> str:
    """For people: 1536 MiB are 1.5Gi."""
    power = 0
    while abs(count) >= 1024 and power < len(_UNITS) - 1:
        count, power = count / 1024, power + 1
    text = f"{count:.1f}".removesuffix(".0")
    return f"{text}{_UNITS[power]}" if power else f"{text} bytes"


def _ready(look: Look) -> Condition:
    if look.reason:
        return Condition(type=READY, status="False", reason=look.reason, message=look.message)
    message = "its place is there, its own, and can be written to"
    return Condition(type=READY, status="True", reason="PoolReady", message=message)


def _pressure(pool: Pool, seen: Seen | None, before: Condition | None) -> Condition | None:
    """None: nothing is known, so what was said stays."""
    if seen is None:
        return None
    share = _share(seen.used_bytes, seen.used_bytes + seen.available_bytes)
    limits = pool.spec.thresholds
    had = before.reason if before is not None else CALM
    if share >= limits.critical - (MARGIN_PERCENT if had == NEARLY_FULL else 0):
        reason = NEARLY_FULL
    elif share >= limits.warn - (MARGIN_PERCENT if had in (FILLING, NEARLY_FULL) else 0):
        reason = FILLING
    else:
        reason = CALM
    message = (
        f"{share:.0f} % of its place is used: {shown_bytes(seen.used_bytes)} of "
        f"{shown_bytes(seen.used_bytes + seen.available_bytes)}; {_limits(limits)}"
    )
    return Condition(
        type=CAPACITY_PRESSURE, status=_yes(reason != CALM), reason=reason, message=message
    )


def _crowded(pool: Pool, seen: Seen | None, before: Condition | None) -> Condition | None:
    if seen is None:
        return None
    if not seen.inodes or seen.inodes_used is None:
        message = "its file system makes inodes as it needs them"
        return Condition(type=INODE_PRESSURE, status="False", reason=INODES_CALM, message=message)
    share = _share(seen.inodes_used, seen.inodes)
    was_low = before is not None and before.reason == INODES_LOW
    is_low = share >= pool.spec.thresholds.warn - (MARGIN_PERCENT if was_low else 0)
    message = f"{share:.0f} % of its {seen.inodes} inodes are used, one by each file"
    reason = INODES_LOW if is_low else INODES_CALM
    return Condition(type=INODE_PRESSURE, status=_yes(is_low), reason=reason, message=message)


def _limits(limits: PoolThresholds) -> str:
    return f"the limits are {limits.warn} % and {limits.critical} %"


def _since(before: Condition | None, after: Condition, now: str) -> Condition:
    same = before is not None and before.status == after.status
    since = before.last_transition_time if same and before is not None else now
    return msgspec.structs.replace(after, last_transition_time=since)


def _told(pool: Pool, before: Condition | None, after: Condition) -> list[EventNote]:
    """Once when something begins, and once when it is over."""
    had = before.reason if before is not None else ""
    if after.reason == had:
        return []
    if after.is_bad:
        # From nearly full to filling is no news to worry about.
        if (had, after.reason) == (NEARLY_FULL, FILLING):
            return []
        return [_note(pool, WARNING, after.reason, after.message)]
    was_bad = before is not None and before.status != after.status
    return [_note(pool, NORMAL, RECOVERED, after.message)] if was_bad else []


def _note(pool: Pool, type_: str, reason: str, message: str) -> EventNote:
    return EventNote(pool.reference(), type_, reason, f"pool {pool.name}: {message}", COMPONENT)


def _capacity(status: PoolStatus, seen: Seen) -> PoolCapacity:
    had, least = status.capacity, seen.total_bytes * NEWS_PERCENT / 100
    if had is not None and parse_quantity(had.total).bytes() == seen.total_bytes:
        moved = (
            parse_quantity(had.used).bytes() - seen.used_bytes,
            parse_quantity(had.available).bytes() - seen.available_bytes,
        )
        if all(abs(one) < least for one in moved):
            return had
    total, used, available = (
        Quantity.of_bytes(one).canonical()
        for one in (seen.total_bytes, seen.used_bytes, seen.available_bytes)
    )
    return PoolCapacity(total=total, used=used, available=available)


def _inodes(status: PoolStatus, seen: Seen) -> PoolInodes | None:
    if not seen.inodes or seen.inodes_used is None:
        return None
    had, least = status.inodes, seen.inodes * NEWS_PERCENT / 100
    # An xfs says how many it could have, which is another number with each file that grows.
    moved = (had.total - seen.inodes, had.used - seen.inodes_used) if had is not None else ()
    if had is not None and all(abs(one) < least for one in moved):
        return had
    return PoolInodes(total=seen.inodes, used=seen.inodes_used)


def _says_the_same(new: PoolStatus, old: PoolStatus) -> bool:
    """Messages of conditions have numbers in them, and go with the numbers that are written."""
    if new.conditions == old.conditions:
        return new == old
    silent = [
        tuple(msgspec.structs.replace(one, message="") for one in status.conditions)
        for status in (new, old)
    ]
    failures = [
        [one.message for one in status.conditions if one.type == READY] for status in (new, old)
    ]
    same = silent[0] == silent[1] and failures[0] == failures[1]
    return same and msgspec.structs.replace(new, conditions=old.conditions) == old


def _total(capacity: PoolCapacity | None) -> Quantity | None:
    return None if capacity is None else parse_quantity(capacity.total)


def _share(part: int, whole: int) -> float:
    return 100 * part / whole if whole > 0 else 100.0


def _yes(is_so: bool) -> str:
    return "True" if is_so else "False"
