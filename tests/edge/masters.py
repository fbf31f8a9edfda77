"""Proxies among the processes of this machine."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def masters(is_one: Callable[[Path], bool]) -> set[int]:
    """Numbers of those that live and are no other's worker.

    is_one  given a process's directory in /proc, whether it is of the proxy; may raise OSError
    """
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if is_one(path):
                state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    found[int(path.name)] = int(parent)
    return {pid for pid, parent in found.items() if parent not in found}
