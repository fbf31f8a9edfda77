"""A database on a volume of an image: snapshot, clone, growth and backup while it is written to."""

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from mooring.drivers.imagefs import can_have_xfs
from testbed.debian import POSTGRES, POSTGRES_UID, NoPackages, load_postgres
from tests.docker.mooring import Mooring
from tests.docker.refusals import a_claim, a_class, a_pool, applied, creating
from tests.docker.testbed import Bed, eventually, needs_hosts

pytestmark = [
    pytest.mark.slow,
    needs_hosts,
    pytest.mark.skipif(
        shutil.which("restic") is None or not can_have_xfs(),
        reason="needs xfs, mkfs.xfs and the program restic",
    ),
]
DRIVER: Final = "loopfile.mooring.dev"
MIB: Final = 1 << 20
LONG_S: Final = 180.0  # a second PostgreSQL recovers, a backup is verified: on a busy machine
WORKS_S: Final = 70  # pgbench, in which a snapshot, a second database and a growth have their time
DATA: Final = "/var/lib/postgresql"
START: Final = (
    f"test -e {DATA}/d/PG_VERSION || initdb --no-locale -E UTF8 -D {DATA}/d >/dev/null; "
    f"exec postgres -D {DATA}/d -c min_wal_size=32MB -c max_wal_size=64MB -c shared_buffers=32MB"
)
# Each transaction of pgbench adds the same to an account, a teller, a branch and its history.
BALANCES: Final = (
    "select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from "
    "pgbench_tellers), (select sum(bbalance) from pgbench_branches), (select sum(delta) from "
    "pgbench_history)"
)
SECRET: Final = "restic-password"


@pytest.fixture(scope="module")
def moored(bed: Bed) -> Mooring:
    """With PostgreSQL, and a class of images on an xfs that shares blocks."""
    host = bed.host("here")
    host.up()
    disk = host.place / "disk"
    disk.mkdir()
    with (host.place / "disk.image").open("wb") as image:
        image.truncate(6 << 30)
    for command in (("mkfs.xfs", "-q", image.name), ("mount", "-o", "loop", image.name, disk)):
        done = host.run(*map(str, command))
        assert done.code == 0, done.err
    mooring = Mooring(host, "--backup-dir", str(host.place / "backups")).start()
    host.dockerd()
    try:
        load_postgres(host)
    except NoPackages as why:
        pytest.skip(str(why))
    class_ = a_class("db", "db") | {"provisioner": DRIVER, "allowVolumeExpansion": True}
    options = {"fsType": "xfs"}
    snapshots = {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotClass",
        "metadata": {"name": "db"},
        "driver": DRIVER,
        "deletionPolicy": "Delete",
    }
    pool = a_pool("db", str(disk / "pool"), driver=DRIVER, loopfile=options)
    applied(mooring, pool, class_, snapshots, *_repository(host.place / "backups"))
    return mooring


def _repository(place: Path) -> list[dict[str, Any]]:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": "default"},
        "stringData": {"password": "open sesame"},
    }
    repository = {
        "apiVersion": "mooring.dev/v1",
        "kind": "BackupRepository",
        "metadata": {"name": "backups", "namespace": "default"},
        "spec": {"url": str(place), "passwordSecret": {"name": SECRET, "key": "password"}},
    }
    return [secret, repository]


