"""`mooring adopt`: Docker's own volumes become claims, whole or not at all. Docker volumes §11."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.host import files
from tests.docker import images
from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER, Mooring
from tests.docker.testbed import Bed, Done, Host, eventually, needs_hosts
from tests.host.hostile_tree import planted
from tests.host.test_copying import Trees

pytestmark = [pytest.mark.system, needs_hosts]
MANY = 10_000
POINTS = ("adopt.noted", "adopt.made", "adopt.copied", "adopt.whole")


@pytest.fixture(scope="module")
def fallible(bed: Bed) -> Mooring:
    """A host whose Mooring tests kill."""
    host = bed.host("fallible")
    host.up()
    mooring = Mooring(host).start()
    host.dockerd()
    images.load(host)
    return mooring


@pytest.fixture
def mended(fallible: Mooring) -> Iterator[Mooring]:
    """It runs before the test and after it."""
    if not fallible.lives:
        fallible.start()
    yield fallible
    if not fallible.lives:
        fallible.start()


def adopt(mooring: Mooring, *arguments: str) -> Done:
    kubeconfig = ("--kubeconfig", str(mooring.data_dir / "kubeconfig"))
    return mooring.mooring("adopt", *arguments, *kubeconfig, deadline_s=180.0)


def adopted(mooring: Mooring, *arguments: str) -> Any:
    """What it says for programs. It must succeed."""
    done = adopt(mooring, *arguments, "--output", "json")
    assert done.code == 0, done.err + done.out
    return json.loads(done.out)


def refusal(mooring: Mooring, *arguments: str) -> str:
    done = adopt(mooring, *arguments)
    assert done.code == 1, done.out
    return done.err


def old_volume(host: Host, name: str, *options: str) -> Path:
    """A new one of Docker's own: where its data is."""
    host.docker("volume", "create", *options, name)
    return Path(host.docker("volume", "inspect", "--format", "{{.Mountpoint}}", name))


def filled(host: Host, name: str, count: int = 3) -> Path:
    """One with small files in it."""
    path = old_volume(host, name)
    for number in range(count):
        directory = path / str(number % 100)
        directory.mkdir(exist_ok=True)
        (directory / f"file-{number}").write_bytes(b"%d\n" % number)
    return path


def data_of(mooring: Mooring, claim: str) -> Path:
    """Where the data of a claim is in its pool."""
    handle: str = mooring.volume(claim)["spec"]["csi"]["volumeHandle"]
    return mooring.pool / handle / "data"


def annotations(mooring: Mooring, claim: str) -> dict[str, str]:
    found: dict[str, str] = mooring.get("persistentvolumeclaims", claim)["metadata"]["annotations"]
    return found


def progress(mooring: Mooring, claim: str) -> Any:
    """What the server says of an adoption."""
    return json.loads(mooring.kubectl("get", "--raw", f"/mooring/v1/adoptions/default/{claim}"))


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
    class_ = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "waits"},
        "provisioner": "directory.mooring.dev",
        "parameters": {"pool": "local"},
        "volumeBindingMode": "WaitForFirstConsumer",
    }
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
    assert os.listdir(moored.data_dir / "adoptions") == []


def _capacity(quantity: str | None) -> str:
    return json.dumps({"spec": {"capacity": quantity}})


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


def test_without_docker_it_says_so(mended: Mooring) -> None:
    filled(mended.host, "lonely")
    mended.host.stop_dockerd()
    assert "[EngineAway]" in refusal(mended, "lonely")
    mended.host.dockerd()
    assert adopted(mended, "lonely")["phase"] == "Done"


# Somebody else meanwhile


def copying(mooring: Mooring, volume: str, claim: str) -> subprocess.Popen[bytes]:
    """The command, at a moment at which something is copied."""
    process = mooring.host.popen(
        *(sys.executable, "-m", "mooring.cli.main", "adopt", volume, "--name", claim),
        *("--kubeconfig", str(mooring.data_dir / "kubeconfig")),
        log=f"adopt-{claim}.log",
    )

    def has_begun() -> bool:
        done = mooring.try_kubectl("get", "--raw", f"/mooring/v1/adoptions/default/{claim}")
        return done.code == 0 and json.loads(done.out)["phase"] in ("Copying", "Verifying")

    eventually(has_begun, f"{volume} is being copied")
    return process


def said_by(mooring: Mooring, claim: str) -> str:
    return (mooring.host.place / f"adopt-{claim}.log").read_text()


def test_half_a_copy_is_given_to_nobody(mended: Mooring) -> None:
    host = mended.host
    filled(host, "half", MANY)
    process = copying(mended, "half", "half-new")
    done = host.try_docker("run", "--rm", "-v", "half-new:/data", SHELL, "ls", "/data")
    by_hand = mended.mooring(
        "mount", "half-new", "--kubeconfig", str(mended.data_dir / "kubeconfig")
    )
    removal = host.try_docker("volume", "rm", "half-new")
    assert progress(mended, "half-new")["phase"] in ("Copying", "Verifying"), "a larger one is due"
    assert (done.code, "BeingAdopted: " in done.err) == (125, True), done.err
    assert (by_hand.code, "[BeingAdopted]" in by_hand.err) == (1, True), by_hand.err
    assert (removal.code, "VolumeInUse" in removal.err) == (1, True), removal.err
    assert process.wait(180) == 0, said_by(mended, "half-new")
    assert host.docker("run", "--rm", "-v", "half-new:/data", SHELL, "cat", "/data/7/file-7") == "7"


