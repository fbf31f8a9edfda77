"""Passes on bytes between its standard input and output and a socket that it was started with.

`bridge FD …`: what rsync starts as its way to the other host; what it says beside that is ignored.
"""

import os
import socket
import sys
import threading
from contextlib import suppress

AT_MOST = 1 << 18


def _passed_in(connection: socket.socket) -> None:
    with suppress(OSError):
        while content := os.read(0, AT_MOST):
            connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)


def main(descriptor: int) -> None:
    connection = socket.socket(fileno=descriptor)
    for one in (0, 1):
        os.set_blocking(one, True)  # rsync starts us without
    threading.Thread(target=_passed_in, args=(connection,), daemon=True).start()
    with suppress(OSError):
        while content := connection.recv(AT_MOST):
            while content:
                content = content[os.write(1, content) :]


if __name__ == "__main__":
    main(int(sys.argv[1]))
