"""The life of one HAProxy: found again or started, reloaded with what it is to be. Edge §6, §8.

It is no child of ours: it goes on when we end, and is found again by its socket and the generation
of its configuration.
"""

import asyncio
import logging
import os
import re
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from mooring.crashpoints import crash_point, passing
from mooring.edge.certificates import Certificate
from mooring.edge.descriptors import limit_of
from mooring.edge.errors import (
    ConfigRejected,
    NotRunByService,
    NotWritten,
    ProxyAway,
    ReloadFailed,
)
from mooring.edge.haproxy import files, parts, room, split
from mooring.edge.haproxy.applied import Applied, applied, note
from mooring.edge.haproxy.certifying import Certifier
from mooring.edge.haproxy.runtime import Runtime, Worker, worker_of
from mooring.edge.history import changes, few
from mooring.edge.listening import has_port_alone, listens, try_to_listen
from mooring.edge.model import Backend, Model
from mooring.edge.place import Place
from mooring.edge.routes import Route
from mooring.edge.rules import Rule
from mooring.edge.settings import Settings
from mooring.host import processes
from mooring.host.errors import HostStuck

log = logging.getLogger(__name__)

PROGRAM: Final = "haproxy"
CHECK_S: Final = 30.0
START_S: Final = 10.0
LOST_S: Final = 2.0  # after which a signal is sent again; a reload of 1,000 backends takes 0.2
PAUSE_S: Final = 0.02  # between two looks at what is under way
CHECKED: Final = crash_point("edge.haproxy.checked")
MAPS_WRITTEN: Final = crash_point("edge.haproxy.maps-written")
STATE_WRITTEN: Final = crash_point("edge.haproxy.state-written")
RELOAD_SENT: Final = crash_point("edge.haproxy.reload-sent")
WORKER_SEEN: Final = crash_point("edge.haproxy.worker-seen")
STARTED: Final = crash_point("edge.haproxy.started")
MAP_SWAPPED: Final = crash_point("edge.haproxy.map-swapped")
_FAULT: Final = re.compile(
    r"^\[ALERT\] +\(\d+\) : config : (?:parsing )?(?!Error|Fatal)(.*)$", re.M
)
_SET: Final = re.compile(rf"set-var {re.escape(files.GENERATION)} int\((\d+)\)")


