"""What tests of `mooring adopt` do: volumes of Docker's own, the command, and its copier held."""

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.docker.mooring import Mooring
from tests.docker.testbed import Done, Host, eventually

MANY: Final = 10_000  # files, that take more than a moment


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


def progress(mooring: Mooring, claim: str) -> Any:
    """What the server says of an adoption."""
    return json.loads(mooring.kubectl("get", "--raw", f"/mooring/v1/adoptions/default/{claim}"))


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
