"""A directory with everything in it that makes a copier stumble, or leads it astray."""

import os
import socket
import stat
from pathlib import Path
from typing import Final

LONG: Final = "long" * 50
PAST_PATHS: Final = 25  # so deep a directory of such names has no path: PATH_MAX is 4,096
DEPTH: Final = 1500  # beyond the usual 1,024 descriptors and Python's recursion as well
STRANGE: Final = (b"new\nline", b"bad-\xff\xfe", b" -rf ", b"*", b"\x1b[31m", "ü".encode(), b"...")


def planted(top: Path, outside: Path, depth: int = DEPTH) -> None:
    """Fill an empty directory.

    outside  has a file `precious`, which links lead to
    depth    in directories; most of the time that all this takes is for the deepest ones
    """
    for name in STRANGE:
        _write(os.fsencode(top) + b"/" + name, name)
    _links(top, outside)
    _specials(top)
    _owned(top)
    _several_names(top)
    _sparse(top / "sparse")
    _deep(top, depth)
    os.chown(top, 1000, 2000)
    os.chmod(top, 0o2770)
    os.utime(top, ns=(5, 1_234_567_890_123_456_789))


def _write(path: str | bytes | Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def _links(top: Path, outside: Path) -> None:
    os.symlink(outside, top / "to-outside")
    os.symlink(outside / "precious", top / "to-precious")
    os.symlink("..", top / "up")
    os.symlink("loop", top / "loop")
    os.symlink("x" * 4000, top / "to-nowhere")
    os.lchown(top / "to-outside", 4711, 4712)
    os.setxattr(top / "to-outside", "trusted.of-a-link", b"1", follow_symlinks=False)
    os.utime(top / "to-outside", ns=(7, 11), follow_symlinks=False)


def _specials(top: Path) -> None:
    os.mkfifo(top / "fifo", 0o640)
    os.mknod(top / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(top / "disk", 0o600 | stat.S_IFBLK, os.makedev(7, 3))
    os.utime(top / "null", ns=(13, 17))
    at_hand = os.open(top, os.O_PATH)  # the path itself may be too long for a socket
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{at_hand}/socket")
    os.close(at_hand)


def _owned(top: Path) -> None:
    _write(top / "program", b"#!/bin/sh\n")
    os.chown(top / "program", 4711, 4712)
    os.chmod(top / "program", 0o6751)
    os.setxattr(top / "program", "user.mime", b"text/x-sh\0\xff")
    os.setxattr(top / "program", "trusted.mark", b"")
    # cap_net_bind_service, which a change of the owner takes away.
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(top / "program", "security.capability", capability)
    os.utime(top / "program", ns=(19, 1_000_000_000_000_000_007))
    closed = top / "closed"
    closed.mkdir()
    _write(closed / "inside", b"inside")
    for path, mode in ((closed / "inside", 0), (closed, 0)):
        os.chmod(path, mode)


def _several_names(top: Path) -> None:
    (top / "a").mkdir()
    (top / "b").mkdir()
    _write(top / "a" / "first", b"one file")
    for other in (top / "b" / "second", top / "third"):
        os.link(top / "a" / "first", other)
    os.link(top / "to-precious", top / "a" / "same-link", follow_symlinks=False)
    os.link(top / "fifo", top / "b" / "same-fifo")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        for position in (0, 300 << 20, (600 << 20) - 1):
            file.seek(position)
            file.write(b"content at some place")
        file.truncate(1 << 30)


def _deep(top: Path, depth: int) -> None:
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(LONG, dir_fd=fd)
        below = os.open(LONG, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    bottom = os.open("bottom", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(bottom, b"down here")
    os.close(bottom)
    os.close(fd)
