"""What has become of a proxy since we follow it: reloads, and starts."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from typing import Final

import msgspec

from mooring.clock import Clock, SystemClock
from mooring.edge.routes import Route
from mooring.errors import MooringError

NAMED_AT_MOST: Final = 5  # of services that a sentence lists
_NEVER_NAMED: Final = frozenset({"service_id", "service", "stack", "name", "created", "replicas"})


class Reload(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """One that was tried.

    why      what had changed, in words
    failure  what it came to; empty: the proxy has what it was to have
    """

    at: datetime
    took_s: float
    why: str
    failure: str = ""


class History:
    """Counts, and the last reload."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.succeeded = self.failed = 0
        self.starts = 0  # of a proxy that had run before, and did not any more
        self.last: Reload | None = None

    @contextmanager
    def reload(self, why: str) -> Iterator[None]:
        """Try one within. An error is told of, and goes on."""
        at, begun_s = self._clock.now(), self._clock.monotonic_s()
        failure = "it was cut off"
        try:
            yield
            failure = ""
        except MooringError as error:
            failure = str(error)
            raise
        finally:
            took_s = round(self._clock.monotonic_s() - begun_s, 3)
            self.last = Reload(at, took_s, why, failure)
            self.failed += bool(failure)
            self.succeeded += not failure


def changes(earlier: Iterable[Route], later: Iterable[Route]) -> list[str]:
    """What is other in routes: in words, a sentence each for what came, changed and went.

    Of a route that is still there, what of it is other is told as well.
    """
    before, after = ({one.backend: one for one in some} for some in (earlier, later))
    both = before.keys() & after.keys()
    other = [(after[one], _fields(before[one], after[one])) for one in both]
    changed = sorted(f"{_name(route)} ({', '.join(what)})" for route, what in other if what)
    came = sorted(_name(after[one]) for one in after.keys() - before.keys())
    went = sorted(_name(before[one]) for one in before.keys() - after.keys())
    found = (("new", came), ("changed", changed), ("gone", went))
    return [f"{what}: {few(names)}" for what, names in found if names]


def few(names: Collection[str]) -> str:
    """Some of them by name, the others by their number."""
    shown = ", ".join(_some(names))
    more = len(names) - NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown


def _some(names: Iterable[str]) -> list[str]:
    return [one for _, one in zip(range(NAMED_AT_MOST), names, strict=False)]


def _fields(before: Route, after: Route) -> list[str]:
    return [
        one.name
        for one in fields(Route)
        if one.name not in _NEVER_NAMED and getattr(before, one.name) != getattr(after, one.name)
    ]


def _name(route: Route) -> str:
    return f"{route.service}.{route.name}" if route.name else route.service
