"""Keeps an nginx at a model. It has no API for that, so all is done by reloads. Edge §7.

A reload cuts idle connections of clients (before nginx 1.27.4), so reloads are few: changes are
collected, and what only went is waited with, since a request is passed on to another server.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from mooring.crashpoints import crash_point, passing
from mooring.edge.certificates import Certificate, chosen_in
from mooring.edge.descriptors import limit_of
from mooring.edge.errors import ConfigRejected, NotRunByService, ProxyAway, ReloadFailed
from mooring.edge.history import History, changes, few
from mooring.edge.interface import LOOK_S, Facts
from mooring.edge.listening import listens, try_to_listen
from mooring.edge.model import Backend, Model, Server, Wish
from mooring.edge.nginx import files, parts, streams
from mooring.edge.nginx.logfile import kept_small
from mooring.edge.nginx.workers import ends, orphans, workers
from mooring.edge.place import Place
from mooring.edge.routes import Problem, Route
from mooring.edge.settings import Settings
from mooring.errors import MooringError
from mooring.host import processes

log = logging.getLogger(__name__)

PROGRAM: Final = "nginx"
CONFIGURATION: Final = "nginx.conf"
APPLIED: Final = "nginx.applied"  # the master's number, and what its configuration hashes to
CHECK_S: Final = 30.0
PAUSE_S: Final = 0.02
# After which a server that went is taken out: its port may be given to somebody else.
GONE_S: Final = 30.0
# Of a worker: all of its connections, and some. Unless told to, nginx raises no limit, and where
# that is too low it takes no connections in for half a second at a time.
OPEN_FILES: Final = files.CONNECTIONS + 1024

CHECKED: Final = crash_point("edge.nginx.checked")
RELOAD_SENT: Final = crash_point("edge.nginx.reload-sent")
RELOADED: Final = crash_point("edge.nginx.reloaded")
STARTED: Final = crash_point("edge.nginx.started")
NOTED: Final = crash_point("edge.nginx.noted")

_Address = tuple[str, int]  # and its port


class Pace(NamedTuple):
    """How long it takes its time, in seconds.

    quiet_s    after a change, in case more come
    between_s  from one reload to the next
    urgent_s   the same, where requests may find no server that answers
    start_s    after which a start or a reload has come to nothing
    """

    quiet_s: float = 2.0
    between_s: float = 10.0
    urgent_s: float = 1.0
    start_s: float = 10.0


USUAL: Final = Pace()


class NginxProxy:
    """A Proxy of the interface."""

    def __init__(self, settings: Settings, pace: Pace = USUAL) -> None:
        self.settings, self.pace = settings, pace
        self.files = Place(settings.directory)
        self.place = self.files.path
        self._log = self.place / "nginx.log"
        self.history = History()
        self._version = ""  # of the program; not looked for yet
        self._wanted = ""  # the configuration that it is to have
        self._module: str | None = None  # of streams; None: not looked for yet
        self._applied = ""  # the configuration that it has, if that is known
        self._serving: dict[str, set[Server]] = {}  # by backend, as of that configuration
        self._routes: list[Route] = []  # likewise
        self._shape: object = None
        self._places: dict[str, set[_Address]] = {}  # by service, as of that configuration
        self._rejected: tuple[str, ConfigRejected] | None = None  # with what was said of it
        self._failed: ReloadFailed | None = None  # the last try, which is tried again in its time
        self._reloaded = -pace.between_s
        self._changed_at: float | None = None

    @property
    def reloads(self) -> int:
        """That came to something, since we follow it."""
        return self.history.succeeded

    async def facts(self) -> Facts | None:
        """None: it does not run."""
        master = self._master()
        if master is None:
            return None
        if not self._version:
            said = await processes.run(PROGRAM, "-v", deadline_s=CHECK_S)
            self._version = said.errors.decode(errors="replace").strip().rpartition("/")[2]
        has, wanted = (_digest(one)[:8] if one else "" for one in (self._applied, self._wanted))
        old = sum(ends(one) for one in workers(master))
        return Facts(self._version, master, has, wanted, old)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """None: nginx tells nobody what it finds."""
        return ()

    async def find(self) -> None:
        """Take over one that runs already, if it does; else start it as it was."""
        with suppress(OSError, ValueError):
            text = self.configuration().read_text()
            if self._master() is None:
                await self._start_as_it_was()
                self.history.starts += self._master() is not None
            master, _, digest = (self.place / APPLIED).read_text().partition(" ")
            if int(master) == self._master() and digest == _digest(text):
                self._applied = text

    async def revive(self) -> None:
        """Start it as it was, if it has ended. Raises MooringError, OSError."""
        kept_small(self._log)
        if self._master() is None:
            await self._start_as_it_was()
            self.history.starts += self._master() is not None

    async def bring(self, model: Model, certificates: Mapping[str, Certificate]) -> float:
        """Bring it to a model; after how many seconds to look again. Raises MooringError."""
        kept_small(self._log)
        text = self._wanted = await self._text(model, certificates)
        if self._master() is None:
            log.warning("nginx does not run; it is started")
            self.history.starts += self.configuration().exists()
            await self._start(text, model, certificates)
            return LOOK_S
        if text == self._applied:
            self._changed_at = self._failed = None
            if (
                self._shape is None
            ):  # an earlier process may have come to its reload, and no further
                self._keep_certificates(certificates)
            self._remember(model, certificates)
            return LOOK_S
        if self._rejected is not None and text == self._rejected[0]:
            self._changed_at = None
            raise self._rejected[1].with_traceback(None)
        now = time.monotonic()
        due = self._due(now, model, certificates)
        if now < due:
            if self._failed is not None:
                raise self._failed.with_traceback(None)
            return min(due - now, LOOK_S)
        with self.history.reload(self._why_reload(model)):
            await self._apply(text, model, certificates)
        self._changed_at = None
        log.info("reloaded backends=%d", len(model.backends))
        return LOOK_S

    async def refusal(
        self, model: Model, certificates: Mapping[str, Certificate]
    ) -> ConfigRejected | None:
        """What its own checker says to a model; None: it takes it."""
        text = await self._text(model, certificates)
        return await self._refusal(
            text, {files.certificate_file(one): one for one in certificates.values()}
        )

    def routes(self) -> list[Route]:
        """Those of the configuration that it has, if we wrote it."""
        return self._routes

    def state_of(self, backend: str, server: Server) -> str:
        """In a word, how a server is: nginx tells nobody what it finds."""
        if server.wish is Wish.LEAVE:
            return "leaves"
        return "serves" if server in self._serving.get(backend, set()) else "waits"

    async def rendered(self, model: Model) -> str:
        """The configuration of a model, with the certificates that there are now."""
        found = chosen_in(self.settings.certificates, datetime.now(UTC))
        return await self._text(model, {one.file: one for one in found})

    def configuration(self) -> Path:
        """Where the one is that it has."""
        return self.place / CONFIGURATION

    async def stop(self) -> None:
        """End it, with every connection that it has."""
        master = self._master()
        if master is not None:
            with suppress(ProcessLookupError):
                os.kill(master, signal.SIGTERM)

    async def _text(self, model: Model, certificates: Mapping[str, Certificate]) -> str:
        """Raises ModuleMissing."""
        if self._module is None:
            self._module = await self._find_module() if self.settings.entries_of("tcp") else ""
        path_of = self.files.certificate
        can = min(limit_of(), OPEN_FILES)
        return files.config(model, self.settings, certificates, path_of, self._module, can)

    async def _find_module(self) -> str:
        said = await processes.run(PROGRAM, "-V", deadline_s=CHECK_S)
        return streams.module(said.errors.decode(errors="replace"))

    def _why_reload(self, model: Model) -> str:
        """What of a model it has not, in words."""
        if self._shape is None:
            return "what it had is of an earlier start"
        servers = [
            one.route.service
            for name, one in model.backends.items()
            if name in self._serving and set(parts.in_use(one)) != self._serving[name]
        ]
        found = changes(self._routes, (one.route for one in model.backends.values()))
        found += [f"other servers: {few(sorted(servers))}"] if servers else []
        return "; ".join(found) or "certificates, or which service has which name"

    def _due(self, now: float, model: Model, certificates: Mapping[str, Certificate]) -> float:
        """When to reload for a model that it has not. In seconds as `time.monotonic` has them."""
        since = self._changed_at = self._changed_at or now
        if self._misleads(model):
            return now
        if self._failed is None and self._strands(model):
            return self._reloaded + self.pace.urgent_s
        wait_s = GONE_S if self._only_went(model, certificates) else self.pace.quiet_s
        return max(since + wait_s, self._reloaded + self.pace.between_s)

    def _misleads(self, model: Model) -> bool:
        """Whether a server that went has left its address to another service, which would get
        requests that are not its own."""
        now = _places(model, lambda one: one.servers)
        gone = (places - now.get(service, set()) for service, places in self._places.items())
        return not set().union(*gone).isdisjoint(set().union(*now.values()))

    def _strands(self, model: Model) -> bool:
        """Whether so many of the servers that it has are to go, or went, that all tries of a
        request may meet them, and there are others."""
        wanted = {name: set(parts.in_use(one)) for name, one in model.backends.items()}
        return any(
            len(has - wanted[name]) >= min(parts.TRIES, len(has))
            for name, has in self._serving.items()
            if has and wanted.get(name)
        )

    def _only_went(self, model: Model, certificates: Mapping[str, Certificate]) -> bool:
        """Whether servers that are there all serve already, by the same routes."""
        same = self._shape == _shape(model, certificates)
        wanted = ((name, set(parts.in_use(one))) for name, one in model.backends.items())
        return same and all(some and some <= self._serving[name] for name, some in wanted)

    async def _start(
        self, text: str, model: Model, certificates: Mapping[str, Certificate]
    ) -> None:
        """With this configuration, or else the one before. Raises as `_apply`."""
        try:
            await self._apply(text, model, certificates)
        except ConfigRejected:
            await self._start_as_it_was()
            raise

    async def _start_as_it_was(self) -> None:
        """With the configuration that it had, if that can be: whoever calls goes on anyway."""
        if not self.configuration().exists():
            return
        try:
            await self._run()
            self._note(self.configuration().read_text())
        except MooringError as error:
            log.warning("nginx is not started as it was: %s", error)

    async def _apply(
        self, text: str, model: Model, certificates: Mapping[str, Certificate]
    ) -> None:
        """Raises ConfigRejected, EntryTaken, ReloadFailed, ProxyAway: what was before goes on."""
        files_of = {files.certificate_file(one): one for one in certificates.values()}
        if (refusal := await self._refusal(text, files_of)) is not None:
            self._rejected = text, refusal
            raise refusal
        passing(CHECKED)
        master = self._master()
        if master is None:
            await self._end_orphans()
            for entry in self.settings.listeners:
                try_to_listen(entry)
        # One that it may not have taken over is none to go back to.
        self.files.replace("new.conf", CONFIGURATION, is_good=bool(self._applied))
        if master is None:
            await self._run()
        else:
            await self._reload(master)
        self._note(text)
        passing(NOTED)
        self._rejected = self._failed = None
        self._remember(model, certificates)
        self._keep_certificates(certificates)

    async def _refusal(
        self, text: str, files_of: Mapping[str, Certificate]
    ) -> ConfigRejected | None:
        self.files.make()
        self.files.write_certificates(files_of)
        self.files.write("new.conf", text)
        new = str(self.place / "new.conf")
        words = ("-t", "-q", *self._words(), "-c", new)
        checked = await processes.run(PROGRAM, *words, deadline_s=CHECK_S)
        return ConfigRejected("nginx", checked.message) if checked.status else None

    async def _reload(self, master: int) -> None:
        """Raises ReloadFailed; the configuration that it has is then the one of before again."""
        before = workers(master)
        self._reloaded = time.monotonic()
        os.kill(master, signal.SIGHUP)
        passing(RELOAD_SENT)
        try:
            await self._until_it_works(before)
        except ReloadFailed as error:
            self._failed = error
            self.files.restore(CONFIGURATION)
            raise
        passing(RELOADED)

    async def _run(self) -> None:
        """Start it with the configuration that is there. Raises ReloadFailed, ProxyAway,
        NotRunByService."""
        if self.settings.attach:
            try:
                await self._until_it_works(set())
            except ReloadFailed as error:
                raise NotRunByService("nginx", self.configuration()) from error
            return
        await self._end_orphans()
        command = (PROGRAM, *self._words(), "-c", str(self.configuration()))
        log_file = self.place / "start.log"
        if await processes.daemon(*command, log=log_file, deadline_s=self.pace.start_s):
            raise ProxyAway("nginx", f"it does not start; {log_file} says why")
        passing(STARTED)
        await self._until_it_works(set())

    async def _end_orphans(self) -> None:
        """They keep the entry points, which whoever starts is to have. What clients began goes on.

        Raises ReloadFailed.
        """
        if self.settings.attach:
            return
        left, entries = orphans(self._log), self.settings.listeners
        for pid in left:
            log.warning("nginx's worker %d has lost its master, and is to end", pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT)
        try:
            async with asyncio.timeout(self.pace.start_s):
                while True:
                    if not any(listens(pid, one) for pid in left for one in entries):
                        return
                    await asyncio.sleep(PAUSE_S)
        except TimeoutError as error:
            raise ReloadFailed("nginx", f"workers without a master do not end: {left}") from error

    def _note(self, text: str) -> None:
        """That it has this configuration, for us and for who finds it."""
        self._applied = text  # also where that cannot be written: it has it all the same
        self.files.write(APPLIED, f"{self._master()} {_digest(text)}")

    def _words(self) -> tuple[str, ...]:
        return ("-p", str(self.place), "-e", str(self._log))

    def _keep_certificates(self, certificates: Mapping[str, Certificate]) -> None:
        """Workers have read those that the configuration names no more. Raises NotWritten."""
        self.files.keep_certificates({files.certificate_file(one) for one in certificates.values()})

    async def _until_it_works(self, before: set[int]) -> None:
        """A reload that came to nothing has no new workers, and is told in its log alone."""
        try:
            async with asyncio.timeout(self.pace.start_s):
                while True:
                    master = self._master()
                    if master is not None and workers(master) - before:
                        return
                    await asyncio.sleep(PAUSE_S)
        except TimeoutError as error:
            raise ReloadFailed("nginx", f"no new worker; {self._log} says why") from error

    def _remember(self, model: Model, certificates: Mapping[str, Certificate]) -> None:
        self._serving = {name: set(parts.in_use(one)) for name, one in model.backends.items()}
        self._routes = [one.route for one in model.backends.values()]
        self._shape = _shape(model, certificates)
        self._places = _places(model, parts.in_use)

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
    contents = {(files.certificate_file(one), one.names) for one in certificates.values()}
    return frozenset(model.rules), routes, contents


def _places(
    model: Model, servers_of: Callable[[Backend], Iterable[Server]]
) -> dict[str, set[_Address]]:
    """Addresses and ports of these servers, by the id of their service."""
    found: dict[str, set[_Address]] = {}
    for backend in model.backends.values():
        places = {(one.address, one.port) for one in servers_of(backend)}
        found.setdefault(backend.route.service_id, set()).update(places)
    return found


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
