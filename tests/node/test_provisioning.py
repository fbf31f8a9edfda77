"""Storage semantics §10 and §9 of our own provisioner, with real directories."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.drivers.interface import Place, asset_name
from mooring.drivers.registry import driver_for
from mooring.model.names import (
    DIRECTORY_DRIVER,
    EXTERNAL_PROVISIONER_FINALIZER,
    PROVISIONED_BY,
    SELECTED_NODE,
)
from mooring.model.pool import Pool
from mooring.model.snapshot import SnapshotContent
from mooring.model.volume import Volume
from mooring.node.intents import Intent, Intents
from mooring.objects.cache import Event
from mooring.objects.views import view
from tests.controllers.clocked import a_claim_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES
from tests.node.host_plant import HERE, HostPlant, a_pool, a_pool_class
from tests.spec.plugin import case

GIB = 2**30


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[HostPlant]:
    made = HostPlant(tmp_path)
    yield made
    made.close()


# Made


@pytest.mark.rule("10.9", "10.10", "10.20", "11.8", "11.9")
def test_a_claim_gets_a_directory_of_its_own_and_is_told_so(plant: HostPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    claim, volume = plant.claim(), plant.made()
    assert volume.name == f"pvc-{claim.uid}"
    assert (claim.phase, volume.phase) == ("Bound", "Bound")
    assert plant.assets() == [volume.name]
    assert plant.intents() == []
    assert plant.told("db") == [
        ("Normal", "ExternalProvisioning"),
        ("Normal", "Provisioning"),
        ("Normal", "ProvisioningSucceeded"),
    ]
    messages = {one["reason"]: one["message"] for one in plant.events("db")}
    assert messages["Provisioning"] == (
        'External provisioner is provisioning volume for claim "default/db"'
    )
    assert messages["ProvisioningSucceeded"] == f"Successfully provisioned volume {volume.name}"
    components = {one["reason"]: one["source"]["component"] for one in plant.events("db")}
    assert components["ProvisioningSucceeded"] == DIRECTORY_DRIVER


@pytest.mark.rule("2.3", "10.13", "10.14", "10.15", "10.16", "10.17", "10.18", "10.19", "13.12")
def test_the_volume_is_what_the_claim_and_the_class_say(plant: HostPlant) -> None:
    plant.put(CLASSES, a_pool_class("kept", "Retain", parameters={"pool": "local"}))
    modes = ["ReadWriteOnce", "ReadOnlyMany"]
    plant.put(CLAIMS, a_claim_doc(class_="kept", accessModes=modes))
    claim, volume = plant.claim(), plant.made()
    assert volume.spec.access_modes == tuple(modes)
    assert volume.spec.volume_mode == "Filesystem"  # the other mode is refused
    assert volume.reclaim_policy == "Retain"
    assert volume.class_name == "kept"
    assert volume.annotations[PROVISIONED_BY] == DIRECTORY_DRIVER
    assert volume.claim_ref is not None
    assert volume.claim_ref.uid == claim.uid
    assert (volume.driver, volume.handle, volume.pool) == (DIRECTORY_DRIVER, volume.name, "local")
    assert volume.spec.node_affinity is not None
    # Put on every new volume, stripped again when the policy is not Delete (§10).
    assert not volume.has_finalizer(EXTERNAL_PROVISIONER_FINALIZER)


@pytest.mark.rule("2.14", "10.19")
def test_a_new_volume_has_its_finalizer_from_the_first_moment(plant: HostPlant) -> None:
    first = []

    def note(event: Event) -> None:
        if event.before is None and event.after is not None:
            first.append(view(Volume, event.after).metadata.finalizers)

    plant.objects.cache.shelves[VOLUMES].follow(note)
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    assert EXTERNAL_PROVISIONER_FINALIZER in first[0]


@pytest.mark.rule("20.15")
def test_the_size_of_a_new_volume_is_of_the_binary_family(plant: HostPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local", resources={"requests": {"storage": "2G"}}))
    assert plant.made().spec.capacity == {"storage": "1953125Ki"}


@pytest.mark.rule("10.7")
def test_a_class_that_waits_is_served_on_the_selected_node_only(plant: HostPlant) -> None:
    late = a_pool_class(
        "late", parameters={"pool": "local"}, volumeBindingMode="WaitForFirstConsumer"
    )
    plant.put(CLASSES, late)
    for name, node in (("none", ""), ("there", "other"), ("own", HERE)):
        doc = a_claim_doc(name, class_="late")
        if node:
            doc["metadata"]["annotations"] = {SELECTED_NODE: node}
        plant.put(CLAIMS, doc)
    assert [plant.claim(name).phase for name in ("none", "there", "own")] == [
        "Pending", "Pending", "Bound",
    ]  # fmt: skip
    assert plant.assets() == [plant.made("own").name]


# Not made


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        case(
            "10.11 10.13 11.10",
            {"volumeMode": "Block"},
            "directory.mooring.dev makes no Block volumes",
        ),
        case(
            "10.28",
            {"selector": {"matchLabels": {"a": "b"}}},
            "claim.spec.selector is not supported for dynamic provisioning",
        ),
        case(
            "18.21",
            {"dataSource": {"kind": "PersistentVolumeClaim", "name": "other"}},
            "source claim default/other does not exist",
        ),
    ],
)
def test_what_cannot_be_made_is_told(plant: HostPlant, spec: dict[str, object], why: str) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local", **spec))
    failed = next(one for one in plant.events("db") if one["reason"] == "ProvisioningFailed")
    assert (failed["type"], failed["message"]) == ("Warning", why)
    assert failed["source"]["component"] == DIRECTORY_DRIVER
    assert (plant.claim().phase, plant.assets(), plant.intents()) == ("Pending", [], [])


def test_a_snapshot_that_a_pool_cannot_have_says_so_and_keeps_no_claim(plant: HostPlant) -> None:
    group = "snapshot.storage.k8s.io"
    class_ = {"metadata": {"name": "c"}, "driver": DIRECTORY_DRIVER, "deletionPolicy": "Delete"}
    plant.put(f"volumesnapshotclasses.{group}", class_)
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    source = {"persistentVolumeClaimName": "db"}
    spec = {"source": source, "volumeSnapshotClassName": "c"}
    plant.put(f"volumesnapshots.{group}", {"metadata": {"name": "s"}, "spec": spec})
    (content,) = plant.objects.views(SnapshotContent)
    assert content.status.error is not None
    assert "pool local of directory.mooring.dev offers no snapshots" in content.status.error.message
    assert ("Warning", "SnapshotCreationFailed") in plant.told(content.name)
    plant.drop()
    assert plant.assets() == []
    plant.delete(f"volumesnapshots.{group}", "default/s")
    plant.settle()
    assert plant.objects.views(SnapshotContent) == []
    assert list((plant.state / "snapshotting").iterdir()) == []


def failures(plant: HostPlant, name: str = "db") -> int:
    return sum(one["count"] for one in plant.events(name) if one["reason"] == "ProvisioningFailed")


@pytest.mark.rule("3.9", "10.24")
def test_what_failed_is_tried_again_when_its_time_has_come_and_not_before(
    plant: HostPlant, tmp_path: Path
) -> None:
    (tmp_path / "disk").touch()  # no directory can be made below it
    plant.put("pools.mooring.dev", a_pool("bad", tmp_path / "disk" / "pool"))
    plant.put(CLASSES, a_pool_class("bad"))
    plant.put(CLAIMS, a_claim_doc(class_="bad"))
    assert failures(plant) == 1
    for delay_s in (0.5, 1.0, 2.0, 4.0):
        count = failures(plant)
        plant.pass_time(delay_s * 0.9)
        assert failures(plant) == count
        plant.pass_time(delay_s * 0.1)
        assert failures(plant) == count + 1
    (tmp_path / "disk").unlink()
    plant.pass_time(8)
    assert plant.claim().phase == "Bound"


def test_a_claim_that_failed_for_its_class_goes_on_when_the_pool_comes(
    plant: HostPlant, tmp_path: Path
) -> None:
    plant.put(CLASSES, a_pool_class("late"))
    plant.put(CLAIMS, a_claim_doc(class_="late"))
    assert failures(plant) == 1
    plant.put("pools.mooring.dev", a_pool("late", tmp_path / "late"))
    assert plant.claim().phase == "Bound"


def test_a_claim_goes_on_at_once_when_its_class_is_made_anew(plant: HostPlant) -> None:
    plant.put("pools.mooring.dev", a_pool("other", plant.root.parent / "other"))
    plant.put(CLASSES, a_pool_class("fast", parameters={}))  # of which of the two?
    plant.put(CLAIMS, a_claim_doc(class_="fast"))
    plant.delete(CLASSES, "fast")
    plant.settle()
    plant.put(CLASSES, a_pool_class("fast", parameters={"pool": "other"}))
    assert plant.claim().phase == "Bound"


def test_a_claim_that_found_no_room_goes_on_when_there_is_room(
    plant: HostPlant, tmp_path: Path
) -> None:
    plant.put("pools.mooring.dev", a_pool("small", tmp_path / "small", capacity="1Gi"))
    plant.put(CLASSES, a_pool_class("small"))
    plant.put(CLAIMS, a_claim_doc("first", class_="small"))
    plant.put(CLAIMS, a_claim_doc("second", class_="small"))
    assert [plant.claim(name).phase for name in ("first", "second")] == ["Bound", "Pending"]
    plant.drop("first")
    assert plant.claim("second").phase == "Bound"


@pytest.mark.rule("10.24")
def test_of_claims_that_take_the_last_room_at_once_one_gets_it_and_nothing_is_left_behind(
    plant: HostPlant, tmp_path: Path
) -> None:
    root = tmp_path / "small"
    plant.put("pools.mooring.dev", a_pool("small", root, capacity="1Gi"))
    plant.put(CLASSES, a_pool_class("small"))
    names = [f"c{number}" for number in range(8)]
    plant.together(*(plant.creation(CLAIMS, a_claim_doc(one, class_="small")) for one in names))
    plant.settle()
    bound = [name for name in names if plant.claim(name).phase == "Bound"]
    assert len(bound) == 1
    assert [one.name for one in root.glob("pvc-*")] == [plant.made(bound[0]).name]
    assert plant.intents() == []


# Deleted meanwhile


@pytest.mark.rule("10.25")
@pytest.mark.parametrize("turns", [0, 3, 10, 30, 100, 300])
def test_of_a_claim_deleted_while_its_volume_is_made_nothing_is_left(
    plant: HostPlant, turns: int
) -> None:
    async def given_up() -> None:
        await plant.creation(CLAIMS, a_claim_doc(class_="local"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await plant.deletion(CLAIMS, "default/db")

    plant.together(given_up())
    plant.settle()
    assert (plant.claims(), plant.volumes(), plant.assets(), plant.intents()) == ([], [], [], [])


# Left by a crash

UID = "0a1b2c3d-0000-4000-8000-000000000001"
LEFT = f"pvc-{UID}"


def leave_behind(plant: HostPlant, asset: str = LEFT, *, noted: bool = True) -> None:
    """As a process does that is killed after it made an asset."""

    async def left() -> None:
        if plant.root.is_file():
            plant.root.unlink()
            plant.root.with_name("away").rename(plant.root)
        pool = plant.view(Pool, "local")
        assert pool is not None
        place = Place(pool="local", uid=pool.uid, root=plant.root)
        driver = driver_for(DIRECTORY_DRIVER, place)
        await driver.start(new=True)
        await driver.create(asset_name(asset), GIB)
        intents = Intents(plant.state)
        await intents.start()
        if noted:
            await intents.begin(Intent(asset, "default/db", "local", pool.uid))

    plant.restart(meanwhile=lambda: asyncio.run(left()))
    plant.settle()


@pytest.mark.rule("10.25")
def test_an_asset_whose_claim_is_gone_is_taken_back_at_the_next_start(plant: HostPlant) -> None:
    leave_behind(plant)
    assert (plant.assets(), plant.intents()) == ([], [])


def test_an_asset_whose_claim_was_made_anew_is_taken_back(plant: HostPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    leave_behind(plant)
    assert (plant.assets(), plant.intents()) == ([plant.made().name], [])


def test_an_asset_that_was_not_noted_is_never_removed(plant: HostPlant) -> None:
    leave_behind(plant, noted=False)
    assert plant.assets() == [LEFT]


def test_an_asset_that_got_its_volume_is_kept(plant: HostPlant) -> None:
    plant.put(CLASSES, a_pool_class("kept", "Retain", parameters={"pool": "local"}))
    plant.put(CLAIMS, a_claim_doc(class_="kept"))
    asset = plant.made().name
    plant.drop()
    leave_behind(plant, asset)
    assert (plant.assets(), plant.intents()) == ([asset], [])


@pytest.mark.rule("10.22")
def test_an_asset_whose_claim_waits_still_becomes_its_volume(
    plant: HostPlant, tmp_path: Path
) -> None:
    plant.root.rename(plant.root.with_name("away"))
    plant.root.touch()  # so that nothing is made yet
    assert plant.create(CLAIMS, a_claim_doc(class_="local"))
    uid = plant.claim().uid
    leave_behind(plant, f"pvc-{uid}")
    assert plant.claim().phase == "Bound"
    assert (plant.assets(), plant.intents()) == ([f"pvc-{uid}"], [])


def test_an_asset_is_left_where_it_is_when_its_pool_is_gone(plant: HostPlant) -> None:
    def forgotten() -> None:
        plant.delete("pools.mooring.dev", "local")
        plant.settle()

    leave_behind(plant, noted=False)
    pool = plant.view(Pool, "local")
    assert pool is not None
    forgotten()

    async def noted() -> None:
        intents = Intents(plant.state)
        await intents.start()
        await intents.begin(Intent(LEFT, "default/db", "local", pool.uid))

    plant.restart(meanwhile=lambda: asyncio.run(noted()))
    plant.settle()
    assert (plant.assets(), plant.intents()) == ([LEFT], [])


def test_what_is_no_intent_is_left_alone_and_keeps_nothing_from_starting(
    plant: HostPlant,
) -> None:
    foreign = plant.state / "provisioning" / "notes"
    plant.restart(meanwhile=lambda: foreign.write_text("not ours"))
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    assert plant.claim().phase == "Bound"
    assert foreign.read_text() == "not ours"


# Deleted


def test_a_volume_goes_with_its_directory_and_its_room(plant: HostPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    plant.drop()
    assert (plant.volumes(), plant.assets()) == ([], [])
    pool = plant.view(Pool, "local")
    assert pool is not None
    assert (pool.status.volumes, pool.allocated.canonical()) == (0, "0")


@pytest.mark.rule("9.8c")
def test_first_the_data_goes_then_the_object_then_its_finalizer(plant: HostPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    seen = []

    def note(event: Event) -> None:
        volume = event.after and view(Volume, event.after)
        has_data = bool(plant.assets())
        if volume is None:
            seen.append((has_data, "gone"))
        elif volume.being_deleted:
            seen.append((has_data, volume.has_finalizer(EXTERNAL_PROVISIONER_FINALIZER)))

    plant.objects.cache.shelves[VOLUMES].follow(note)
    plant.drop()
    assert (seen[0], seen[-1]) == ((False, True), (False, "gone"))


@pytest.mark.rule("9.8d", "11.14")
def test_a_volume_that_cannot_be_deleted_stays_released_and_is_told_and_tried_again(
    plant: HostPlant, tmp_path: Path
) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    name = plant.made().name
    plant.root.rename(tmp_path / "unmounted")
    plant.drop()
    assert plant.volume(name).phase == "Released"
    assert plant.told(name) == [("Warning", "VolumeFailedDelete")]
    assert plant.events(name)[0]["source"]["component"] == DIRECTORY_DRIVER
    (tmp_path / "unmounted").rename(plant.root)
    plant.pass_time(0.1)
    assert plant.assets() == [name]
    plant.pass_time(1)
    assert (plant.volumes(), plant.assets()) == ([], [])


def test_a_pool_deleted_while_it_is_used_goes_with_its_last_volume_and_makes_none(
    plant: HostPlant,
) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    plant.delete("pools.mooring.dev", "local")
    plant.put(CLAIMS, a_claim_doc("late", class_="local"))
    assert "pool local is being deleted" in [one["message"] for one in plant.events("late")]
    assert plant.view(Pool, "local") is not None
    plant.drop()
    assert (plant.volumes(), plant.assets(), plant.view(Pool, "local")) == ([], [], None)


@pytest.mark.parametrize("pause", range(0, 60, 6))
def test_a_pool_deleted_while_a_volume_is_made_in_it_leaves_nothing_half(
    plant: HostPlant, pause: int
) -> None:
    async def deleted() -> None:
        for _ in range(pause):
            await asyncio.sleep(0)
        await plant.deletion("pools.mooring.dev", "local")

    plant.together(plant.creation(CLAIMS, a_claim_doc(class_="local")), deleted())
    plant.settle()
    made = [one.name for one in plant.volumes()]
    assert plant.assets() == made
    assert (plant.view(Pool, "local") is None) == (made == [])


def test_a_pool_made_anew_takes_the_root_of_an_earlier_one_that_left_nothing_there(
    plant: HostPlant,
) -> None:
    def anew() -> None:
        plant.delete("pools.mooring.dev", "local")
        plant.settle()
        plant.put("pools.mooring.dev", a_pool("local", plant.root))

    plant.put(CLAIMS, a_claim_doc(class_="local"))
    plant.drop()
    anew()
    plant.put(CLASSES, a_pool_class("kept", "Retain", parameters={"pool": "local"}))
    plant.put(CLAIMS, a_claim_doc(class_="kept"))
    name = plant.made().name
    plant.drop()
    plant.delete(VOLUMES, name)
    plant.settle()
    assert (plant.volumes(), plant.assets()) == ([], [name])
    anew()
    plant.put(CLAIMS, a_claim_doc("late", class_="local"))
    assert any("belongs to the pool with uid" in one["message"] for one in plant.events("late"))


def test_a_volume_whose_pool_was_removed_by_force_stays_released_and_that_is_told(
    plant: HostPlant,
) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    name = plant.made().name
    plant.delete("pools.mooring.dev", "local")
    plant.edit("pools.mooring.dev", "local", lambda doc: doc["metadata"].pop("finalizers"))
    plant.drop()
    assert (plant.volume(name).phase, plant.assets()) == ("Released", [name])
    assert plant.told(name) == [("Warning", "VolumeFailedDelete")]


@pytest.mark.rule("9.8e", "13.11", "13.12", "22.10")
def test_trap_10_the_policy_of_the_moment_counts(plant: HostPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    name = plant.made().name
    policy = "persistentVolumeReclaimPolicy"
    plant.edit(VOLUMES, name, lambda doc: doc["spec"].update({policy: "Retain"}))
    plant.settle()
    assert not plant.volume(name).has_finalizer(EXTERNAL_PROVISIONER_FINALIZER)
    plant.drop()
    assert (plant.volume(name).phase, plant.assets()) == ("Released", [name])
    plant.edit(VOLUMES, name, lambda doc: doc["spec"].update({policy: "Delete"}))
    plant.settle()
    assert (plant.volumes(), plant.assets()) == ([], [])


@pytest.mark.rule("9.8c", "13.17")
def test_a_volume_deleted_before_its_claim_goes_with_its_directory(plant: HostPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    name = plant.made().name
    plant.delete(VOLUMES, name)
    plant.settle()
    assert (plant.volume(name).phase, plant.assets()) == ("Bound", [name])
    plant.drop()
    assert (plant.volumes(), plant.assets()) == ([], [])


@pytest.mark.rule("13.18")
def test_a_retained_volume_that_an_admin_deletes_leaves_its_directory(plant: HostPlant) -> None:
    plant.put(CLASSES, a_pool_class("kept", "Retain", parameters={"pool": "local"}))
    plant.put(CLAIMS, a_claim_doc(class_="kept"))
    name = plant.made().name
    plant.drop()
    plant.delete(VOLUMES, name)
    plant.settle()
    plant.restart()
    plant.settle()
    assert (plant.volumes(), plant.assets()) == ([], [name])


def an_adopted_volume(asset: str, driver: str = DIRECTORY_DRIVER) -> dict[str, object]:
    """An admin's own, for an asset that is there."""
    attributes = {"mooring.dev/pool": "local"}
    csi = {"driver": driver, "volumeHandle": asset, "volumeAttributes": attributes}
    return {"hostPath": None, "csi": csi}


