"""Storage semantics §14 with the agent of a host and real directories."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.drivers.directory import DirectoryDriver
from mooring.drivers.errors import GrowsLater, PoolFull
from mooring.drivers.interface import Asset, AssetName
from mooring.errors import MooringError
from mooring.model.claim import Claim
from mooring.model.names import (
    GROWS_TO,
    STORAGE,
    STORAGE_RESIZER,
)
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.objects.cache import Event
from mooring.objects.kind import Doc
from mooring.objects.views import view
from mooring.rules.pool_room import has_news
from mooring.rules.resizing import progress
from tests.controllers.clocked import a_claim_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES, a_pod_doc
from tests.node.host_plant import HostPlant, a_pool, a_pool_class

RESIZER = "external-resizer directory.mooring.dev"


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[HostPlant]:
    made = HostPlant(tmp_path)
    made.put(
        CLASSES, a_pool_class("grows", parameters={"pool": "local"}, allowVolumeExpansion=True)
    )
    made.put(CLAIMS, a_claim_doc(class_="grows"))
    yield made
    made.close()


def ask(plant: HostPlant, size: str, name: str = "db") -> bool:
    def change(doc: Doc) -> None:
        doc["spec"]["resources"]["requests"]["storage"] = size

    allowed = plant.edit(CLAIMS, f"default/{name}", change)
    plant.settle()
    return allowed


def limit(plant: HostPlant, **spec: object) -> None:
    plant.edit("pools.mooring.dev", "local", lambda doc: doc["spec"].update(spec))
    plant.settle()


def sizes(plant: HostPlant, name: str = "db") -> tuple[str, str, str, int]:
    """Of the claim's status, the volume, the pool's account, and the asset."""
    claim, volume = plant.claim(name), plant.made(name)
    pool = plant.view(Pool, "local")
    assert pool is not None
    asset = int((plant.root / volume.name / "size").read_text())
    return str(claim.capacity), str(volume.capacity), str(pool.allocated), asset


def conditions(claim: Claim) -> list[tuple[str, str]]:
    return [(one.type, one.status) for one in claim.status.conditions]


def events(plant: HostPlant) -> list[tuple[str, str, str]]:
    wanted = ("Resiz", "Resize")
    return sorted(
        (one["type"], one["reason"], one["source"]["component"])
        for one in plant.events("db")
        if any(word in one["reason"] for word in wanted)
    )


@pytest.mark.rule("14.10", "14.11", "11.21")
def test_a_claim_that_asks_for_more_gets_it(plant: HostPlant) -> None:
    assert sizes(plant) == ("1Gi", "1Gi", "1Gi", 2**30)
    assert ask(plant, "3Gi")
    assert sizes(plant) == ("3Gi", "3Gi", "3Gi", 3 * 2**30)
    claim = plant.claim()
    assert claim.annotations[STORAGE_RESIZER] == "directory.mooring.dev"
    assert (claim.status.conditions, claim.status.allocated_resource_statuses) == ((), {})
    assert claim.status.allocated_resources == {STORAGE: "3Gi"}  # it stays
    assert GROWS_TO not in plant.made().annotations
    assert events(plant) == [
        ("Normal", "Resizing", RESIZER),
        ("Normal", "VolumeResizeSuccessful", RESIZER),
    ]


@pytest.mark.rule("14.18")
def test_the_volume_is_written_before_the_claim(plant: HostPlant) -> None:
    seen: list[tuple[str, str]] = []

    def note(event: Event) -> None:
        if event.after is not None:
            one = view(Claim if event.key == "default/db" else Volume, event.after)
            seen.append((one.resource, str(one.capacity)))

    for resource in (CLAIMS, VOLUMES):
        plant.objects.cache.shelves[resource].follow(note)
    assert ask(plant, "3Gi")
    assert seen.index((VOLUMES, "3Gi")) < seen.index((CLAIMS, "3Gi"))


@pytest.mark.rule("20.15")
def test_sizes_of_the_volume_are_of_the_binary_family(plant: HostPlant) -> None:
    assert ask(plant, "2G")
    assert plant.claim().status.capacity == {STORAGE: "1953125Ki"}


@pytest.mark.rule("14.2")
def test_a_class_that_does_not_allow_it_refuses_the_request(plant: HostPlant) -> None:
    plant.put(CLAIMS, a_claim_doc("fixed", class_="local"))
    assert not ask(plant, "2Gi", "fixed")
    assert sizes(plant, "fixed")[0] == "1Gi"


@pytest.mark.rule("11.23", "14.6", "14.7", "14.15", "14.16")
def test_a_pool_without_the_room_says_so_and_the_user_may_ask_for_less(plant: HostPlant) -> None:
    limit(plant, capacity="2Gi")
    assert ask(plant, "5Gi")
    claim = plant.claim()
    assert progress(claim) == "ControllerResizeInfeasible"
    assert conditions(claim) == [("Resizing", "True"), ("ControllerResizeError", "True")]
    message = claim.status.conditions[-1].message
    assert message == (
        "pool local has 2Gi, 1Gi is taken, asked for 4Gi; ask for less, but more than the "
        "1Gi that there are; or raise the capacity of pool local or what the namespace may take "
        "of it"
    )
    assert ("Warning", "VolumeResizeFailed", RESIZER) in events(plant)
    assert sizes(plant) == ("1Gi", "1Gi", "1Gi", 2**30)
    assert not ask(plant, "1Gi")  # what it has is no decrease that is allowed (§14)
    assert ask(plant, "1536Mi")
    assert sizes(plant) == ("1536Mi", "1536Mi", "1536Mi", 3 * 2**29)
    assert (plant.claim().status.conditions, progress(plant.claim())) == ((), "")


@pytest.mark.rule("14.15")
def test_it_goes_on_when_the_pool_gets_room(plant: HostPlant) -> None:
    limit(plant, capacity="2Gi")
    ask(plant, "5Gi")
    limit(plant, capacity="10Gi")
    assert sizes(plant) == ("5Gi", "5Gi", "5Gi", 5 * 2**30)


def test_a_namespace_grows_within_its_quota(plant: HostPlant) -> None:
    limit(plant, namespaces=[{"name": "default", "quota": "2Gi"}])
    ask(plant, "3Gi")
    assert "may take 2Gi, has 1Gi" in plant.claim().status.conditions[-1].message


@pytest.mark.rule("14.15", "14.19")
def test_a_backend_that_is_away_is_asked_again_and_the_room_is_kept(plant: HostPlant) -> None:
    away = plant.root.with_name("away")
    plant.root.rename(away)
    ask(plant, "2Gi")
    assert progress(plant.claim()) == "ControllerResizeInProgress"
    assert plant.made().annotations[GROWS_TO] == "2Gi"
    pool = plant.view(Pool, "local")
    assert pool is not None
    assert str(pool.allocated) == "2Gi"
    # The target that was set about is gone on with, whatever is asked for meanwhile.
    ask(plant, "3Gi")
    assert plant.claim().status.allocated_resources == {STORAGE: "2Gi"}
    away.rename(plant.root)
    plant.pass_time(5)
    plant.pass_time(5)
    assert sizes(plant) == ("3Gi", "3Gi", "3Gi", 3 * 2**30)


def test_what_a_claim_that_is_gone_had_begun_is_brought_to_an_end(plant: HostPlant) -> None:
    plant.edit(
        VOLUMES,
        plant.made().name,
        lambda doc: doc["spec"].update(persistentVolumeReclaimPolicy="Retain"),
    )
    name, away = plant.made().name, plant.root.with_name("away")
    plant.root.rename(away)
    ask(plant, "2Gi")
    plant.drop()
    away.rename(plant.root)
    plant.pass_time(5)
    assert (str(plant.volume(name).capacity), plant.volume(name).phase) == ("2Gi", "Released")
    assert GROWS_TO not in plant.volume(name).annotations


@pytest.mark.rule("14.17")
def test_a_restart_in_between_changes_nothing(plant: HostPlant) -> None:
    plant.restart(meanwhile=lambda: None)
    plant.settle()
    ask(plant, "2Gi")
    plant.restart()
    plant.settle()
    assert sizes(plant) == ("2Gi", "2Gi", "2Gi", 2 * 2**30)
    assert len(events(plant)) == 2


def test_many_grow_at_once_and_the_account_is_right(plant: HostPlant) -> None:
    names = [f"c{number}" for number in range(12)]
    for name in names:
        plant.create(CLAIMS, a_claim_doc(name, class_="grows"))
    plant.settle()

    def change(doc: Doc) -> None:
        doc["spec"]["resources"]["requests"]["storage"] = "3Gi"

    for name in names:
        plant.edit(CLAIMS, f"default/{name}", change)
    plant.settle()
    assert {sizes(plant, name)[0] for name in names} == {"3Gi"}
    assert sizes(plant)[2] == "37Gi"


def test_two_cannot_both_have_the_last_of_the_room(plant: HostPlant) -> None:
    plant.put(CLAIMS, a_claim_doc("other", class_="grows"))
    limit(plant, capacity="5Gi")

    def change(doc: Doc) -> None:
        doc["spec"]["resources"]["requests"]["storage"] = "3Gi"

    for name in ("db", "other"):
        plant.edit(CLAIMS, f"default/{name}", change)
    plant.settle()
    assert sorted(str(plant.claim(one).capacity) for one in ("db", "other")) == ["1Gi", "3Gi"]
    assert sizes(plant)[2] == "4Gi"


def test_a_pool_of_another_host_is_not_ours(plant: HostPlant, tmp_path: Path) -> None:
    there = a_pool("there", tmp_path / "there", node="elsewhere")
    plant.put("pools.mooring.dev", there)
    volume = {
        "metadata": {"name": "v"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "grows",
            "csi": {
                "driver": "directory.mooring.dev",
                "volumeHandle": "pvc-x",
                "volumeAttributes": {"mooring.dev/pool": "there"},
            },
        },
    }
    plant.put(VOLUMES, volume)
    plant.put(CLAIMS, a_claim_doc("far", class_="grows", volumeName="v"))
    ask(plant, "2Gi", "far")
    assert (str(plant.claim("far").capacity), progress(plant.claim("far"))) == ("1Gi", "")


Backend = Callable[[MooringError | None], None]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Told what its next answers are to be; None: what it can do."""
    real = DirectoryDriver.expand

    def answers(error: MooringError | None) -> None:
        async def expand(driver: DirectoryDriver, name: AssetName, size_bytes: int) -> Asset:
            if error is not None:
                raise error
            return await real(driver, name, size_bytes)

        monkeypatch.setattr(DirectoryDriver, "expand", expand)

    return answers


