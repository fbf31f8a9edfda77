"""A container that writes to its volume as long as it runs."""

from typing import Final

from tests.docker.images import SHELL
from tests.docker.testbed import Host, eventually

# Not synced: what is seen through the volume counts, not what a power cut would leave.
_WRITE: Final = "while :; do i=$((i+1)); echo $i >>/data/log; sleep 0.05; done"
LOG: Final = "/data/log"


class Writer:
    """Writes 1, 2, 3 … into `log` of the volume at /data, from 1 again after each start."""

    def __init__(self, host: Host, name: str, *options: str) -> None:
        """Start it. The options are those of `docker run`, the volume's among them."""
        self.host, self.name = host, name
        # A shell as process 1 does not hear SIGTERM: each stop would take 10 s.
        host.docker("run", "-d", "--name", name, "--stop-signal", "KILL", *options,
                    SHELL, "sh", "-c", _WRITE)  # fmt: skip
        self.goes_on()

    def lines(self) -> list[str]:
        """What the container sees that was written, by anybody."""
        return self.host.docker("exec", self.name, "cat", LOG).splitlines()

    def goes_on(self) -> None:
        """Wait until it has written more than it has now."""
        before = self._size()
        eventually(lambda: self._size() > before, f"{self.name} writes")

    def stop(self) -> None:
        self.host.docker("stop", self.name)

    def remove(self) -> None:
        self.host.docker("rm", "--force", self.name)

    def _size(self) -> int:
        done = self.host.try_docker("exec", self.name, "stat", "-c", "%s", LOG)
        return int(done.out) if done.code == 0 else 0
