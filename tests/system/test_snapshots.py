"""Storage semantics §18 with real backends: snapshots, what is restored from them, and clones."""

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config

from tests.host.privileges import needs_mounts
from tests.system.server import eventually
from tests.system.snapshotted import (
    BACKINGS,
    SNAPSHOTS,
    Doc,
    Snapshotted,
    filled,
    snapshot,
    snapshotted,
)

pytestmark = [pytest.mark.system, needs_mounts]


@pytest.fixture(params=BACKINGS, scope="module")
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Snapshotted]:
    with snapshotted(tmp_path_factory.mktemp("snapshots"), request.param) as made:
        made.server.start()
        made.prepare()
        yield made


on_one = pytest.mark.parametrize("world", ["btrfs"], indirect=True)


def kept(world: Snapshotted, claim: str, name: str, text: str, class_: str | None = None) -> Doc:
    """A claim with a text, and a snapshot of it."""
    world.apply(filled(claim, "", world.size))
    world.bound(claim)
    world.write(claim, text)
    world.apply(snapshot(name, claim, class_=class_))
    return world.ready(name)


def restored(world: Snapshotted, name: str, source: str) -> str:
    """What a new claim from a source has."""
    world.apply(filled(name, source, world.size))
    world.bound(name)
    return world.read(name)


def gone(world: Snapshotted, *which: str) -> None:
    """Delete, and wait until it is."""
    world.server.kubectl("delete", *which)


def nothing_is_left(world: Snapshotted) -> None:
    eventually(lambda: not world.on_disk(), f"nothing is left: {world.on_disk()}")
    eventually(lambda: not world.intents(), f"nothing is in the making: {world.intents()}")
    kinds = "volumesnapshotcontents,volumesnapshots,pvc"
    eventually(lambda: world.server.get(kinds)["items"] == [], "no object is left")


def test_a_snapshot_is_restored_and_a_claim_is_cloned(world: Snapshotted) -> None:
    ready = kept(world, "data", "monday", "before")
    assert ready["status"]["restoreSize"] == world.size
    assert ready["spec"]["volumeSnapshotClassName"] == "fast"
    assert world.content("monday")["status"]["snapshotHandle"] == (
        f"fast/snapshot-{ready['metadata']['uid']}"
    )
    world.write("data", "after")
    assert restored(world, "old", "snapshot:monday") == "before"
    assert restored(world, "same", "volume:data") == "after"
    told = {"CreatingSnapshot", "SnapshotCreated", "SnapshotReady"}
    eventually(lambda: world.reasons("monday") == told, "all is told")
    gone(world, "volumesnapshot/monday")
    gone(world, "pvc/data", "pvc/old", "pvc/same")
    nothing_is_left(world)


@pytest.mark.parametrize(
    "order",
    [
        ("volumesnapshot/monday", "pvc/data", "pvc/old"),
        ("pvc/data", "volumesnapshot/monday", "pvc/old"),
        ("pvc/old", "pvc/data", "volumesnapshot/monday"),
    ],
    ids=["snapshot first", "volume first", "what was restored first"],
)
def test_whatever_goes_first_the_others_stay_whole(
    world: Snapshotted, order: tuple[str, ...]
) -> None:
    kept(world, "data", "monday", "kept")
    assert restored(world, "old", "snapshot:monday") == "kept"
    for number, which in enumerate(order):
        gone(world, which)
        left = order[number + 1 :]
        if "pvc/old" in left:
            assert world.read("old") == "kept"
        if "pvc/data" in left:
            assert world.read("data") == "kept"
        if "volumesnapshot/monday" in left:
            assert restored(world, f"late-{number}", "snapshot:monday") == "kept"
            gone(world, f"pvc/late-{number}")
    nothing_is_left(world)