class Haproxy:
    """One HAProxy, in a directory of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.files = Place(settings.directory)
        self.place = self.files.path
        self.configuration = self.place / "haproxy.cfg"
        self.runtime = Runtime(self.place / "admin.sock")
        self._certifier = Certifier(settings, self.files, self.runtime)
        self.slots: dict[str, int] = {}  # how many it has, by backend
        self._applied = ""  # its configuration, if that is known
        self._backends: dict[str, Backend] = {}  # of that configuration, as far as it is known
        self._families: dict[str, str] = {}  # of their servers, as it has them
        self._generation = self._written = 0  # of what runs, and of its file
        self._judged: tuple[object, bool] | None = None  # what a reload hangs on, and whether

    async def found(self) -> bool:
        """Whether it runs with a configuration of ours. Then nothing has to be reloaded."""
        self._applied = ""
        self._certifier.found()
        with suppress(OSError):
            text = self.configuration.read_text()
            said = _SET.search(text)
            self._written = int(said[1]) if said else 0
            try:
                running = await self.runtime.generation()
                self.slots = {name: len(of) for name, of in (await self.runtime.slots()).items()}
            except ProxyAway:
                return False
            if said and running == int(said[1]):
                self._applied, self._generation = text, running
                made_of = applied(self.files, running)
                self._backends = made_of.backends(self.slots)
                self._families = made_of.families
                return True
            if running is not None:
                self._generation = running
        return False

    @property
    def is_known(self) -> bool:
        """Whether what runs is what its file says."""
        return bool(self._applied)

    @property
    def generation(self) -> int:
        """Of its configuration; 0 if it has none of ours."""
        return self._generation

    async def worker(self) -> Worker:
        """Raises ProxyAway."""
        return await worker_of(self.place / "master.sock")

    def why_reload(self, model: Model) -> str:
        """What of a model it has not, in words."""
        if not self._backends:
            return "what it had is of an earlier start"
        found = changes(self.routes(), (one.route for one in model.backends.values()))
        grown = [
            one.route.service
            for name, one in model.backends.items()
            if one.slots > self.slots.get(name, one.slots)
        ]
        found += [f"more slots: {few(sorted(grown))}"] if grown else []
        return "; ".join(found) or "the edge file"

    async def runs(self) -> bool:
        """Whether its worker answers."""
        try:
            return await self.runtime.generation() is not None
        except ProxyAway:
            return False

    async def is_there(self) -> bool:
        """Whether it runs, once that is said: one that begins or ends does not answer.

        Two would share the entry points, and only one of them would be told anything. Raises
        ProxyAway of one that does not answer in time.
        """
        pid, misses = 0, 0
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                while not await self.runs():
                    found = _processes(f"{self.place}/haproxy.pid")
                    pid, misses = (min(found), 0) if found else (pid, misses + 1)
                    # One look may fall between the end of one process and its child.
                    if misses > 1:
                        return False
                    await asyncio.sleep(PAUSE_S)
                return True
        raise ProxyAway("HAProxy", f"it runs as process {pid}, and answers nothing")

    def needs_reload(self, model: Model) -> bool:
        """Whether the model has what no runtime command can do.

        A backend that is gone does no harm, and goes with the next reload.
        """
        backends = {**self._backends, **model.backends}
        # Of a pass with other tasks alone all of this is as before: a text of 1,000 is not made.
        of_backends = [(one.route, one.slots, self._family(one)) for one in backends.values()]
        made_of = self._applied, self.settings, of_backends
        if self._judged is None or self._judged[0] != made_of:
            is_other = self._text(backends, self._generation) != self._applied
            self._judged = made_of, is_other
        return self._judged[1]

    async def room(self) -> room.Room | None:
        """How many slots it has room for; None if that cannot be known."""
        with suppress(ProxyAway):
            limit = limit_of((await self.worker()).master)
            return room.of_running(await self.runtime.info(), limit, sum(self.slots.values()))
        return None

    def rendered(self, model: Model) -> str:
        """The configuration of a model. Of what only runtime knows, the servers, nothing."""
        return self._text(model.backends, self._generation)

    async def apply(self, model: Model, certificates: Mapping[str, Certificate]) -> None:
        """Have it run with the configuration and maps of a model, whatever it had before.

        certificates  by file
        raises        ConfigRejected, EntryTaken, ReloadFailed: what was before goes on;
                      ProxyAway: it does not run, and cannot be started
        """
        # None that a reload cut off may have begun: its worker would be taken for this one's.
        generation = max(self._generation, self._written) + 1
        text = self._text(model.backends, generation)
        running = await self.is_there()
        if (refusal := await self._refusal(text, model, certificates)) is not None:
            raise refusal
        passing(CHECKED)
        await self._try_entries(running)
        self._write_maps(model)
        passing(MAPS_WRITTEN)
        self.files.write("servers.state", await self.runtime.state() if running else "")
        passing(STATE_WRITTEN)
        # One that it has not taken over is none to go back to.
        self.files.replace("new.cfg", self.configuration.name, is_good=bool(self._applied))
        self._written = generation
        try:
            await (self._reload(generation) if running else self._start(generation))
        except ReloadFailed:
            self.files.restore(self.configuration.name)
            raise
        self._applied, self._generation = text, generation
        self._certifier.read(certificates.values())
        self._backends = dict(model.backends)
        self._families = {name: self._family(one) for name, one in model.backends.items()}
        self.slots = self._slots(model.backends)
        routes = self.routes()
        # If there is no room for it the next start reloads once more: no reason to fail.
        with suppress(NotWritten):
            note(self.files, Applied(generation, routes, self._families))

    async def refusal(
        self, model: Model, certificates: Mapping[str, Certificate]
    ) -> ConfigRejected | None:
        """What the checker says to the configuration of a model; None: it takes it."""
        return await self._refusal(self.rendered(model), model, certificates)

    async def _refusal(
        self, text: str, model: Model, certificates: Mapping[str, Certificate]
    ) -> ConfigRejected | None:
        self.files.make()
        self.files.write("new.cfg", text)
        self._write_maps(model, only_missing=True)  # the checker reads these files
        self._certifier.write(certificates)
        try:
            checked = await processes.run(
                PROGRAM, "-c", "-f", f"{self.place}/new.cfg", deadline_s=CHECK_S
            )
        except HostStuck as error:  # what takes it so long is not tried again and again
            return ConfigRejected("HAProxy", error.what)
        return ConfigRejected("HAProxy", _faults(checked.errors)) if checked.status else None

    def routes(self) -> list[Route]:
        """Those of its configuration, as far as that is known."""
        return [one.route for one in self._backends.values()]

    async def start_last(self) -> None:
        """Start it with the configuration that it had. Raises ProxyAway, ReloadFailed."""
        text = self.configuration.read_text()
        said = _SET.search(text)
        if said is None:
            raise ProxyAway("HAProxy", f"{self.configuration} is none of ours")
        # Where its servers were then, others may be now. It starts where nothing can be written.
        (self.place / "servers.state").unlink(missing_ok=True)
        await self._start(int(said[1]))
        await self.found()
        self._certifier.forget()

    async def _try_entries(self, running: bool) -> None:
        """A reload with an entry point that is taken would pause the others for seconds.

        Raises EntryTaken.
        """
        pid = (await self._worker_soon()).pid if running else 0
        for entry in self.settings.listeners:
            # Another address of a port that it has is no conflict with anybody else.
            if not (running and (listens(pid, entry) or has_port_alone(pid, entry.port))):
                try_to_listen(entry)

    async def set_rules(self, model: Model) -> None:
        """Bring its maps to a model's rules. Raises ProxyAway, UnexpectedAnswer."""
        maps = files.maps(model, self.settings)
        # A request may have been given a group that goes, or is given one that comes: both are
        # known until the maps that name them are as they are to be.
        groups = split.file(self.settings)
        both = await self.runtime.map(groups) | maps[groups]
        for file, wanted in ((groups, both), *maps.items()):
            if await self.runtime.map(file) != wanted:
                await self.runtime.set_map(file, wanted)
                passing(MAP_SWAPPED)
        self._write_maps(model)

    async def held(self, rules: Iterable[Rule]) -> set[Rule]:
        """Those of the rules that its maps have. Raises ProxyAway."""
        there = {one: await self.runtime.map(one) for one in files.maps(Model(), self.settings)}
        return {one for one in rules if files.has(there, one, self.settings)}

    async def set_certificates(self, wanted: Mapping[str, Certificate]) -> None:
        """Bring it to these, by file, beside the stopgap. Raises ProxyAway, UnexpectedAnswer."""
        if self._certifier.list in self._applied:  # else a reload brings it
            await self._certifier.serve(wanted)

    async def stop(self) -> None:
        """End it, with every connection that it has."""
        with suppress(OSError, ValueError, IndexError):
            master = int((self.place / "haproxy.pid").read_text().split()[0])
            os.kill(master, signal.SIGTERM)

    def _text(self, backends: Mapping[str, Backend], generation: int) -> str:
        slots = self._slots(backends)
        return files.config(backends, self.settings, slots, generation, self._families)

    def _family(self, backend: Backend) -> str:
        return parts.family(backend, self._families.get(backend.name, parts.IPV4))

    def _slots(self, backends: Mapping[str, Backend]) -> dict[str, int]:
        """Never fewer than there are: a smaller service is no reason for a reload."""
        return {
            name: max(backend.slots, self.slots.get(name, 0)) for name, backend in backends.items()
        }

    async def _start(self, generation: int) -> None:
        if self.settings.attach:
            try:
                await self._until_it_answers(generation)
            except ReloadFailed as error:
                raise NotRunByService("HAProxy", self.configuration) from error
            return
        command = (
            *(PROGRAM, "-W", "-D", "-S", f"{self.place}/master.sock,mode,600"),
            *("-p", f"{self.place}/haproxy.pid", "-f", str(self.configuration)),
        )
        log_file = self.place / "haproxy.log"
        if await processes.daemon(*command, log=log_file, deadline_s=START_S):
            raise ProxyAway("HAProxy", f"it does not start; {log_file} says why")
        passing(STARTED)
        await self._until_it_answers(generation)

    async def _reload(self, generation: int) -> None:
        """Raises ReloadFailed, ProxyAway."""
        before = await self._worker_soon()
        try:
            async with asyncio.timeout(START_S):
                while True:
                    os.kill(before.master, signal.SIGUSR2)
                    passing(RELOAD_SENT)
                    # A master that has just begun anew, after a start or a reload of before, loses
                    # a signal without a word.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOST_S):
                            await self._until_reloaded(before)
                            passing(WORKER_SEEN)
                            await self._until_it_answers(generation)
                            return
        except TimeoutError as error:
            why = "no worker answers with the new configuration"
            raise ReloadFailed("HAProxy", why) from error

    async def _until_reloaded(self, before: Worker) -> None:
        """Until its master is through with a reload. Raises ReloadFailed."""
        while True:
            now = await self._worker_soon()
            if now.reloads != before.reloads:
                break
            await asyncio.sleep(PAUSE_S)
        if now.failed > 0:
            raise ReloadFailed("HAProxy", "its new worker ended at once")

    async def _worker_soon(self) -> Worker:
        """A master that begins anew has another socket. Raises ProxyAway."""
        for _ in range(int(START_S / PAUSE_S)):
            with suppress(ProxyAway):
                return await self.worker()
            await asyncio.sleep(PAUSE_S)
        return await self.worker()

    async def _until_it_answers(self, generation: int) -> None:
        try:
            async with asyncio.timeout(START_S):
                while True:
                    with suppress(ProxyAway):
                        if await self.runtime.generation() == generation:
                            return
                    await asyncio.sleep(PAUSE_S)
        except TimeoutError as error:
            raise ReloadFailed("HAProxy", "no worker answers with the new configuration") from error

    def _write_maps(self, model: Model, *, only_missing: bool = False) -> None:
        """What a start or a reload finds."""
        for file, wanted in files.maps(model, self.settings).items():
            text, path = files.map_text(wanted), Path(file)
            if not path.exists() or (not only_missing and path.read_text() != text):
                self.files.write(path.name, text)


def _processes(pid_file: str) -> list[int]:
    """Of HAProxy with this file, its master and workers, also before it has written it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if words[0] == PROGRAM.encode() and pid_file.encode() in words:
                found.append(int(path.parent.name))
    return found


def _faults(errors: bytes) -> str:
    """What the checker found, without its words around that."""
    found = _FAULT.findall(errors.decode(errors="replace"))
    return "; ".join(found) or " ".join(errors.decode(errors="replace").split())
