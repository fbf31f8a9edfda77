"""`mooring adopt`: Docker's own volumes become claims, whole or not at all. Docker volumes §11."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import mooring.dockerplugin.adopting  # noqa: F401  declares its crash points
from mooring.crashpoints import POINTS
from mooring.host import files
from tests.docker import images
from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER, Mooring
from tests.docker.testbed import Bed, Done, Host, eventually, needs_hosts
from tests.host.hostile_tree import planted
from tests.host.test_copying import Trees

pytestmark = [pytest.mark.system, needs_hosts]
MANY = 10_000
ADOPT_POINTS = sorted(name for name in POINTS if name.startswith("adopt."))


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


def a_class(name: str, pool: str) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "directory.mooring.dev",
        "parameters": {"pool": pool},
    }


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
    assert os.listdir(moored.data_dir / "adoptions") == []


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


def test_without_docker_it_says_so(mended: Mooring) -> None:
    filled(mended.host, "lonely")
    mended.host.stop_dockerd()
    assert "[EngineAway]" in refusal(mended, "lonely")
    mended.host.dockerd()
    assert adopted(mended, "lonely")["phase"] == "Done"


# Somebody else meanwhile


class Copying:
    """A command that adopts, held at a moment at which its server copies."""

    def __init__(self, mooring: Mooring, volume: str, claim: str, *, files: int = 0) -> None:
        """files  so many are to be in the copy when it is held"""
        self._mooring, self._log = mooring, f"adopt-{claim}.log"
        self._process = mooring.host.popen(
            *(sys.executable, "-m", "mooring.cli.main", "adopt", volume, "--name", claim),
            *("--kubeconfig", str(mooring.data_dir / "kubeconfig")),
            log=self._log,
        )
        self._copier = 0
        eventually(self._has_begun, f"{volume} is being copied")
        if files:
            copy = data_of(mooring, claim)
            self.go_on()
            eventually(lambda: sum(1 for _ in copy.glob("*/*")) >= files, "some of it is there")
            self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        os.kill(self._mooring.host.pid_of(self._process), signal.SIGINT)

    def ended(self) -> tuple[int, str]:
        """How the command ends, and what it said."""
        code = self._process.wait(180)
        return code, (self._mooring.host.place / self._log).read_text()

    def _has_begun(self) -> bool:
        """Looks all the time: it may be done in a tenth of a second."""
        copies = str(self._mooring.host.place / "mooring/mounts").encode()
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            for place in Path("/proc").iterdir():
                with suppress(OSError):
                    command = (place / "cmdline").read_bytes() if place.name.isdigit() else b""
                    if b"mooring.host.copier\0copy" in command and copies in command:
                        self._copier = int(place.name)
                        self._signal(signal.SIGSTOP)
                        return True
        return False

    def _signal(self, number: int) -> None:
        os.kill(self._copier, number)


def test_half_a_copy_is_given_to_nobody(mended: Mooring) -> None:
    host = mended.host
    filled(host, "half")
    command = Copying(mended, "half", "half-new")
    done = host.try_docker("run", "--rm", "-v", "half-new:/data", SHELL, "ls", "/data")
    assert (done.code, "BeingAdopted: " in done.err) == (125, True), done.err
    by_hand = mended.mooring(
        "mount", "half-new", "--kubeconfig", str(mended.data_dir / "kubeconfig")
    )
    assert (by_hand.code, "[BeingAdopted]" in by_hand.err) == (1, True), by_hand.err
    removal = host.try_docker("volume", "rm", "half-new")
    assert (removal.code, "VolumeInUse" in removal.err) == (1, True), removal.err
    command.go_on()
    assert command.ended()[0] == 0
    read = ("run", "--rm", "-v", "half-new:/data", SHELL, "cat", "/data/2/file-2")
    assert host.docker(*read) == "2"


def test_a_writer_is_found_out_and_the_copy_is_made_right_by_the_next_run(mended: Mooring) -> None:
    host = mended.host
    original = filled(host, "written", MANY)
    command = Copying(mended, "written", "written-new", files=100)
    (original / "99" / "file-99").write_text("other")
    command.go_on()
    code, said = command.ended()
    assert (code, "[VolumeChanged]" in said, "99/file-99" in said) == (1, True, True), said
    events = mended.kubectl("describe", "persistentvolumeclaim", "written-new")
    assert "AdoptionFailed" in events
    done = host.try_docker("run", "--rm", "-v", "written-new:/data", SHELL, "ls", "/data")
    assert "BeingAdopted: " in done.err
    assert adopted(mended, "written", "--name", "written-new")["files"] == MANY
    read = ("run", "--rm", "-v", "written-new:/data", SHELL, "cat", "/data/99/file-99")
    assert host.docker(*read) == "other"


def test_who_comes_to_use_the_old_volume_meanwhile_is_named(mended: Mooring) -> None:
    host = mended.host
    filled(host, "visited")
    command = Copying(mended, "visited", "visited-new")
    host.docker("run", "-d", "--name", "visitor", "-v", "visited:/d:ro", SHELL, "sleep", "1000")
    command.go_on()
    code, said = command.ended()
    assert (code, "container visitor (running) [VolumeInUse]" in said) == (1, True), said
    host.docker("rm", "--force", "visitor")
    assert adopted(mended, "visited", "--name", "visited-new")["phase"] == "Done"


def test_an_interrupted_command_leaves_the_server_to_go_on(mended: Mooring) -> None:
    filled(mended.host, "left")
    command = Copying(mended, "left", "left-new")
    command.interrupt()
    code, said = command.ended()
    assert (code, "the server goes on with it" in said) == (130, True), said
    assert progress(mended, "left-new")["phase"] != "Done"
    command.go_on()
    assert adopted(mended, "left", "--name", "left-new")["files"] == 3


def test_the_same_command_again_joins_and_one_for_another_volume_is_refused(
    mended: Mooring,
) -> None:
    filled(mended.host, "joined")
    filled(mended.host, "another")
    command = Copying(mended, "joined", "joined-new")
    assert "[NameTaken]" in refusal(mended, "another", "--name", "joined-new")
    command.interrupt()
    command.ended()
    second = Copying(mended, "joined", "joined-new")
    second.go_on()
    assert second.ended()[0] == 0


def test_a_deleted_claim_gives_it_up(mended: Mooring) -> None:
    filled(mended.host, "given-up")
    command = Copying(mended, "given-up", "given-up-new")
    handle = data_of(mended, "given-up-new").parent
    mended.kubectl("delete", "persistentvolumeclaim", "given-up-new")
    code, said = command.ended()
    assert (code, "[GivenUp]" in said) == (1, True), said
    eventually(lambda: not handle.exists(), "its data is gone")
    assert adopted(mended, "given-up", "--name", "given-up-new")["files"] == 3


# Crashes


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_ended_in_the_middle_the_server_goes_on_at_its_next_start(
    mended: Mooring, number: signal.Signals
) -> None:
    volume = f"ended-{number}"
    original = filled(mended.host, volume, MANY)
    command = Copying(mended, volume, f"{volume}-new", files=1000)
    mended.stop(number)
    with suppress(ProcessLookupError):
        command.go_on()  # it finds itself alone, if it was not killed with its server
    mended.start()
    code, said = command.ended()
    assert (code, f"{MANY:,} files" in said) == (0, True), said
    assert Trees(original, data_of(mended, f"{volume}-new")).differs() == []
    assert adopted(mended, volume, "--name", f"{volume}-new")["files"] == MANY
    mended.freed(mended.volume(f"{volume}-new"))


@pytest.mark.parametrize("point", ADOPT_POINTS)
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
    Copying(mended, "crashed", "crashed-new", files=1000)
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
