"""What is in each volume of this host, from whoever counts it, or counted here."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.node.usage import STEP_ENTRIES, VolumeUsage
from mooring.objects.kind import Doc
from testbed.hosts import eventually
from tests.controllers.clocked import a_claim_doc
from tests.controllers.plant import CLAIMS, VOLUMES
from tests.host.privileges import needs_mounts, small_disk
from tests.node.host_plant import HERE, HostPlant

MIB = 1 << 20


class UsagePlant(HostPlant):
    def usage(self, volume: str) -> VolumeUsage | None:
        """As of now."""

        async def looked() -> VolumeUsage | None:
            await self.agent.usages.look(volume)
            return self.agent.usages.of(volume)

        return self._run(looked())

    def filled(self, mib: int = 3) -> str:
        """The volume of a claim, with some data in it."""
        self.put(CLAIMS, a_claim_doc(class_="local"))
        name = self.made().name
        (self.root / name / "data/file").write_bytes(b"x" * (mib * MIB))
        return name

    def by_hand(self, path: Path, name: str = "v", source: str = "hostPath", **more: object) -> str:
        """A static volume, bound."""
        spec: Doc = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            source: {"path": str(path)},
            **more,
        }
        self.put(VOLUMES, {"metadata": {"name": name}, "spec": spec})
        self.put(CLAIMS, a_claim_doc(f"of-{name}", class_="", volumeName=name))
        return name


def on(node: str) -> Doc:
    term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}}


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[UsagePlant]:
    made = UsagePlant(tmp_path)
    yield made
    made.close()


def test_a_directory_is_counted(plant: UsagePlant) -> None:
    found = plant.usage(plant.filled())
    assert found is not None
    assert found.capacity_bytes == 1 << 30
    assert found.used_bytes is not None
    assert 3 * MIB <= found.used_bytes < 4 * MIB
    assert found.inodes_used == 2
    assert found.available_bytes is not None
    assert found.available_bytes <= found.capacity_bytes - found.used_bytes
    assert found.abnormal == ""


def test_what_a_link_in_it_leads_to_is_not(plant: UsagePlant, tmp_path: Path) -> None:
    name = plant.filled()
    (tmp_path / "large").write_bytes(b"x" * (50 * MIB))
    (plant.root / name / "data/link").symlink_to(tmp_path / "large")
    found = plant.usage(name)
    assert found is not None
    assert found.used_bytes is not None
    assert found.used_bytes < 4 * MIB


def test_it_is_looked_at_without_being_asked(plant: UsagePlant) -> None:
    name = plant.filled()

    def is_known() -> bool:
        plant._run(asyncio.sleep(0.01))  # it runs only while a test does
        return plant.agent.usages.of(name) is not None

    eventually(is_known, "it was looked at")


def test_data_that_is_lost_is_abnormal_and_the_last_numbers_stay(plant: UsagePlant) -> None:
    name = plant.filled()
    before = plant.usage(name)
    assert before is not None
    shutil.rmtree(plant.root / name)
    assert plant.usage(name) == before._replace(abnormal="NoSuchAsset")


def test_a_volume_that_is_gone_is_forgotten(plant: UsagePlant) -> None:
    name = plant.filled()
    plant.usage(name)
    plant.drop()
    assert plant.agent.usages.of(name) is None
    assert plant.usage(name) is None


def test_a_host_path_is_counted_once_it_is_somebodys(plant: UsagePlant, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").write_bytes(b"x" * MIB)
    found = plant.usage(plant.by_hand(tmp_path / "there"))
    assert found is not None
    assert found.used_bytes is not None
    assert MIB <= found.used_bytes < 2 * MIB
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": str(tmp_path)},
    }
    plant.put(VOLUMES, {"metadata": {"name": "nobodys"}, "spec": spec})
    assert plant.usage("nobodys") is None


def test_a_host_path_that_is_made_later_is_no_fault(plant: UsagePlant, tmp_path: Path) -> None:
    found = plant.usage(plant.by_hand(tmp_path / "later"))
    assert found == VolumeUsage(1 << 30)


def test_a_local_path_that_is_missing_is_abnormal(plant: UsagePlant, tmp_path: Path) -> None:
    name = plant.by_hand(tmp_path / "lost", source="local", nodeAffinity=on(HERE))
    assert plant.usage(name) == VolumeUsage(1 << 30, abnormal="PathMissing")


def test_volumes_of_other_hosts_are_left_to_them(plant: UsagePlant, tmp_path: Path) -> None:
    name = plant.by_hand(tmp_path, source="local", nodeAffinity=on("elsewhere"))
    assert plant.usage(name) is None


@needs_mounts
def test_a_volume_with_something_that_cannot_be_looked_at_is_counted_and_abnormal(
    plant: UsagePlant, tmp_path: Path
) -> None:
    (tmp_path / "there/data").mkdir(parents=True)
    (tmp_path / "there/data/file").write_bytes(b"x" * MIB)
    (tmp_path / "there/data/lost").touch()
    disk, point = tmp_path / "disk", tmp_path / "point"
    with disk.open("wb") as file:
        file.truncate(16 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", tmp_path / "there", disk], check=True)
    damage = ["debugfs", "-w", "-R", "clri data/lost", disk]
    subprocess.run(damage, check=True, capture_output=True)
    point.mkdir()
    subprocess.run(["mount", "-o", "loop", disk, point], check=True)
    try:
        found = plant.usage(plant.by_hand(point / "data"))
    finally:
        subprocess.run(["umount", point], check=True)
    assert found is not None
    assert found.used_bytes is not None
    assert (found.used_bytes >= MIB, found.abnormal) == (True, "NotCounted")


@needs_mounts
def test_a_file_system_of_its_own_is_asked(plant: UsagePlant, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    asyncio.run(small_disk(disk, "32m"))
    try:
        (disk / "file").write_bytes(b"x" * (8 * MIB))
        found = plant.usage(plant.by_hand(disk, source="local", nodeAffinity=on(HERE)))
        assert found is not None
        assert found[:3] == (32 * MIB, 8 * MIB, 24 * MIB)
        assert found.inodes_used == 2
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@needs_mounts
def test_a_count_makes_way_for_an_unmount_and_begins_anew(plant: UsagePlant) -> None:
    name = plant.filled()
    for number in range(3 * STEP_ENTRIES):
        (plant.root / name / f"data/{number}").touch()

    async def unmounted_meanwhile() -> VolumeUsage | None:
        agent = plant.agent
        volume = agent.mounting.bound_now("default/db")
        point = (await agent.mounting.stage(volume)).path
        counting = asyncio.create_task(agent.usages.look(name))
        for _ in range(100_000):
            await asyncio.sleep(0)
            if held_open(point):
                break
        await agent.mounting.release(volume)
        await counting
        return agent.usages.of(name)

    assert plant._run(unmounted_meanwhile()) is None
    found = plant.usage(name)
    assert found is not None
    assert found.inodes_used == 3 * STEP_ENTRIES + 2


def held_open(point: Path) -> bool:
    """Whether this process has it open."""
    links = (f"/proc/self/fd/{one}" for one in os.listdir("/proc/self/fd"))
    return any(os.path.lexists(one) and os.path.realpath(one) == str(point) for one in links)
