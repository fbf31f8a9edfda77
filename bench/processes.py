"""What processes of this machine use, read from /proc."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
LISTENING: Final = "0A"  # the state in /proc/net/tcp


def listeners(port: int) -> list[int]:
    """The processes that listen on a TCP port of this machine, as far as we may see them."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    found = []
    for process in PROC.iterdir():
        if process.name.isdigit() and sockets & _open_files(process):
            found.append(int(process.name))
    return sorted(found)


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    return inodes


def _open_files(process: Path) -> set[str]:
    found: set[str] = set()
    with suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                found.add(os.readlink(descriptor))
    return found


def with_children(pids: list[int]) -> list[int]:
    """These processes and all that descend from them."""
    known = list(dict.fromkeys(pids))
    for pid in known:  # grows while it is walked
        with suppress(OSError):
            for task in (PROC / str(pid) / "task").iterdir():
                known += [
                    child
                    for child in map(int, (task / "children").read_text().split())
                    if child not in known
                ]
    return known


def resident_mib(pids: list[int]) -> float:
    """Resident memory of these processes and their children, in MiB."""
    total_kib = 0
    for pid in with_children(pids):
        with suppress(OSError):
            for line in (PROC / str(pid) / "status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total_kib += int(line.split()[1])
    return total_kib / 1024


def cpu_s(pids: list[int]) -> float:
    """CPU seconds used so far by the threads of these processes and their children.

    From schedstat, in nanoseconds: the ticks of `stat` are too coarse for an idle server.
    """
    total_ns = 0
    for pid in with_children(pids):
        with suppress(OSError):
            for task in (PROC / str(pid) / "task").iterdir():
                with suppress(OSError):
                    total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9
