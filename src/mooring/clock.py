"""Where time comes from, so that tests can turn hours into steps."""

import time
from datetime import UTC, datetime
from typing import Protocol


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


def timestamp(moment: datetime) -> str:
    """RFC 3339 with seconds, as metadata carries it: 2026-01-02T03:04:05Z."""
    return moment.isoformat(timespec="seconds")[:19] + "Z"  # strftime takes five times as long


def micro_timestamp(moment: datetime) -> str:
    """RFC 3339 with microseconds, as Leases and Events carry it."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"
