"""Keeps a HAProxy at a model: by its runtime API, and by a reload where it has to. Edge §5, §6."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from mooring.edge.certificates import Certificate
from mooring.edge.errors import ConfigRejected
from mooring.edge.haproxy.process import Haproxy
from mooring.edge.haproxy.slots import Admin, Plan, Slot, plan
from mooring.edge.interface import LOOK_S
from mooring.edge.model import Backend, Model, Rule, Server, Wish
from mooring.edge.settings import Settings

log = logging.getLogger(__name__)

SOON_S: Final = 0.1  # while a server has yet to pass its first check
QUIET_S: Final = 0.3  # after a change that needs a reload, in case more come
BETWEEN_RELOADS_S: Final = 5.0


class HaproxyProxy:
    """A Proxy of the interface."""

    def __init__(self, settings: Settings) -> None:
        self.process = Haproxy(settings)
        self.place = self.process.place
        self.reloads = 0
        self._plans: dict[str, Plan] = {}
        self._slots: dict[str, list[Slot]] = {}  # before those plans
        self._reloaded = -BETWEEN_RELOADS_S
        self._wants_reload_since: float | None = None
        self._rejected: Model | None = None  # it is not tried again as it was
        self._served: dict[str, str] | None = None  # fingerprints by file; None if not known

    async def find(self) -> None:
        """Take over one that runs already, if it does."""
        await self.process.found()

    async def bring(self, model: Model, certificates: Mapping[str, Certificate]) -> float:
        """Bring it to a model; after how many seconds to look again. Raises MooringError."""
        waits_s = await self._configure(model, certificates)
        await self._certify(certificates)
        await self.process.set_rules(self._servable(model))
        waiting = await self._place(model)
        return min(waits_s, SOON_S if waiting else LOOK_S)

    def state_of(self, backend: str, server: Server) -> str:
        """In a word, how a server is."""
        made = self._plans.get(backend)
        number = made.places.get(server.key) if made else None
        slot = next((one for one in self._slots.get(backend, ()) if one.number == number), None)
        if slot is None:
            return "waits" if server.wish is Wish.SERVE else "leaves"
        if slot.admin is Admin.READY:
            return "serves" if slot.is_up else "down"
        return "leaves" if server.wish is Wish.LEAVE else "checking"

    async def rendered(self, model: Model) -> str:
        """The configuration of a model. Of what only runtime knows, the servers, nothing."""
        await self.process.found()
        return self.process.rendered(model)

    def configuration(self) -> Path:
        """Where the one is that it has."""
        return self.process.configuration

    async def stop(self) -> None:
        """End it, with every connection that it has."""
        await self.process.stop()

    async def _configure(self, model: Model, certificates: Mapping[str, Certificate]) -> float:
        """Reload, if it has to be and the time has come; else when to look again."""
        if not await self.process.runs():
            log.warning("HAProxy does not run; it is started")
            await self.process.apply(model, certificates)
        if not self.process.needs_reload(model):
            self._wants_reload_since = None
            return LOOK_S
        now = time.monotonic()
        since = self._wants_reload_since = self._wants_reload_since or now
        due = max(since + QUIET_S, self._reloaded + BETWEEN_RELOADS_S)
        if now < due:
            return due - now
        await self._reload(model, certificates)
        return LOOK_S

    async def _reload(self, model: Model, certificates: Mapping[str, Certificate]) -> None:
        """Once for each model that it refuses: the same text would be refused again."""
        if self._rejected is not None and _same_shape(model, self._rejected):
            return
        try:
            await self.process.apply(model, certificates)
        except ConfigRejected:
            self._rejected = model
            raise
        self._rejected = None
        self.reloads += 1
        self._reloaded, self._wants_reload_since = time.monotonic(), None
        log.info("reloaded backends=%d", len(model.backends))

    async def _certify(self, wanted: Mapping[str, Certificate]) -> None:
        """Serve the certificates that there are, if they are not those of the last time."""
        prints = {file: one.fingerprint for file, one in wanted.items()}
        if prints != self._served:
            self._served = None
            await self.process.set_certificates(wanted)
            self._served = prints

    def _servable(self, model: Model) -> tuple[Rule, ...]:
        """Rules whose backend the proxy has: others wait for the reload that brings it."""
        return tuple(one for one in model.rules if one.backend in self.process.slots)

    async def _place(self, model: Model) -> bool:
        """Bring every server into its slot. Whether one has yet to pass its first check."""
        everywhere = self._slots = await self.process.runtime.slots()
        plans: dict[str, Plan] = {}
        for name, backend in model.backends.items():
            if name in everywhere:
                before = self._plans.get(name)
                plans[name] = await self._placed(backend, everywhere[name], before)
        self._plans = plans
        return any(one.waits for one in plans.values())

    async def _placed(self, backend: Backend, slots: Sequence[Slot], before: Plan | None) -> Plan:
        made = plan(backend, slots, before.places if before else {})
        for step in made.steps:
            await self.process.runtime.do(backend.name, step)
        return made


def _same_shape(one: Model, other: Model) -> bool:
    """Whether they differ in servers at most, which stand in no configuration."""
    return {name: (it.route, it.slots) for name, it in one.backends.items()} == {
        name: (it.route, it.slots) for name, it in other.backends.items()
    }
