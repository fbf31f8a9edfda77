"""Claims at paths of this host, and what their first consumer does for them. Semantics §6, §10."""

import asyncio
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mooring.errors import MooringError
from mooring.host import mounts
from mooring.host.errors import MountBusy
from mooring.model.names import BOUND_BY_CONTROLLER, SELECTED_NODE, WAIT_FOR_FIRST_CONSUMER
from mooring.node.attachments import Attachments
from mooring.node.errors import (
    BeingDeleted,
    DataMissing,
    DataOnOtherNode,
    NoCapacityHere,
    NotBound,
    NoWayToMount,
    ProvisioningElsewhere,
)
from mooring.node.ids import BY_HAND, Ids
from mooring.node.mounting import Mounted, Mounting
from mooring.node.published import Published, Publisher
from mooring.node.sources import PathSource, Source
from mooring.node.use import Users
from mooring.objects.errors import NotFound
from mooring.objects.kind import Doc
from testbed.hosts import eventually
from tests.controllers.clocked import a_claim_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES
from tests.host.privileges import hanging_disk, needs_fuse, needs_mounts
from tests.node.host_plant import HERE, HostPlant, a_pool_class

T = TypeVar("T")
KEY = "default/db"


class MountPlant(HostPlant):
    """Gives claims their paths, and takes them away in the end."""

    def mount(self, key: str = KEY) -> Mounted:
        return self._run(self.agent.users.give(key, BY_HAND))

    def unmount(self, key: str = KEY) -> Mounted | None:
        return self._run(self.agent.users.take_away(key))

    def mounts(self) -> list[Mounted]:
        return self._run(self.agent.mounting.mounts())

    def mount_static(self, path: Path) -> Mounted:
        """A claim with the volume v1 of a directory."""
        self.put(VOLUMES, a_directory("v1", path))
        self.put(CLAIMS, a_claim_doc(class_=""))
        return self.mount()

    def paths(self) -> list[Path]:
        """What is mounted below the root of all paths."""
        return [Path(one) for one in mounts.mounts_below(str(self.state / "mounts"))]

    def without_agent(self, work: Callable[[], object]) -> None:
        """Do something while no agent runs."""
        self._run(self.agent.stop())
        work()
        self.agent = self._agent()
        self._run(self.agent.start())
        self.settle()

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return self._run(work)

    def close(self) -> None:
        for one in self.mounts():
            self.unmount(one.claim)
        super().close()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[MountPlant]:
    made = MountPlant(tmp_path)
    yield made
    made.close()


def affinity(node: str) -> Doc:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    terms = [{"matchExpressions": [expression]}]
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}


def a_directory(name: str, path: Path, class_: str = "", size: str = "1Gi", **spec: object) -> Doc:
    """A static volume of a directory that is there."""
    path.mkdir(exist_ok=True)
    fixed = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": size},
        "storageClassName": class_,
        "hostPath": {"path": str(path), "type": "Directory"},
    }
    return {"metadata": {"name": name}, "spec": fixed | spec}


def a_waiting_class() -> Doc:
    return a_pool_class("local") | {
        "metadata": {"name": "waits"},
        "volumeBindingMode": WAIT_FOR_FIRST_CONSUMER,
    }


# Mount


def test_what_is_written_below_the_path_is_in_the_volume_and_mounting_may_be_repeated(
    plant: MountPlant,
) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    first, second = plant.mount(), plant.mount()
    assert first == second
    assert (first.claim, first.volume) == (KEY, plant.made().name)
    (first.path / "greeting").write_text("hello")
    assert (plant.root / first.volume / "data" / "greeting").read_text() == "hello"
    assert plant.mounts() == [first]


def test_after_a_restart_what_is_at_hand_is_found_again(plant: MountPlant, tmp_path: Path) -> None:
    mounted = plant.mount_static(tmp_path / "v1")
    plant.put(VOLUMES, a_directory(f"named-like-{plant.volume().uid}", tmp_path / "v2"))
    plant.restart()
    assert plant.mounts() == [mounted]
    assert plant.unmount() == mounted


