"""Whether an entry point can be had at all."""

import os
import socket as sockets
from contextlib import suppress
from pathlib import Path
from typing import Final

from mooring.edge.errors import EntryTaken
from mooring.edge.settings import EntryPoint

_LISTEN: Final = "0A"  # a state of the kernel's tables


def try_to_listen(entry: EntryPoint) -> None:
    """Raises EntryTaken if somebody listens there already."""
    kind = sockets.AF_INET6 if ":" in entry.address else sockets.AF_INET
    with sockets.socket(kind, sockets.SOCK_STREAM) as listener:
        listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        try:
            listener.bind((entry.address, entry.port))
        except OSError as error:
            why = error.strerror or str(error)
            raise EntryTaken(entry.name, entry.address, entry.port, why) from error


def listens(pid: int, entry: EntryPoint) -> bool:
    """Whether a process listens there: a proxy of ours that has this entry point already."""
    return bool(_listening(entry) & _open(pid))


def has_port_alone(pid: int, port: int) -> bool:
    """Whether a process listens at a port, at whichever address, and nobody else does."""
    found = _at_port(port)
    return bool(found) and found <= _open(pid)


def _open(pid: int) -> set[str]:
    """Links of what a process has open."""
    links = set()
    with suppress(OSError):
        for one in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                links.add(os.readlink(one))
    return links


def _at_port(port: int) -> set[str]:
    """Sockets that listen at a port of any address, as links to them read."""
    found = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                cells = line.split()
                if cells[1].endswith(f":{port:04X}") and cells[3] == _LISTEN:
                    found.add(f"socket:[{cells[9]}]")
    return found


def _listening(entry: EntryPoint) -> set[str]:
    """Sockets that listen at the address and port, as links to them read."""
    is_six = ":" in entry.address
    kind = sockets.AF_INET6 if is_six else sockets.AF_INET
    raw = sockets.inet_pton(kind, entry.address)
    # The kernel prints words of four bytes in the machine's order.
    words = [raw[at : at + 4][::-1].hex().upper() for at in range(0, len(raw), 4)]
    where = f"{''.join(words)}:{entry.port:04X}"
    found = set()
    with suppress(OSError):
        for line in Path(f"/proc/net/tcp{'6' if is_six else ''}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[1] == where and cells[3] == _LISTEN:
                found.add(f"socket:[{cells[9]}]")
    return found