@on_one
def test_what_was_retained_is_found_again_by_its_handle(world: Snapshotted) -> None:
    kept(world, "data", "monday", "kept", class_="kept")
    content = world.content("monday")
    gone(world, "volumesnapshot/monday", "pvc/data")
    name, handle = content["metadata"]["name"], content["status"]["snapshotHandle"]
    assert world.has("volumesnapshotcontent", name)
    gone(world, f"volumesnapshotcontent/{name}")
    assert world.on_disk() == {f".snapshot-{handle.partition('/')[2]}"}
    spec = {
        "driver": world.backing.driver,
        "deletionPolicy": "Delete",
        "source": {"snapshotHandle": handle},
        "volumeSnapshotRef": {"namespace": "default", "name": "again"},
    }
    head = {"apiVersion": SNAPSHOTS, "kind": "VolumeSnapshotContent"}
    world.apply({**head, "metadata": {"name": "found"}, "spec": spec})
    world.apply(snapshot("again", content="found"))
    again = world.ready("again")
    found = world.content("again")
    assert found["spec"]["volumeSnapshotRef"]["uid"] == again["metadata"]["uid"]
    assert again["status"]["creationTime"]
    assert restored(world, "old", "snapshot:again") == "kept"
    gone(world, "pvc/old", "volumesnapshot/again")
    nothing_is_left(world)


@on_one
def test_a_content_that_names_nothing_or_another_is_told(world: Snapshotted) -> None:
    for name, handle, ref in (
        ("absent", "fast/snapshot-absent", "absent"),
        ("formless", "nothing", "formless"),
        ("foreign", "fast/snapshot-absent", "somebody"),
    ):
        spec = {
            "driver": world.backing.driver,
            "deletionPolicy": "Delete",
            "source": {"snapshotHandle": handle},
            "volumeSnapshotRef": {"namespace": "default", "name": ref},
        }
        head = {"apiVersion": SNAPSHOTS, "kind": "VolumeSnapshotContent"}
        world.apply({**head, "metadata": {"name": name}, "spec": spec})
        world.apply(snapshot(name, content=name))

    def error(name: str) -> str:
        status = world.server.get("volumesnapshot", name).get("status") or {}
        message: str = (status.get("error") or {}).get("message", "")
        return message

    for name, why in (
        ("absent", "pool fast has no snapshot of the handle fast/snapshot-absent"),
        ("formless", "'nothing' is not of the form POOL/NAME"),
        ("foreign", "spec.volumeSnapshotRef of foreign is default/somebody"),
    ):
        eventually(lambda name=name, why=why: why in error(name), f"{name} says {why}")
    gone(world, "volumesnapshot/absent", "volumesnapshot/formless", "volumesnapshot/foreign")
    gone(world, "volumesnapshotcontent/foreign")
    nothing_is_left(world)


@pytest.mark.rule("18.21")
@on_one
def test_a_claim_waits_for_its_source_and_is_made_when_that_comes(world: Snapshotted) -> None:
    world.apply(filled("early", "snapshot:late", world.size))
    world.apply(filled("twin", "volume:early", world.size))

    def told(name: str) -> str:
        lines = world.mooring("explain", "pvc", name)
        return lines if "it failed last with" in lines else ""

    eventually(lambda: "snapshot default/late does not exist" in told("early"), "it is told")
    eventually(lambda: "source claim default/early is not Bound" in told("twin"), "it is told")
    kept(world, "data", "late", "kept")
    for name in ("early", "twin"):
        world.bound(name)
        assert world.read(name) == "kept"
    gone(world, "volumesnapshot/late", "pvc/data", "pvc/early", "pvc/twin")
    nothing_is_left(world)


@on_one
def test_a_pool_stays_while_it_has_snapshots(world: Snapshotted) -> None:
    root = world.disk / "other"
    world.pool("other", root)
    world.apply(world.storage_class("other", world.backing.driver, "other"))
    world.apply(filled("data", "", world.size, "other"))
    world.bound("data")
    world.write("data", "kept")
    world.apply(snapshot("monday", "data"))
    world.ready("monday")
    gone(world, "pvc/data")
    world.server.kubectl("delete", "pool/other", "--wait=false")
    eventually(
        lambda: "deletionTimestamp" in world.server.get("pool", "other")["metadata"], "it is to go"
    )
    assert world.has("pool", "other")
    gone(world, "volumesnapshot/monday")
    eventually(lambda: not world.has("pool", "other"), "the pool is gone")
    gone(world, "storageclass/other")


