"""Makes snapshots and backups at their times, and deletes those that are not kept any more."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
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
from mooring.objects.errors import AlreadyExists, NotFound
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects, Preconditions
from mooring.reconcile.queue import Again, Done, Outcome
from mooring.rules.events import NORMAL, WARNING, EventNote
from mooring.rules.retention import Made, kept
from mooring.rules.schedules import name_of, selects, times

COMPONENT: Final = "snapshot-schedule"
LOOK_EACH_S: Final = 60.0  # at the latest: the clock of a host may be set, or stand still with it

MADE: Final = crash_point("schedule.made")
NOTED: Final = crash_point("schedule.noted")
DELETED: Final = crash_point("schedule.deleted")


class Schedules:
    """Looks at one SnapshotSchedule at a time."""

    def __init__(self, objects: Objects, recorder: Recorder) -> None:
        self._objects, self._recorder = objects, recorder

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
        await self._note(key, last, coming)
        if not is_suspended:
            await self._delete_surplus(schedule)
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
        for claim in claims:
            for resource, spec in _wanted(schedule, claim):
                doc = {"metadata": _metadata(schedule, claim, at), "spec": spec}
                try:
                    kind = self._objects.kinds[resource]
                    await self._objects.create(kind, schedule.namespace, doc)
                except AlreadyExists:
                    continue
                except MooringError as error:
                    self._tell(schedule, WARNING, "ScheduleFailed", str(error))
                    raise
                passing(MADE)
                made = f"Made {kind.kind} {doc['metadata']['name']}"
                self._tell(schedule, NORMAL, "Scheduled", made)

    # What is kept

    def _all(self, schedule: SnapshotSchedule) -> Iterator[tuple[View, str, Made]]:
        """What this schedule made, of which claim. A label alone makes nothing ours: the name and
        the time have to be those that it would have been given."""
        for type_ in (Snapshot, VolumeBackup):
            for one in self._objects.views(type_, schedule.namespace):
                if one.metadata.labels.get(SCHEDULE) != schedule.name or one.being_deleted:
                    continue
                claim = one.annotations.get(SCHEDULED_CLAIM, "")
                with suppress(ValueError):
                    at = datetime.fromisoformat(one.annotations.get(SCHEDULED_AT, ""))
                    if one.name == name_of(schedule.name, claim, at):
                        yield one, claim, Made(one.name, at, _is_usable(one))

    async def _delete_surplus(self, schedule: SnapshotSchedule) -> None:
        if schedule.spec.keep is None:
            return
        zone, groups = ZoneInfo(schedule.spec.time_zone), dict[tuple[str, str], list[Made]]()
        views = {}
        for one, claim, made in self._all(schedule):
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

    async def _note(self, key: str, last: str, coming: str) -> None:
        schedule = self._objects.view(SnapshotSchedule, key)
        if schedule is None:
            return
        found = list(self._all(schedule))
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
