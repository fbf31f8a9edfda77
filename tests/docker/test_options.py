"""The options of `docker volume create`, from the command to the directory. Docker volumes §5."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from mooring.model.quantity import Quantity
from tests.docker import images
from tests.docker.images import DATA, IN_DATA, SHELL
from tests.docker.mooring import DRIVER, Mooring
from tests.docker.refusals import (
    a_claim,
    a_class,
    a_volume,
    applied,
    creating,
    in_namespace,
    refused,
    running,
    told,
)
from tests.docker.testbed import Bed, Host, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]
CLAIM: Final = "persistentvolumeclaim"
OWNER: Final = ("stat", "-c", "%a %u %g", "/data")


@pytest.fixture(scope="module")
def moored(bed: Bed) -> Mooring:
    """Docker reaches the namespace `team` too."""
    host = bed.host("here")
    host.up()
    mooring = Mooring(host, "--docker-namespaces", "team").start()
    host.dockerd()
    images.load(host)
    for namespace in ("team", "closed"):
        mooring.kubectl("create", "namespace", namespace)
    return mooring


@pytest.fixture
def host(moored: Mooring) -> Iterator[Host]:
    """Its containers end with the test."""
    yield moored.host
    if left := moored.host.docker("ps", "--all", "--quiet").split():
        moored.host.docker("rm", "--force", *left)


def created(moored: Mooring, name: str, *options: str) -> Any:
    """The claim of a new volume."""
    moored.host.docker(*creating(name, *options))
    return moored.get(CLAIM, name)


def policy(moored: Mooring, name: str) -> str:
    found: str = moored.volume(name)["spec"]["persistentVolumeReclaimPolicy"]
    return found


def listed(host: Host) -> list[str]:
    """The names of this driver's volumes, as Docker lists them."""
    return host.docker("volume", "ls", "--quiet", "--filter", f"driver={DRIVER}").splitlines()


# Size, class, access


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ([], "1Gi"),
        (["size=1Mi"], "1Mi"),
        (["size=1.5Gi"], "1536Mi"),
        (["size=10G"], "10G"),
        (["class=sized"], "3Gi"),
        (["class=sized", "size=2Gi"], "2Gi"),
    ],
)
def test_the_size_is_what_was_said_else_the_classs_else_1gi(
    moored: Mooring, options: list[str], size: str
) -> None:
    applied(moored, a_class("sized", "local", defaultSize="3Gi"))
    name = f"sized-{len(options)}-{size.lower()}"
    claim = created(moored, name, *options)
    assert claim["spec"]["resources"]["requests"] == {"storage": size}
    assert Quantity.parse(claim["status"]["capacity"]["storage"]) == Quantity.parse(size)
    assert claim["spec"]["storageClassName"] == ("sized" if "class=sized" in options else "local")


@pytest.mark.parametrize(
    ("access", "mode"), [("rwo", "ReadWriteOnce"), ("rwop", "ReadWriteOncePod")]
)
def test_access_is_the_mode_of_claim_and_volume(moored: Mooring, access: str, mode: str) -> None:
    claim = created(moored, access, f"access={access}")
    assert claim["spec"]["accessModes"] == [mode]
    assert moored.volume(access)["spec"]["accessModes"] == [mode]


def test_a_volume_for_one_container_is_given_to_no_second(moored: Mooring, host: Host) -> None:
    created(moored, "single", "access=rwop")
    used = ("-v", "single:/data", "-v", "single:/again")  # twice by the same one
    host.docker("run", "-d", "--name", "first", *used, SHELL, "sleep", "1000")
    text = refused(moored, "VolumeInUse", running("single"), "volume single", "; stop and remove")
    assert "container first on here" in text
    for _ in range(2):
        host.docker("cp", "first:/data/.", str(host.place / "copied"))
    host.docker("restart", "--time", "0", "first")
    host.docker("kill", "first")
    assert host.docker(*running("single", "ls", "/data")) == ""
    host.docker("start", "first")
    told(host.try_docker(*running("single")), "VolumeInUse", "container first on here")


