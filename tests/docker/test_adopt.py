"""`mooring adopt`: Docker's own volumes become claims, whole or not at all. Docker volumes §11."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.host import files
from tests.docker.adopting import MANY, adopt, adopted, data_of, filled, old_volume, refusal
from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER, Mooring
from tests.docker.testbed import Bed, eventually, needs_hosts
from tests.host.hostile_tree import planted
from tests.host.trees import Trees

pytestmark = [pytest.mark.system, needs_hosts]


@pytest.fixture(autouse=True, scope="module")
def emptied(bed: Bed) -> Iterator[None]:
    """What is too deep for the bed to remove is taken away first."""
    yield
    for place in bed.place.glob("*"):
        for tree in (*place.glob("docker/volumes/*"), *place.glob("mooring/pool/pvc-*")):
            with files.directory(tree.parent) as parent:
                files.remove_tree(tree.name, parent)


def annotations(mooring: Mooring, claim: str) -> dict[str, str]:
    found: dict[str, str] = mooring.get("persistentvolumeclaims", claim)["metadata"]["annotations"]
    return found


def a_class(name: str, pool: str) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "directory.mooring.dev",
        "parameters": {"pool": pool},
    }


# What it does


def test_a_volume_becomes_a_claim_of_a_new_name_and_stays_as_it_was(moored: Mooring) -> None:
    host = moored.host
    host.docker("run", "--rm", "-v", "shop:/data", SHELL, "sh", "-c", "echo books >/data/stock")
    before = os.stat(f"{host.place}/docker/volumes/shop/_data/stock")
    done = adopt(moored, "shop")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "default/shop-adopted is the verified copy of volume shop: 1 files, 6 bytes",
        "use it: docker run -v shop-adopted:/data ...",
        "the old volume is as it was; once you need it no more: docker volume rm shop",
    ]
    listing = ("run", "--rm", "-v", "shop-adopted:/data", SHELL, "cat", "/data/stock")
    assert host.docker(*listing) == "books"
    assert os.stat(f"{host.place}/docker/volumes/shop/_data/stock") == before
    listed = host.docker("volume", "ls", "--format", "{{.Name}} {{.Driver}}").splitlines()
    assert {"shop local", f"shop-adopted {DRIVER}"} <= set(listed)
    assert moored.get("persistentvolumeclaims", "shop-adopted")["status"]["capacity"] == {
        "storage": "1Gi"
    }
    assert annotations(moored, "shop-adopted")["mooring.dev/adopted-from"] == "here/shop"
    moored.freed(moored.volume("shop-adopted"))


def test_hostile_content_comes_along_whole(moored: Mooring, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    original = old_volume(moored.host, "hostile")
    planted(original, tmp_path)
    done = adopt(moored, "hostile", "--name", "tamed", "--size", "3Gi")
    assert (done.code, done.err) == (0, "note: socket is left out: it is a socket")
    trees = Trees(original, data_of(moored, "tamed"))
    assert trees.differs() == []
    moored.host.docker("volume", "rm", "tamed", "hostile")


@pytest.mark.slow
def test_a_large_sparse_file_and_many_small_ones_come_along(moored: Mooring) -> None:
    original = filled(moored.host, "large", MANY)
    with (original / "sparse").open("wb") as file:
        file.seek(500 << 20)
        file.write(b"here")
        file.truncate(1 << 30)
    said = adopted(moored, "large")
    assert (said["files"], said["phase"], said["leftOut"]["count"]) == (MANY + 1, "Done", 0)
    copy = data_of(moored, "large-adopted")
    sparse = os.stat(copy / "sparse")
    assert (sparse.st_size, sparse.st_blocks < 1 << 11) == (1 << 30, True)
    assert Trees(original, copy).differs() == []
    assert (copy / "7" / "file-9907").read_bytes() == b"9907\n"


def test_a_name_that_no_claim_may_have_is_that_of_the_docker_volume(moored: Mooring) -> None:
    filled(moored.host, "Project_data")
    said = adopted(moored, "Project_data")
    assert said["name"] == "Project_data-adopted"
    assert said["claim"].startswith("default/project-data-adopted-")
    listing = ("run", "--rm", "-v", "Project_data-adopted:/data", SHELL, "ls", "/data")
    assert moored.host.docker(*listing).split() == ["0", "1", "2"]


def test_size_class_and_namespace_are_as_asked(moored: Mooring) -> None:
    filled(moored.host, "placed")
    moored.kubectl("create", "namespace", "team")
    said = adopted(
        moored, "placed", "--name", "other", "-n", "team", "--size", "5Gi", "--class", "local"
    )
    assert (said["claim"], said["name"]) == ("team/other", "")
    claim = moored.get("persistentvolumeclaims", "other", "--namespace", "team")
    assert claim["spec"]["resources"]["requests"] == {"storage": "5Gi"}
    assert claim["spec"]["storageClassName"] == "local"


def test_a_first_consumer_class_makes_the_volume_here(moored: Mooring) -> None:
    class_ = a_class("waits", "local") | {"volumeBindingMode": "WaitForFirstConsumer"}
    moored.kubectl("apply", "--filename", "-", stdin=json.dumps(class_))
    filled(moored.host, "late")
    assert adopted(moored, "late", "--class", "waits")["phase"] == "Done"


def test_again_is_success_while_the_old_volume_is_the_same_and_an_error_afterwards(
    moored: Mooring,
) -> None:
    original = filled(moored.host, "twice")
    first = adopted(moored, "twice")
    assert adopted(moored, "twice") == first
    (original / "0" / "new").write_text("new")
    said = refusal(moored, "twice")
    assert ("[VolumeChanged]" in said, first["finishedAt"] in said) == (True, True), said
    assert not (data_of(moored, "twice-adopted") / "0" / "new").exists()


# What it refuses


def test_what_cannot_be_adopted_is_refused_and_nothing_is_made(moored: Mooring) -> None:
    host = moored.host
    filled(host, "small")
    filled(host, "taken")
    old_volume(host, "mounted", "--opt", "type=tmpfs", "--opt", "device=tmpfs")
    host.docker("volume", "create", "--driver", DRIVER, "ours")
    before = moored.names("persistentvolumeclaims")
    for arguments, code in (
        (("nothing",), "NoSuchVolume"),
        (("../etc",), "BadName"),
        (("mounted",), "NotLocal"),
        (("ours",), "NotLocal"),
        (("small", "--name", "small"), "NameTaken"),  # Docker would go on using the old one
        (("small", "--name", "taken"), "NameTaken"),
        (("small", "--name", "ours"), "NameTaken"),
        (("small", "--name", "a b"), "BadName"),
        (("small", "--size", "10GB"), "BadSize"),
        (("small", "--class", "none"), "NoSuchClass"),
        (("small", "-n", "nowhere"), "Refused"),
        (("small", "--size", "500000Ti"), "PoolFull"),
    ):
        if code == "PoolFull":
            moored.kubectl("patch", "pool", "local", "--type=merge", "-p", _capacity("100Gi"))
        assert f"[{code}]" in (said := refusal(moored, *arguments)), (arguments, said)
        assert "remedy: " in said
    moored.kubectl("patch", "pool", "local", "--type=merge", "-p", _capacity(None))
    eventually(lambda: moored.names("persistentvolumeclaims") == before, "nothing is left")
    eventually(lambda: os.listdir(moored.data_dir / "adoptions") == [], "nothing is unfinished")


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"volume": 5}', '{"volume": "a", "other": 1}'])
def test_a_body_that_says_something_else_is_refused(moored: Mooring, body: str) -> None:
    raw = ("create", "--raw", "/mooring/v1/adoptions", "--filename", "-")
    done = moored.try_kubectl(*raw, stdin=body)
    assert (done.code, "the body is not what was expected" in done.err) == (1, True), done.err


def _capacity(quantity: str | None) -> str:
    return json.dumps({"spec": {"capacity": quantity}})


def test_a_pool_without_the_room_is_not_filled(moored: Mooring) -> None:
    original, place = filled(moored.host, "wide"), moored.host.place / "tiny"
    (original / "weight").write_bytes(os.urandom(8 << 20))
    place.mkdir()
    moored.host.run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place))
    pool = {
        "apiVersion": "mooring.dev/v1",
        "kind": "Pool",
        "metadata": {"name": "tiny"},
        "spec": {"driver": "directory.mooring.dev", "node": "here", "root": str(place)},
    }
    class_ = a_class("tiny", "tiny")
    for one in (pool, class_):
        moored.kubectl("apply", "--filename", "-", stdin=json.dumps(one))
    said = refusal(moored, "wide", "--class", "tiny")
    assert ("pool tiny has not the room" in said, "[PoolFull]" in said) == (True, True), said
    eventually(lambda: "wide-adopted" not in moored.names("pvc"), "its claim is gone")
    eventually(
        lambda: moored.host.run("sh", "-c", f"ls -d {place}/pvc-*").code != 0, "its data is gone"
    )
    assert adopted(moored, "wide")["phase"] == "Done"


def test_a_name_that_left_data_behind_gets_a_full_copy(moored: Mooring) -> None:
    host = moored.host
    host.docker("volume", "create", "--driver", DRIVER, "--opt", "reclaim=retain", "kept-adopted")
    host.docker("volume", "rm", "kept-adopted")
    filled(host, "kept")
    assert adopted(moored, "kept")["files"] == 3


def test_a_size_below_the_data_is_refused_with_the_right_one(moored: Mooring) -> None:
    original = filled(moored.host, "heavy")
    (original / "weight").write_bytes(b"x" * (3 << 20))
    assert "[SizeTooSmall]" in refusal(moored, "heavy", "--size", "2Mi")


@pytest.mark.parametrize("state", ["created", "running", "exited"])
def test_a_volume_of_a_container_is_refused_whether_it_runs_or_not(
    moored: Mooring, state: str
) -> None:
    host, volume = moored.host, f"busy-{state}"
    command = "true" if state == "exited" else "sleep 1000"
    how = ("create",) if state == "created" else ("run", "--detach")
    host.docker(*how, "--name", volume, "-v", f"{volume}:/data", SHELL, *command.split())
    if state == "exited":
        host.docker("wait", volume)
    said = refusal(moored, volume)
    assert f"container {volume} ({state}) [VolumeInUse]" in said
    host.docker("rm", "--force", volume)
    assert adopted(moored, volume)["phase"] == "Done"


def test_a_volume_that_a_container_has_by_its_path_is_refused(moored: Mooring) -> None:
    path = filled(moored.host, "by-path")
    moored.host.docker("run", "-d", "--name", "sneaky", "-v", f"{path}:/d", SHELL, "sleep", "1000")
    said = refusal(moored, "by-path")
    assert ("/d of process" in said, "[VolumeInUse]" in said) == (True, True), said
    moored.host.docker("rm", "--force", "sneaky")
