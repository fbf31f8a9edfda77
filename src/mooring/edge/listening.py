"""Whether an entry point can be had at all."""

import socket as sockets

from mooring.edge.errors import EntryTaken
from mooring.edge.settings import EntryPoint


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