def test_a_volume_that_names_the_asset_of_another_takes_nothing_with_it(plant: HostPlant) -> None:
    plant.put(CLAIMS, a_claim_doc("owner", class_="local"))
    asset = plant.made("owner").name
    plant.put(VOLUMES, a_volume_doc("copy", policy="Delete", **an_adopted_volume(asset)))
    plant.put(CLAIMS, a_claim_doc(class_="", volumeName="copy"))
    assert plant.claim().phase == "Bound"
    plant.drop()
    assert plant.assets() == [asset]
    assert plant.volume("copy").phase == "Released"
    assert plant.told("copy") == [("Warning", "VolumeFailedDelete")]


def test_a_volume_of_another_driver_that_names_our_pool_is_not_ours(plant: HostPlant) -> None:
    leave_behind(plant, noted=False)
    adopted = an_adopted_volume(LEFT, driver="example.com")
    plant.put(VOLUMES, a_volume_doc("theirs", policy="Delete", **adopted))
    plant.put(CLAIMS, a_claim_doc(class_="", volumeName="theirs"))
    plant.drop()
    assert plant.assets() == [LEFT]
    assert plant.view(Volume, "theirs") is not None


# The account of the pool


def account(plant: HostPlant, name: str = "local") -> tuple[int, str, dict[str, str | int | float]]:
    """Volumes, their sum, and the sum of each namespace."""
    pool = plant.view(Pool, name)
    assert pool is not None
    by = {key: use.allocated for key, use in pool.status.namespaces.items()}
    return pool.status.volumes, pool.allocated.canonical(), by


