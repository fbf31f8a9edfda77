"""`docker volume create` of Docker volumes §5, §6 and §10: which claim it makes, or why none."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.dockerplugin.creating import Creator
from mooring.dockerplugin.names import Namespaces, claim_named
from mooring.dockerplugin.options import Options
from mooring.dockerplugin.transport import Request
from mooring.model.names import ANONYMOUS, CREATED_BY, MODE, OWNER, RECLAIM, SELECTED_NODE
from mooring.model.volume import Volume
from mooring.objects.cache import Event
from mooring.objects.kind import Doc
from mooring.objects.views import view
from tests.controllers.clocked import a_claim_doc, a_volume_doc, make_default
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES
from tests.dockerplugin.docker_plant import TEAM, WAITS, DockerPlant, of_local
from tests.node.host_plant import HERE, a_pool, a_pool_class

POOLS = "pools.mooring.dev"


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[DockerPlant]:
    made = DockerPlant(tmp_path)
    yield made
    made.close()


def retained(plant: DockerPlant, name: str = "db") -> str:
    """The PersistentVolume that a removed Docker volume has left, with a file in it."""
    plant.call("Create", name, reclaim="retain")
    volume = plant.made(name).name
    (plant.root / volume / "data" / "file").write_text("of before")
    plant.call("Remove", name)
    assert plant.phases() == {volume: "Released"}
    return volume


def no_uid(doc: Doc) -> None:
    doc["spec"]["claimRef"].pop("uid")


# A new claim


def test_a_claim_says_what_was_asked_and_who_asked(plant: DockerPlant) -> None:
    options = {"size": "2Gi", "access": "rwop", "reclaim": "retain", "label.app": "db"}
    plant.call("Create", "db", **options, uid="7", mode="2770")
    claim = plant.claim()
    assert (str(claim.request), claim.class_name) == ("2Gi", "local")
    assert claim.modes == {"ReadWriteOncePod"}
    assert claim.metadata.labels == {"app": "db"}
    wanted = {CREATED_BY: f"docker/{HERE}", OWNER: "7:0", MODE: "2770"}
    assert wanted.items() <= claim.annotations.items()
    assert (claim.phase, plant.made().reclaim_policy) == ("Bound", "Retain")
    assert RECLAIM not in claim.annotations


@pytest.mark.parametrize(("parameters", "size"), [({"defaultSize": "3G"}, "3G"), ({}, "1Gi")])
def test_a_volume_without_a_size_has_that_of_its_class(
    plant: DockerPlant, parameters: dict[str, str], size: str
) -> None:
    plant.put(CLASSES, of_local("other", parameters={"pool": "local", **parameters}))
    plant.call("Create", "db", **{"class": "other"})
    assert str(plant.claim().request) == size


def test_a_default_size_that_is_none_is_told_with_its_class(plant: DockerPlant) -> None:
    plant.put(CLASSES, of_local("other", parameters={"pool": "local", "defaultSize": "10GB"}))
    said = plant.refusal("Create", "db", **{"class": "other"})
    assert said.startswith(
        "BadSize: volume db on here: size 10GB is parameter defaultSize of StorageClass other"
    )
    assert plant.left() == []


def test_an_anonymous_volume_is_labelled_and_goes_with_its_data(plant: DockerPlant) -> None:
    plant.put(CLASSES, of_local("keeps", "Retain"))
    name = "0f" * 32
    plant.call("Create", name, **{"class": "keeps", "reclaim": "retain"})
    assert plant.claim(name).metadata.labels == {ANONYMOUS: "true"}
    assert plant.made(name).reclaim_policy == "Delete"


@pytest.mark.parametrize(("asked", "policy"), [("retain", "Retain"), ("delete", "Delete")])
def test_the_policy_is_set_once_a_claim_that_waited_is_bound(
    plant: DockerPlant, asked: str, policy: str
) -> None:
    plant.put(CLASSES, of_local("late", "Retain", volumeBindingMode="WaitForFirstConsumer"))
    plant.call("Create", "db", reclaim=asked, **{"class": "late"})
    assert plant.claim().phase == "Pending"
    plant.edit(
        CLAIMS,
        "default/db",
        lambda doc: doc["metadata"]["annotations"].update(**{SELECTED_NODE: HERE}),
    )
    plant.settle()
    assert (plant.claim().phase, plant.made().reclaim_policy) == ("Bound", policy)
    assert RECLAIM not in plant.claim().annotations


def test_a_policy_that_a_crash_kept_from_being_set_is_set_at_the_start(plant: DockerPlant) -> None:
    plant.call("Create", "db")

    def noted(doc: Doc) -> None:
        doc["metadata"]["annotations"][RECLAIM] = "Retain"

    plant.without_plugin(lambda: plant.edit(CLAIMS, "default/db", noted))
    assert plant.made().reclaim_policy == "Retain"


def test_a_policy_that_is_none_is_not_copied_to_a_volume(plant: DockerPlant) -> None:
    doc = a_claim_doc(class_="local")
    doc["metadata"]["annotations"] = {RECLAIM: "Recycle"}
    plant.put(CLAIMS, doc)
    assert plant.made().reclaim_policy == "Delete"


@pytest.mark.parametrize("seed", range(10))
def test_whoever_else_writes_to_a_new_volume_the_policy_is_set(
    plant: DockerPlant, seed: int
) -> None:
    plant.dawdle(seed)
    plant.call("Create", "db", reclaim="retain")
    assert plant.made().reclaim_policy == "Retain"


# One that is there


def test_a_repeated_create_is_success_and_changes_nothing(plant: DockerPlant) -> None:
    options = {"size": "2Gi", "access": "rwo", "class": "local", "label.app": "db"}
    plant.call("Create", "db", **options)
    (plant.root / plant.made().name / "data" / "file").write_text("mine")
    before = plant.stored()
    for again in (options, {"size": "1Gi"}, {"uid": "5", "reclaim": "retain"}, {}):
        plant.call("Create", "db", **again)
    assert plant.stored() == before
    assert (plant.root / plant.made().name / "data" / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"size": "2Gi"}, "size 1Gi and not 2Gi"),
        ({"class": WAITS}, "class local and not waits"),
        ({"access": "rwop"}, "access rwo and not rwop"),
        ({"volume": "v1"}, "and not v1"),
        ({"from": "snapshot:s"}, "and not s"),
    ],
)
def test_what_differs_from_a_volume_that_is_there_is_named(
    plant: DockerPlant, option: dict[str, str], said: str
) -> None:
    plant.call("Create", "db")
    before = plant.stored()
    refusal = plant.refusal("Create", "db", **option)
    assert refusal.startswith("OptionsConflict: volume db on here exists with ")
    assert said in refusal
    assert plant.stored() == before


def test_all_that_differs_is_named(plant: DockerPlant) -> None:
    plant.call("Create", "db")
    refusal = plant.refusal("Create", "db", size="2Gi", **{"class": WAITS})
    assert "with size 1Gi and not 2Gi, class local and not waits; " in refusal


def test_a_claim_that_kubectl_made_is_taken_for_the_volume(plant: DockerPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    before = plant.stored()
    plant.call("Create", "db", size="1Gi")
    assert plant.stored() == before


@pytest.mark.parametrize("seed", range(10))
def test_a_claim_made_at_the_same_moment_is_taken_for_the_volume(
    plant: DockerPlant, seed: int
) -> None:
    plant.dawdle(seed)
    other = plant.creation(CLAIMS, a_claim_doc(class_="local"))
    assert plant.beside(other, "Create", "db") == ""
    assert (plant.claim_names(), plant.claim().phase) == (["default/db"], "Bound")


def test_a_name_whose_claim_is_another_volume_is_taken(plant: DockerPlant) -> None:
    plant.call("Create", "My_Data")
    (key,) = plant.claim_names()
    other = key.removeprefix("default/")
    said = plant.refusal("Create", other)
    assert said.startswith(f"NameTaken: volume {other} on here would be claim {key}")
    assert "which is volume My_Data" in said
    assert plant.claim_names() == [key]


def test_a_volume_that_is_being_deleted_is_not_made_anew(plant: DockerPlant) -> None:
    plant.call("Create", "db")
    plant.hold("db")
    plant.delete(CLAIMS, "default/db")
    said = plant.refusal("Create", "db")
    assert said.startswith("StillDeleting: volume db on here is still being deleted: finalizer ")
    assert "example.com/hold" in said


# A volume that cannot be made


def test_a_claim_is_taken_back_whose_volume_cannot_be_made(plant: DockerPlant) -> None:
    plant.put(CLASSES, a_pool_class("gone"))
    said = plant.refusal("Create", "db", **{"class": "gone"})
    assert said.startswith("ProvisioningFailed: volume db cannot be made on here: ")
    assert "pool gone, which does not exist; mend that" in said
    assert plant.left() == []


def test_a_pool_that_is_full_is_told_with_volume_and_host(plant: DockerPlant) -> None:
    plant.put(POOLS, a_pool("small", plant.root.with_name("small"), capacity="1Gi"))
    plant.put(CLASSES, a_pool_class("small"))
    said = plant.refusal("Create", "db", size="2Gi", **{"class": "small"})
    assert said.startswith("PoolFull: volume db on here: pool small has 1Gi, ")
    assert plant.left() == []


def test_a_pool_that_is_missing_is_told_with_volume_and_host(plant: DockerPlant) -> None:
    plant.call("Create", "other")
    plant.call("Remove", "other")
    plant.root.rename(plant.root.with_name("away"))
    said = plant.refusal("Create", "db")
    assert said.startswith("PoolMissing: volume db on here: pool local is not at ")
    assert (plant.root.exists(), plant.claim_names(), plant.phases()) == (False, [], {})
    plant.root.with_name("away").rename(plant.root)
    plant.pass_time(0)
    assert plant.left() == []


def test_what_the_api_refuses_is_refused_in_its_words(plant: DockerPlant) -> None:
    plant.delete("namespaces", TEAM)
    plant.settle()
    said = plant.refusal("Create", f"{TEAM}/db")
    assert said.startswith(
        f'Refused: volume {TEAM}/db on here is refused: namespaces "{TEAM}" not found; '
    )
    assert plant.left() == []


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"access": "rwx"}, "access=rwx is not offered by class local; say one of rwo, rwop"),
        ({"access": "rox"}, "access=rox is not offered by class local; say one of rwo, rwop"),
        ({"from": "volume:there"}, "from=volume:there is not offered by class local"),
    ],
)
def test_what_the_driver_of_the_class_has_not_is_not_supported(
    plant: DockerPlant, option: dict[str, str], said: str
) -> None:
    plant.call("Create", "there")
    assert plant.refusal("Create", "db", **option).startswith(
        f"NotSupported: volume db on here: {said}"
    )
    assert plant.claim_names() == ["default/there"]


@pytest.mark.parametrize("source", ["snapshot:s", "volume:v", "volume:A_b"])
def test_a_source_that_is_not_there_is_no_source(plant: DockerPlant, source: str) -> None:
    said = plant.refusal("Create", "db", **{"from": source})
    assert said.startswith(f"NoSuchSource: volume db on here: from {source} is not there; ")
    assert plant.left() == []


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ({"size": "1", "class": "none"}, ["BadSize", "NoSuchClass"]),
        ({"size": "1", "access": "rwx"}, ["BadSize", "NotSupported"]),
        ({"mode": "9", "volume": "none"}, ["BadMode", "NoSuchVolume"]),
        ({"access": "rwx", "from": "snapshot:s"}, ["NoSuchSource", "NotSupported"]),
        ({"class": "A_B", "access": "rwx", "uid": "x"}, ["NoSuchClass", "BadOwner"]),
        ({"size": "1"}, ["BadSize"]),
    ],
)
def test_all_that_is_wrong_is_told_at_once(
    plant: DockerPlant, options: dict[str, str], codes: list[str]
) -> None:
    said = plant.refusal("Create", "db", **options)
    told = said.removeprefix("BadOptions: ").removeprefix("volume db on here: ").split(" | ")
    assert [one.partition(": ")[0] for one in told] == codes
    assert plant.left() == []


def test_what_is_wrong_beside_a_volume_that_is_there_is_told_with_what_differs(
    plant: DockerPlant,
) -> None:
    plant.call("Create", "db")
    said = plant.refusal("Create", "db", mode="9", size="2Gi")
    assert "BadMode: " in said
    assert "OptionsConflict: volume db exists with size 1Gi and not 2Gi" in said


def test_without_a_default_class_one_has_to_be_named(plant: DockerPlant) -> None:
    make_default(plant, "local", "false")
    said = plant.refusal("Create", "db")
    assert said.startswith("NoDefaultClass: volume db on here names no class, ")
    assert f"(local, {WAITS})" in said
    assert plant.left() == []


# Cut off, as Docker hung up, or Mooring is to stop


@pytest.mark.parametrize("name", ["db", "0f" * 32])
def test_a_create_that_is_cut_off_anywhere_leaves_nothing(plant: DockerPlant, name: str) -> None:
    turns = 0
    while not plant.cut_off(turns, "Create", name):
        assert plant.left() == [], f"after {turns} turns of the loop"
        turns += 1 + turns // 4
    assert turns > 6


def test_a_create_that_is_cut_off_leaves_what_somebody_else_uses_by_now(
    plant: DockerPlant,
) -> None:
    bound = asyncio.Event()

    class Slow(Creator):
        async def reclaim_as_asked(self, key: str) -> None:
            bound.set()
            await asyncio.Event().wait()

    plugin = plant.plugin
    slow = Slow(plant.objects, plugin.catalogue, plant.agent.waiting, Namespaces(), HERE)

    async def used_meanwhile() -> None:
        creating = asyncio.create_task(slow.create(claim_named("db", Namespaces()), Options()))
        await bound.wait()
        await plugin.answer("Mount", Request(name="db", id="one"), None)
        creating.cancel()
        await asyncio.gather(creating, return_exceptions=True)

    plant._run(used_meanwhile())
    plant.settle()
    assert plant.claim().phase == "Bound"
    plant.call("Unmount", "db", "one")


def test_a_create_for_data_that_was_there_keeps_it_when_it_is_cut_off(plant: DockerPlant) -> None:
    """Whatever is to become of it later."""
    volume = retained(plant)
    turns = 0
    while not plant.cut_off(turns, "Create", "db", volume=volume, reclaim="delete"):
        assert (plant.root / volume / "data" / "file").read_text() == "of before"
        turns += 1 + turns // 4
    assert (plant.claim().phase, plant.made().name) == ("Bound", volume)


@pytest.mark.parametrize(("name", "is_left"), [("db", True), ("0f" * 32, False)])
def test_a_claim_of_which_docker_was_not_told_stays_if_it_has_a_name(
    plant: DockerPlant, name: str, is_left: bool
) -> None:
    plant.call("Create", name)
    plant._run(plant.plugin.undelivered("Create", Request(name=name)))
    plant.settle()
    assert plant.claim_names() == ([f"default/{name}"] if is_left else [])


# Data of before


def test_a_retained_volume_keeps_its_name_from_being_silently_empty(plant: DockerPlant) -> None:
    volume = retained(plant)
    said = plant.refusal("Create", "db")
    assert said == (
        f"RetainedVolumeExists: PV {volume} has the data of an earlier volume db on here; "
        f"volume={volume} to use it, fresh=true for an empty one"
    )
    assert plant.claim_names() == []


def test_a_retained_volume_is_used_again_with_its_data(plant: DockerPlant) -> None:
    volume = retained(plant)
    plant.call("Create", "db", volume=volume)
    assert (plant.claim().phase, plant.made().name) == ("Bound", volume)
    assert (plant.root / volume / "data" / "file").read_text() == "of before"


def test_a_retained_volume_is_known_as_such_until_its_new_claim_is_there(
    plant: DockerPlant,
) -> None:
    """Dying at any moment leaves data that is somebody's, or that nobody is given by surprise."""
    volume = retained(plant)
    written: dict[str, list[int]] = {CLAIMS: [], VOLUMES: []}
    pointed: list[str] = []

    def look(event: Event) -> None:
        assert event.after is not None
        kind = VOLUMES if event.key == volume else CLAIMS
        written[kind].append(event.after.revision)
        if kind == VOLUMES:
            ref = view(Volume, event.after).claim_ref
            pointed.append(ref.uid if ref is not None else "")

    unfollow = [plant.objects.cache.shelves[kind].follow(look) for kind in written]
    plant.call("Create", "db", volume=volume)
    for end in unfollow:
        end()
    assert set(pointed) == {plant.claim().uid}
    assert written[CLAIMS][0] == written[VOLUMES][0]


