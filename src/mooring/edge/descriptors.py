"""How many files and sockets a process may have open."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

REMEDY: Final = (
    "raise LimitNOFILE= of the unit that runs it (in a container: --ulimit nofile=), restart it"
)
_MOST: Final = Path("/proc/sys/fs/nr_open")
_RAISES: Final = 1 << 24  # CAP_SYS_RESOURCE


def limit_of(pid: int | str = "self") -> int:
    """To which a process can raise its own limit; 0 if nobody tells."""
    with suppress(OSError, IndexError, ValueError):
        place = Path("/proc") / str(pid)
        status, limits = (place / "status").read_text(), (place / "limits").read_text()
        most = int(_MOST.read_text())
        # What a container with users of its own calls its root has no such right.
        is_real = (place / "uid_map").read_text().split() == ["0", "0", str(2**32 - 1)]
        if is_real and int(_after("CapEff:", status), 16) & _RAISES:
            return most
        hard = limits.partition("Max open files")[2].split()[1]
        return most if hard == "unlimited" else int(hard)
    return 0


def _after(name: str, text: str) -> str:
    return text.partition(name)[2].split()[0]


def threads() -> int:
    """That a proxy begins if nobody says how many."""
    return os.cpu_count() or 1
