"""The Docker engine of this host, for the step of the demo that needs one."""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PLUGIN: Final = Path("/run/docker/plugins/mooring-demo.sock")  # beside that of a real Mooring
IMAGE: Final = "busybox"
OWN_IMAGE: Final = "mooring-demo/busybox"
BUSYBOX: Final = Path("/bin/busybox")  # of Debian's package busybox-static
PULL_S: Final = 60


@dataclass(frozen=True)
class Docker:
    """An engine that answers, and that this process may serve a volume driver to."""

    socket: Path

    @classmethod
    def here(cls) -> "Docker | None":
        host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        if os.geteuid() != 0 or not host.startswith("unix://") or not shutil.which("docker"):
            return None
        return cls(Path(host.removeprefix("unix://"))) if _docker("version") else None

    @contextmanager
    def image(self) -> Iterator[str]:
        """The name of an image with a shell, "" if there is none; what was made goes again."""
        if _docker("image", "inspect", IMAGE) or _docker("pull", "--quiet", IMAGE):
            yield IMAGE
            return
        if not BUSYBOX.exists() or not _docker("import", "-", OWN_IMAGE, stdin=_archive()):
            yield ""
            return
        try:
            yield OWN_IMAGE
        finally:
            _docker("image", "rm", OWN_IMAGE)


def _docker(*arguments: str, stdin: bytes = b"") -> bool:
    """Whether it succeeded."""
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            ["docker", *arguments], input=stdin, capture_output=True, timeout=PULL_S, check=False
        )
        return done.returncode == 0
    return False


def _archive() -> bytes:
    """The root of an image: busybox, under the names that the demo calls it by."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.add(BUSYBOX.resolve(), "bin/busybox")
        for name in ("sh", "cat"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return made.getvalue()
