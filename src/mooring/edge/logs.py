"""Access logs: where a line of JSON for each request or connection goes, and what is in it.

A proxy writes them without waiting: what its target does not take at once is lost, and no request
is later for it.
"""

import re
import stat
from pathlib import Path
from typing import Final, Literal, NamedTuple

from mooring.edge.addresses import address_of

Kind = Literal["file", "stdout", "unix", "udp"]
TAG: Final = "mooring_edge"  # of syslog
NONE: Final = "-"  # stands for what there is none of
# What clients say is cut after so many characters.
HOST_AT_MOST: Final = 256
METHOD_AT_MOST: Final = 32
PATH_AT_MOST: Final = 1024
AGENT_AT_MOST: Final = 512
_PATH: Final = re.compile(r"/[A-Za-z0-9._/-]+", re.ASCII)
_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


class Target(NamedTuple):
    """where: a path, or ADDRESS:PORT; empty of stdout."""

    kind: Kind
    where: str


def target_of(text: str) -> Target | None:
    """Of `/FILE`, `stdout`, `unixgram:///SOCKET` or `udp://ADDRESS:PORT`; None if it is none."""
    if text == "stdout":
        return Target("stdout", "")
    scheme, _, where = text.rpartition("://")
    if scheme == "udp":
        return Target("udp", where) if address_of(where) else None
    kind: Kind | None = {"": "file", "unixgram": "unix"}.get(scheme)  # type: ignore[assignment]
    return Target(kind, where) if kind and _PATH.fullmatch(where) else None


def fault(text: str, proxy: str, attach: bool) -> tuple[str, str] | None:
    """What is wrong with a target, and the remedy; None: nothing, or there is none."""
    if not text:
        return None
    target = target_of(text)
    if target is None:
        return f"{text!r} is none", "as unixgram:///dev/log, udp://10.0.0.5:514 or a file"
    syslog = "name a socket of syslog, as unixgram:///dev/log"
    if target.kind == "file" and proxy == "haproxy":
        return "HAProxy writes no files", syslog
    if target.kind == "file":
        return _fault_of_file(Path(target.where))
    if target.kind == "stdout" and proxy == "nginx":
        return "nginx has no standard output once it runs", syslog
    if target.kind == "stdout" and not attach:
        return "HAProxy has a standard output only of a service, with attach", syslog
    return None


def _fault_of_file(path: Path) -> tuple[str, str] | None:
    """nginx would wait for a reader of a FIFO before it serves."""
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}", "make it"
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        return f"{path} is no file", "name one, or a socket as unixgram:///dev/log"
    return None


def name_of(service: str, service_id: str) -> str:
    """A service as lines name it, in one word: Docker takes no other name."""
    return service if _SERVICE.fullmatch(service) else service_id
