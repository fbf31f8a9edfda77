"""`mooring up` on a host, beside its Docker."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.docker.testbed import COMMAND_S, DEADLINE_S, Done, Host, eventually
from tests.system.reading import NoAnswer, Reader
from tests.system.server import OLD_KUBECTL, claim

ADDRESS: Final = "127.0.0.1:6443"  # each host has a loopback of its own
PLUGIN_SOCKET: Final = "/run/docker/plugins/mooring.sock"
DRIVER: Final = "mooring"  # as Docker names it: the socket's file name
ENDS_S: Final = 2.0  # until a process that was killed is seen to have ended
FREED_S: Final = 90.0  # what no call tells of is found by a look each 60 s
KUBECTL: Final = shutil.which("kubectl") or str(OLD_KUBECTL)


class Mooring:
    """The server and agent of one host. May be killed and started again."""

    program = "mooring.cli.main"  # the module that is run

    def __init__(self, host: Host, *options: str, data_dir: Path | None = None) -> None:
        self.host, self._options = host, options
        self.data_dir = data_dir or host.place / "mooring"
        self.pool = self.data_dir / "pool"
        self.log = host.place / "mooring.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = Reader(self.data_dir / "kubeconfig", host.connected)

    def start(self, **environment: str) -> "Mooring":
        """Start it, before Docker or after, and wait until it serves API and plugin."""
        said = self._times_served()
        self._process = self.host.popen(
            *(sys.executable, "-m", self.program, "up"),
            *("--data-dir", str(self.data_dir), "--listen", ADDRESS),
            *("--plugin-socket", PLUGIN_SOCKET, "--docker-socket", str(self.host.socket)),
            *self._options,
            log=self.log.name,
            **environment,
        )
        eventually(lambda: self._serves(said), f"Mooring serves on {self.host.name}")
        return self

    @property
    def lives(self) -> bool:
        """Whether it was started and has not ended since."""
        return self._process is not None and self._process.poll() is None

    def kill9(self) -> None:
        self.stop(signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM, within_s: float = DEADLINE_S) -> None:
        assert self._process is not None, "start comes first"
        os.kill(self.host.pid_of(self._process), number)
        self._process.wait(within_s)
        self._process = None

    def restart(self) -> None:
        """As after a crash."""
        self.kill9()
        self.start()

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """What it prints. It must succeed."""
        done = self.try_kubectl(*arguments, stdin=stdin)
        assert done.code == 0, done.err
        return done.out

    def try_kubectl(self, *arguments: str, stdin: str = "") -> Done:
        """However it ends."""
        kubeconfig = str(self.data_dir / "kubeconfig")
        command = (KUBECTL, "--kubeconfig", kubeconfig, *arguments)
        return self.host.run(*command, stdin=stdin.encode())

    def get(self, *which: str) -> Any:
        """An object, or a list of them, by the words of `kubectl get`."""
        try:
            return self._reader.get(*which)
        except NoAnswer:
            if self._process is not None:  # who is told asks next whether it lives
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(ENDS_S)
            raise

    def names(self, resource: str, *which: str) -> list[str]:
        """Of the objects of a kind, in the namespace `default` where they have one, sorted."""
        return sorted(one["metadata"]["name"] for one in self.get(resource, *which)["items"])

    def claim(self, name: str) -> None:
        """Make one with kubectl, of 1Gi and the default class."""
        self.kubectl("apply", "--filename", "-", stdin=claim(name))

    def mooring(self, *arguments: str, deadline_s: float = COMMAND_S) -> Done:
        """A command of Mooring's own on the host, however it ends."""
        command = (sys.executable, "-m", "mooring.cli.main", *arguments)
        return self.host.run(*command, deadline_s=deadline_s)

    def _serves(self, said: int) -> bool:
        assert self._process is not None
        tail = self.log.read_text(errors="replace")[-2000:]
        assert self._process.poll() is None, f"Mooring ended: {tail}"
        # The plugin's file is there before it serves, and after a kill.
        return self._times_served() > said and self._accepts()

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(DEADLINE_S)
            probe.connect(str(self.host.seen(PLUGIN_SOCKET)))
        return True

    def _times_served(self) -> int:
        return self.log.read_text(errors="replace").count(" serves ") if self.log.exists() else 0

    # Volumes, as Docker names them and as their claims are named.

    def volume(self, claim: str) -> Any:
        """The object of the volume that a claim is bound to."""
        name = self.get("persistentvolumeclaims", claim)["spec"]["volumeName"]
        return self.get("persistentvolumes", name)

    def is_mounted(self, volume: Any) -> bool:
        """Whether the host itself has a volume's object at hand; containers do not count."""
        uid = volume["metadata"]["uid"]
        table = self.host.seen("/proc/1/mountinfo").read_text()
        return any(f"/{uid}" in line.split()[4] for line in table.splitlines())

    def is_free(self, volume: Any) -> bool:
        """Neither at hand on the host nor attached to it."""
        if self.is_mounted(volume):
            return False
        name = volume["metadata"]["name"]
        attachments = self.get("volumeattachments")["items"]
        return name not in [one["spec"]["source"]["persistentVolumeName"] for one in attachments]

    def freed(self, volume: Any, deadline_s: float = FREED_S) -> None:
        """Wait until it is free."""
        name = volume["metadata"]["name"]
        eventually(lambda: self.is_free(volume), f"volume {name} is free", deadline_s)
