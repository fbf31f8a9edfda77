"""Ends whoever writes to volumes that this host may not write to any more. A process of its own.

Its agent tells it in a file until when it may be left alone (node/watch.py has the file); while
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
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mooring import __version__
from mooring.errors import MooringError
from mooring.host import mounts
from mooring.host.mountinfo import Mountinfo, Place
from mooring.host.processes import Process, program, started_by

log = logging.getLogger(__name__)

LOOK_S: Final = 0.1
# While the agent is well; not as long as it may be left alone, since that may be made shorter.
LOOK_WELL_S: Final = 0.5
KILL_S: Final = 2.0  # of one look; a process in an uninterruptible call dies only after it
KILLED_AGAIN_S: Final = 0.01
SAID_AT_MOST: Final = 1000  # texts that are known to have been said
ENGINES: Final = frozenset({"dockerd", "containerd"})
LOCKED_WITHIN_S: Final = 3.0  # one that makes way may be killing, and its agent looks again later


def main(words: list[str]) -> int:
    """words: the file. Until there is nothing to watch over, and no agent that could say so."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s level=%(levelname)s %(message)s")
    log.addFilter(_Once())
    file = Path(words[0])
    _outlive_others()
    lock = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until_s = boot_s() + LOCKED_WITHIN_S
    while boot_s() < until_s:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _watch(file)
            break
        time.sleep(LOOK_S)
    return 0


def _outlive_others() -> None:
    """Not be killed where memory is short, which is when agents hang."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-1000")


class _Once(logging.Filter):
    """What is found at each look, many times a second, is said once."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text in self._said:
            return False
        if len(self._said) >= SAID_AT_MOST:
            self._said.clear()
        self._said.add(text)
        return True


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


def boot_s() -> float:
    """Seconds since the boot. The time goes on while the host is suspended: its Lease runs out."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _watch(file: Path) -> None:
    told: dict[str, Any] = {}
    while True:
        told = read(file) or told  # what cannot be read stands as it was
        volumes = [Path(str(one)) for one in told.get("volumes") or ()]
        lives = _lives(told.get("agent"))
        if not lives and not _mounted(volumes):
            return
        if lives and told.get("version", __version__) != __version__:
            return  # its agent has started one of its own, which waits for the lock
        left_s = float(told.get("until") or 0) - boot_s()
        if volumes and left_s <= 0:
            try:
                fence(volumes, _told_spared(told))
            except Exception:  # it must not end: nobody else does this
                log.exception("who may have lost volumes is looked for again")
        time.sleep(min(max(left_s, LOOK_S), LOOK_WELL_S))


def _told_spared(told: Mapping[str, Any]) -> list[Process]:
    with suppress(TypeError, ValueError):
        return [Process(int(pid), str(started)) for pid, started in told.get("spared") or ()]
    return []


def _mounted(points: Iterable[Path]) -> bool:
    table = Mountinfo.of()
    return any(table.at(str(one)) for one in points)


def fence(points: Iterable[Path], spared: Iterable[Process] = ()) -> list[Path]:
    """Kill whoever has a volume that is mounted at one of these paths, and unmount it.

    spared   who has it open for what is no use of it; what they have started is spared as well, as
             far as it is no container: that has a mount namespace of its own
    returns  what cannot be unmounted yet: that stays for the next look
    """
    table = Mountinfo.of()
    found: dict[Place, Path] = {}
    for point in points:
        if at := table.at(str(point)):
            found[at[-1].place] = point
    if not found:
        return []
    if not _killed(found, [one for one in spared if one.lives]):
        # What is still held is not unmounted: it is found by that mount the next time.
        return list(found.values())
    left = []
    for point in found.values():
        try:
            mounts.unmount(point)
        except MooringError as error:
            log.warning("%s", error)
            left.append(point)
    return left


def _killed(found: Mapping[Place, Path], spared: Iterable[Process]) -> bool:
    """Whether nobody is left: one that was forked meanwhile would write on."""
    told: set[int] = set()
    until_s, ours = boot_s() + KILL_S, [one.pid for one in spared]
    while users := mounts.processes_holding(set(found), ours) | _inside(found.values(), ours):
        for pid in users:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for pid in users - told:  # said afterwards, as a log may be on a disk that hangs
            log.warning("process %d is killed: this host may write to its volume no more", pid)
        told |= users
        if boot_s() >= until_s:
            return False
        time.sleep(KILLED_AGAIN_S)
    return True


def _inside(points: Iterable[Path], spared: Sequence[int]) -> set[int]:
    """Processes of this mount namespace that are in a volume, or have something of it open.

    Not those of the agent, which looks how much is in a volume; nor Docker's own, without which no
    container of this host would be looked after.
    """
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
    if not found:
        return found
    return {one for one in found - started_by(spared) if program(one) not in ENGINES}


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
