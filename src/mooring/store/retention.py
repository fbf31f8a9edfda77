"""How much history a store keeps."""

from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

MARK_EVERY_S: Final = 5.0  # how exactly the age of history is known
MARKS_A_LIMIT: Final = 64  # how exactly its amount is: a 64th of the limit


class Mark(NamedTuple):
    """This revision was the current one at this time."""

    revision: int
    at_s: float
    written_bytes: int  # since the store was opened


@dataclass(frozen=True, slots=True)
class Limits:
    """History over any of these is forgotten."""

    age_s: float = 300.0  # a snapshot that a continue token names lives this long
    revisions: int = 100_000  # 10 s of the fastest writing: a stalled reader catches up from it
    size_bytes: int = 256 * 1024 * 1024  # of values written; keeps the file from growing with churn


class Retention:
    """From which revision on history must be kept. Knows marks only, so it costs next to nothing.

    A store opened with history from an earlier life keeps it as if it were made at the opening.
    """

    def __init__(self, limits: Limits, revision: int, now_s: float) -> None:
        self._limits = limits
        self._marks = deque([Mark(revision, now_s, 0)])
        self._last = self._marks[0]

    def note(self, revision: int, size_bytes: int, now_s: float) -> None:
        """A commit of this size was made."""
        limits, last = self._limits, self._marks[-1]
        self._last = Mark(revision, now_s, self._last.written_bytes + size_bytes)
        if (
            now_s - last.at_s >= min(MARK_EVERY_S, limits.age_s)
            or (revision - last.revision) * MARKS_A_LIMIT >= limits.revisions
            or (self._last.written_bytes - last.written_bytes) * MARKS_A_LIMIT >= limits.size_bytes
        ):
            self._marks.append(self._last)

    def oldest(self, now_s: float) -> int:
        """What came before this revision is to be forgotten."""
        limits, last, marks = self._limits, self._last, self._marks
        # The second mark says how old the end of the first one's time is: what was current then
        # has been out of date for less than that.
        while len(marks) > 1 and (
            now_s - marks[1].at_s >= limits.age_s
            or last.revision - marks[0].revision > limits.revisions
            or last.written_bytes - marks[0].written_bytes > limits.size_bytes
        ):
            marks.popleft()
        if marks[0].revision < last.revision and now_s - last.at_s >= limits.age_s:
            marks[0] = last
        return marks[0].revision

    def due_in_s(self, now_s: float) -> float | None:
        """When to ask again though nothing is written; None if never."""
        if len(self._marks) > 1:
            return max(0.0, self._marks[1].at_s + self._limits.age_s - now_s)
        if self._marks[0].revision < self._last.revision:
            return max(0.0, self._last.at_s + self._limits.age_s - now_s)
        return None
