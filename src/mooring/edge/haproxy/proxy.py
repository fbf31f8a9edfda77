"""Keeps a HAProxy at a model: by its runtime API, and by a reload where it has to. Edge §5, §6."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mooring.edge.certificates import Certificate
from mooring.edge.errors import ConfigRejected
from mooring.edge.haproxy.process import Haproxy
from mooring.edge.haproxy.slots import Admin, Plan, Point, Slot, Turn, plan
from mooring.edge.interface import LOOK_S
from mooring.edge.model import Model, Rule, Server, Wish
from mooring.edge.settings import Settings

log = logging.getLogger(__name__)

SOON_S: Final = 0.1  # while a server has yet to pass its first check
QUIET_S: Final = 0.3  # after a change that needs a reload, in case more come
BETWEEN_RELOADS_S: Final = 5.0
SINGLY_AT_MOST: Final = 20  # backends that are looked at one by one, rather than all at once


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
        self._placed: dict[str, tuple[Server, ...]] = {}  # servers as of those plans, by backend
        self._unsettled: set[str] = set()  # backends where something was to be done
        self._looked = -LOOK_S  # at all slots
        self._rules: tuple[Rule, ...] | None = None  # as it has them; None if not known
        self._served: dict[str, str] | None = None  # fingerprints by file; None if not known

    async def find(self) -> None:
        """Take over one that runs already, if it does."""
        await self.process.found()

    async def bring(self, model: Model, certificates: Mapping[str, Certificate]) -> float:
        """Bring it to a model; after how many seconds to look again. Raises MooringError."""
        waits_s = await self._configure(model, certificates)
        await self._certify(certificates)
        await self._rule(model)
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
            self._forget()
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
        self._forget()
        self.reloads += 1
        self._reloaded, self._wants_reload_since = time.monotonic(), None
        log.info("reloaded backends=%d", len(model.backends))

    def _forget(self) -> None:
        """What another worker has is to be looked at anew."""
        self._looked, self._rules, self._served = -LOOK_S, None, None

    async def _certify(self, wanted: Mapping[str, Certificate]) -> None:
        """Serve the certificates that there are, if they are not those of the last time."""
        prints = {file: one.fingerprint for file, one in wanted.items()}
        if prints != self._served:
            self._served = None
            await self.process.set_certificates(wanted)
            self._served = prints

    async def _rule(self, model: Model) -> None:
        """Have it go by the model's rules."""
        rules = self._servable(model)
        if rules != self._rules:
            self._rules = None
            await self.process.set_rules(rules)
            self._rules = rules

    def _servable(self, model: Model) -> tuple[Rule, ...]:
        """Rules whose backend the proxy has: others wait for the reload that brings it."""
        return tuple(one for one in model.rules if one.backend in self.process.slots)

    async def _place(self, model: Model) -> bool:
        """Bring every server into its slot. Whether one has yet to pass its first check."""
        looked_at = await self._look(model)
        steps: list[tuple[str, Point | Turn]] = []
        for name in looked_at:
            before = self._plans.get(name)
            places = before.places if before else {}
            made = self._plans[name] = plan(model.backends[name], self._slots[name], places)
            steps += ((name, step) for step in made.steps)
        self._placed = {name: model.backends[name].servers for name in looked_at} | {
            name: servers for name, servers in self._placed.items() if name not in looked_at
        }
        for name in self._plans.keys() - model.backends.keys():
            del self._plans[name], self._placed[name]
        await self.process.runtime.do(steps)
        self._unsettled = {name for name in looked_at if self._plans[name].steps} | {
            name for name, one in self._plans.items() if one.waits
        }
        return bool(self._unsettled)

    async def _look(self, model: Model) -> list[str]:
        """Backends that may have something to do, their slots looked at.

        All of them now and then, since somebody else may have changed a slot; in between those that
        have other servers than before, and those where something is under way.
        """
        known = [name for name in model.backends if name in self.process.slots]
        now = time.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            self._slots = await self.process.runtime.slots()
            return [name for name in known if name in self._slots]
        due = [
            name
            for name in known
            if name in self._unsettled or self._placed.get(name) != model.backends[name].servers
        ]
        if len(due) > SINGLY_AT_MOST:
            self._slots |= await self.process.runtime.slots()
        else:
            for name in due:
                self._slots |= await self.process.runtime.slots(name)
        return [name for name in due if name in self._slots]


def _same_shape(one: Model, other: Model) -> bool:
    """Whether they differ in servers at most, which stand in no configuration."""
    return {name: (it.route, it.slots) for name, it in one.backends.items()} == {
        name: (it.route, it.slots) for name, it in other.backends.items()
    }
