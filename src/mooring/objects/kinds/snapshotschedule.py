"""mooring.dev/v1 SnapshotSchedule."""

from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from mooring.clock import EPOCH
from mooring.model.backup import VERIFICATIONS
from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Doc, Kind, Printing
from mooring.objects.kinds.common import (
    STATUS,
    forbidden,
    invalid,
    is_label_value,
    is_subdomain,
    keep_status,
    metadata_causes,
    metadata_update_causes,
    not_supported,
    required,
)
from mooring.objects.kinds.selecting import label_selector_causes

NAME_MAX: Final = 52  # it is a label's value, and begins the names of what is made
KEPT: Final = ("last", "hourly", "daily", "weekly", "monthly")
KEPT_MAX: Final = 1000


def _default(doc: Doc) -> None:
    doc.setdefault("spec", {}).setdefault("suspend", False)
    doc["spec"].setdefault("timeZone", "UTC")


def _prepare_create(doc: Doc) -> None:
    doc["status"] = {}


def _time_causes(spec: Doc) -> list[Cause]:
    causes, schedule, zone = [], spec.get("schedule") or "", spec.get("timeZone")
    if not schedule:
        causes.append(required("spec.schedule", 'such as "15 3 * * *": each day at 3:15'))
    elif len(schedule.split()) != 5:
        message = "must have five fields: minute, hour, day of the month, month, day of the week"
        causes.append(invalid("spec.schedule", schedule, message))
    else:
        try:
            next(CronSim(schedule, EPOCH))
        except CronSimError as error:
            causes.append(invalid("spec.schedule", schedule, str(error)))
        except StopIteration:
            causes.append(invalid("spec.schedule", schedule, "there is no such time"))
    try:
        ZoneInfo(str(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = "must be the name of a time zone, such as UTC or Europe/Berlin"
        causes.append(invalid("spec.timeZone", zone, message))
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None and deadline < 0:
        causes.append(invalid("spec.startingDeadlineSeconds", deadline, "must not be negative"))
    return causes


def _what_causes(spec: Doc) -> list[Cause]:
    name, selector = spec.get("persistentVolumeClaimName"), spec.get("claimSelector")
    causes = []
    if bool(name) == (selector is not None):
        message = "exactly one of persistentVolumeClaimName and claimSelector"
        causes.append(required("spec", message))
    if name and not is_subdomain(name):
        causes.append(invalid("spec.persistentVolumeClaimName", name, "must be a name"))
    if selector is not None:
        causes += label_selector_causes("spec.claimSelector", selector)
    backup = spec.get("backup")
    if backup is not None:
        if not backup.get("repository"):
            causes.append(required("spec.backup.repository", "the name of a BackupRepository"))
        verify = backup.get("verify")
        if verify is not None and verify not in VERIFICATIONS:
            causes.append(not_supported("spec.backup.verify", verify, VERIFICATIONS))
    elif spec.get("snapshots") is False:
        causes.append(forbidden("spec.snapshots", "without backup nothing would be made"))
    return causes


def _keep_causes(keep: Any) -> list[Cause]:
    if keep is None:
        return []
    causes = [
        invalid(f"spec.keep.{field}", keep[field], f"must be from 0 to {KEPT_MAX}")
        for field in KEPT
        if not 0 <= (keep.get(field) or 0) <= KEPT_MAX
    ]
    if not causes and not any(keep.get(field) for field in KEPT):
        causes.append(required("spec.keep", "keep at least one; without keep all are kept"))
    return causes


def _causes(doc: Doc) -> list[Cause]:
    spec, name = doc["spec"], doc["metadata"].get("name", "")
    causes = []
    if len(name) > NAME_MAX or not is_label_value(name):
        message = f"must be at most {NAME_MAX} letters long: names of snapshots begin with it"
        causes.append(invalid("metadata.name", name, message))
    return causes + _time_causes(spec) + _what_causes(spec) + _keep_causes(spec.get("keep"))


def _claims(doc: Doc, _: Printing) -> str:
    return doc["spec"].get("persistentVolumeClaimName") or "<selected>"


def _since(field: str) -> Any:
    def cell(doc: Doc, shown: Printing) -> str:
        when = (doc.get("status") or {}).get(field)
        return printing.duration(shown.now_s - printing.seconds(when)) if when else "<none>"

    return cell


KIND: Final = Kind(
    group="mooring.dev",
    version="v1",
    kind="SnapshotSchedule",
    plural="snapshotschedules",
    singular="snapshotschedule",
    namespaced=True,
    short_names=("snapsched",),
    columns=(
        Column("Name", printing.name, format="name"),
        Column("Schedule", lambda doc, _: doc["spec"].get("schedule", "")),
        Column("Claims", _claims),
        Column("Suspend", lambda doc, _: doc["spec"].get("suspend", False), type="boolean"),
        Column("Last Schedule", _since("lastScheduleTime")),
        Column("Next", lambda doc, _: (doc.get("status") or {}).get("nextScheduleTime", "")),
        Column("Age", printing.age),
        Column("TimeZone", lambda doc, _: doc["spec"].get("timeZone", ""), priority=1),
    ),
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=keep_status,
    validate_create=lambda doc: metadata_causes(doc) + _causes(doc),
    validate_update=lambda doc, old: metadata_update_causes(doc, old) + _causes(doc),
    subresources=STATUS,
    generation=True,
)