@on_one
def test_kubectl_shows_snapshots_as_it_shows_anything(world: Snapshotted) -> None:
    kept(world, "data", "monday", "kept")
    lines = world.server.kubectl("get", "volumesnapshots").splitlines()
    assert lines[0].split() == [
        *("NAME", "READYTOUSE", "SOURCEPVC", "SOURCESNAPSHOTCONTENT", "RESTORESIZE"),
        *("SNAPSHOTCLASS", "SNAPSHOTCONTENT", "CREATIONTIME", "AGE"),
    ]
    assert lines[1].split()[:5] == ["monday", "true", "data", world.size, "fast"]
    eventually(lambda: "SnapshotReady" in world.reasons("monday"), "it is told")
    described = world.server.kubectl("describe", "volumesnapshot", "monday")
    for words in ("Ready To Use:", "SnapshotReady", "Persistent Volume Claim Name:"):
        assert words in described
    contents = world.server.kubectl("get", "vsc").splitlines()
    assert contents[1].split()[1:4] == ["true", str(32 << 20), "Delete"]
    gone(world, "volumesnapshot/monday", "pvc/data")
    nothing_is_left(world)


@on_one
def test_the_python_client_makes_and_reads_them_as_custom_objects(world: Snapshotted) -> None:
    world.apply(filled("data", "", world.size))
    world.bound("data")
    config.load_kube_config(str(world.server.kubeconfig))
    api = client.CustomObjectsApi()
    group, version = SNAPSHOTS.split("/")
    where: dict[str, Any] = {
        "group": group,
        "version": version,
        "namespace": "default",
        "plural": "volumesnapshots",
    }
    api.create_namespaced_custom_object(**where, body=snapshot("monday", "data"))

    def is_ready() -> bool:
        found = api.get_namespaced_custom_object(**where, name="monday")
        return (found.get("status") or {}).get("readyToUse") is True

    eventually(is_ready, "the snapshot is ready")
    listed = api.list_namespaced_custom_object(**where)
    assert [one["metadata"]["name"] for one in listed["items"]] == ["monday"]
    api.delete_namespaced_custom_object(**where, name="monday")
    gone(world, "pvc/data")
    nothing_is_left(world)


@on_one
def test_the_commands_do_it_and_say_why_not(world: Snapshotted) -> None:
    world.apply(filled("data", "", world.size))
    world.bound("data")
    world.write("data", "kept")
    assert world.mooring("snapshot", "data", "monday", "--wait") == "monday\n"
    assert world.mooring("clone", "snapshot/monday", "old", "--wait") == "old\n"
    assert world.mooring("clone", "data", "copy", "--wait", "--size", "64Mi") == "copy\n"
    assert (world.read("old"), world.read("copy")) == ("kept", "kept")
    assert "snapshots: 1 Ready" in world.mooring("status")
    assert "snapshot default/monday is Ready: it is of claim default/data" in (
        world.mooring("explain", "snapshot", "monday")
    )
    failed = world.try_mooring("snapshot", "data", "other", "--class", "none", "--wait")
    assert failed.returncode == 1
    assert 'volumesnapshotclass "none" not found' in failed.stderr
    assert "create VolumeSnapshotClass none" in world.mooring("explain", "snapshot", "other")
    small = world.try_mooring("clone", "data", "small", "--size", "16Mi", "--wait")
    assert "a clone is at least as large" in small.stderr
    gone(world, "volumesnapshot/monday", "volumesnapshot/other")
    gone(world, "pvc/data", "pvc/old", "pvc/copy", "pvc/small")
    nothing_is_left(world)
