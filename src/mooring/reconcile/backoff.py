"""When something that failed may be tried again, whatever wakes its key meanwhile."""

from typing import Final

from mooring.clock import Clock

FIRST_DELAY_S: Final = 0.5  # doubled by each failure; both as Kubernetes' volume controller
LONGEST_DELAY_S: Final = 120.0


class Backoff:
    """Of operations that are not to be tried on every look. Storage semantics §3."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: dict[str, tuple[str, int, float]] = {}  # uid, how often, not before when

    def left_s(self, key: str, uid: str = "") -> float:
        """How long it is to be left alone still; 0 or less if it may be tried.

        uid  of the object that has the key now: another one has failures of its own
        """
        failed_uid, _, not_before = self._failed.get(key, (uid, 0, 0.0))
        left_s = not_before - self._clock.monotonic_s() if not_before else 0.0
        return left_s if failed_uid == uid else 0.0

    def failed(self, key: str, uid: str = "", longest_s: float = LONGEST_DELAY_S) -> float:
        """Note a failure. Returns after how many seconds to try again."""
        failed_uid, count, _ = self._failed.get(key, (uid, 0, 0.0))
        count = count if failed_uid == uid else 0
        delay_s = min(FIRST_DELAY_S * (1 << min(count, 20)), longest_s)
        self._failed[key] = uid, count + 1, self._clock.monotonic_s() + delay_s
        return delay_s

    def forget(self, key: str) -> None:
        """It worked, or is no longer wanted."""
        self._failed.pop(key, None)

    def allow(self, key: str) -> None:
        """Let it be tried now; if it fails again, it waits longer than the last time."""
        if (known := self._failed.get(key)) is not None:
            self._failed[key] = (*known[:2], 0.0)

    def hurry(self) -> None:
        """Let all be tried now: what they failed for may be different."""
        self._failed.clear()