def test_a_writer_is_found_out_and_the_copy_is_made_right_by_the_next_run(mended: Mooring) -> None:
    host = mended.host
    original = filled(host, "written", MANY)
    process = copying(mended, "written", "written-new")
    (original / "99" / "file-99").write_text("other")
    assert process.wait(180) == 1
    said = said_by(mended, "written-new")
    assert ("[VolumeChanged]" in said, "99/file-99" in said) == (True, True), said
    done = host.try_docker("run", "--rm", "-v", "written-new:/data", SHELL, "ls", "/data")
    assert "BeingAdopted: " in done.err
    assert adopted(mended, "written", "--name", "written-new")["files"] == MANY
    read = ("run", "--rm", "-v", "written-new:/data", SHELL, "cat", "/data/99/file-99")
    assert host.docker(*read) == "other"


def test_an_interrupted_command_leaves_the_server_to_go_on(mended: Mooring) -> None:
    filled(mended.host, "left", MANY)
    process = copying(mended, "left", "left-new")
    os.kill(mended.host.pid_of(process), 2)
    assert process.wait(60) == 130
    assert "the server goes on with it" in said_by(mended, "left-new")
    eventually(lambda: progress(mended, "left-new")["phase"] == "Done", "it goes on", 180.0)
    assert adopted(mended, "left", "--name", "left-new")["files"] == MANY


def test_a_deleted_claim_gives_it_up(mended: Mooring) -> None:
    filled(mended.host, "given-up", MANY)
    process = copying(mended, "given-up", "given-up-new")
    handle = data_of(mended, "given-up-new").parent
    mended.kubectl("delete", "persistentvolumeclaim", "given-up-new")
    assert process.wait(180) == 1
    assert "[GivenUp]" in said_by(mended, "given-up-new")
    eventually(lambda: not handle.exists(), "its data is gone")
    assert adopted(mended, "given-up", "--name", "given-up-new")["files"] == MANY


# Crashes


def test_killed_in_the_middle_the_server_goes_on_at_its_next_start(mended: Mooring) -> None:
    original = filled(mended.host, "killed", MANY)
    process = copying(mended, "killed", "killed-new")
    mended.kill9()
    mended.start()
    assert process.wait(180) == 0, said_by(mended, "killed-new")
    assert Trees(original, data_of(mended, "killed-new")).differs() == []
    assert adopted(mended, "killed", "--name", "killed-new")["files"] == MANY
    mended.freed(mended.volume("killed-new"))


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_there_is_one_whole_copy_after_the_next_run(
    mended: Mooring, point: str
) -> None:
    volume = point.replace(".", "-")
    original = filled(mended.host, volume)
    mended.stop()
    mended.start(MOORING_CRASH_AT=point)
    kubeconfig = str(mended.data_dir / "kubeconfig")
    command = (sys.executable, "-m", "mooring.cli.main", "adopt", volume)
    first = mended.host.popen(*command, "--kubeconfig", kubeconfig, log=f"{volume}.log")
    eventually(lambda: not mended.lives, "it was killed")
    first.kill()
    first.wait(60)
    mended.start()
    assert adopted(mended, volume)["files"] == 3
    assert Trees(original, data_of(mended, f"{volume}-adopted")).differs() == []
    copies = [one for one in mended.names("persistentvolumeclaims") if one.startswith(volume)]
    assert copies == [f"{volume}-adopted"]
    eventually(lambda: os.listdir(mended.data_dir / "adoptions") == [], "nothing is unfinished")
    mended.freed(mended.volume(f"{volume}-adopted"))


def test_after_the_host_crashed_it_is_finished_once_docker_is_there(mended: Mooring) -> None:
    host = mended.host
    original = filled(host, "crashed", MANY)
    copying(mended, "crashed", "crashed-new")
    host.crash()
    host.up()
    mended.start()
    assert progress(mended, "crashed-new")["phase"] == "Waiting"
    host.dockerd()
    eventually(lambda: progress(mended, "crashed-new")["phase"] == "Done", "it goes on", 180.0)
    assert Trees(original, data_of(mended, "crashed-new")).differs() == []


def test_a_claim_that_only_says_that_it_is_an_adoption_is_given_nothing(mended: Mooring) -> None:
    filled(mended.host, "secret")
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "thief",
            "annotations": {
                "mooring.dev/adopting": "0" * 32,
                "mooring.dev/adopted-from": "fallible/secret",
            },
        },
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    mended.kubectl("apply", "--filename", "-", stdin=json.dumps(claim))
    mended.restart()
    assert "[NameTaken]" in refusal(mended, "secret", "--name", "thief")
    eventually(
        lambda: mended.get("persistentvolumeclaims", "thief")["status"].get("phase") == "Bound",
        "it is bound",
    )
    assert os.listdir(data_of(mended, "thief")) == []


@pytest.fixture(autouse=True, scope="module")
def _emptied(bed: Bed) -> Iterator[None]:
    """What is too deep for the bed to remove is taken away first."""
    yield
    for place in bed.place.glob("*"):
        for tree in (*place.glob("docker/volumes/*"), *place.glob("mooring/pool/pvc-*")):
            with files.directory(tree.parent) as parent:
                files.remove_tree(tree.name, parent)
    shutil.rmtree(bed.place / "none", ignore_errors=True)