def test_of_containers_that_start_at_once_one_gets_a_volume_for_one(
    moored: Mooring, host: Host
) -> None:
    created(moored, "contended", "access=rwop")
    names = [f"racer-{number}" for number in range(4)]
    for name in names:
        host.docker("create", "--name", name, "-v", "contended:/data:nocopy", SHELL, "sleep", "999")
    starts = [
        host.popen("docker", "start", name, log="racers.log", **host.environment) for name in names
    ]
    codes = [one.wait(60) for one in starts]
    assert (codes.count(0), len(host.docker("ps", "--quiet").split())) == (1, 1)


def test_labels_are_the_claims(moored: Mooring) -> None:
    claim = created(
        moored, "labelled", "label.app=db", "label.example.com/tier=", "label.k=A.b_c-1"
    )
    labels = {"app": "db", "example.com/tier": "", "k": "A.b_c-1"}
    assert claim["metadata"]["labels"] == labels
    selected = moored.names("persistentvolumeclaims", "--selector", "app=db,k=A.b_c-1")
    assert selected == ["labelled"]


# Reclaim


@pytest.mark.parametrize("kept", ["Retain", "Delete"])
@pytest.mark.parametrize("mode", ["Immediate", "WaitForFirstConsumer"])
def test_what_becomes_of_the_data_is_as_it_was_asked_whatever_the_class_says(
    moored: Mooring, host: Host, kept: str, mode: str
) -> None:
    other = {"Retain": "Delete", "Delete": "Retain"}[kept]
    class_ = f"{other}-{mode}".lower()
    applied(moored, a_class(class_, "local", mode) | {"reclaimPolicy": other})
    name = f"asked-{kept}-{mode}".lower()
    claim = created(moored, name, f"class={class_}", f"reclaim={kept.lower()}")
    assert claim["status"]["phase"] == ("Bound" if mode == "Immediate" else "Pending")
    host.docker(*running(name, "touch", "/data/file"))
    eventually(lambda: policy(moored, name) == kept, "the policy is set")
    volume = moored.volume(name)
    moored.freed(volume)
    host.docker("volume", "rm", name)
    place = moored.pool / volume["metadata"]["name"]
    if kept == "Delete":
        eventually(lambda: not place.exists(), "the data is deleted")
    else:
        eventually(lambda: phase(moored, volume) == "Released", "the volume is released")
        assert (place / "data" / "file").exists()


def phase(moored: Mooring, volume: Any) -> str:
    found: str = moored.get("pv", volume["metadata"]["name"])["status"]["phase"]
    return found


@pytest.mark.parametrize("how", ["run --rm", "rm --volumes", "kept"])
def test_an_anonymous_volume_is_labelled_and_goes_with_its_container(
    moored: Mooring, host: Host, how: str
) -> None:
    start = ("run", "--rm") if how == "run --rm" else ("run", "--name", "anonymous")
    applied(moored, a_class("retaining", "local") | {"reclaimPolicy": "Retain"})
    use = f"type=volume,target=/data,volume-driver={DRIVER},volume-opt=class=retaining"
    before = set(listed(host))
    host.docker(*start, "--detach", "--mount", use, SHELL, "sleep", "1000")
    (name,) = set(listed(host)) - before
    claim = moored.get(CLAIM, name)
    assert claim["metadata"]["labels"] == {"mooring.dev/anonymous": "true"}
    volume = moored.volume(name)
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    if how == "kept":  # a container that is removed without --volumes leaves its volumes
        host.docker("rm", "--force", "anonymous")
        assert name in listed(host)
        host.docker("volume", "rm", name)
    elif how == "rm --volumes":
        host.docker("rm", "--force", "--volumes", "anonymous")
    else:
        host.docker("kill", host.docker("ps", "--quiet"))
    eventually(lambda: name not in listed(host), "the volume is gone")
    place = moored.pool / volume["metadata"]["name"]
    eventually(lambda: not place.exists(), "its data is gone")