def test_unmount_takes_the_path_away_and_leaves_the_data(plant: MountPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    mounted = plant.mount()
    (mounted.path / "greeting").write_text("hello")
    assert plant.unmount() == mounted
    assert plant.mounts() == []
    assert (plant.mount().path / "greeting").read_text() == "hello"


def test_unmount_of_what_is_not_mounted_is_none(plant: MountPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    assert plant.unmount() is None
    assert plant.unmount("default/nobody") is None


def test_a_path_in_use_stays_and_the_reason_is_said(plant: MountPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    mounted = plant.mount()
    if mounted.note:
        pytest.skip(mounted.note)
    handle = os.open(mounted.path, os.O_RDONLY)
    try:
        with pytest.raises(MooringError) as caught:
            plant.unmount()
        assert caught.value.code == "MountBusy"
    finally:
        os.close(handle)
    assert plant.mounts() == [mounted]


def test_a_volume_can_be_unmounted_after_its_claim_is_gone(
    plant: MountPlant, tmp_path: Path
) -> None:
    plant.put(VOLUMES, a_directory("v1", tmp_path / "v1"))
    plant.put(CLAIMS, a_claim_doc(class_=""))
    mounted = plant.mount()
    plant.drop()
    assert plant.volume().phase == "Released"
    assert plant.mounts() == [mounted]
    assert plant.unmount() == mounted


def test_a_deleted_claim_takes_its_path_and_its_data_with_it(plant: MountPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    plant.mount()
    plant.drop()
    assert plant.mounts() == []
    assert plant.assets() == []


# What is left of volumes that are gone


@needs_mounts
def test_a_volume_that_is_deleted_while_it_is_mounted_takes_its_path_with_it(
    plant: MountPlant, tmp_path: Path
) -> None:
    mounted = plant.mount_static(tmp_path / "v1")
    (mounted.path / "file").write_text("kept")
    plant.drop()
    plant.delete(VOLUMES, "v1")
    plant.settle()
    assert plant.paths() == []
    assert (tmp_path / "v1" / "file").read_text() == "kept"


@needs_mounts
def test_the_path_of_a_volume_that_is_gone_stays_while_it_is_used(
    plant: MountPlant, tmp_path: Path
) -> None:
    mounted = plant.mount_static(tmp_path / "v1")
    with (mounted.path / "file").open("w"):
        plant.drop()
        plant.delete(VOLUMES, "v1")
        plant.settle()
        assert plant.paths() == [mounted.path]
    plant.pass_time(60)
    assert plant.paths() == []


@needs_mounts
def test_the_path_of_a_volume_that_went_while_no_agent_ran_is_taken_away_at_the_start(
    plant: MountPlant, tmp_path: Path
) -> None:
    plant.mount_static(tmp_path / "v1")
    plant.drop()
    plant.without_agent(lambda: plant.delete(VOLUMES, "v1"))
    assert plant.paths() == []


# What cannot be mounted


def test_a_claim_that_is_being_deleted_gets_no_new_users(plant: MountPlant) -> None:
    held = a_claim_doc(class_="local")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    plant.put(CLAIMS, held)
    plant.drop()
    with pytest.raises(BeingDeleted, match="claim default/db is being deleted"):
        plant.mount()


class LatePublisher(Publisher):
    """Something happens just before it is done."""

    meanwhile: Callable[[], Awaitable[object]]

    async def publish(self, uid: str, source: Source, *, read_only: bool = False) -> Published:
        published = await super().publish(uid, source, read_only=read_only)
        await self.meanwhile()
        return published


def test_a_claim_that_is_deleted_while_it_is_mounted_is_not_mounted_in_the_end(
    plant: MountPlant, tmp_path: Path
) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    publisher = LatePublisher(tmp_path / "late")
    publisher.meanwhile = lambda: plant.deletion(CLAIMS, KEY)
    agent, objects = plant.agent, plant.objects
    late = Mounting(
        objects, agent.mounting.pools, publisher, agent.waiting, HERE, print, agent.resizer
    )
    ids, attachments = Ids(tmp_path / "late", objects.clock), Attachments(objects, HERE, print)
    users = Users(objects, late, publisher, ids, attachments, HERE, None, print)

    async def mount() -> None:
        await users.start()
        with pytest.raises((NotFound, NotBound, BeingDeleted)):
            await users.give(KEY, BY_HAND)
        await users.queue.until_idle()
        await users.stop()

    plant.wait_for(mount())
    assert plant.wait_for(publisher.published()) == []


def test_a_claim_that_does_not_exist_is_not_found(plant: MountPlant) -> None:
    with pytest.raises(NotFound):
        plant.mount()


def test_a_claim_that_nobody_binds_is_refused(plant: MountPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_=""))
    with pytest.raises(NotBound, match="claim default/db is Pending and has no volume yet"):
        plant.mount()


def test_a_volume_of_another_host_is_never_replaced_by_an_empty_one(
    plant: MountPlant, tmp_path: Path
) -> None:
    plant.put(VOLUMES, a_directory("v1", tmp_path / "v1", **affinity("elsewhere")))
    plant.put(CLAIMS, a_claim_doc(class_=""))
    with pytest.raises(DataOnOtherNode, match="default/db is on elsewhere"):
        plant.mount()


def test_a_volume_of_a_source_that_is_not_of_this_host_is_refused(
    plant: MountPlant, tmp_path: Path
) -> None:
    volume = a_directory("v1", tmp_path / "v1")
    del volume["spec"]["hostPath"]
    volume["spec"]["csi"] = {"driver": "example.com", "volumeHandle": "v1"}
    plant.put(VOLUMES, volume)
    plant.put(CLAIMS, a_claim_doc(class_=""))
    with pytest.raises(NoWayToMount, match="cannot mount volume v1: it is of csi"):
        plant.mount()


def test_a_block_volume_is_not_mounted(plant: MountPlant, tmp_path: Path) -> None:
    plant.put(VOLUMES, a_directory("v1", tmp_path / "v1", volumeMode="Block"))
    plant.put(CLAIMS, a_claim_doc(class_="", volumeMode="Block"))
    with pytest.raises(NoWayToMount, match="cannot mount volume v1: it is of volumeMode Block; "):
        plant.mount()
    assert plant.mounts() == []


@needs_mounts
@needs_fuse
def test_a_path_that_hangs_has_one_thread_however_often_it_is_tried(
    plant: MountPlant, tmp_path: Path
) -> None:
    for name in ("v1", "v2"):
        (tmp_path / f"disk-{name}").mkdir()
        plant.put(VOLUMES, a_directory(name, tmp_path / f"disk-{name}" / "data", class_=name))
        plant.put(CLAIMS, a_claim_doc(name, class_=name))

    async def tried_again_and_again() -> int:
        for _ in range(3):
            trying = asyncio.create_task(plant.agent.users.give("default/v1", "one"))
            await asyncio.to_thread(eventually, lambda: _looking() > 0, "it hangs")
            await plant.agent.users.give("default/v2", BY_HAND)
            trying.cancel()
            await asyncio.gather(trying, return_exceptions=True)
        return _looking()

    try:
        with hanging_disk(tmp_path / "disk-v1"):
            assert plant.wait_for(tried_again_and_again()) == 1
    finally:
        eventually(lambda: _unmounted(tmp_path / "disk-v1"), "the thread is done with it")


def _unmounted(path: Path) -> bool:
    try:
        mounts.unmount(path)
    except MountBusy:
        return False
    return True


def _looking() -> int:
    """Threads that look at a path of a volume now."""
    codes = (
        frame.f_code
        for innermost in sys._current_frames().values()
        for frame, _ in traceback.walk_stack(innermost)
    )
    return sum(code is PathSource._checked.__code__ for code in codes)


def test_a_directory_that_is_gone_is_named(plant: MountPlant, tmp_path: Path) -> None:
    plant.put(VOLUMES, a_directory("v1", tmp_path / "v1"))
    plant.put(CLAIMS, a_claim_doc(class_=""))
    (tmp_path / "v1").rmdir()
    with pytest.raises(MooringError, match=f"there is no {tmp_path}/v1 on this host"):
        plant.mount()


@pytest.mark.parametrize(
    ("type_", "is_file"),
    [("DirectoryOrCreate", False), ("FileOrCreate", True), ("Directory", False), ("", False)],
)
def test_a_path_that_was_used_and_is_gone_with_its_disk_is_missed_and_not_made_anew(
    plant: MountPlant, tmp_path: Path, type_: str, *, is_file: bool
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    volume = a_directory("v1", disk / "data", hostPath={"path": f"{disk}/data", "type": type_})
    if is_file:
        (disk / "data").rmdir()
    plant.put(VOLUMES, volume)
    plant.put(CLAIMS, a_claim_doc(class_=""))
    plant.mount()
    plant.unmount()
    disk.rename(tmp_path / "unmounted")
    disk.mkdir()
    with pytest.raises(DataMissing, match=f"its data is not in {disk}/data on {HERE}; mount the"):
        plant.mount()
    assert list(disk.iterdir()) == []
    disk.rmdir()
    (tmp_path / "unmounted").rename(disk)
    plant.mount()


# The first consumer


def test_the_first_mount_has_the_volume_made_on_this_host(plant: MountPlant) -> None:
    plant.put(CLASSES, a_waiting_class())
    plant.put(CLAIMS, a_claim_doc(class_="waits"))
    assert plant.claim().phase == "Pending"
    assert plant.assets() == []
    mounted = plant.mount()
    plant.settle()
    assert plant.claim().phase == "Bound"
    assert plant.claim().annotations[SELECTED_NODE] == HERE
    assert plant.assets() == [mounted.volume]


def test_the_first_mount_does_not_look_at_volumes_that_are_none_of_its_class(
    plant: MountPlant, tmp_path: Path
) -> None:
    plant.put(CLASSES, a_waiting_class())
    for claim in ("one", "two", "three"):
        plant.put(CLAIMS, a_claim_doc(claim, class_="waits"))
    plant.put(VOLUMES, a_directory("of-another", tmp_path / "of-another", class_="another"))
    plant.mount("default/one")
    plant.put(VOLUMES, a_directory("later", tmp_path / "later", class_="another"))
    plant.settle()
    shelf = plant.objects.cache.shelves[VOLUMES]
    for entry in shelf.entries():
        entry.seen = None
    plant.mount("default/two")
    assert {"later", "of-another"} <= {one.key for one in shelf.entries() if one.seen is None}
    plant.put(VOLUMES, a_directory("fits", tmp_path / "fits", class_="waits"))
    assert plant.mount("default/three").volume == "fits"


def test_the_first_mount_takes_the_smallest_static_volume_that_this_host_reaches(
    plant: MountPlant, tmp_path: Path
) -> None:
    for name, size, node in (
        ("large", "9Gi", HERE),
        ("right", "2Gi", HERE),
        ("far", "1Gi", "elsewhere"),
        ("small", "1Mi", HERE),
    ):
        plant.put(VOLUMES, a_directory(name, tmp_path / name, "waits", size, **affinity(node)))
    plant.put(CLASSES, a_waiting_class())
    plant.put(CLAIMS, a_claim_doc(class_="waits"))
    assert plant.claim().phase == "Pending"
    assert plant.mount().volume == "right"
    plant.settle()
    assert BOUND_BY_CONTROLLER in plant.volume("right").annotations
    assert plant.assets() == []


def test_a_claim_that_another_host_was_chosen_for_is_left_to_it(plant: MountPlant) -> None:
    plant.put(CLASSES, a_waiting_class())
    claim = a_claim_doc(class_="waits")
    claim["metadata"]["annotations"] = {SELECTED_NODE: "elsewhere"}
    plant.put(CLAIMS, claim)
    with pytest.raises(ProvisioningElsewhere, match="is to be made on elsewhere, not on here"):
        plant.mount()
    assert plant.claim().annotations[SELECTED_NODE] == "elsewhere"


def test_nothing_is_chosen_where_nothing_could_be_made(plant: MountPlant) -> None:
    plant.put(CLASSES, a_waiting_class() | {"parameters": {"pool": "missing"}})
    plant.put(CLAIMS, a_claim_doc(class_="waits"))
    with pytest.raises(NoCapacityHere, match="names pool missing, which does not exist"):
        plant.mount()
    assert SELECTED_NODE not in plant.claim().annotations
