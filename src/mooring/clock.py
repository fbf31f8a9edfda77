"""Where time comes from, so that tests can turn hours into steps."""

import time
from datetime import UTC, datetime
from typing import Final, Protocol

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Wall time for stamps, monotonic time for waits."""

    def now(self) -> datetime:
        """Aware, UTC."""

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary start; never goes back."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()


_last = (-1, "")  # the last second that was written, and how: many stamps are of the same second


def timestamp(moment: datetime) -> str:
    """RFC 3339 with seconds, as metadata carries it: 2026-01-02T03:04:05Z."""
    global _last
    second = int(moment.timestamp())
    if second != _last[0]:
        _last = (second, moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return _last[1]


def micro_timestamp(moment: datetime) -> str:
    """RFC 3339 with microseconds, as Leases and Events carry it."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"