# Owner and mode of the root directory


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["uid=1000"], "755 1000 0"),
        (["gid=2000"], "755 0 2000"),
        (["mode=2770"], "2770 0 0"),
        (["uid=2147483647", "gid=1", "mode=0700"], "700 2147483647 1"),
        (["mode=0"], "0 0 0"),
    ],
)
def test_owner_and_mode_are_the_root_directorys(
    moored: Mooring, host: Host, options: list[str], shown: str
) -> None:
    name = f"owned-{'-'.join(options).replace('=', '.')}"
    created(moored, name, *options)
    assert host.docker(*running(name, *OWNER)) == shown


def test_owner_and_mode_are_set_for_a_first_consumer_too(moored: Mooring, host: Host) -> None:
    applied(moored, a_class("late", "local", "WaitForFirstConsumer"))
    created(moored, "late-owned", "class=late", "uid=7", "mode=0711")
    assert host.docker(*running("late-owned", *OWNER)) == "711 7 0"


def test_what_an_image_has_there_is_still_copied_with_its_owner(
    moored: Mooring, host: Host
) -> None:
    created(moored, "copied-over", "uid=5", "gid=6", "mode=0700")
    owners = ["stat", "-c", "%a %u %g", *(f"/{path}" for path in IN_DATA)]
    shown = host.docker("run", "--rm", "-v", "copied-over:/data", DATA, *owners)
    assert shown.splitlines() == [owned.shown for owned in IN_DATA.values()]


def test_owner_and_mode_that_were_changed_since_stay(moored: Mooring, host: Host) -> None:
    created(moored, "changed", "uid=5", "mode=0755")
    host.docker(*running("changed", "sh", "-c", "chown 9:9 /data && chmod 700 /data"))
    moored.freed(moored.volume("changed"))
    moored.restart()
    assert host.docker(*running("changed", *OWNER)) == "700 9 9"


# A volume that is there


def test_a_free_volume_is_used_with_what_is_in_it(moored: Mooring, host: Host) -> None:
    place = host.place / "static"
    place.mkdir()
    (place / "file").write_text("mine")
    applied(moored, a_volume("static", str(place)))
    claim = created(moored, "adopting", "volume=static")
    assert (claim["status"]["phase"], claim["spec"]["volumeName"]) == ("Bound", "static")
    assert host.docker(*running("adopting", "cat", "/data/file")) == "mine"


def test_a_released_volume_is_used_again_under_its_name(moored: Mooring, host: Host) -> None:
    created(moored, "kept", "reclaim=retain")
    host.docker(*running("kept", "sh", "-c", "echo before > /data/file"))
    volume = moored.volume("kept")
    moored.freed(volume)
    host.docker("volume", "rm", "kept")
    name = volume["metadata"]["name"]
    claim = created(moored, "kept", f"volume={name}")
    ref = moored.get("pv", name)["spec"]["claimRef"]
    assert ref["uid"] == claim["metadata"]["uid"]
    assert claim["status"]["phase"] == "Bound"
    assert host.docker(*running("kept", "cat", "/data/file")) == "before"
    assert policy(moored, "kept") == "Retain"


def test_an_empty_one_beside_it_is_asked_for(moored: Mooring, host: Host) -> None:
    created(moored, "renewed", "reclaim=retain")
    host.docker(*running("renewed", "touch", "/data/file"))
    before = moored.volume("renewed")
    moored.freed(before)
    host.docker("volume", "rm", "renewed")
    created(moored, "renewed", "fresh=true")
    assert host.docker(*running("renewed", "ls", "/data")) == ""
    assert phase(moored, before) == "Released"


def test_fresh_is_no_matter_where_there_was_nothing(moored: Mooring) -> None:
    assert created(moored, "first", "fresh=true")["status"]["phase"] == "Bound"


# Names


def test_a_volume_of_another_namespace_is_said_with_it(moored: Mooring, host: Host) -> None:
    assert host.docker(*creating("team/data", "size=2Gi")) == "team/data"
    assert moored.get("--namespace", "team", CLAIM, "data")["status"]["phase"] == "Bound"
    host.docker(*running("team/data", "touch", "/data/file"))
    assert host.docker(*running("team/data", "ls", "/data")) == "file"
    created(moored, "data")
    assert host.docker(*running("data", "ls", "/data")) == ""
    assert {"data", "team/data"} <= set(listed(host))
    (shown,) = json.loads(host.docker("volume", "inspect", "team/data"))
    assert (shown["Name"], shown["Status"]["claim"]) == ("team/data", "team/data")
    eventually(lambda: host.try_docker("volume", "rm", "team/data").code == 0, "it can be removed")
    assert "data" in listed(host)


