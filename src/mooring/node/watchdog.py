"""Ends whoever writes to volumes that this host may not write to any more. A process of its own.

Its agent tells it in a file until when it may be left alone (node/fence.py has the file); while
that is put off again and again it does nothing. It goes on when the agent hangs, is stopped, or
was killed: then the host's Lease runs out, and another host may have the volumes.
"""

import fcntl
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mooring.errors import MooringError
from mooring.host import mounts
from mooring.host.mountinfo import Mountinfo, Place

log = logging.getLogger(__name__)

LOOK_S: Final = 0.1
# While the agent is well; not as long as it may be left alone, since that may be made shorter.
LOOK_WELL_S: Final = 0.5
KILL_S: Final = 2.0  # of one look; a process in an uninterruptible call dies only after it
KILLED_AGAIN_S: Final = 0.01
LOCKED_WITHIN_S: Final = 1.0  # its agent looks now and then whether there is a watchdog


def main(words: list[str]) -> int:
    """words: the file. Until there is nothing to watch over, and no agent that could say so."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s level=%(levelname)s %(message)s")
    file = Path(words[0])
    lock = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until_s = time.monotonic() + LOCKED_WITHIN_S
    while time.monotonic() < until_s:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _watch(file)
            break
        time.sleep(LOOK_S)
    return 0


def is_there(file: Path) -> bool:
    """Whether a watchdog looks at the file."""
    lock = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _watch(file: Path) -> None:
    while True:
        told = read(file)
        volumes = [Path(str(one)) for one in told.get("volumes") or ()]
        if not volumes and not _lives(told.get("agent")):
            return
        left_s = float(told.get("until") or 0) - time.monotonic()
        if volumes and left_s <= 0:
            fence(volumes)
        time.sleep(min(max(left_s, LOOK_S), LOOK_WELL_S))


def fence(points: Iterable[Path]) -> None:
    """Kill whoever has a volume that is mounted at one of these paths, and unmount it.

    What cannot be unmounted yet stays for the next look. Raises nothing.
    """
    table = Mountinfo.of()
    found: dict[Place, Path] = {}
    for point in points:
        if at := table.at(str(point)):
            found[at[-1].place] = point
    if not found:
        return
    if not _killed(found):
        return  # what is still held is not unmounted: it is found by that mount the next time
    for point in found.values():
        try:
            mounts.unmount(point)
        except MooringError as error:
            log.warning("%s", error)


def _killed(found: Mapping[Place, Path]) -> bool:
    """Whether nobody is left: one that was forked meanwhile would write on."""
    told: set[int] = set()
    until_s = time.monotonic() + KILL_S
    while users := mounts.processes_holding(set(found)) | _inside(found.values()):
        for pid in users:
            if pid not in told:
                log.warning("process %d is killed: this host may write to its volume no more", pid)
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        told |= users
        if time.monotonic() >= until_s:
            return False
        time.sleep(KILLED_AGAIN_S)
    return True


def _inside(points: Iterable[Path]) -> set[int]:
    """Processes of this mount namespace that are in a volume, or have something of it open."""
    below = tuple(f"{one}/" for one in points)
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        if int(name) == os.getpid() or not mounts.in_our_namespace(int(name)):
            continue
        with suppress(OSError):
            links = [f"/proc/{name}/cwd", f"/proc/{name}/root"]
            links += [one.path for one in os.scandir(f"/proc/{name}/fd")]
            for link in links:
                with suppress(OSError):
                    if f"{os.readlink(link)}/".startswith(below):
                        found.add(int(name))
    return found


def read(file: Path) -> dict[str, Any]:
    """What the agent told last; nothing if there is no such file."""
    with suppress(OSError, ValueError):
        found = json.loads(file.read_bytes())
        if isinstance(found, dict):
            return found
    return {}


def _lives(pid: object) -> bool:
    return isinstance(pid, int) and pid > 0 and Path(f"/proc/{pid}/ns").exists()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
