"""Whom the watchdog kills, and whom not."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGKILL

import pytest

from mooring.host import mounts
from mooring.host.processes import Process, own
from mooring.node.watchdog import boot_s, fence, is_there
from tests.host.privileges import needs_mounts
from tests.system.server import eventually

pytestmark = needs_mounts
READY = "import sys; print(flush=True); sys.stdin.read()"
OPENED = f"import os, sys; fd = os.open(sys.argv[1], os.O_RDONLY); {READY}"
CHILD = (
    f"import os, subprocess, sys; subprocess.run([sys.executable, '-c', {OPENED!r}, sys.argv[1]])"
)


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Path]:
    """A volume that is mounted."""
    volume, made = tmp_path / "volume", tmp_path / "fs"
    for one in (volume, made):
        one.mkdir()
    with mounts.handle(volume) as handle:
        mounts.bind(handle, made)
    yield made
    mounts.unmount(made)


@contextmanager
def running(*words: str, **options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process, from when it has what it opens."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, **pipes, **options) as process:  # type: ignore[call-overload]
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def has(point: Path, code: str = OPENED) -> list[str]:
    return [sys.executable, "-c", code, str(point)]


def seen(process: "subprocess.Popen[bytes]") -> Process:
    found = Process.of(process.pid)
    assert found is not None
    return found


def ended(process: "subprocess.Popen[bytes]") -> bool:
    return process.wait() == -SIGKILL


def test_who_has_something_open_is_killed_and_the_volume_unmounted(point: Path) -> None:
    with running(*has(point)) as user:
        assert fence([point]) == []
        assert ended(user)
    assert not mounts.mounts_at(str(point))


@pytest.mark.parametrize("code", [OPENED, CHILD], ids=["itself", "what it started"])
def test_its_agent_is_not_killed_and_others_are(point: Path, code: str) -> None:
    with running(*has(point, code)) as agent, running(*has(point)) as user:
        assert fence([point], [seen(agent)]) == [point]  # the agent has it open still
        assert ended(user)
        assert agent.poll() is None
    assert fence([point]) == []


def test_a_process_that_has_the_number_of_an_agent_that_ended_is_killed(point: Path) -> None:
    with running(*has(point)) as user:
        assert fence([point], [Process(user.pid, "1")]) == []
        assert ended(user)


@pytest.mark.parametrize("name", ["dockerd", "containerd"])
def test_an_engine_is_not_killed(point: Path, tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.write_bytes(Path("/bin/cat").read_bytes())
    program.chmod(0o755)
    (point / "line").write_text("\n")
    with running(str(program), "line", "-", cwd=str(point)) as engine:
        assert fence([point]) == [point]
        assert engine.poll() is None


def test_processes_of_a_container_are_killed_though_an_agent_started_them(point: Path) -> None:
    """They have a mount namespace of their own, which no agent's and no engine's helper has."""
    private = ("unshare", "--mount", "--propagation", "private", "--fork", "--kill-child")
    with running(*private, *has(point)) as user:
        us = Process.of(os.getpid())
        assert us is not None
        assert fence([point], [us]) == []
        assert user.wait() != 0


def test_the_process_itself_spares_its_agent(point: Path, tmp_path: Path) -> None:
    """As it is started on a host."""
    with running(*has(point)) as agent, running(*has(point)) as user:
        told = {"agent": agent.pid, "spared": [list(seen(agent))], "volumes": [str(point)]}
        file = tmp_path / "fence"
        file.write_text(json.dumps(told | {"until": boot_s()}))
        with ExitStack() as stack:
            watchdog = subprocess.Popen([*own("mooring.node.watchdog"), str(file)])
            stack.callback(watchdog.kill)
            assert ended(user)
            assert agent.poll() is None
            file.unlink()  # what was told stands
            with running(*has(point)) as another:
                assert ended(another)
            agent.kill()
            agent.wait()  # nobody has it open any more, so it is unmounted, and that was all
            assert watchdog.wait() == 0
    assert not mounts.mounts_at(str(point))


def test_one_of_another_version_makes_way_while_its_agent_lives(
    point: Path, tmp_path: Path
) -> None:
    file = tmp_path / "fence"
    told = {"agent": os.getpid(), "volumes": [str(point)], "until": boot_s() + 1000}
    file.write_text(json.dumps(told))
    with ExitStack() as stack:
        words = [*own("mooring.node.watchdog"), str(file)]
        old = subprocess.Popen(words)
        stack.callback(old.kill)
        eventually(lambda: is_there(file), "it watches")
        file.write_text(json.dumps(told | {"version": "another"}))
        assert old.wait() == 0
    assert mounts.mounts_at(str(point))
