"""Makes snapshots and backups at their times, and deletes those that are not kept any more."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from mooring.clock import EPOCH, timestamp
from mooring.controllers.recorder import Recorder
from mooring.crashpoints import crash_point, passing
from mooring.errors import MooringError
from mooring.model.backup import VolumeBackup
from mooring.model.claim import Claim
from mooring.model.metadata import View
from mooring.model.names import SCHEDULE, SCHEDULED_AT, SCHEDULED_CLAIM
from mooring.model.schedule import SnapshotSchedule
from mooring.model.snapshot import Snapshot
from mooring.objects.cache import Entry, Event
from mooring.objects.errors import AlreadyExists, NotFound
from mooring.objects.index import Index
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects, Preconditions
from mooring.objects.views import view
from mooring.reconcile.queue import Again, Done, Outcome
from mooring.rules.events import NORMAL, WARNING, EventNote
from mooring.rules.retention import Made, kept
from mooring.rules.schedules import name_of, selects, times

COMPONENT: Final = "snapshot-schedule"
LOOK_EACH_S: Final = 60.0  # at the latest: the clock of a host may be set, or stand still with it

KINDS: Final = (Snapshot, VolumeBackup)  # what a schedule makes
SIGN: Final = f'"{SCHEDULE}"'.encode()  # in the bytes of what one made
Found = tuple[View, str, Made]  # of which claim

MADE: Final = crash_point("schedule.made")
NOTED: Final = crash_point("schedule.noted")
DELETED: Final = crash_point("schedule.deleted")


class Labelled(View, frozen=True):
    """What is looked at of anything that a schedule made."""


class Schedules:
    """Looks at one SnapshotSchedule at a time."""

    def __init__(self, objects: Objects, recorder: Recorder, wake: Callable[[str], None]) -> None:
        self._objects, self._recorder, self._wake = objects, recorder, wake
        shelves = objects.cache.shelves
        self._made = {type_: Index(shelves[type_.resource], _schedule_of) for type_ in KINDS}
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        """Look at a schedule again when what it made comes to be usable, fails or goes."""
        for type_ in KINDS:
            shelf = self._objects.cache.shelves[type_.resource]
            self._unfollow.append(shelf.follow(partial(self._changed, type_)))

    def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        for index in self._made.values():
            index.stop()

    def _changed(self, type_: type[Snapshot] | type[VolumeBackup], event: Event) -> None:
        entry = event.after or event.before
        if entry is None or SIGN not in entry.body:
            return
        states = [one and _state(view(type_, one)) for one in (event.before, event.after)]
        if states[0] != states[1]:  # how far a backup is, is no news
            for key in _schedule_of(entry):
                self._wake(key)

    async def reconcile(self, key: str) -> Outcome:
        """Make what is due, say what is, and delete what is too much."""
        schedule = self._objects.view(SnapshotSchedule, key)
        if schedule is None or schedule.being_deleted:
            return Done("the schedule is gone")  # what it made stays
        now = self._objects.clock.now()
        status = schedule.status
        since = _time(status.last_schedule_time or schedule.metadata.creation_timestamp or "")
        found = times(schedule.spec, since, now)
        last, is_suspended = status.last_schedule_time, schedule.spec.suspend
        if found.due is not None and not is_suspended:
            if found.is_late:
                why = f"Missed the time {timestamp(found.due)} by more than the deadline"
                self._tell(schedule, WARNING, "MissedSchedule", why)
            else:
                await self._make(schedule, found.due)
            last = timestamp(found.due)
        coming = timestamp(found.next) if found.next is not None and not is_suspended else ""
        found_made = list(self._all(schedule))
        await self._note(key, last, coming, found_made)
        if not is_suspended:
            await self._delete_surplus(schedule, found_made)
        if is_suspended or found.next is None:
            return Done("nothing is to come")
        left_s = (found.next - now).total_seconds()
        return Again(min(max(left_s, 0.1), LOOK_EACH_S), "it waits for its time")

    # Making

    async def _make(self, schedule: SnapshotSchedule, at: datetime) -> None:
        """All of one time. Raises MooringError; what is made already is found again."""
        claims = [
            claim
            for claim in self._objects.views(Claim, schedule.namespace)
            if selects(schedule, claim)
        ]
        if not claims:
            why = f"No bound claim is selected at {timestamp(at)}"
            self._tell(schedule, WARNING, "NothingSelected", why)
        failed: MooringError | None = None
        for claim in claims:
            for resource, spec in _wanted(schedule, claim):
                doc = {"metadata": _metadata(schedule, claim, at), "spec": spec}
                try:
                    await self._make_one(schedule, resource, doc)
                except MooringError as error:  # the others are made all the same
                    self._tell(schedule, WARNING, "ScheduleFailed", str(error))
                    failed = error
        if failed is not None:
            raise failed

    async def _make_one(self, schedule: SnapshotSchedule, resource: str, doc: Doc) -> None:
        kind, name = self._objects.kinds[resource], doc["metadata"]["name"]
        try:
            await self._objects.create(kind, schedule.namespace, doc)
        except AlreadyExists:
            found = self._objects.one(resource, f"{schedule.namespace}/{name}")
            if found is not None and (found["metadata"].get("labels") or {}).get(SCHEDULE) != (
                schedule.name
            ):
                why = f"{kind.kind} {name} is there and not of this schedule"
                self._tell(schedule, WARNING, "NameTaken", why)
            return
        passing(MADE)
        self._tell(schedule, NORMAL, "Scheduled", f"Made {kind.kind} {name}")

    # What is kept

    def _all(self, schedule: SnapshotSchedule) -> Iterator[tuple[View, str, Made]]:
        """What this schedule made, of which claim. A label alone makes nothing ours: the name and
        the time have to be those that it would have been given."""
        for type_ in KINDS:
            for key in self._made[type_].keys(schedule.key):
                one: View | None = self._objects.view(type_, key)
                if one is None or one.being_deleted:
                    continue
                claim = one.annotations.get(SCHEDULED_CLAIM, "")
                with suppress(ValueError):
                    at = datetime.fromisoformat(one.annotations.get(SCHEDULED_AT, ""))
                    if one.name == name_of(schedule.name, claim, at):
                        yield one, claim, Made(one.name, at, _is_usable(one))

    async def _delete_surplus(self, schedule: SnapshotSchedule, all_: Sequence[Found]) -> None:
        if schedule.spec.keep is None:
            return
        zone, groups = ZoneInfo(schedule.spec.time_zone), dict[tuple[str, str], list[Made]]()
        views = {}
        for one, claim, made in all_:
            groups.setdefault((one.resource, claim), []).append(made)
            views[one.resource, one.name] = one
        for (resource, _), found in groups.items():
            keeps = kept(found, schedule.spec.keep, zone)
            for made in found:
                if made.name not in keeps:
                    one = views[resource, made.name]
                    same = Preconditions(uid=one.uid)
                    with suppress(NotFound):
                        kind = self._objects.kinds[resource]
                        await self._objects.delete(kind, one.key, preconditions=same)
                        passing(DELETED)

    # What is told

    async def _note(self, key: str, last: str, coming: str, found: Sequence[Found]) -> None:
        schedule = self._objects.view(SnapshotSchedule, key)
        if schedule is None:
            return
        active = tuple(sorted(one.name for one, _, made in found if _is_under_way(one, made)))
        of_last = [made for _, _, made in found if timestamp(made.at) == last]
        success = schedule.status.last_successful_time
        if of_last and all(made.is_usable for made in of_last):
            success = last
        wanted = schedule.with_status(
            last_schedule_time=last,
            last_successful_time=success,
            next_schedule_time=coming,
            active=active,
        )
        if wanted != schedule:
            await self._objects.commit([(schedule, wanted)])
            passing(NOTED)

    def _tell(self, schedule: SnapshotSchedule, type_: str, reason: str, message: str) -> None:
        note = EventNote(schedule.reference(), type_, reason, message, COMPONENT)
        self._recorder.note(note)


def _schedule_of(entry: Entry) -> tuple[str, ...]:
    """The key of the schedule that made it, by its label."""
    if SIGN not in entry.body:
        return ()
    name = view(Labelled, entry).metadata.labels.get(SCHEDULE, "")
    return (f"{entry.key.partition('/')[0]}/{name}",) if name else ()


def _state(one: View) -> tuple[bool, bool, bool]:
    """What of it is of concern to its schedule."""
    ended = isinstance(one, VolumeBackup) and one.has_ended
    return _is_usable(one), ended, one.being_deleted


def _wanted(schedule: SnapshotSchedule, claim: Claim) -> Iterator[tuple[str, Doc]]:
    """What is made of a claim: resources and specs."""
    source, spec = {"persistentVolumeClaimName": claim.name}, schedule.spec
    if schedule.makes_snapshots:
        doc: Doc = {"source": source}
        if spec.volume_snapshot_class_name:
            doc["volumeSnapshotClassName"] = spec.volume_snapshot_class_name
        yield Snapshot.resource, doc
    if (backup := spec.backup) is not None:
        fields = {"repository": backup.repository, "verify": backup.verify}
        yield VolumeBackup.resource, {"source": source, **fields}


def _metadata(schedule: SnapshotSchedule, claim: Claim, at: datetime) -> Doc:
    annotations = {SCHEDULED_AT: timestamp(at), SCHEDULED_CLAIM: claim.name}
    return {
        "name": name_of(schedule.name, claim.name, at),
        "labels": {SCHEDULE: schedule.name},
        "annotations": annotations,
    }


def _is_usable(one: View) -> bool:
    return one.is_complete if isinstance(one, VolumeBackup) else _is_ready(one)


def _is_under_way(one: View, made: Made) -> bool:
    return not made.is_usable and not (isinstance(one, VolumeBackup) and one.has_ended)


def _is_ready(one: View) -> bool:
    return isinstance(one, Snapshot) and one.is_ready


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text) if text else EPOCH
