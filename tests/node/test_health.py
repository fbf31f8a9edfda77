"""Pools say how their places are: what is there, what is missing, and what nobody owns."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mooring.drivers.directory import DirectoryDriver
from mooring.drivers.interface import AssetName
from mooring.errors import MooringError
from mooring.model.names import DELETE
from mooring.model.pool import Pool, PoolOrphans
from mooring.model.volume import Volume
from mooring.node.intents import Intent
from mooring.objects.cache import Event
from mooring.objects.kind import Doc
from mooring.objects.views import view
from testbed.hosts import eventually
from tests.controllers.clocked import a_claim_doc
from tests.controllers.plant import CLAIMS, VOLUMES
from tests.host.privileges import hanging_disk, needs_fuse, needs_mounts, small_disk
from tests.node.host_plant import HostPlant, a_pool, a_pool_class

POOLS = Pool.resource
MIB = 1 << 20


class HealthPlant(HostPlant):
    """Looks at its pools when a test says so, and tells what they say.

    Its pool is never full, however full the disk is that the tests are on.
    """

    pool_spec: ClassVar[Doc] = {"thresholds": {"warn": 100, "critical": 100}}

    def look(self, name: str = "local") -> Pool:
        async def looked() -> None:
            await self.agent.health.queue.until_idle()
            await self.agent.health.look(name)
            await self._settled()

        self._run(looked())
        return self.pool(name)

    def pool(self, name: str = "local") -> Pool:
        found = self.view(Pool, name)
        assert found is not None
        return found

    def ready(self, name: str = "local") -> tuple[str, str]:
        found = self.look(name).condition("Ready")
        assert found is not None
        return found.status, found.reason

    def orphans(self, name: str = "local") -> PoolOrphans:
        async def found() -> PoolOrphans:
            pool = self.pool(name)
            driver = await self.agent.mounting.pools.driver(pool)
            return await self.agent.health.orphans.of(pool, driver)

        return self._run(found())

    def remove(self, asset: str, name: str = "local") -> str:
        """What it says if it refuses."""
        try:
            self._run(self.agent.health.orphans.remove(self.pool(name), asset))
        except MooringError as error:
            return error.code
        return ""

    def made_asset(self, uid: str = "f" * 8) -> str:
        """A volume's data that nobody knows of."""
        return self.made_named(f"pvc-{uid}")

    def uid_of(self, resource: str, key: str) -> str:
        found = self.objects.one(resource, key)
        assert found is not None
        uid: str = found["metadata"]["uid"]
        return uid

    def made_named(self, name: str) -> str:
        driver = self._run(self.agent.mounting.pools.driver(self.pool()))
        self._run(driver.create(name, 5 * MIB))  # type: ignore[arg-type]
        return name

    def intend(self, asset: str) -> None:
        pool = self.pool()
        intent = Intent(asset, "default/x", pool.name, pool.uid)
        self._run(self.agent._intents.begin(intent))


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[HealthPlant]:
    made = HealthPlant(tmp_path)
    yield made
    made.close()


@contextmanager
def disk(target: Path, size: str = "64m") -> Iterator[Path]:
    target.mkdir(exist_ok=True)
    asyncio.run(small_disk(target, size))
    try:
        yield target
    finally:
        subprocess.run(["umount", "-l", target], check=True)


def fill(root: Path, share: float) -> None:
    """Have so much of a disk used, by a file that is nobody's."""
    total = os.statvfs(root).f_blocks * os.statvfs(root).f_frsize
    with (root / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, int(total * share))


def test_a_pool_says_what_its_place_has(plant: HealthPlant) -> None:
    status = plant.look().status
    place = os.statvfs(plant.root)
    assert status.capacity is not None
    assert plant.pool().place_total is not None
    assert plant.pool().place_total.bytes() == place.f_blocks * place.f_frsize  # type: ignore[union-attr]
    assert (status.inodes is None) == (place.f_files == 0)
    assert plant.ready() == ("True", "PoolReady")


def test_looks_that_find_nothing_new_write_nothing(plant: HealthPlant) -> None:
    before = plant.look().metadata.resource_version
    for _ in range(5):
        plant.look()
    assert plant.pool().metadata.resource_version == before


