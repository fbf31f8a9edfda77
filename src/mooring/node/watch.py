"""What the watchdog of this host is told, and that there is one.

RUN/DIGEST/fence  {"agent": PID, "version": of Mooring, "spared": [[PID, when it started], ...],
                  "boot": ID, "until": seconds since the boot, "volumes": [PATH, ...]}
STATE/fence       a link to it, which is where the watchdog looks

It is told with each renewal, so in memory: neither a full disk nor one that hangs may keep a host
from saying that it lives, as all of its writers would be killed. With the boot it goes, and so does
what it tells of.
"""

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from mooring import __version__
from mooring.host.processes import Process, detached, own
from mooring.node.watchdog import boot_s, is_there, read

FILE: Final = "fence"
RUN: Final = Path("/run/mooring")


def _launched(file: Path) -> None:
    detached(*own("mooring.node.watchdog"), str(file), log=file.with_name("watchdog.log"))


class Watch:
    """Of one agent."""

    def __init__(
        self,
        state_dir: Path,
        run_dir: Path = RUN,
        now_s: Callable[[], float] = boot_s,
        launch: Callable[[Path], None] = _launched,
    ) -> None:
        """launch: has a watchdog look at the file, if there is none"""
        self.file, self.now_s, self._launch = state_dir / FILE, now_s, launch
        digest = sha256(os.fsencode(state_dir.absolute())).hexdigest()
        self._told = run_dir / digest[:16] / FILE
        self._is_needed = False
        self._is_first = True  # one of an earlier version makes way for one of this
        self.engine: Process | None = None  # Docker's, which has volumes open as well

    def earlier_until_s(self) -> float | None:
        """Until when an earlier process of this agent has told that its volumes may be left alone;
        None if it had none, or that was before the host started."""
        told = read(self.file)
        if not told.get("volumes") or told.get("boot", _boot()) != _boot():
            return None
        return float(told.get("until") or 0)

    def tell(self, until_s: float, volumes: Iterable[Path]) -> None:
        """Replaces all that was told before. Raises OSError, ProgramMissing: it may not know."""
        paths = sorted(str(one) for one in volumes)
        if not paths and not self._is_needed and not self.file.exists():
            return
        self._is_needed = True
        told = {
            "agent": os.getpid(),
            "version": __version__,
            "spared": list(self.spared()),
            "boot": _boot(),
            "until": until_s,
            "volumes": paths,
        }
        self._write(told)
        if paths and (self._is_first or not is_there(self.file)):
            self._launch(self.file)
            self._is_first = False

    def spared(self) -> list[Process]:
        """Who may have a volume open and is no user of it: this agent and Docker's engine."""
        found = (Process.of(os.getpid()), self.engine)
        return [one for one in found if one is not None]

    def end(self) -> None:
        """The agent stops, and nothing is to be watched over."""
        with suppress(OSError):
            self._told.unlink()
            self._told.parent.rmdir()

    def _write(self, told: dict[str, Any]) -> None:
        target = self._told
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:  # where there is no such place, a disk has to do
            target = self.file
        new = target.with_name(f".{FILE}.new")
        new.write_text(json.dumps(told))
        os.replace(new, target)  # one that an earlier version wrote, too
        with suppress(OSError):
            if target == self.file or self.file.readlink() == target:
                return
        link = self.file.with_name(f".{FILE}.link")
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        os.replace(link, self.file)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
