"""`mooring adopt` while others come in between, and while its server is killed."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

import mooring.dockerplugin.adopting  # noqa: F401  declares its crash points
from mooring.crashpoints import POINTS
from tests.docker import images
from tests.docker.adopting import MANY, Copying, adopted, data_of, filled, progress, refusal
from tests.docker.images import SHELL
from tests.docker.mooring import Mooring
from tests.docker.testbed import Bed, eventually, needs_hosts
from tests.host.trees import Trees

pytestmark = [pytest.mark.system, needs_hosts]
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


# Somebody else meanwhile


def test_without_docker_it_says_so(mended: Mooring) -> None:
    filled(mended.host, "lonely")
    mended.host.stop_dockerd()
    assert "[EngineAway]" in refusal(mended, "lonely")
    mended.host.dockerd()
    assert adopted(mended, "lonely")["phase"] == "Done"


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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
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


@pytest.mark.slow
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