def test_a_place_that_is_away_is_said_and_told_and_is_ready_when_it_is_back(
    plant: HealthPlant,
) -> None:
    assert plant.ready() == ("True", "PoolReady")
    plant.root.rename(away := plant.root.with_name("away"))
    assert plant.ready() == ("False", "PoolMissing")
    assert plant.told("local") == [("Warning", "PoolMissing")]
    plant.root.mkdir()  # as a mount point is
    assert plant.ready() == ("False", "PoolMissing")
    plant.root.rmdir()
    away.rename(plant.root)
    assert plant.ready() == ("True", "PoolReady")
    assert plant.told("local") == [("Normal", "PoolRecovered"), ("Warning", "PoolMissing")]


def test_a_place_of_another_pool_is_said(plant: HealthPlant, tmp_path: Path) -> None:
    plant.look()
    plant.put(POOLS, a_pool("second", plant.root))
    assert plant.ready("second") == ("False", "PoolTaken")
    assert plant.told("second") == [("Warning", "PoolTaken")]
    assert plant.ready() == ("True", "PoolReady")


def test_pools_of_other_hosts_are_left_to_them(plant: HealthPlant, tmp_path: Path) -> None:
    plant.put(POOLS, a_pool("far", tmp_path / "far", node="elsewhere"))
    assert plant.look("far").status.conditions == ()
    assert not (tmp_path / "far").exists()


@needs_mounts
def test_a_pool_tells_once_that_it_fills_and_once_that_it_has_room_again(
    plant: HealthPlant, tmp_path: Path
) -> None:
    with disk(tmp_path / "disk") as root:
        plant.put(POOLS, a_pool("small", root / "pool"))
        plant.look("small")
        for share in (0.5, 0.87, 0.88, 0.96, 0.97):
            fill(root, share)
            plant.look("small")
        assert plant.told("small") == [("Warning", "PoolFilling"), ("Warning", "PoolNearlyFull")]
        (root / "ballast").unlink()
        pool = plant.look("small")
        assert ("Normal", "PoolRecovered") in plant.told("small")
        pressure = pool.condition("CapacityPressure")
        assert pressure is not None
        assert (pressure.status, pressure.reason) == ("False", "EnoughRoom")


@needs_mounts
def test_a_place_that_is_read_only_is_said(plant: HealthPlant, tmp_path: Path) -> None:
    with disk(tmp_path / "disk") as root:
        plant.put(POOLS, a_pool("small", root / "pool"))
        assert plant.ready("small") == ("True", "PoolReady")
        subprocess.run(["mount", "-o", "remount,ro", root], check=True)
        assert plant.ready("small") == ("False", "ReadOnly")


@needs_mounts
@needs_fuse
def test_a_place_that_hangs_keeps_no_other_from_being_looked_at(
    plant: HealthPlant, tmp_path: Path
) -> None:
    (tmp_path / "hung").mkdir()
    with hanging_disk(tmp_path / "hung"):
        plant.create(POOLS, a_pool("hung", tmp_path / "hung/pool"))
        plant.create(POOLS, a_pool("other", tmp_path / "other"))

        async def looked() -> None:
            seen = asyncio.Event()

            def changed(event: Event) -> None:
                if event.key == "other" and event.after and view(Pool, event.after).is_ready:
                    seen.set()

            plant.objects.cache.shelves[POOLS].follow(changed)
            plant.agent.health.queue.add("other")
            if not plant.pool("other").is_ready:
                await seen.wait()

        plant._run(looked())
        assert plant.pool("hung").status.conditions == ()
        subprocess.run(["umount", "-l", tmp_path / "hung"], check=True)


# Over-commitment


