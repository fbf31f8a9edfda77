"""Images without a registry: one static busybox, and what a test wants beside it."""

import io
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from testbed.hosts import COMMAND_S, Host

SHELL: Final = "mooring-tests/shell:1"
DATA: Final = "mooring-tests/data:1"  # with something in /data


class Owned(NamedTuple):
    """A directory, or a file with content, as an image has it."""

    mode: int
    uid: int
    gid: int
    content: bytes | None = None

    @property
    def shown(self) -> str:
        """As `stat -c '%a %u %g'` prints it."""
        return f"{self.mode:o} {self.uid} {self.gid}"


IN_DATA: Final = {
    "data": Owned(0o2750, 1000, 2000),
    "data/seed": Owned(0o640, 1000, 2000, b"seed"),
    "data/sub": Owned(0o700, 33, 33),
    "data/sub/inner": Owned(0o4755, 0, 33, b"inner"),
}


def load(host: Host) -> None:
    """Give the host's Docker both images."""
    for name, beside in ((SHELL, {}), (DATA, IN_DATA)):
        host.docker("import", "--change", 'CMD ["sh"]', "-", name, stdin=_archive(beside))


def _archive(beside: dict[str, Owned]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in ("bin", "tmp", "etc"):
            _add(tar, path, Owned(0o755, 0, 0))
        _add(tar, "bin/busybox", Owned(0o755, 0, 0, _busybox()))
        for applet in _applets():
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for path, owned in beside.items():
            _add(tar, path, owned)
    return packed.getvalue()


def _add(tar: tarfile.TarFile, path: str, owned: Owned) -> None:
    entry = tarfile.TarInfo(path)
    entry.mode, entry.uid, entry.gid = owned.mode, owned.uid, owned.gid
    entry.type = tarfile.DIRTYPE if owned.content is None else tarfile.REGTYPE
    entry.size = len(owned.content or b"")
    tar.addfile(entry, io.BytesIO(owned.content or b""))


@cache
def _busybox() -> bytes:
    return Path(shutil.which("busybox") or "").read_bytes()


@cache
def _applets() -> tuple[str, ...]:
    listed = subprocess.run(["busybox", "--list"], capture_output=True, timeout=COMMAND_S)
    return tuple(name for name in listed.stdout.decode().split() if name != "busybox")
