"""Backups with real restic and real file systems: made, verified, restored and forgotten."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from mooring.api.certificates import Authority
from tests.host.privileges import needs_mounts
from tests.system.backups import (
    HAS_RESTIC,
    MIB,
    PATIENCE_S,
    POOLS,
    Backed,
    differs,
    disk,
    eventually,
    hostile_tree,
    kept_copy,
    s3_store,
    small_disk,
)

pytestmark = [
    pytest.mark.system,
    needs_mounts,
    pytest.mark.skipif(not HAS_RESTIC, reason="needs restic"),
]


@pytest.fixture
def driver(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "directory")


@pytest.fixture
def backed(tmp_path: Path, driver: str) -> Iterator[Backed]:
    with disk(POOLS[driver], tmp_path) as root:
        made = Backed(tmp_path, driver, root)
        try:
            yield made
        finally:
            process = made.server.process
            if process is not None and process.poll() is None:
                made.server.stop()


def filled(backed: Backed, name: str = "db") -> Path:
    """A claim with files of all kinds. Returns a copy of what is in it."""
    backed.claim(name)
    backed.bound(name)
    path = backed.mounted(name)
    hostile_tree(path)
    copy = kept_copy(path, backed.place / f"was-{name}")
    backed.let_go(name)
    return copy


def conditions(backed: Backed, name: str) -> dict[str, str]:
    return {one["type"]: one["status"] for one in backed.status(name)["conditions"]}


@pytest.mark.parametrize(
    "driver",
    [one if one == "btrfs" else pytest.param(one, marks=pytest.mark.slow) for one in POOLS],
    indirect=True,
)
def test_what_is_restored_is_what_was_backed_up(backed: Backed, driver: str) -> None:
    backed.start()
    backed.put_repository()
    was = filled(backed)
    backed.back_up("b1", verify="Restore", tags=["nightly"])
    status = backed.completed("b1")
    is_consistent = "False" if driver == "directory" else "True"
    assert conditions(backed, "b1") == {"Consistent": is_consistent, "Verified": "True"}
    (snapshot,) = backed.snapshots()
    assert snapshot["id"] == status["snapshotID"]
    assert {"mooring", "claim=default/db", "nightly"} < set(snapshot["tags"])

    # Another backup takes what is new only.
    path = backed.mounted("db")
    (path / "more").write_bytes(os.urandom(MIB))
    backed.let_go("db")
    backed.back_up("b2", verify="Data")
    assert MIB <= backed.completed("b2")["addedBytes"] < 2 * MIB

    # The volume is lost, and comes back.
    backed.server.kubectl("delete", "pvc", "db")
    eventually(lambda: backed.assets() == [], f"nothing is left: {backed.assets()}")
    backed.claim("again", source="b1")
    backed.bound("again")
    restored = backed.mounted("again")
    assert differs(was, restored) == []
    assert (restored / "sparse").stat().st_blocks * 512 < 2 * MIB
    assert (restored / "d/random").stat().st_nlink == 2
    backed.let_go("again")

    # What is deleted is forgotten, its data as well.
    backed.server.kubectl("delete", "volumebackup", "b1", "b2")
    eventually(lambda: backed.snapshots() == [], "they are forgotten")
    repository = Path(backed.repository)

    def data() -> int:
        return sum(one.stat().st_size for one in (repository / "data").rglob("*") if one.is_file())

    eventually(lambda: data() == 0, "it is pruned")


@pytest.mark.parametrize("scheme", [pytest.param("http", marks=pytest.mark.slow), "https"])
def test_a_store_that_speaks_s3_keeps_backups(backed: Backed, scheme: str) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret"}
    authority = Authority(backed.place / "tls") if scheme == "https" else None
    with s3_store(backed.place, authority) as url:
        backed.start()
        entries = [f"--from-literal={key}={value}" for key, value in keys.items()]
        if authority is not None:
            entries.append(f"--from-file=caCertificate={authority.ca}")
            backed.trusting = ["--cacert", str(authority.ca)]
        backed.server.kubectl("create", "secret", "generic", "store", *entries)
        backed.environment = keys
        backed.put_repository(f"s3:{url}/bucket/here", store="store")
        was = filled(backed)
        backed.back_up("b", verify="Restore")
        backed.completed("b")
        assert len(backed.snapshots()) == 1
        backed.claim("again", source="b")
        backed.bound("again")
        assert differs(was, backed.mounted("again")) == []
        for secret in ("correct horse", keys["AWS_SECRET_ACCESS_KEY"] + '"'):
            assert secret not in (backed.place / "log").read_text()


def test_plain_restic_restores_it_elsewhere(backed: Backed) -> None:
    backed.start()
    backed.put_repository()
    was = filled(backed)
    backed.back_up("b", verify="None")
    backed.completed("b")
    backed.server.stop()
    backed.restic(
        "restore", "latest", "--tag", "claim=default/db", "--target", str(backed.place / "to")
    )
    assert differs(was, backed.place / "to/volume") == []


SNAPSHOT_CLASS = (
    "apiVersion: snapshot.storage.k8s.io/v1\nkind: VolumeSnapshotClass\n"
    'metadata: {name: p, annotations: {snapshot.storage.kubernetes.io/is-default-class: "true"}}\n'
    "driver: btrfs.mooring.dev\ndeletionPolicy: Delete\n---\n"
)


@pytest.mark.parametrize("driver", ["btrfs"], indirect=True)
def test_a_snapshot_is_backed_up_as_it_was(backed: Backed) -> None:
    backed.start()
    backed.put_repository()
    was = filled(backed)
    backed.server.apply(
        f"{SNAPSHOT_CLASS}apiVersion: snapshot.storage.k8s.io/v1\nkind: VolumeSnapshot\n"
        "metadata: {name: s}\nspec: {source: {persistentVolumeClaimName: db}}\n---\n"
    )
    snapshot = ("volumesnapshot", "s")
    eventually(lambda: backed.server.get(*snapshot).get("status", {}).get("readyToUse"), "cut")
    (backed.mounted("db") / "d/plain").unlink()
    backed.let_go("db")
    backed.back_up("b", source={"volumeSnapshotName": "s"})
    backed.completed("b")
    assert conditions(backed, "b")["Consistent"] == "True"
    backed.claim("again", source="b")
    backed.bound("again")
    assert differs(was, backed.mounted("again")) == []


@pytest.mark.slow  # it takes the minutes that its schedule says
@pytest.mark.parametrize("driver", ["btrfs"], indirect=True)
def test_a_schedule_makes_snapshots_and_backups_by_the_clock(backed: Backed) -> None:
    backed.start()
    backed.put_repository()
    filled(backed)
    backed.server.apply(
        f"{SNAPSHOT_CLASS}apiVersion: mooring.dev/v1\nkind: SnapshotSchedule\n"
        'metadata: {name: often}\nspec: {schedule: "* * * * *", snapshots: true, keep: {last: 1},\n'
        "  persistentVolumeClaimName: db, backup: {repository: r}}\n---\n"
    )

    def first(kind: str) -> str:
        found = backed.server.get(kind)["items"]
        return found[0]["metadata"]["name"] if len(found) == 1 else ""

    for kind in ("volumesnapshots", "volumebackups"):
        made = patiently(partial(first, kind), "")
        assert made.startswith("often-db-2")
        assert patiently(partial(first, kind), made) > made


def patiently(look: Callable[[], str], known: str) -> str:
    """Wait for something else than is known: minutes, which is longer than usual."""
    for _ in range(5):
        with suppress(AssertionError):
            eventually(lambda: look() not in ("", known), "it is made")
            break
    return look()


def test_commands_do_both_ways_and_say_how_it_went(backed: Backed) -> None:
    backed.start()
    backed.put_repository()
    was = filled(backed)
    said = backed.mooring("backup", "db", "--to", "r", "--name", "b", "--verify", "None", "--wait")
    assert said.startswith("b is a backup of ")
    said = backed.mooring("restore", "b", "again", "--class", "p", "--wait")
    assert said == "again is filled from b, and bound\n"
    assert backed.server.get("pvc", "again")["spec"]["resources"]["requests"]["storage"] == "1Gi"
    assert differs(was, backed.mounted("again")) == []
    failed = backed.run_mooring("import", "/etc/passwd", "p", "--size", "1Gi", "--class", "p", "-w")
    assert failed.returncode == 1
    assert "is below no directory that this host allows" in failed.stderr


def test_a_wrong_password_is_told(backed: Backed) -> None:
    backed.start()
    backed.put_repository()
    eventually(lambda: backed.repository_ready() == "True", "it is made")
    other = '{"stringData":{"password":"other"}}'
    backed.server.kubectl("patch", "secret", "key", "--type", "merge", "--patch", other)
    eventually(lambda: backed.repository_ready() == "False", "it cannot be opened")
    (condition,) = backed.server.get("backuprepository", "r")["status"]["conditions"]
    assert condition["reason"] == "WrongPassword"
    assert "other" not in condition["message"].replace("another", "")
    filled(backed)
    backed.back_up("b")
    eventually(lambda: "is not ready" in backed.status("b").get("error", ""), "it says why")
    assert backed.status("b")["phase"] == "Pending"
    backed.server.kubectl("delete", "volumebackup", "b")  # nothing of it was begun


def test_a_repository_is_only_where_the_host_allows_it(backed: Backed) -> None:
    backed.server.options = ("--backup-dir", str(backed.place / "allowed"))
    backed.start()
    refused = {"elsewhere": "BackupDirRefused", "allowed/link/r": "BackupDirRefused"}
    refused["allowed/pool/below"] = refused["allowed"] = "BackupAmongVolumes"
    (backed.place / "allowed").mkdir()
    (backed.place / "allowed/link").symlink_to(backed.place)
    backed.server.apply(
        "apiVersion: mooring.dev/v1\nkind: Pool\nmetadata: {name: there}\nspec:\n"
        f"  {{driver: directory.mooring.dev, node: here, root: {backed.place}/allowed/pool}}\n---\n"
    )

    def told(code: str) -> bool:
        repository = backed.server.get("backuprepository", "r")
        conditions = repository.get("status", {}).get("conditions")
        return bool(conditions) and conditions[0]["reason"] == code

    for path, code in refused.items():
        backed.put_repository(str(backed.place / path))
        eventually(partial(told, code), f"{path} is refused; {backed.log()}")
        assert not (backed.place / path / "config").exists()
        backed.server.kubectl("delete", "backuprepository", "r")
    backed.put_repository(str(backed.place / "allowed/repository"))
    eventually(partial(told, "Found"), "it is made")
    assert backed.server.get("backuprepository", "r")["spec"]["node"] == "here"
    backed.put_repository()  # the same, and again without a host
    assert backed.server.get("backuprepository", "r")["spec"]["node"] == "here"


@pytest.mark.slow  # on a full disk restic tries again on its own, for minutes at some moments
def test_a_full_repository_is_told_and_gone_on_with_when_there_is_room(backed: Backed) -> None:
    backed.start()
    with small_disk(backed.place / "small", "4m") as small:
        backed.put_repository(str(small / "repository"))
        filled(backed)
        path = backed.mounted("db")
        (path / "much").write_bytes(os.urandom(16 * MIB))
        backed.let_go("db")
        backed.back_up("b", retries=0)
        eventually(lambda: backed.status("b").get("phase") == "Failed", backed.log())
        assert "is full" in backed.status("b")["error"]
        command = ["mount", "-o", "remount,size=100m", str(small)]
        subprocess.run(command, check=True)
        backed.back_up("c")
        backed.completed("c")


def test_a_repository_that_is_away_is_waited_for(backed: Backed) -> None:
    backed.start()
    backed.put_repository()
    filled(backed)
    eventually(lambda: backed.repository_ready() == "True", "it is made")
    away = Path(backed.repository).rename(backed.place / "away")
    backed.back_up("b", verify="None", retries=1)
    eventually(lambda: "is not ready" in backed.status("b").get("error", ""), "told")
    assert " any more" in backed.status("b")["error"]
    assert not Path(backed.repository).exists()  # and no new one is made in its place
    shutil.move(away, backed.repository)
    backed.completed("b")


def test_one_that_is_deleted_while_it_is_made_leaves_nothing(backed: Backed) -> None:
    backed.start()
    backed.put_repository()
    filled(backed)
    path = backed.mounted("db")
    (path / "much").write_bytes(os.urandom(100 * MIB))
    backed.back_up("b")
    eventually(lambda: backed.status("b").get("phase") == "Running", "it runs")
    backed.server.kubectl("delete", "volumebackup", "b", "--timeout=60s")
    assert backed.snapshots() == []
    backed.let_go("db")
    backed.server.kubectl("delete", "pvc", "db", "--timeout=60s")
    eventually(lambda: backed.assets() == [], "nothing is left")


def damaged(image: Path, content: bytes) -> None:
    """Change what a disk has of some content, so that its file system finds it wrong."""
    with image.open("r+b") as file:
        at = 0
        while True:
            start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start)
            if (found := file.read(at - start).find(content)) >= 0:
                break
        file.seek(start + found)
        file.write(bytes(len(content)))


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["btrfs"], indirect=True)
def test_what_could_not_be_read_whole_is_no_backup_however_often_it_is_tried(
    backed: Backed,
) -> None:
    backed.start()
    backed.put_repository()
    backed.claim("db")
    backed.bound("db")
    content = os.urandom(MIB)
    (backed.mounted("db") / "file").write_bytes(content)
    (backed.mounted("db") / "other").write_text("whole")
    os.sync()
    damaged(backed.place / "image", content[:4096])
    backed.back_up("b", retries=1)
    eventually(lambda: backed.status("b").get("phase") in ("Failed", "Completed"), backed.log())
    status = backed.status("b")
    assert status["phase"] == "Failed"
    assert "not all of it could be read" in status["error"]
    assert "snapshotID" not in status
    assert backed.snapshots() == []  # not even for people


# Killed

POINTS = ("backup.image-made", "backup.uploaded")
OTHER_POINTS = (
    "backup.cut",
    "backup.begun",
    "backup.noted",
    "backup.image-deleted",
    "backup.cut-deleted",
    "backup.uploaded-noted",
    "backup.verified",
    "repository.made",
)


@pytest.mark.parametrize("driver", ["btrfs"], indirect=True)
@pytest.mark.parametrize(
    "point", [*POINTS, *(pytest.param(one, marks=pytest.mark.slow) for one in OTHER_POINTS)]
)
def test_a_kill_at_each_step_of_a_backup_is_gone_on_from(backed: Backed, point: str) -> None:
    backed.start(point)
    filled(backed)
    backed.put_repository()
    backed.back_up("b")
    assert backed.server.process is not None
    assert backed.server.process.wait(PATIENCE_S) == -signal.SIGKILL
    backed.start()
    backed.put_repository()
    backed.back_up("b")
    status = backed.completed("b")
    (snapshot,) = backed.snapshots()
    assert status["snapshotID"] == snapshot["id"]
    assert status["sizeBytes"] > MIB
    assert conditions(backed, "b") == {"Consistent": "True", "Verified": "True"}
    (claim,) = [one for one in backed.assets() if one.startswith("pvc-")]
    assert backed.assets() == [claim]


def test_a_kill_while_files_are_read_as_they_lie_keeps_nobody_from_them(backed: Backed) -> None:
    backed.start("backup.uploaded")
    filled(backed)
    backed.put_repository()
    backed.back_up("b")
    assert backed.server.process is not None
    assert backed.server.process.wait(PATIENCE_S) == -signal.SIGKILL
    backed.start()
    backed.completed("b")
    backed.server.kubectl("delete", "pvc", "db", "--timeout=60s")
    eventually(lambda: backed.assets() == [], "its volume is gone")


@pytest.mark.parametrize(
    "point", ["backup.forgotten", pytest.param("repository.pruned", marks=pytest.mark.slow)]
)
def test_a_kill_while_one_is_forgotten_is_gone_on_from(backed: Backed, point: str) -> None:
    backed.start()
    backed.put_repository()
    filled(backed)
    backed.back_up("b")
    backed.completed("b")
    backed.server.stop()
    backed.start(point)
    backed.server.run("delete", "volumebackup", "b", "--wait=false")
    assert backed.server.process is not None
    assert backed.server.process.wait(PATIENCE_S) == -signal.SIGKILL
    backed.start()
    eventually(lambda: backed.server.get("volumebackups")["items"] == [], "it is gone")
    assert backed.snapshots() == []


@pytest.mark.parametrize("driver", ["loopfile"], indirect=True)
def test_a_kill_in_the_middle_of_both_ways_loses_nothing(backed: Backed) -> None:
    backed.start()
    backed.put_repository()
    backed.claim("db", "1Gi")
    backed.bound("db")
    path = backed.mounted("db")
    hostile_tree(path)
    for number in range(8):
        (path / f"much-{number}").write_bytes(os.urandom(24 * MIB))
    was = kept_copy(path, backed.place / "was")
    backed.let_go("db")
    backed.back_up("b", verify="None")
    eventually(lambda: backed.status("b").get("progress", {}).get("percent", 0) > 0, "it uploads")
    backed.server.stop(signal.SIGKILL)
    backed.start()
    backed.completed("b")
    assert len(backed.snapshots()) == 1

    backed.claim("again", "1Gi", source="b")

    def message() -> str:
        told = backed.server.get("pvc", "again")["status"].get("conditions", [])
        return told[0]["message"] if told else ""

    eventually(lambda: "% of" in message(), "the claim says how far it is")
    backed.server.stop(signal.SIGKILL)
    backed.start()
    backed.bound("again")
    assert differs(was, backed.mounted("again")) == []
    assert "conditions" not in backed.server.get("pvc", "again")["status"]