@needs_mounts
def test_a_claim_beyond_what_the_place_may_promise_is_refused_until_it_is_larger(
    plant: HealthPlant, tmp_path: Path
) -> None:
    with disk(tmp_path / "disk") as root:
        plant.put(POOLS, a_pool("small", root / "pool", overcommit=2))
        plant.put("storageclasses.storage.k8s.io", a_pool_class("small"))
        plant.look("small")
        fitting = a_claim_doc("fits", class_="small", resources={"requests": {"storage": "120Mi"}})
        beyond = a_claim_doc("beyond", class_="small", resources={"requests": {"storage": "9Mi"}})
        plant.put(CLAIMS, fitting)
        assert plant.claim("fits").phase == "Bound"
        plant.put(CLAIMS, beyond)
        assert plant.claim("beyond").phase == "Pending"
        messages = [one["message"] for one in plant.events("beyond")]
        assert any(
            "pool small may promise 128Mi, 2 times the 64Mi of its place; 120Mi is promised" in one
            for one in messages
        )
        assert plant.look("small").status.overcommit_ratio == "1.88"
        subprocess.run(["mount", "-o", "remount,size=70m", root], check=True)
        plant.look("small")
        plant.settle()
        assert plant.claim("beyond").phase == "Bound"


def test_claims_at_the_same_moment_do_not_take_more_than_the_ratio(
    plant: HealthPlant, tmp_path: Path
) -> None:
    plant.put(POOLS, a_pool("one", tmp_path / "one", overcommit=1))
    plant.put("storageclasses.storage.k8s.io", a_pool_class("one"))
    total = plant.look("one").place_total
    assert total is not None
    each = str(total.bytes() // 5 - 4096)
    docs = [
        a_claim_doc(f"c{number}", class_="one", resources={"requests": {"storage": each}})
        for number in range(8)
    ]
    plant.together(*(plant.creation(CLAIMS, doc) for doc in docs))
    plant.settle()
    phases = [plant.claim(f"c{number}").phase for number in range(8)]
    assert sorted(phases) == ["Bound"] * 5 + ["Pending"] * 3


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"overcommit": "0.5"}, "spec.overcommit"),
        ({"overcommit": "much"}, "spec.overcommit"),
        ({"overcommit": 0}, "spec.overcommit"),
        ({"thresholds": {"warn": 0}}, "spec.thresholds.warn"),
        ({"thresholds": {"critical": 101}}, "spec.thresholds.critical"),
        ({"thresholds": {"warn": 96}}, "spec.thresholds.warn"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_field(
    plant: HealthPlant, spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(MooringError, match=said):
        plant._run(plant.creation(POOLS, a_pool("bad", Path("/srv/bad"), **spec)))


# Orphans


def test_what_nobody_names_is_shown_and_not_deleted(plant: HealthPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    owned, orphan = plant.made().name, plant.made_asset()
    found = plant.orphans()
    assert [(one.name, one.kind, one.size) for one in found.items] == [(orphan, "asset", "5Mi")]
    assert (found.count, found.size) == (1, "5Mi")
    assert plant.assets() == sorted([owned, orphan])


def test_they_are_in_the_status_after_a_start(plant: HealthPlant) -> None:
    plant.look()
    orphan = plant.made_asset()
    plant.restart()
    found = plant.look().status.orphans
    assert found is not None
    assert [one.name for one in found.items] == [orphan]


def test_a_retained_volume_that_an_admin_deletes_leaves_one(plant: HealthPlant) -> None:
    kept = a_pool_class("kept", "Retain", parameters={"pool": "local"})
    plant.put("storageclasses.storage.k8s.io", kept)
    plant.put(CLAIMS, a_claim_doc(class_="kept"))
    volume = plant.made()
    assert volume.reclaim_policy != DELETE
    assert plant.look().status.orphans == PoolOrphans()
    plant.drop()
    plant.delete(VOLUMES, volume.name)
    plant.settle()

    def is_shown() -> bool:
        found = plant.look().status.orphans
        return found is not None and [one.name for one in found.items] == [volume.name]

    eventually(is_shown, "it is shown")


def test_one_is_removed_when_somebody_asks(plant: HealthPlant) -> None:
    orphan = plant.made_asset()
    assert plant.remove(orphan) == ""
    assert plant.assets() == []
    assert plant.remove(orphan) == "NoSuchOrphan"


def test_data_that_has_a_volume_is_not_removed(plant: HealthPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    assert plant.remove(plant.made().name) == "NotOrphan"
    assert plant.assets() == [plant.made().name]


def test_data_that_another_volume_names_is_neither_shown_nor_removed(plant: HealthPlant) -> None:
    asset = plant.made_asset()
    source = {
        "driver": "directory.mooring.dev",
        "volumeHandle": asset,
        "volumeAttributes": {"mooring.dev/pool": "local"},
    }
    spec = {"capacity": {"storage": "5Mi"}, "accessModes": ["ReadWriteOnce"], "csi": source}
    plant.put(VOLUMES, {"metadata": {"name": "by-hand"}, "spec": spec})
    assert plant.view(Volume, "by-hand") is not None
    assert plant.orphans().count == 0
    assert plant.remove(asset) == "NotOrphan"


def test_data_that_a_path_leads_into_is_neither_shown_nor_removed(plant: HealthPlant) -> None:
    asset = plant.made_asset()
    spec = {
        "capacity": {"storage": "5Mi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": str(plant.root / asset / "data")},
    }
    plant.put(VOLUMES, {"metadata": {"name": "by-path"}, "spec": spec})
    assert plant.orphans().count == 0
    assert plant.remove(asset) == "NotOrphan"


def test_what_is_being_made_is_neither_shown_nor_removed(plant: HealthPlant) -> None:
    asset = plant.made_asset()
    plant.intend(asset)
    assert plant.orphans().count == 0
    assert plant.remove(asset) == "NotOrphan"


def test_what_is_begun_while_somebody_asks_is_not_removed(
    plant: HealthPlant, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = plant.made_asset()
    pool = plant.pool()
    asked = DirectoryDriver.used_bytes

    async def used_bytes(driver: DirectoryDriver, name: AssetName) -> int | None:
        """As it is, and meanwhile somebody begins to make this one."""
        await plant.agent._intents.begin(Intent(asset, "default/x", pool.name, pool.uid))
        return await asked(driver, name)

    monkeypatch.setattr(DirectoryDriver, "used_bytes", used_bytes)
    assert plant.remove(asset) == "NotOrphan"
    assert plant.assets() == [asset]


def test_data_of_a_claim_that_waits_is_neither_shown_nor_removed(plant: HealthPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="nowhere"))
    asset = plant.made_asset(plant.claim().uid)
    assert plant.orphans().count == 0
    assert plant.remove(asset) == "NotOrphan"
    plant.drop()
    assert [one.name for one in plant.orphans().items] == [asset]
    assert plant.remove(asset) == ""


@pytest.mark.parametrize("name", ["backup-{}", "backup-{}-cut", "verify-{}", "snapshot-{}"])
def test_what_is_made_for_a_backup_or_a_snapshot_is_neither_shown_nor_removed(
    plant: HealthPlant, name: str
) -> None:
    source = {"persistentVolumeClaimName": "db"}
    resource = "volumesnapshots.snapshot.storage.k8s.io"
    plant.put(resource, {"metadata": {"name": "s"}, "spec": {"source": source}})
    asset = plant.made_named(name.format(plant.uid_of(resource, "default/s")))
    assert plant.orphans().count == 0
    assert plant.remove(asset) == "NotOrphan"
    plant.delete(resource, "default/s")
    plant.settle()
    assert [one.name for one in plant.orphans().items] == [asset]
    assert plant.remove(asset) == ""


@pytest.mark.parametrize("name", ["../escape", ".mooring-pool", "", "-rf"])
def test_names_that_lead_elsewhere_are_refused(plant: HealthPlant, name: str) -> None:
    plant.look()
    assert plant.remove(name) == "BadAssetName"


def test_things_that_are_not_as_we_make_them_are_not_counted(plant: HealthPlant) -> None:
    plant.look()
    (plant.root / "somebodys").mkdir()
    (plant.root / "file").write_text("x")
    assert plant.orphans().count == 0
    shutil.rmtree(plant.root / "somebodys")


def test_many_are_counted_and_few_are_named(plant: HealthPlant) -> None:
    for number in range(25):
        plant.made_asset(f"{number:08}")
    found = plant.orphans()
    assert (found.count, len(found.items)) == (25, 20)