def resize(plant: HostPlant, name: str, size: str) -> bool:
    done = plant.edit(VOLUMES, name, lambda doc: doc["spec"]["capacity"].update(storage=size))
    plant.settle()
    return done


def test_the_account_follows_a_volume_whose_size_or_claim_an_admin_changes(
    plant: HostPlant,
) -> None:
    plant.put(CLASSES, a_pool_class("kept", "Retain", parameters={"pool": "local"}))
    plant.put(CLAIMS, a_claim_doc("a", class_="kept"))
    plant.put(CLAIMS, a_claim_doc("b", class_="kept"))
    name = plant.made("a").name
    assert account(plant) == (2, "2Gi", {"default": "2Gi"})
    assert resize(plant, name, "5Gi")
    assert account(plant) == (2, "6Gi", {"default": "6Gi"})
    plant.drop("a")
    plant.edit(VOLUMES, name, lambda doc: doc["spec"].pop("claimRef"))
    plant.settle()
    assert account(plant) == (2, "6Gi", {"": "5Gi", "default": "1Gi"})
    plant.delete(VOLUMES, name)
    plant.settle()
    assert account(plant) == (1, "1Gi", {"default": "1Gi"})


def test_a_volume_is_not_made_larger_than_the_room_there_is(
    plant: HostPlant, tmp_path: Path
) -> None:
    plant.put("pools.mooring.dev", a_pool("small", tmp_path / "small", capacity="2Gi"))
    plant.put(CLASSES, a_pool_class("small"))
    plant.put(CLAIMS, a_claim_doc(class_="small"))
    name = plant.made().name
    assert not resize(plant, name, "3Gi")
    assert resize(plant, name, "2Gi")
    assert account(plant, "small") == (1, "2Gi", {"default": "2Gi"})
