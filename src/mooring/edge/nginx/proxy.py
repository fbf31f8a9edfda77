"""Keeps an nginx at a model. It has no API for that, so all is done by reloads. Edge §7.

A reload cuts idle connections of clients (before nginx 1.27.4), so reloads are few: changes are
collected, and what only went is waited with, since a request is passed on to another server.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from mooring.edge.certificates import Certificate
from mooring.edge.errors import ConfigRejected, ProxyAway, ReloadFailed
from mooring.edge.interface import LOOK_S
from mooring.edge.listening import try_to_listen
from mooring.edge.model import Model, Server, Wish
from mooring.edge.nginx import files
from mooring.edge.place import Place
from mooring.edge.settings import Settings
from mooring.host import processes

log = logging.getLogger(__name__)

PROGRAM: Final = "nginx"
CONFIGURATION: Final = "nginx.conf"
APPLIED: Final = "nginx.applied"  # the master's number, and what its configuration hashes to
CHECK_S: Final = 30.0
START_S: Final = 10.0
PAUSE_S: Final = 0.02
QUIET_S: Final = 2.0  # after a change, in case more come
BETWEEN_RELOADS_S: Final = 10.0
# After which a server that went is taken out: its port may be given to another service.
GONE_S: Final = 30.0


class NginxProxy:
    """A Proxy of the interface."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.files = Place(settings.directory)
        self.place = self.files.path
        self.reloads = 0
        self._applied = ""  # the configuration that it has, if that is known
        self._serving: dict[str, set[Server]] = {}  # by backend, as of that configuration
        self._shape: object = None
        self._rejected = ""
        self._reloaded = -BETWEEN_RELOADS_S
        self._changed_at: float | None = None

    async def find(self) -> None:
        """Take over one that runs already, if it does."""
        with suppress(OSError, ValueError):
            text = self.configuration().read_text()
            master, _, digest = (self.place / APPLIED).read_text().partition(" ")
            if int(master) == self._master() and digest == _digest(text):
                self._applied = text

    async def bring(self, model: Model, certificates: Mapping[str, Certificate]) -> float:
        """Bring it to a model; after how many seconds to look again. Raises MooringError."""
        text = self._text(model, certificates)
        if self._master() is None:
            log.warning("nginx does not run; it is started")
            await self._apply(text, model, certificates)
            return LOOK_S
        if text in (self._applied, self._rejected):
            self._changed_at = None
            self._remember(model, certificates)
            return LOOK_S
        now = time.monotonic()
        since = self._changed_at = self._changed_at or now
        wait_s = GONE_S if self._only_went(model, certificates) else QUIET_S
        due = max(since + wait_s, self._reloaded + BETWEEN_RELOADS_S)
        if now < due:
            return min(due - now, LOOK_S)
        await self._apply(text, model, certificates)
        self.reloads += 1
        self._reloaded, self._changed_at = time.monotonic(), None
        log.info("reloaded backends=%d", len(model.backends))
        return LOOK_S

    def state_of(self, backend: str, server: Server) -> str:
        """In a word, how a server is: nginx tells nobody what it finds."""
        if server.wish is Wish.LEAVE:
            return "leaves"
        return "serves" if server in self._serving.get(backend, set()) else "waits"

    async def rendered(self, model: Model) -> str:
        """The configuration of a model, without certificates."""
        return self._text(model, {})

    def configuration(self) -> Path:
        """Where the one is that it has."""
        return self.place / CONFIGURATION

    async def stop(self) -> None:
        """End it, with every connection that it has."""
        master = self._master()
        if master is not None:
            with suppress(ProcessLookupError):
                os.kill(master, signal.SIGTERM)

    def _text(self, model: Model, certificates: Mapping[str, Certificate]) -> str:
        return files.config(model, self.settings, certificates, self.files.certificate)

    def _only_went(self, model: Model, certificates: Mapping[str, Certificate]) -> bool:
        """Whether servers that are there all serve already, by the same routes."""
        same = self._shape == _shape(model, certificates)
        wanted = ((name, set(files.in_use(one))) for name, one in model.backends.items())
        return same and all(some and some <= self._serving[name] for name, some in wanted)

    async def _apply(
        self, text: str, model: Model, certificates: Mapping[str, Certificate]
    ) -> None:
        """Raises ConfigRejected, EntryTaken, ReloadFailed, ProxyAway: what was before goes on."""
        self.files.make()
        self.files.write_certificates(certificates)
        self.files.write("new.conf", text)
        words = ("-p", str(self.place), "-e", str(self.place / "nginx.log"))
        new = str(self.place / "new.conf")
        checked = await processes.run(PROGRAM, "-t", "-q", *words, "-c", new, deadline_s=CHECK_S)
        if checked.status:
            self._rejected = text
            raise ConfigRejected("nginx", checked.message)
        master = self._master()
        if master is None:
            for entry in self.settings.entry_points:
                try_to_listen(entry)
        before = _workers(master) if master else set()
        self.files.replace("new.conf", CONFIGURATION)
        if master is None:
            command = (PROGRAM, *words, "-c", str(self.configuration()))
            log_file = self.place / "start.log"
            if await processes.daemon(*command, log=log_file, deadline_s=START_S):
                raise ProxyAway("nginx", f"it does not start; {log_file} says why")
        else:
            os.kill(master, signal.SIGHUP)
        await self._until_it_works(before)
        self.files.write(APPLIED, f"{self._master()} {_digest(text)}")
        self._applied, self._rejected = text, ""
        self._remember(model, certificates)

    async def _until_it_works(self, before: set[int]) -> None:
        """A reload that came to nothing has no new workers, and is told in its log alone."""
        try:
            async with asyncio.timeout(START_S):
                while True:
                    master = self._master()
                    if master is not None and _workers(master) - before:
                        return
                    await asyncio.sleep(PAUSE_S)
        except TimeoutError as error:
            log_file = self.place / "nginx.log"
            raise ReloadFailed("nginx", f"no new worker; {log_file} says why") from error

    def _remember(self, model: Model, certificates: Mapping[str, Certificate]) -> None:
        self._serving = {name: set(files.in_use(one)) for name, one in model.backends.items()}
        self._shape = _shape(model, certificates)

    def _master(self) -> int | None:
        """Its number, if it runs."""
        try:
            number = int((self.place / "nginx.pid").read_text())
            line = Path(f"/proc/{number}/cmdline").read_bytes()  # empty of one that has ended
        except (OSError, ValueError):
            return None
        return number if line.startswith(f"{PROGRAM}: master".encode()) else None


def _shape(model: Model, certificates: Mapping[str, Certificate]) -> object:
    """All of a model but its servers."""
    routes = {name: one.route for name, one in model.backends.items()}
    prints = {name: one.fingerprint for name, one in certificates.items()}
    return frozenset(model.rules), routes, prints


def _workers(master: int) -> set[int]:
    with suppress(OSError):
        children = Path(f"/proc/{master}/task/{master}/children").read_text()
        return {int(one) for one in children.split()}
    return set()


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
