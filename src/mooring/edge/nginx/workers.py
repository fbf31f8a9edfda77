"""nginx's workers, which do what clients ask for, as /proc shows them."""

import os
from contextlib import suppress
from pathlib import Path


def workers(master: int) -> set[int]:
    """Of a master, those too that are about to end."""
    with suppress(OSError):
        children = Path(f"/proc/{master}/task/{master}/children").read_text()
        return {int(one) for one in children.split()}
    return set()


def ends(worker: int) -> bool:
    """Whether it ends what clients began, and takes nothing new."""
    return b"is shutting down" in _title(worker)


def orphans(log: Path) -> set[int]:
    """Workers that write this log and whose master was killed: they serve on, told by nobody.

    log  of one nginx alone
    """
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if _title(int(path.name)).startswith(b"nginx: worker") and _writes(path, log):
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                if not _title(parent).startswith(b"nginx: master"):
                    found.add(int(path.name))
    return found


def _title(pid: int) -> bytes:
    """Empty of one that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _writes(process: Path, log: Path) -> bool:
    links = (os.readlink(one) for one in os.scandir(process / "fd"))
    return str(log) in links