def test_a_retained_volume_that_another_changes_meanwhile_is_looked_at_again(
    plant: DockerPlant,
) -> None:
    volume = retained(plant)
    labelled = plant.objects.update(
        plant.objects.kinds[VOLUMES],
        volume,
        lambda doc: doc | {"metadata": doc["metadata"] | {"labels": {"a": "b"}}},
    )
    asked = Request(name="db", options={"volume": volume})
    plant.together(labelled, plant.plugin.answer("Create", asked, None))
    assert (plant.claim().phase, plant.made().name) == ("Bound", volume)
    assert plant.made().metadata.labels == {"a": "b"}


def test_an_empty_volume_instead_is_asked_for(plant: DockerPlant) -> None:
    volume = retained(plant)
    plant.call("Create", "db", fresh="true")
    assert plant.made().name != volume
    assert plant.phases()[volume] == "Released"


def test_a_volume_whose_data_is_being_deleted_is_not_a_retained_one(plant: DockerPlant) -> None:
    plant.call("Create", "db")
    for _ in range(5):
        before = plant.made().name
        plant.anew("db")
        assert (plant.claim().phase, plant.made().name != before) == ("Bound", True)


def test_a_retained_volume_is_as_it_was_if_its_claim_is_refused(plant: DockerPlant) -> None:
    volume = retained(plant)
    plant.edit(VOLUMES, volume, lambda doc: doc["spec"]["claimRef"].update(namespace=TEAM))
    plant.delete("namespaces", TEAM)
    plant.settle()
    before = plant.volume(volume).claim_ref
    said = plant.refusal("Create", f"{TEAM}/db", volume=volume)
    assert said.startswith(f"Refused: volume {TEAM}/db on here is refused: ")
    assert plant.volume(volume).claim_ref == before
    assert plant.phases() == {volume: "Released"}