@pytest.mark.parametrize("namespace", ["default", "team"])
def test_a_name_that_is_none_in_kubernetes_is_kept_beside_the_claim(
    moored: Mooring, host: Host, namespace: str
) -> None:
    name = "project_Data" if namespace == "default" else "team/project_Data"
    assert host.docker(*creating(name)) == name
    host.docker(*running(name, "touch", "/data/file"))
    claims = moored.get("--namespace", namespace, "persistentvolumeclaims")["items"]
    (claim,) = (one for one in claims if one["metadata"]["name"].startswith("project-data-"))
    assert claim["metadata"]["annotations"]["mooring.dev/docker-name"] == "project_Data"
    assert name in listed(host)
    assert claim["metadata"]["name"] not in listed(host)
    moored.restart()
    assert host.docker(*running(name, "ls", "/data")) == "file"


def test_claims_made_with_kubectl_are_volumes_without_a_driver_being_named(
    moored: Mooring, host: Host
) -> None:
    applied(moored, a_claim("by-kubectl"))
    for namespace in ("team", "closed"):
        applied(moored, a_claim("by-kubectl") | in_namespace("by-kubectl", namespace))
    eventually(lambda: "by-kubectl" in listed(host), "it is listed")
    assert ("team/by-kubectl" in listed(host), "closed/by-kubectl" in listed(host)) == (True, False)
    host.docker(*running("by-kubectl", "touch", "/data/file"))
    assert host.docker(*running("by-kubectl", "ls", "/data")) == "file"
    assert host.docker(*running("team/by-kubectl", "ls", "/data")) == ""
    assert host.docker("volume", "inspect", "--format", "{{.Driver}}", "by-kubectl") == DRIVER


def test_a_claim_is_used_as_soon_as_kubectl_has_made_it(moored: Mooring, host: Host) -> None:
    for number in range(5):
        applied(moored, a_claim(f"fresh-{number}"))
        host.docker(*running(f"fresh-{number}", "touch", "/data/file"))


def test_a_repeated_create_changes_nothing(moored: Mooring, host: Host) -> None:
    before = created(moored, "again", "size=2Gi", "uid=5")
    host.docker(*running("again", "touch", "/data/file"))
    for options in (["size=2Gi", "uid=5"], [], ["size=1Gi"]):
        assert host.docker(*creating("again", *options)) == "again"
    assert host.docker(*running("again", "ls", "/data")) == "file"
    assert moored.get(CLAIM, "again")["metadata"]["uid"] == before["metadata"]["uid"]


def test_a_volume_that_is_not_made_in_time_is_there_and_pending(moored: Mooring) -> None:
    """It takes the 20 s that a Create waits for a provisioner, which is not there."""
    applied(moored, a_class("outside", "") | {"provisioner": "example.com"})
    moored.host.docker(*creating("waiting", "class=outside"))
    assert moored.get(CLAIM, "waiting")["status"]["phase"] == "Pending"


def test_who_has_a_volume_for_one_is_known_after_a_restart_of_mooring(
    moored: Mooring, host: Host
) -> None:
    """Last, as nothing else may be under way."""
    created(moored, "lasting", "access=rwop")
    used = ("-v", "lasting:/data", "-v", "lasting:/again")
    host.docker("run", "-d", "--name", "first", *used, SHELL, "sleep", "1000")
    for gave_back in (True, False, True):
        for _ in range(2):
            host.docker("cp", "first:/data/.", str(host.place / "copied"))
        if not gave_back:
            host.docker("restart", "--time", "0", "first")
        moored.restart()
        told(host.try_docker(*running("lasting")), "VolumeInUse", "container first on here")
    for _ in range(2):
        host.docker("cp", "first:/data/.", str(host.place / "copied"))
