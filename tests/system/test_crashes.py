"""The whole server killed at each place that a crash could matter, started again, and all is well.

One story runs through: volumes are made, bound, given back, deleted, kept and emptied. At the point
asked for the process dies as by kill -9; it is started again and the story goes on where it was,
repeating only what was not acknowledged.
"""

import http.client
import importlib
import json
import pkgutil
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

import mooring
from mooring.crashpoints import POINTS
from tests.system.server import Server, claim, eventually, volume

pytestmark = pytest.mark.system

for module in pkgutil.walk_packages(mooring.__path__, "mooring."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

# These the story does not pass; what is said to pass them is checked below.
ELSEWHERE = {
    "adopt.": "tests/docker/test_adopt_meanwhile.py",
    "attach.detached": "tests/docker/points.py",
    "attach.intended": "tests/docker/points.py",
    "attach.tak": "tests/docker/test_fencing.py",
    "create.": "tests/docker/test_crashes_mooring.py",
    "docker.": "tests/docker/points.py",
    "edge.": "tests/edge/test_killed.py",
    "backup.": "tests/system/test_backups.py",
    "finalize.": "tests/system/test_upgrade.py",
    "fill.": "tests/system/test_filling.py",
    "repository.": "tests/system/test_backups.py",
    "schedule.": "tests/controllers/test_schedules.py",
    "ids.": "tests/node/test_ids.py",
    "modify.": "tests/system/test_attributes.py",
    "move.": "tests/docker/test_moving.py",
    "replica.": "tests/docker/test_replicas.py",
    "resize.": "tests/system/test_growth.py",
    "provision.source-protected": "tests/system/test_snapshots_killed.py",
    "snapshot.": "tests/system/test_snapshots_killed.py",
    "snapshots.": "tests/system/test_snapshots_killed.py",
    "publish.": "tests/node/test_published.py",
    "unpublish.": "tests/node/test_published.py",
    "use.": "tests/docker/points.py",
    "directory.expand.": "tests/conformance/test_drivers.py",
    "loopfile.": "tests/conformance/test_drivers.py",
    "btrfs.": "tests/conformance/test_drivers.py",
    "nfs.": "tests/vm/test_nfs.py",
    "remote.nfs.": "tests/vm/test_nfs.py",
    "remote.unmounted": "tests/vm/test_nfs.py",
    "remote.iscsi.": "tests/vm/test_iscsi.py",
    "streams.": "tests/drivers/test_btrfs.py",
}
ONCE = sorted(point for point in POINTS if not point.startswith(tuple(ELSEWHERE)))
# What passes these all the time is killed at the start, while things are made, and while they go.
OFTEN = {
    "objects.before-commit": (14, 31),
    "objects.after-commit": (14, 31),
    "sqlite.before-commit": (20,),
    "sqlite.after-commit": (20,),
}
CASES = [
    f"{point}:{count}" if count > 1 else point
    for point in ONCE
    for count in (1, *OFTEN.get(point, ()))
    if point != "provision.taken-back"  # has a test of its own
]
EVERY_COMMIT = [
    f"{point}:{count}"
    for point in ("objects.before-commit", "objects.after-commit")
    for count in range(2, 61)
]
CLAIMS, VOLUMES = "/api/v1/namespaces/default/persistentvolumeclaims", "/api/v1/persistentvolumes"


def test_each_point_of_the_list_is_killed_somewhere() -> None:
    for prefix, path in ELSEWHERE.items():
        points = [point for point in POINTS if point.startswith(prefix)]
        assert points, prefix
        text = (Path(__file__).parents[2] / path).read_text()
        assert "POINTS" in text or all(f'"{point}"' in text for point in points), path


class Mortal:
    """A server that is killed once at a point, and started again by whoever finds it dead."""

    def __init__(self, place: Path, point: str) -> None:
        self.server = Server(place)
        self.died = False
        self.connection: http.client.HTTPSConnection | None = None
        self.headers: dict[str, str] = {}
        self.server.start(MOORING_CRASH_AT=point)
        eventually(lambda: self.server.is_ready() or not self.lives(), "it serves, or was killed")
        self._revive()

    def lives(self) -> bool:
        assert self.server.process is not None
        return self.server.process.poll() is None

    def _revive(self) -> None:
        if not self.lives():
            assert self.server.process is not None
            assert not self.died, "it died a second time"
            assert self.server.process.returncode == -signal.SIGKILL
            self.died = True
            self.server.start()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The answer; asked anew after a death, when nobody knows whether it was done."""
        for _ in range(3):
            try:
                if self.connection is None:
                    self.connection, self.headers = self._connected()
                return self._ask(self.connection, method, path, body)
            except (OSError, http.client.HTTPException):
                self.connection = None
                assert self.server.process is not None
                self.server.process.wait(10)
                self._revive()
        raise AssertionError(f"no answer to {method} {path}")

    def _connected(self) -> tuple[http.client.HTTPSConnection, dict[str, str]]:
        users = yaml.safe_load(self.server.kubeconfig.read_text())["users"]
        token = f"Bearer {users[0]['user']['token']}"
        trusting = ssl._create_unverified_context()
        port = self.server.port
        made = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trusting)
        return made, {"Authorization": token, "Content-Type": "application/json"}

    def _ask(
        self, connection: http.client.HTTPSConnection, method: str, path: str, body: Any
    ) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, self.headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def get(self, path: str) -> Any:
        status, found = self.ask("GET", path)
        return found if status == 200 else None

    def create(self, collection: str, doc: Any) -> Any:
        status, made = self.ask("POST", collection, doc)
        if status == 409 and self.died:  # it was stored before the death
            made = self.get(f"{collection}/{doc['metadata']['name']}")
            status = 201
        assert status == 201, made
        return made

    def delete(self, path: str) -> None:
        status, answer = self.ask("DELETE", path)
        assert status == 200 or (status == 404 and self.died), answer

    def end(self) -> None:
        assert self.server.process is not None
        self.server.process.kill()
        self.server.process.wait()


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Below /tmp, where static volumes are deleted with their data."""
    with TemporaryDirectory(prefix="mooring-", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return tmp_path / "pool"


class Story:
    """What clients do, and what must be so after each of their steps."""

    def __init__(self, mortal: Mortal, pool: Path, scratch: Path) -> None:
        self.mortal, self.pool = mortal, pool
        self.doomed, self.emptied = scratch / "doomed", pool / "shared"
        self.uids: dict[str, str] = {}  # of claims whose creation was acknowledged

    def tell(self) -> None:
        self._prepare()
        self._claim()
        self._bound()
        self._give_back()
        self._settled()

    def _prepare(self) -> None:
        for place in (self.doomed, self.emptied):
            place.mkdir(parents=True, exist_ok=True)
            (place / "file").write_text("old")
        kept = {
            "metadata": {"name": "kept"},
            "provisioner": "directory.mooring.dev",
            "parameters": {"pool": "local"},
            "reclaimPolicy": "Retain",
        }
        self.mortal.create("/apis/storage.k8s.io/v1/storageclasses", kept)
        for name, path, policy in (
            ("doomed", self.doomed, "Delete"),
            ("emptied", self.emptied, "Recycle"),
        ):
            self.mortal.create(VOLUMES, _doc(volume(name, "1Gi", str(path), policy)))

    def _claim(self) -> None:
        for name, class_, named in (
            ("dynamic", "local", ""),
            ("kept", "kept", ""),
            ("doomed", "", "doomed"),
            ("emptied", "", "emptied"),
        ):
            doc = _doc(claim(name, "1Gi", class_))
            if named:
                doc["spec"]["volumeName"] = named
            self.uids[name] = self.mortal.create(CLAIMS, doc)["metadata"]["uid"]

    def claims(self) -> dict[str, Any]:
        return {one["metadata"]["name"]: one for one in self.mortal.get(CLAIMS)["items"]}

    def volumes(self) -> dict[str, Any]:
        return {one["metadata"]["name"]: one for one in self.mortal.get(VOLUMES)["items"]}

    def assets(self) -> set[str]:
        return {one.name for one in self.pool.iterdir() if one.name not in ("shared", MARK)}

    def _bound(self) -> None:
        """Every claim that was acknowledged is there and gets its volume, one each."""
        eventually(
            lambda: all(one["status"]["phase"] == "Bound" for one in self.claims().values()),
            "all claims are Bound",
        )
        claims, volumes = self.claims(), self.volumes()
        assert {name: one["metadata"]["uid"] for name, one in claims.items()} == self.uids
        made = {f"pvc-{self.uids[name]}" for name in ("dynamic", "kept")}
        assert {one["spec"]["volumeName"] for one in claims.values()} == made | set(STATIC)
        assert set(volumes) == made | set(STATIC)
        for one in claims.values():
            found = volumes[one["spec"]["volumeName"]]
            assert found["spec"]["claimRef"]["uid"] == one["metadata"]["uid"]
            assert found["status"]["phase"] == "Bound"
        self._accounts(made)

    def _give_back(self) -> None:
        for name in self.uids:
            self.mortal.delete(f"{CLAIMS}/{name}")

    def _settled(self) -> None:
        """Each volume had what its policy says, and nothing else is left."""
        kept = f"pvc-{self.uids['kept']}"
        wanted = {kept: "Released", "emptied": "Available"}

        def phases() -> dict[str, str]:
            return {name: one["status"]["phase"] for name, one in self.volumes().items()}

        eventually(lambda: phases() == wanted, f"volumes are {wanted}, not {phases()}")
        eventually(lambda: not self.claims(), "all claims are gone")
        assert not self.doomed.exists()
        assert list(self.emptied.iterdir()) == []
        self._accounts({kept})

    def _accounts(self, made: set[str]) -> None:
        """No asset without object, no object without asset, and the pool counts them right."""
        assert self.assets() == made
        intents = self.mortal.server.place / "data" / "provisioning"
        eventually(lambda: not list(intents.iterdir()), "nothing is in the making")
        status = self.mortal.get("/apis/mooring.dev/v1/pools/local")["status"]
        assert (status["volumes"], status["allocated"]) == (len(made), f"{len(made)}Gi")


STATIC = ("doomed", "emptied")
MARK = ".mooring-pool"


def _doc(text: str) -> Any:
    return next(yaml.safe_load_all(text))


def survived(point: str, tmp_path: Path, pool: Path, scratch: Path) -> bool:
    """The whole story, with a death at the point. False if it was never passed."""
    mortal = Mortal(tmp_path, point)
    try:
        Story(mortal, pool, scratch).tell()
    finally:
        mortal.end()
    return mortal.died


@pytest.mark.rule("3.2", "7.6", "10.22", "10.23", "10.29", "9.8c", "10.25")
@pytest.mark.parametrize("point", CASES)
def test_killed_anywhere_the_next_start_goes_on(
    point: str, tmp_path: Path, pool: Path, scratch: Path
) -> None:
    assert survived(point, tmp_path, pool, scratch), f"{point} was never passed"


@pytest.mark.slow
@pytest.mark.parametrize("point", EVERY_COMMIT)
def test_killed_before_or_after_each_commit_the_next_start_goes_on(
    point: str, tmp_path: Path, pool: Path, scratch: Path
) -> None:
    survived(point, tmp_path, pool, scratch)  # how many commits the story takes differs


def test_killed_while_an_asset_is_taken_back_the_next_start_takes_it_back(tmp_path: Path) -> None:
    """A claim is deleted while its asset, made before a crash, is out of reach."""
    pool, away = tmp_path / "pool", tmp_path / "away"
    first = Server(tmp_path).start(MOORING_CRASH_AT="provision.asset-made")
    eventually(lambda: first.is_ready(), "it serves")
    first.run("apply", "--validate=false", "-f", "-", stdin=claim("data"))
    assert first.process is not None
    assert first.process.wait(20) == -signal.SIGKILL
    pool.rename(away)
    mortal = Mortal(tmp_path, "provision.taken-back")
    try:
        mortal.delete(f"{CLAIMS}/data")
        eventually(lambda: mortal.get(f"{CLAIMS}/data") is None, "the claim is gone")
        away.rename(pool)
        assert [one.name for one in pool.iterdir() if one.name != MARK]
        eventually(lambda: not mortal.lives(), "it was killed")
        assert mortal.get(VOLUMES)["items"] == []
        assert [one.name for one in pool.iterdir()] == [MARK]
        intents = tmp_path / "data" / "provisioning"
        eventually(lambda: not list(intents.iterdir()), "nothing is in the making")
    finally:
        mortal.end()
    assert mortal.died


def test_all_is_as_before_after_kill_9(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    server.apply(claim("data") + volume("v", "1Gi", "/srv/v") + claim("static", "1Gi", ""))
    for name in ("data", "static"):
        eventually(lambda name=name: server.phase("pvc", name) == "Bound", f"{name} is Bound")
    before = server.get("pv,pvc")["items"]
    server.stop(signal.SIGKILL)
    again = Server(tmp_path).start()
    try:
        assert again.get("pv,pvc")["items"] == before
    finally:
        assert again.stop() == 0