class Database:
    """A PostgreSQL in a container, on a volume."""

    def __init__(self, mooring: Mooring, name: str, volume: str) -> None:
        self.host, self.name = mooring.host, name
        self.host.docker(
            *("run", "-d", "--name", name, "--user", str(POSTGRES_UID), "-v", f"{volume}:{DATA}"),
            *("--stop-signal", "INT", POSTGRES, "sh", "-c", START),
        )
        eventually(self._answers, f"{name} answers", LONG_S)

    def _answers(self) -> bool:
        runs = self.host.docker("inspect", "-f", "{{.State.Running}}", self.name)
        assert runs == "true", self.host.try_docker("logs", self.name)
        done = self.host.try_docker("exec", self.name, "pg_isready", "-q", "-h", "/run/postgresql")
        return done.code == 0

    def run(self, *command: str) -> str:
        return self.host.docker("exec", "-e", "PGHOST=/run/postgresql", self.name, *command)

    def ask(self, sql: str) -> str:
        return self.run("psql", "-XAtc", sql, "postgres")

    @property
    def balances(self) -> set[str]:
        """One alone, if every transaction is whole."""
        return {one or "0" for one in self.ask(BALANCES).split("|")}

    @property
    def content(self) -> str:
        """The digest of all that is in it."""
        lines = self.run("pg_dump", "postgres").splitlines()
        # Each dump is guarded by a word of its own.
        told = [one for one in lines if not one.startswith(("\\restrict ", "\\unrestrict "))]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def working(self, seconds: int) -> subprocess.Popen[bytes]:
        """pgbench, for that long."""
        bench = ("pgbench", "-n", "-c", "4", "-T", str(seconds), "postgres")
        command = ["docker", "exec", "-e", "PGHOST=/run/postgresql", self.name, *bench]
        return subprocess.Popen(
            command, env=self.host.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def transactions(self) -> int:
        return int(self.ask("select count(*) from pgbench_history"))

    def stop(self) -> None:
        self.host.docker("stop", "--time", "60", self.name)
        self.host.docker("rm", self.name)


def ready(mooring: Mooring, kind: str, name: str, path: str, value: str) -> None:
    def is_so() -> bool:
        return mooring.kubectl("get", kind, name, "-o", f"jsonpath={path}") == value

    eventually(is_so, f"{kind} {name} has {path} {value}", LONG_S)


def ended(working: subprocess.Popen[bytes]) -> str:
    """What pgbench says at its end: it must have lost no transaction."""
    output, _ = working.communicate(timeout=LONG_S)
    said = output.decode()
    assert working.returncode == 0, said
    assert "number of failed transactions: 0 " in said, said
    return said


def size_of(database: Database) -> int:
    """Of the file system that the container sees, in bytes."""
    return int(database.run("df", "-k", DATA).splitlines()[-1].split()[1]) * 1024


def a_snapshot(name: str, claim: str) -> dict[str, Any]:
    spec = {"volumeSnapshotClassName": "db", "source": {"persistentVolumeClaimName": claim}}
    return {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def a_backup(name: str, claim: str) -> dict[str, Any]:
    spec = {"source": {"persistentVolumeClaimName": claim}, "repository": "backups"}
    return {
        "apiVersion": "mooring.dev/v1",
        "kind": "VolumeBackup",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def restored_from(backup: str, name: str) -> dict[str, Any]:
    """A claim with what a backup has."""
    source = {"apiGroup": "mooring.dev", "kind": "VolumeBackup", "name": backup}
    asked = {"requests": {"storage": "1Gi"}}
    return a_claim(name, storageClassName="db", resources=asked, dataSourceRef=source)


def cloned(moored: Mooring) -> None:
    """A second database, of a snapshot: it recovers, is whole, and is its own."""
    applied(moored, a_snapshot("busy", "data"))
    ready(moored, "volumesnapshots", "busy", "{.status.readyToUse}", "true")
    moored.host.docker(*creating("copy", "class=db", "from=snapshot:busy"))
    second = Database(moored, "second", "copy")
    log = moored.host.try_docker("logs", "second")
    assert "automatic recovery in progress" in log.out + log.err
    assert len(second.balances) == 1, second.balances
    assert second.transactions() > 0
    second.ask("create table only_here (x int)")
    second.stop()
    moored.host.docker("volume", "rm", "copy")


def grown(moored: Mooring, database: Database) -> None:
    """What runs in the container has the room at once."""
    before = size_of(database)
    wanted = '{"spec":{"resources":{"requests":{"storage":"1Gi"}}}}'
    moored.kubectl("patch", "pvc", "data", "--patch", wanted)
    ready(moored, "pvc", "data", "{.status.capacity.storage}", "1Gi")
    assert size_of(database) > before + 400 * MIB


def test_a_database_is_snapshotted_cloned_grown_backed_up_and_restored(moored: Mooring) -> None:
    host = moored.host
    host.docker(*creating("data", "class=db", "size=512Mi"))
    database = Database(moored, "first", "data")
    database.run("pgbench", "-q", "-i", "-s", "3", "postgres")
    working = database.working(WORKS_S)
    eventually(lambda: database.transactions() > 200, "pgbench works", LONG_S)
    cloned(moored)
    grown(moored, database)
    assert working.poll() is None, "it was over before all this was: not under load"
    ended(working)
    assert len(database.balances) == 1
    assert database.ask("select to_regclass('only_here') is null") == "t"

    # Backed up while the server runs; then all of it goes, and comes back from the backup.
    content = database.content
    applied(moored, a_backup("nightly", "data"))
    ready(moored, "volumebackups", "nightly", "{.status.phase}", "Completed")
    assert database.content == content
    database.stop()
    moored.kubectl("delete", "volumesnapshot", "busy")
    host.docker("volume", "rm", "data")
    pool = host.place / "disk" / "pool"
    eventually(lambda: not list(pool.glob("[!.]*")), "nothing is left in the pool", LONG_S)
    applied(moored, restored_from("nightly", "again"))
    ready(moored, "pvc", "again", "{.status.phase}", "Bound")
    third = Database(moored, "third", "again")
    assert third.content == content
    third.stop()
    host.docker("volume", "rm", "again")
