"""Containers with volumes: what they keep, and that nothing stays in use after them."""

import signal
from collections.abc import Iterator

import pytest

from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER, Mooring
from tests.docker.testbed import Host, eventually, needs_hosts
from tests.docker.writer import Writer

pytestmark = [pytest.mark.system, needs_hosts]
ANONYMOUS = f"type=volume,target=/data,volume-driver={DRIVER}"


@pytest.fixture
def host(moored: Mooring) -> Iterator[Host]:
    """Whatever runs on it after the test is taken away."""
    yield moored.host
    if left := moored.host.docker("ps", "--all", "--quiet").split():
        moored.host.docker("rm", "--force", "--volumes", *left)


def shell(host: Host, volume: str, command: str) -> str:
    """What a shell prints that has the volume at /data."""
    with_it = ("-v", f"{volume}:/data", "--volume-driver", DRIVER)
    return host.docker("run", "--rm", *with_it, SHELL, "sh", "-c", command)


def test_a_volume_keeps_what_containers_wrote(moored: Mooring, host: Host) -> None:
    shell(host, "kept", "echo first >/data/file")
    shell(host, "kept", "echo second >>/data/file")
    assert shell(host, "kept", "cat /data/file") == "first\nsecond"
    moored.freed(moored.volume("kept"))


def test_a_claim_made_with_kubectl_is_found_without_naming_the_driver(
    moored: Mooring, host: Host
) -> None:
    moored.claim("by-kubectl")
    host.docker("run", "--rm", "-v", "by-kubectl:/data", SHELL, "touch", "/data/file")
    assert shell(host, "by-kubectl", "ls /data") == "file"
    drivers = host.docker("volume", "ls", "--format", "{{.Name}} {{.Driver}}").splitlines()
    assert f"by-kubectl {DRIVER}" in drivers


def test_two_containers_share_a_volume_until_the_last_of_them_ends(
    moored: Mooring, host: Host
) -> None:
    with_it = ("-v", "shared:/data", "--volume-driver", DRIVER)
    first = Writer(host, "first", *with_it)
    volume = moored.volume("shared")
    host.docker("run", "-d", "--name", "second", "--stop-signal", "KILL", *with_it, SHELL,
                "sh", "-c", "touch /data/second; exec sleep 1000")  # fmt: skip
    eventually(lambda: host.try_docker("exec", "first", "ls", "/data/second").code == 0, "seen")
    host.docker("stop", "second")
    first.goes_on()
    assert moored.is_mounted(volume)
    first.stop()
    moored.freed(volume)
    assert shell(host, "shared", "ls /data") == "log\nsecond"


def test_volumes_from_another_container_are_the_same_volumes(moored: Mooring, host: Host) -> None:
    first = Writer(host, "first", "-v", "lent:/data", "--volume-driver", DRIVER)
    volume = moored.volume("lent")
    host.docker("run", "--rm", "--volumes-from", "first", SHELL, "touch", "/data/by-second")
    first.goes_on()
    first.stop()
    assert host.docker("run", "--rm", "--volumes-from", "first:ro", SHELL, "ls", "/data") == (
        "by-second\nlog"
    )
    moored.freed(volume)


def test_a_volume_may_be_at_two_places_of_one_container(moored: Mooring, host: Host) -> None:
    host.docker(
        *("run", "--rm", "--volume-driver", DRIVER, "-v", "twice:/data", "-v", "twice:/more"),
        *(SHELL, "sh", "-c", "touch /data/file && ls /more/file"),
    )
    moored.freed(moored.volume("twice"))


def test_a_volume_may_be_read_only_to_a_container(host: Host) -> None:
    shell(host, "fixed", "touch /data/file")
    with_it = ("-v", "fixed:/data:ro", "--volume-driver", DRIVER)
    done = host.try_docker("run", "--rm", *with_it, SHELL, "touch", "/data/other")
    assert (done.code, "Read-only file system" in done.err) == (1, True)


def test_a_container_that_cannot_start_leaves_its_volume_free(moored: Mooring, host: Host) -> None:
    with_it = ("-v", "unstarted:/data", "--volume-driver", DRIVER)
    done = host.try_docker("run", "--name", "broken", *with_it, SHELL, "/no/such/program")
    assert done.code == 127
    moored.freed(moored.volume("unstarted"))


@pytest.mark.parametrize("end", ["kill", "stop", "restart", "pause"])
def test_a_container_that_was_ended_leaves_its_volume_free(
    moored: Mooring, host: Host, end: str
) -> None:
    writer = Writer(host, "ended", "-v", f"{end}-it:/data", "--volume-driver", DRIVER)
    volume = moored.volume(f"{end}-it")
    host.docker(end, "ended")
    if end == "restart":
        writer.goes_on()
    if end == "pause":
        assert moored.is_mounted(volume)
    if end in ("restart", "pause"):
        host.docker("kill", "ended")
    moored.freed(volume)
    host.docker("start", "ended")
    writer.goes_on()
    writer.remove()
    moored.freed(volume)


# Anonymous volumes


