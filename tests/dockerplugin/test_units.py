"""The example units: systemd understands them, and they keep the rules of Docker volumes §1."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mooring.dockerplugin.listener import BACKLOG

UNITS = Path(__file__).parent.parent.parent / "examples" / "systemd"
SERVICE, SOCKET = "mooring.service", "mooring.socket"
ANALYZE = shutil.which("systemd-analyze")
# Each gives a service a mount namespace of its own, systemd.exec(5), or hides what is mounted.
PRIVATE = (
    *("Private", "Protect", "ReadOnly", "ReadWrite", "Inaccessible", "Temporary", "Bind", "Mount"),
    *("Root", "Extension", "ExecPaths", "NoExec", "Dynamic", "ProcSubset"),
)


def settings(unit: str) -> dict[str, str]:
    """ "Section.Key": value; a key is given once."""
    found: dict[str, str] = {}
    section = ""
    for line in (UNITS / unit).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            assert f"{section}.{key}" not in found, f"{key} is given twice"
            found[f"{section}.{key}"] = value
    return found


@pytest.mark.parametrize("unit", [SERVICE, SOCKET])
def test_both_are_there_before_docker(unit: str) -> None:
    assert settings(unit)["Unit.Before"] == "docker.service"


def test_the_service_is_always_started_anew() -> None:
    service = settings(SERVICE)
    assert service["Service.Restart"] == "always"
    assert service["Unit.StartLimitIntervalSec"] == "0"
    assert settings(SOCKET)["Socket.TriggerLimitIntervalSec"] == "0"


def test_the_service_has_no_mount_namespace_of_its_own() -> None:
    keys = [key.partition(".")[2] for key in settings(SERVICE) if key.startswith("Service.")]
    assert "ExecStart" in keys
    assert [key for key in keys if key.startswith(PRIVATE)] == []


def test_systemd_has_the_socket_and_calls_queue_in_it() -> None:
    service, socket = settings(SERVICE), settings(SOCKET)
    assert service["Unit.Requires"] == service["Unit.After"] == SOCKET
    assert socket["Socket.ListenStream"] == "/run/docker/plugins/mooring.sock"
    assert socket["Socket.SocketMode"] == "0600"
    assert socket["Socket.Backlog"] == str(BACKLOG)


@pytest.mark.system
@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    """But that the program is not where the example has it: any other is put there."""
    text = (UNITS / SERVICE).read_text()
    (tmp_path / SERVICE).write_text(text.replace("/usr/local/bin/mooring", "/bin/true"))
    shutil.copy(UNITS / SOCKET, tmp_path)
    found = subprocess.run(
        [str(ANALYZE), "verify", tmp_path / SERVICE, tmp_path / SOCKET],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