def with_users(plant: HostPlant) -> None:
    for name, claim, node in (
        ("here", "db", "here"),
        ("elsewhere", "db", "there"),
        ("of-another", "none", "here"),
    ):
        plant.create("pods", a_pod_doc(name, claim, node))


def pods_told(plant: HostPlant, reason: str) -> list[tuple[str, str, str]]:
    """(type, pod, component) of each event of a reason about a pod."""
    found = [one for one in plant.events() if one["involvedObject"]["kind"] == "Pod"]
    return [
        (one["type"], one["involvedObject"]["name"], one["source"]["component"])
        for one in found
        if one["reason"] == reason
    ]


@pytest.mark.rule("11.22")
def test_what_is_done_where_it_is_used_is_told_of_the_pods_there_too(
    plant: HostPlant, backend: Backend
) -> None:
    with_users(plant)
    backend(GrowsLater("db", "a test"))
    ask(plant, "2Gi")
    assert ("Normal", "FileSystemResizeRequired", RESIZER) in events(plant)
    backend(None)
    plant.pass_time(60)
    assert ("Normal", "FileSystemResizeSuccessful", "kubelet") in events(plant)
    assert pods_told(plant, "FileSystemResizeSuccessful") == [("Normal", "here", "kubelet")]


@pytest.mark.rule("11.24", "14.16")
def test_and_so_is_what_fails_there(plant: HostPlant, backend: Backend) -> None:
    with_users(plant)
    backend(GrowsLater("db", "a test"))
    ask(plant, "2Gi")
    backend(PoolFull("local", 1, 0))
    plant.pass_time(60)
    assert progress(plant.claim()) == "NodeResizeInfeasible"
    assert ("Warning", "FileSystemResizeFailed", "kubelet") in events(plant)
    assert pods_told(plant, "FileSystemResizeFailed") == [("Warning", "here", "kubelet")]


