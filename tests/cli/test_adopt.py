"""What `mooring adopt` asks for, shows and says."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.https import Answering, answering, config_for

DONE: dict[str, Any] = {
    "claim": "team/data-adopted",
    "name": "team/data-adopted",
    "volume": "data",
    "phase": "Done",
    "files": 12345,
    "bytes": 5 << 30,
    "ofFiles": 12345,
    "ofBytes": 5 << 30,
    "leftOut": {"count": 3, "named": ["run/a.sock is left out: it is a socket"]},
    "finishedAt": "2026-01-02T03:04:05Z",
    "error": None,
}
HALF = DONE | {"phase": "Copying", "files": 345, "bytes": 1 << 30, "finishedAt": ""}
COMMAND = (sys.executable, "-m", "mooring.cli.main", "adopt", "data", "-n", "team")


class Shell:
    """Runs the command against a server whose answer a test may change meanwhile."""

    def __init__(self, says: Answering, kubeconfig: Path) -> None:
        self.says, self._environment = says, {**os.environ, "KUBECONFIG": str(kubeconfig)}

    def start(self, *arguments: str, errors: int = subprocess.PIPE) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**self._environment, "TERM": "xterm", "COLUMNS": "100"},
        )

    def answers(self, document: Any, status: int = 200) -> None:
        self.says.body, self.says.status = json.dumps(document).encode(), status

    def until_it_looks(self, process: "subprocess.Popen[str]") -> None:
        """It has asked how far it is."""
        while not any(seen.method == "GET" for seen in self.says.seen):
            assert process.poll() is None


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with answering(tmp_path) as says:
        yield Shell(says, config_for(says.url, tmp_path / "kubeconfig"))


def test_what_was_said_is_asked_for(shell: Shell) -> None:
    shell.answers(DONE)
    given = ("--name", "new", "--size", "9Gi", "--class", "fast")
    with shell.start(*given) as process:
        process.communicate(timeout=60)
    (seen,) = shell.says.seen
    assert (seen.method, seen.path) == ("POST", "/mooring/v1/adoptions")
    assert json.loads(seen.body) == {
        "volume": "data", "name": "new", "namespace": "team", "size": "9Gi", "class": "fast"
    }  # fmt: skip


def test_what_was_done_is_said_with_what_was_left_out(shell: Shell) -> None:
    shell.answers(DONE)
    with shell.start() as process:
        out, errors = process.communicate(timeout=60)
    assert out.splitlines() == [
        "team/data-adopted is the verified copy of volume data: 12,345 files, 5 GiB",
        "use it: docker run -v team/data-adopted:/data ...",
        "the old volume is as it was; once you need it no more: docker volume rm data",
    ]
    assert errors.splitlines() == [
        "note: run/a.sock is left out: it is a socket",
        "note: and 2 more",
    ]


def test_a_failure_is_told_with_code_and_remedy(shell: Shell) -> None:
    error = {"code": "VolumeChanged", "what": "it was written to", "remedy": "stop that"}
    shell.answers(DONE | {"phase": "Failed", "error": error})
    with shell.start() as process:
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert errors.splitlines() == ["error: it was written to [VolumeChanged]", "remedy: stop that"]


def test_programs_get_the_whole_answer(shell: Shell) -> None:
    shell.answers(DONE)
    with shell.start("--output", "json") as process:
        out, errors = process.communicate(timeout=60)
    assert (json.loads(out), errors) == (DONE, "")


def test_on_a_terminal_a_bar_shows_how_far_it_is(shell: Shell) -> None:
    terminal, side = pty.openpty()
    shell.answers(HALF)
    with shell.start(errors=side) as process:
        os.close(side)
        shown = ""
        while "345 of 12,345 files, 1 GiB of 5 GiB" not in shown:
            shown += os.read(terminal, 1 << 12).decode()
        shell.answers(DONE)
        assert process.stdout is not None
        assert "12,345 files, 5 GiB" in process.stdout.read()
    assert "copying" in shown
    os.close(terminal)


def test_without_a_terminal_nothing_but_the_end_is_said(shell: Shell) -> None:
    shell.answers(HALF)
    with shell.start() as process:
        shell.until_it_looks(process)
        shell.answers(DONE | {"leftOut": {"count": 0, "named": []}})
        out, errors = process.communicate(timeout=60)
    assert (out.count("\n"), errors) == (3, "")


def test_an_interrupt_says_that_the_server_goes_on(shell: Shell) -> None:
    shell.answers(HALF)
    with shell.start() as process:
        shell.until_it_looks(process)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert errors.splitlines() == [
        "the server goes on with it; the same command again shows how far it is",
        "to give it up: kubectl delete pvc data-adopted -n team",
    ]


def test_a_server_that_remembers_nothing_of_it_is_told_of(shell: Shell) -> None:
    shell.answers(HALF)
    with shell.start() as process:
        shell.until_it_looks(process)
        shell.answers({"kind": "Status", "reason": "NotFound", "message": "nothing"}, 404)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, "[NotBegun]" in errors) == (1, True), errors
