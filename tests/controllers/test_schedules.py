"""Schedules through weeks that take no time: what is made, kept, and deleted."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mooring.model.backup import VolumeBackup
from mooring.model.schedule import SnapshotSchedule
from mooring.model.snapshot import Snapshot
from mooring.objects.kind import Doc
from mooring.rules.schedules import name_of
from tests.controllers.clocked import ClockedPlant, a_claim_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, VOLUMES

SCHEDULES, SNAPSHOTS, BACKUPS = (one.resource for one in (SnapshotSchedule, Snapshot, VolumeBackup))
HOUR_S, DAY_S = 3600, 86400
ROOT = Path(__file__).parents[2]


@pytest.fixture
def plant() -> Iterator[ClockedPlant]:
    made = ClockedPlant()
    bound_claim(made, "db", tier="gold")
    yield made
    made.close()


def bound_claim(plant: ClockedPlant, name: str, **labels: str) -> None:
    plant.put(VOLUMES, a_volume_doc(f"v-{name}"))
    doc = a_claim_doc(name, "")
    doc["metadata"]["labels"] = labels
    plant.put(CLAIMS, doc)
    assert plant.claim(name).phase == "Bound"


def a_schedule(name: str = "nightly", schedule: str = "0 3 * * *", **spec: object) -> Doc:
    which = {} if "claimSelector" in spec else {"persistentVolumeClaimName": "db"}
    return {"metadata": {"name": name}, "spec": {"schedule": schedule, **which, **spec}}


def names(plant: ClockedPlant, resource: str = SNAPSHOTS) -> list[str]:
    """Of those that are not being deleted."""
    found = [one["metadata"] for one in plant.objects.all(resource)]
    return sorted(one["name"] for one in found if "deletionTimestamp" not in one)


def said(names_: list[str]) -> list[str]:
    """Without the digest that each has before its time."""
    return [re.sub(r"-[0-9a-f]{6}-(\d{12})$", r"-\1", one) for one in names_]


def status(plant: ClockedPlant, name: str = "nightly") -> Doc:
    doc = plant.objects.one(SCHEDULES, f"default/{name}")
    assert doc is not None
    found: Doc = doc["status"]
    return found


BACKED = {"backup": {"repository": "r"}}


def ready(plant: ClockedPlant) -> None:
    """The host has made all backups."""
    for name in names(plant, BACKUPS):
        plant.edit(
            BACKUPS,
            f"default/{name}",
            lambda doc: doc["status"].update(phase="Completed"),
            status="status",
        )
    plant.settle()


def test_a_snapshot_is_made_at_each_time(plant: ClockedPlant) -> None:
    plant.put(SCHEDULES, a_schedule())  # it is 3:04:05
    assert status(plant)["nextScheduleTime"] == "2026-01-03T03:00:00Z"
    assert names(plant) == []
    plant.pass_time(DAY_S)
    plant.pass_time(DAY_S)
    assert said(names(plant)) == ["nightly-db-202601030300", "nightly-db-202601040300"]
    (doc, _) = plant.objects.all(SNAPSHOTS)
    assert doc["spec"]["source"] == {"persistentVolumeClaimName": "db"}
    assert doc["metadata"]["labels"] == {"mooring.dev/schedule": "nightly"}
    assert "ownerReferences" not in doc["metadata"]
    assert status(plant)["lastScheduleTime"] == "2026-01-04T03:00:00Z"


def test_its_status_tells_what_is_under_way_and_when_all_was_well(plant: ClockedPlant) -> None:
    plant.put(SCHEDULES, a_schedule(**BACKED))
    plant.pass_time(DAY_S)
    assert said(status(plant)["active"]) == ["nightly-db-202601030300"]
    assert "lastSuccessfulTime" not in status(plant)
    ready(plant)
    assert "active" not in status(plant)
    assert status(plant)["lastSuccessfulTime"] == "2026-01-03T03:00:00Z"


def test_claims_are_selected_by_their_labels_when_it_is_time(plant: ClockedPlant) -> None:
    bound_claim(plant, "other", tier="tin")
    plant.put(CLAIMS, a_claim_doc("unbound", "no-such-class"))
    plant.put(SCHEDULES, a_schedule(claimSelector={"matchLabels": {"tier": "gold"}}))
    plant.pass_time(DAY_S)
    bound_claim(plant, "late", tier="gold")
    plant.pass_time(DAY_S)
    assert said(names(plant)) == [
        "nightly-db-202601030300", "nightly-db-202601040300", "nightly-late-202601040300",
    ]  # fmt: skip


def test_backups_are_made_instead_or_as_well(plant: ClockedPlant) -> None:
    plant.put(SCHEDULES, a_schedule("a", backup={"repository": "r", "verify": "Restore"}))
    plant.put(SCHEDULES, a_schedule("b", backup={"repository": "r"}, snapshots=True))
    plant.pass_time(DAY_S)
    assert said(names(plant)) == ["b-db-202601030300"]
    assert said(names(plant, BACKUPS)) == ["a-db-202601030300", "b-db-202601030300"]
    first = plant.objects.one(BACKUPS, f"default/{names(plant, BACKUPS)[0]}")
    assert first is not None
    assert (first["spec"]["repository"], first["spec"]["verify"]) == ("r", "Restore")


def test_only_what_is_to_be_kept_is(plant: ClockedPlant) -> None:
    plant.put(SCHEDULES, a_schedule(schedule="0 * * * *", keep={"hourly": 2, "daily": 3}, **BACKED))
    for _ in range(24 * 4):
        plant.pass_time(HOUR_S)
        ready(plant)
    assert said(names(plant, BACKUPS)) == [
        "nightly-db-202601042300", "nightly-db-202601052300",
        "nightly-db-202601060200", "nightly-db-202601060300",
    ]  # fmt: skip


def test_what_it_did_not_make_is_never_deleted(plant: ClockedPlant) -> None:
    plant.put(SCHEDULES, a_schedule(keep={"last": 1}, **BACKED))
    own: Doc = {"source": {"persistentVolumeClaimName": "db"}, "repository": "r"}
    labels = {"mooring.dev/schedule": "nightly"}
    by_it = {
        "mooring.dev/scheduled-at": "2026-01-01T03:00:00Z",
        "mooring.dev/scheduled-claim": "db",
    }
    for name, annotations in (("mine", {}), ("copied", by_it)):
        metadata = {"name": name, "labels": labels, "annotations": annotations}
        plant.put(BACKUPS, {"metadata": metadata, "spec": own})
    for _ in range(3):
        plant.pass_time(DAY_S)
        ready(plant)
    assert said(names(plant, BACKUPS)) == ["copied", "mine", "nightly-db-202601050300"]


def test_a_time_that_was_missed_is_made_up_for_once(plant: ClockedPlant) -> None:
    plant.put(SCHEDULES, a_schedule(schedule="0 * * * *"))
    plant.away()
    plant.clock.move(10 * HOUR_S)
    plant.back()
    assert said(names(plant)) == ["nightly-db-202601021300"]


def test_one_that_was_missed_by_too_much_is_told(plant: ClockedPlant) -> None:
    plant.put(SCHEDULES, a_schedule(startingDeadlineSeconds=60))
    plant.pass_time(DAY_S)  # it is 3:04:05
    assert names(plant) == []
    assert ("Warning", "MissedSchedule") in plant.told("nightly")
    assert status(plant)["lastScheduleTime"] == "2026-01-03T03:00:00Z"


def test_a_suspended_one_makes_and_deletes_nothing(plant: ClockedPlant) -> None:
    plant.put(SCHEDULES, a_schedule(keep={"last": 1}))
    plant.pass_time(DAY_S)
    plant.edit(SCHEDULES, "default/nightly", lambda doc: doc["spec"].update(suspend=True))
    plant.pass_time(5 * DAY_S)
    assert said(names(plant)) == ["nightly-db-202601030300"]
    assert "nextScheduleTime" not in status(plant)
    plant.edit(SCHEDULES, "default/nightly", lambda doc: doc["spec"].update(suspend=False))
    plant.settle()
    assert "nightly-db-202601080300" in said(names(plant))


def test_what_it_made_outlives_it(plant: ClockedPlant) -> None:
    plant.put(SCHEDULES, a_schedule())
    plant.pass_time(DAY_S)
    plant.delete(SCHEDULES, "default/nightly")
    plant.settle()
    assert said(names(plant)) == ["nightly-db-202601030300"]


def test_two_leaders_make_no_double(plant: ClockedPlant) -> None:
    from mooring.controllers.controllers import Controllers

    plant.put(SCHEDULES, a_schedule())
    plant.away()
    plant.clock.move(DAY_S)
    plant.controllers = Controllers(plant.objects)
    other = Controllers(plant.objects)

    async def both() -> None:
        await plant.controllers.start()
        await other.start()
        await plant.controllers.idle()
        await other.idle()
        await other.stop()

    plant._run(both())
    assert said(names(plant)) == ["nightly-db-202601030300"]


@pytest.mark.parametrize("point", ["schedule.made", "schedule.noted", "schedule.deleted"])
def test_a_kill_at_each_step_is_gone_on_from(tmp_path: Path, point: str) -> None:
    command = [sys.executable, "-m", "tests.controllers.schedule_child", str(tmp_path)]
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": "/usr/bin:/bin"}
    killed = subprocess.run(command, env={**environment, "MOORING_CRASH_AT": point}, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    assert said(json.loads(done.stdout)) == ["nightly-a-202601040300", "nightly-b-202601040300"]


# What cannot be


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"schedule": "every day"}, "spec.schedule"),
        ({"schedule": "* * * * * *"}, "spec.schedule"),
        ({"schedule": "0 0 30 2 *"}, "spec.schedule"),
        ({"timeZone": "Mars/Olympus"}, "spec.timeZone"),
        ({"timeZone": "../../etc/passwd"}, "spec.timeZone"),
        ({"claimSelector": {}, "persistentVolumeClaimName": "db"}, "spec"),
        ({"keep": {}}, "spec.keep"),
        ({"keep": {"last": -1}}, "spec.keep.last"),
        ({"snapshots": False}, "spec.snapshots"),
        ({"backup": {"repository": ""}}, "spec.backup.repository"),
    ],
)
def test_what_makes_no_sense_is_refused(
    plant: ClockedPlant, spec: dict[str, object], field: str
) -> None:
    from mooring.objects.errors import Invalid

    with pytest.raises(Invalid) as refused:
        plant._run(plant.creation(SCHEDULES, a_schedule(**spec)))  # type: ignore[arg-type]
    assert field in [cause.field for cause in refused.value.causes]


def test_two_that_only_read_the_same_make_one_each(plant: ClockedPlant) -> None:
    bound_claim(plant, "b-db")
    plant.put(SCHEDULES, a_schedule("a", persistentVolumeClaimName="b-db"))
    plant.put(SCHEDULES, a_schedule("a-b"))
    plant.pass_time(DAY_S)
    assert said(names(plant)) == ["a-b-db-202601030300"] * 2


def test_a_name_that_somebody_took_is_told(plant: ClockedPlant) -> None:
    name = name_of("nightly", "db", datetime(2026, 1, 3, 3, tzinfo=UTC))
    source = {"source": {"persistentVolumeClaimName": "db"}}
    plant.put(SNAPSHOTS, {"metadata": {"name": name}, "spec": source})
    plant.put(SCHEDULES, a_schedule())
    plant.pass_time(DAY_S)
    assert ("Warning", "NameTaken") in plant.told("nightly")


def test_how_far_a_backup_is_does_not_wake_its_schedule(plant: ClockedPlant) -> None:
    plant.put(SCHEDULES, a_schedule(**BACKED))
    plant.pass_time(DAY_S)
    (name,) = names(plant, BACKUPS)
    looked: list[str] = []
    add = plant.controllers.schedules.add
    plant.controllers.schedules.add = lambda key: (looked.append(key), add(key))[1]
    for percent in (10, 20):
        plant.edit(
            BACKUPS,
            f"default/{name}",
            lambda doc, percent=percent: doc["status"].update(
                phase="Running", progress={"percent": percent}
            ),
            status="status",
        )
    assert looked == []
    ready(plant)
    assert set(looked) == {"default/nightly"}
