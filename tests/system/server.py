"""A whole Mooring in a process of its own, and kubectl to talk to it."""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from testbed.hosts import FIRST_PAUSE_S, LONGEST_PAUSE_S
from tests.system.reading import Reader

ROOT = Path(__file__).parents[2]
OLD_KUBECTL = ROOT / ".tools/kubectl-1.20/usr/bin/kubectl"
SOME_KUBECTL = shutil.which("kubectl") or str(OLD_KUBECTL)  # for tests that any will do for
DEADLINE_S = 60.0  # other tests run beside


def eventually(look: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> None:
    """Wait for a condition, not for a time."""
    ends, pause_s = time.monotonic() + within_s, FIRST_PAUSE_S
    while not look():
        if time.monotonic() > ends:
            raise AssertionError(f"still not so: {what}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)  # a look is often a whole process


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """`mooring up` in a directory. May be killed and started again."""

    program: tuple[str, ...] = ("-m", "mooring.cli.main")

    def __init__(
        self, place: Path, kubectl: str = SOME_KUBECTL, options: Sequence[str] = ()
    ) -> None:
        """options  of `mooring up`, beside those that each has"""
        self.options = options
        self.place, self.port, self.kubectl_path = place, free_port(), kubectl
        self.kubeconfig = place / "kubeconfig"
        self.process: subprocess.Popen[bytes] | None = None
        self._reader = Reader(self.kubeconfig)

    def launched(self) -> list[str]:
        """What is run."""
        return [
            *self.program_words("up"),
            *("--data-dir", str(self.place / "data"), "--pool", str(self.place / "pool")),
            *("--kubeconfig", str(self.kubeconfig), "--node-name", "here"),
            *("--listen", f"127.0.0.1:{self.port}", "--plugin-socket", ""),
            *self.options,
        ]

    def program_words(self, command: str) -> list[str]:
        """With which a command of Mooring begins."""
        return [sys.executable, *self.program, command]

    def start(self, **environment: str) -> Self:
        log = (self.place / "log").open("ab")
        self.process = subprocess.Popen(
            self.launched(), stdout=log, stderr=log, env={**os.environ, **environment}
        )
        if not environment:
            eventually(self.is_ready, f"ready; {(self.place / 'log').read_text()[-2000:]}")
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def token(self) -> str:
        found: str = yaml.safe_load(self.kubeconfig.read_text())["users"][0]["user"]["token"]
        return found

    def resident_bytes(self) -> int:
        """How much memory it has."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        """How long it has had a processor."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def is_ready(self) -> bool:
        trusting = ssl._create_unverified_context()
        url = f"https://127.0.0.1:{self.port}/readyz"
        with contextlib.suppress(OSError, urllib.error.URLError):
            with urllib.request.urlopen(url, context=trusting, timeout=5) as answer:
                return bool(answer.status == 200)
        return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    def run(
        self, *arguments: str, stdin: str = "", editor: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.kubectl_path, "--kubeconfig", str(self.kubeconfig), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            # HOME: kubectl's cache of discovery
            env={**os.environ, "HOME": str(self.place), "KUBE_EDITOR": editor},
        )

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, *which: str) -> Any:
        """An object, or a list of them, by the words of `kubectl get`."""
        return self._reader.get(*which)

    def apply(self, text: str) -> None:
        self.kubectl("apply", "--validate=false", "-f", "-", stdin=text)

    def phase(self, *which: str) -> str:
        found: str = self.get(*which)["status"]["phase"]
        return found


def claim(name: str, size: str = "1Gi", class_: str | None = None) -> str:
    named = "" if class_ is None else f"  storageClassName: {class_!r}\n"
    return (
        f"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec:\n"
        f"  accessModes: [ReadWriteOnce]\n{named}"
        f"  resources: {{requests: {{storage: {size}}}}}\n---\n"
    )


def volume(name: str, size: str, path: str, policy: str = "Retain") -> str:
    return (
        f"apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}}}\nspec:\n"
        f"  accessModes: [ReadWriteOnce]\n  capacity: {{storage: {size}}}\n"
        f"  persistentVolumeReclaimPolicy: {policy}\n  hostPath: {{path: {path}}}\n---\n"
    )
