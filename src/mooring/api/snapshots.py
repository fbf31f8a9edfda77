"""What explanations of snapshots look at, as of one moment."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from mooring.model.claim import Claim
from mooring.model.metadata import View
from mooring.model.pool import Pool
from mooring.model.snapshot import Snapshot, SnapshotClass, SnapshotContent
from mooring.model.volume import Volume
from mooring.rules.explanation import Explanation
from mooring.rules.snapshot_explanation import explained_snapshot
from mooring.rules.sources import mark, source_mark

V = TypeVar("V", bound=View)


class Moment(Protocol):
    """All objects as they were at once."""

    def all(self, type_: type[V]) -> Mapping[str, V]: ...

    def one(self, type_: type[V], key: str) -> V | None: ...


class Snapshots:
    """Answers rules.snapshots.World."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment

    def explained(self, snapshot: Snapshot) -> Explanation:
        name = snapshot.content_name or snapshot.named_content
        return explained_snapshot(snapshot, self.content(name) if name else None, self)

    def counted(self) -> dict[str, int]:
        """How many are in which state."""
        counts = {"Ready": 0, "Failed": 0, "Pending": 0}
        for one in self._moment.all(Snapshot).values():
            state = "Failed" if one.status.error is not None else "Pending"
            counts["Ready" if one.is_ready else state] += 1
        return {state: count for state, count in counts.items() if count}

    def content(self, name: str) -> SnapshotContent | None:
        return self._moment.one(SnapshotContent, name)

    def claim(self, key: str) -> Claim | None:
        return self._moment.one(Claim, key)

    def volume(self, name: str) -> Volume | None:
        return self._moment.one(Volume, name)

    def pool(self, name: str) -> Pool | None:
        return self._moment.one(Pool, name)

    def snapshot_classes(self) -> Sequence[SnapshotClass]:
        return list(self._moment.all(SnapshotClass).values())

    def restoring(self, snapshot: Snapshot) -> Sequence[Claim]:
        wanted = mark(Snapshot.kind_name, snapshot.key)
        claims = self._moment.all(Claim).values()
        return [one for one in claims if source_mark(one) == wanted and not one.volume_name]