def anonymous_runs_leave_nothing(moored: Mooring, host: Host, times: int) -> None:
    before = moored.names("persistentvolumeclaims")
    for number in range(times):
        text = f"{number}"
        out = host.docker("run", "--rm", "--mount", ANONYMOUS, SHELL, "sh", "-c",
                          f"echo {text} >/data/file; cat /data/*")  # fmt: skip
        assert out == text, "an anonymous volume begins empty"
    assert moored.names("persistentvolumeclaims") == before
    ends = "their volumes are gone"
    eventually(lambda: len(moored.names("persistentvolumes")) == len(before), ends)


def test_anonymous_volumes_go_with_their_containers(moored: Mooring, host: Host) -> None:
    anonymous_runs_leave_nothing(moored, host, 10)


@pytest.mark.slow
def test_of_200_anonymous_volumes_none_is_left(moored: Mooring, host: Host) -> None:
    anonymous_runs_leave_nothing(moored, host, 200)


def test_an_anonymous_volume_is_a_claim_that_says_so(moored: Mooring, host: Host) -> None:
    host.docker("create", "--name", "one", "--mount", ANONYMOUS, SHELL)
    names = moored.names("persistentvolumeclaims", "--selector", "mooring.dev/anonymous=true")
    assert len(names) == 1
    assert moored.volume(names[0])["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    host.docker("rm", "--volumes", "one")
    assert names[0] not in moored.names("persistentvolumeclaims")


def test_a_named_volume_stays_when_its_container_is_removed_with_volumes(
    moored: Mooring, host: Host
) -> None:
    shell(host, "named", "touch /data/file")
    host.docker("create", "--name", "one", "-v", "named:/data", SHELL)
    host.docker("rm", "--volumes", "one")
    assert shell(host, "named", "ls /data") == "file"


# What Kubernetes's clients see and may do


def test_a_container_is_a_pod_that_uses_its_claim(moored: Mooring, host: Host) -> None:
    writer = Writer(host, "db", "-v", "shown:/data", "--volume-driver", DRIVER)

    def used_by() -> str:
        described = moored.kubectl("describe", "persistentvolumeclaims", "shown")
        (line,) = (one for one in described.splitlines() if one.startswith("Used By:"))
        return line.split()[2]

    eventually(lambda: used_by().startswith("docker-here-db-"), "the claim names its user")
    pod = used_by()
    eventually(lambda: moored.get("pods", pod)["status"]["phase"] == "Running", "it runs")
    writer.stop()
    eventually(lambda: moored.get("pods", pod)["status"]["phase"] == "Failed", "it was killed")
    writer.remove()
    eventually(lambda: pod not in moored.names("pods"), "the pod goes with the container")


def test_a_claim_deleted_under_a_container_goes_after_it(moored: Mooring, host: Host) -> None:
    writer = Writer(host, "last", "-v", "doomed:/data", "--volume-driver", DRIVER)
    moored.kubectl("delete", "persistentvolumeclaims", "doomed", "--wait=false")
    writer.goes_on()
    claim = moored.get("persistentvolumeclaims", "doomed")
    assert "deletionTimestamp" in claim["metadata"]
    kubeconfig = str(moored.data_dir / "kubeconfig")

    def says() -> list[str]:
        said = moored.mooring("explain", "pvc", "doomed", "--kubeconfig", kubeconfig).out
        return said.splitlines()

    eventually(lambda: says()[1:] == ["  would help: on here: docker rm -f last"], "it is told")
    host.docker("rm", "-f", "last")
    eventually(lambda: "doomed" not in moored.names("persistentvolumeclaims"), "it is gone")


# Restarts of Docker


def test_a_container_that_is_to_run_always_does_after_a_restart_of_docker(
    moored: Mooring, host: Host
) -> None:
    writer = Writer(host, "always", "--restart", "always", "-v", "always:/data",
                    "--volume-driver", DRIVER)  # fmt: skip
    volume = moored.volume("always")
    before = len(writer.lines())
    host.stop_dockerd(signal.SIGTERM)
    host.dockerd()
    writer.goes_on()
    assert len(writer.lines()) > before
    writer.remove()
    moored.freed(volume)


def test_a_container_that_fails_is_started_again_with_its_data(moored: Mooring, host: Host) -> None:
    # Each start adds a line, and only the third of them is content.
    command = 'echo start >>/data/starts; [ "$(wc -l </data/starts)" -ge 3 ]'
    host.docker(
        *("run", "-d", "--name", "retried", "--restart", "on-failure:5", "--volume-driver", DRIVER),
        *("-v", "retried:/data", SHELL, "sh", "-c", command),
    )
    state = ("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}")
    eventually(lambda: host.docker(*state, "retried") == "exited 0 2", "the third start is content")
    moored.freed(moored.volume("retried"))
    assert shell(host, "retried", "wc -l </data/starts").strip() == "3"


def test_a_killed_docker_leaves_a_volume_that_can_be_used_and_freed(
    moored: Mooring, host: Host
) -> None:
    writer = Writer(host, "headless", "-v", "orphan:/data", "--volume-driver", DRIVER)
    volume = moored.volume("orphan")
    host.stop_dockerd(signal.SIGKILL)
    host.dockerd()
    host.docker("start", "headless")  # with the ID that it had
    writer.goes_on()
    writer.remove()
    moored.freed(volume)
