"""When a schedule makes what, and what that is called. Pure."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from mooring.model.claim import Claim
from mooring.model.names import Phase
from mooring.model.schedule import ScheduleSpec, SnapshotSchedule

NAME_MAX: Final = 253
DIGEST: Final = 6  # digits
_STAMP: Final = "%Y%m%d%H%M"


class Times(NamedTuple):
    """Of a schedule, as seen at one moment.

    due      the last time that passed and for which nothing was made yet, None if there is none
    is_late  it is past the deadline, so nothing is made for it
    next     the first one to come; None if there is none
    """

    due: datetime | None
    is_late: bool
    next: datetime | None


def times(spec: ScheduleSpec, since: datetime, now: datetime) -> Times:
    """What there is to do. However many times were missed, the last one alone is made up for.

    since  the last time that something was made for, or when the schedule was made
    """
    zone = ZoneInfo(spec.time_zone)
    here = now.astimezone(zone)
    last = next(CronSim(spec.schedule, here + timedelta(seconds=1), reverse=True), None)
    coming = next(CronSim(spec.schedule, here), None)
    due = last.astimezone(UTC) if last is not None and last > since else None
    deadline_s = spec.starting_deadline_seconds
    is_late = (
        due is not None and deadline_s is not None and (now - due).total_seconds() > deadline_s
    )
    return Times(due, is_late, coming.astimezone(UTC) if coming is not None else None)


def selects(schedule: SnapshotSchedule, claim: Claim) -> bool:
    """Whether a schedule is for a claim, as it is now."""
    if claim.namespace != schedule.namespace or claim.being_deleted or claim.phase != Phase.BOUND:
        return False
    spec = schedule.spec
    if spec.persistent_volume_claim_name:
        return claim.name == spec.persistent_volume_claim_name
    return spec.claim_selector is not None and spec.claim_selector.matches(claim.metadata.labels)


def name_of(schedule: str, claim: str, at: datetime) -> str:
    """What is made for a claim at one of the times: always the same, so it is made once.

    The digest keeps those apart whose names only read the same: a-b of c, and a of b-c.
    """
    digest = hashlib.sha256(f"{schedule}/{claim}".encode()).hexdigest()[:DIGEST]
    stamp = at.astimezone(UTC).strftime(_STAMP)
    room = NAME_MAX - len(stamp) - DIGEST - 2
    return f"{f'{schedule}-{claim}'[:room].rstrip('-.')}-{digest}-{stamp}"