# What is refused, and when it is tried again


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has the backend answer that it has no room. Returns the sizes that it is asked for."""
    asked: list[int] = []

    async def expand(driver: DirectoryDriver, _name: AssetName, size_bytes: int) -> Asset:
        asked.append(size_bytes)
        raise PoolFull(driver.place.pool, size_bytes, 0)

    monkeypatch.setattr(DirectoryDriver, "expand", expand)
    return asked


def with_another_pool(plant: HostPlant, tmp_path: Path) -> None:
    plant.put("pools.mooring.dev", a_pool("other", tmp_path / "other"))
    plant.put(CLASSES, a_pool_class("other"))
    plant.put(CLAIMS, a_claim_doc("there", class_="other"))


def counts(plant: HostPlant, reason: str, name: str = "db") -> list[int]:
    return [one.get("count", 1) for one in plant.events(name) if one["reason"] == reason]


def test_room_in_another_pool_has_nothing_tried_again(plant: HostPlant, tmp_path: Path) -> None:
    with_another_pool(plant, tmp_path)
    limit(plant, capacity="2Gi")
    ask(plant, "5Gi")
    plant.put(
        CLAIMS, a_claim_doc("late", class_="grows", resources={"requests": {"storage": "3Gi"}})
    )
    tries, looks = counts(plant, "ProvisioningFailed", "late"), plant.agent.growth.adds
    plant.drop("there")
    assert counts(plant, "ProvisioningFailed", "late") == tries
    assert plant.agent.growth.adds == looks
    limit(plant, capacity="20Gi")
    assert sizes(plant)[0] == "5Gi"
    assert plant.claim("late").phase == "Bound"


def test_other_amounts_are_told_once_a_minute(plant: HostPlant) -> None:
    for name in ("a", "b"):
        plant.put(CLAIMS, a_claim_doc(name, class_="grows"))
    limit(plant, capacity="3Gi")
    ask(plant, "9Gi")
    before = plant.claim()
    assert "3Gi is taken" in before.status.conditions[-1].message
    plant.drop("a")
    assert plant.claim().metadata.resource_version == before.metadata.resource_version
    plant.pass_time(61)
    assert "2Gi is taken" in plant.claim().status.conditions[-1].message
    now = plant.claim().metadata.resource_version
    plant.pass_time(120)  # nothing new to tell
    assert plant.claim().metadata.resource_version == now


def test_what_a_backend_refused_is_no_room_when_it_is_given_back(
    plant: HostPlant, full_disk: list[int]
) -> None:
    heard: list[Event] = []
    plant.objects.cache.shelves["pools.mooring.dev"].follow(heard.append)
    ask(plant, "2Gi")
    pairs = [
        (view(Pool, one.before), view(Pool, one.after)) for one in heard if one.before and one.after
    ]
    assert [str(after.allocated) for _, after in pairs] == ["2Gi", "1Gi"]
    assert not any(has_news(before, after) for before, after in pairs)
    assert full_disk == [2 << 30]


def test_what_a_backend_refused_is_asked_for_ever_less_often_and_without_marks(
    plant: HostPlant, full_disk: list[int]
) -> None:
    ask(plant, "2Gi")
    refused, told = plant.claim(), events(plant)
    assert progress(refused) == "ControllerResizeInfeasible"
    for _ in range(48):
        plant.pass_time(300)
    assert 3 < len(full_disk) < 18  # in four hours
    assert plant.claim().metadata.resource_version == refused.metadata.resource_version
    assert events(plant) == told
    assert counts(plant, "Resizing") == counts(plant, "VolumeResizeFailed") == [1]


def test_it_is_asked_at_once_when_a_volume_goes(plant: HostPlant, full_disk: list[int]) -> None:
    plant.put(CLAIMS, a_claim_doc("a", class_="grows"))
    ask(plant, "2Gi")
    plant.drop("a")
    assert len(full_disk) == 2
    assert sizes(plant) == ("1Gi", "1Gi", "1Gi", 2**30)


def test_a_pool_whose_volumes_cannot_grow_is_not_charged(
    plant: HostPlant, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = replace(DirectoryDriver.features, expands=False)
    monkeypatch.setattr(DirectoryDriver, "features", fixed)
    before = plant.made()
    ask(plant, "2Gi")
    assert progress(plant.claim()) == "ControllerResizeInfeasible"
    assert plant.made().metadata.resource_version == before.metadata.resource_version