def test_a_volume_of_the_same_class_and_name_in_another_namespace_is_another(
    plant: DockerPlant,
) -> None:
    retained(plant)
    plant.call("Create", f"{TEAM}/db")
    assert plant.claim_names() == [f"{TEAM}/db"]


@pytest.mark.parametrize("has_no_uid", [False, True])
def test_a_volume_of_another_claim_is_never_pointed_at_a_new_one(
    plant: DockerPlant, has_no_uid: bool
) -> None:
    volume = retained(plant, "other")
    if has_no_uid:
        plant.edit(VOLUMES, volume, no_uid)
    said = plant.refusal("Create", "db", volume=volume)
    assert said.startswith(
        f"VolumeInUse: volume db on here: volume {volume} is used by claim default/other"
    )
    assert plant.claim_names() == []


@pytest.mark.parametrize(
    ("spec", "options", "why"),
    [
        ({}, {"size": "2Gi"}, "it has 1Gi, asked for 2Gi"),
        ({}, {"access": "rwx"}, "it offers rwo, asked for rwx"),
        ({}, {"class": "local"}, "it is of class '', asked for 'local'"),
        ({"volumeMode": "Block"}, {}, "it is of volumeMode Block"),
    ],
)
def test_a_volume_that_does_not_fit_is_refused_with_the_reason(
    plant: DockerPlant, spec: Doc, options: dict[str, str], why: str
) -> None:
    plant.put(VOLUMES, a_volume_doc(**spec))
    said = plant.refusal("Create", "db", volume="v1", **options)
    assert said.startswith("VolumeMismatch: PersistentVolume v1 does not fit volume db on here: ")
    assert why in said
    assert plant.claim_names() == []


def test_a_free_volume_is_taken_as_it_is(plant: DockerPlant) -> None:
    plant.put(VOLUMES, a_volume_doc(capacity={"storage": "3Gi"}, accessModes=["ReadWriteMany"]))
    plant.call("Create", "db", volume="v1")
    claim = plant.claim()
    assert (claim.phase, claim.volume_name, str(claim.request)) == ("Bound", "v1", "3Gi")
    assert claim.modes == {"ReadWriteMany"}


def test_a_volume_is_not_filled_from_elsewhere(plant: DockerPlant) -> None:
    plant.put(VOLUMES, a_volume_doc())
    said = plant.refusal("Create", "db", volume="v1", **{"from": "snapshot:s"})
    assert said.startswith("NotSupported: volume db on here: from=snapshot:s is not offered by ")
    assert plant.claim_names() == []
