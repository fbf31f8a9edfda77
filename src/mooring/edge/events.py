"""Events of an edge: what happened, how often, first and last. Bounded, and kept over a restart."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from msgspec import structs

from mooring.edge.errors import NotWritten
from mooring.edge.happenings import Happening, Type
from mooring.edge.place import Place

log = logging.getLogger(__name__)

NAME: Final = "events.json"
KEPT: Final = 1000  # different ones; then those that are longest ago go
WRITTEN_EACH: Final = timedelta(seconds=1)  # at most: in a storm most of it happens again
LONGEST: Final = 1024  # characters of a message, as the events of Kubernetes


class Event(msgspec.Struct, rename="camel", frozen=True):
    """What happened, and happens again.

    object    a service as service/NAME, or edge
    message   as it was last
    is_alike  whether it is the same event with another message too
    """

    type: Type
    reason: str
    object: str
    message: str
    count: int
    first: datetime
    last: datetime
    is_alike: bool

    @property
    def key(self) -> tuple[str, str, str]:
        """What another has that is the same again."""
        return self.reason, self.object, "" if self.is_alike else self.message


class Events:
    """Those of one edge, beside its status."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._events = {one.key: one for one in recorded(place.path)}  # the last of them last
        self._is_news = False
        self._written: datetime | None = None

    def record(self, happenings: Iterable[Happening], now: datetime) -> list[Event]:
        """That these happened, and keep them when it is time. Raises nothing.

        returns  what they are events of, with how often and since when
        """
        found = [self._add(one, now) for one in happenings]
        if self._is_news and (self._written is None or now - self._written >= WRITTEN_EACH):
            self._written = now
            self.keep()
        return found

    def keep(self) -> None:
        """Write them, if there are others than before."""
        if not self._is_news:
            return
        try:
            self._place.make()
            text = msgspec.json.encode(list(self._events.values())).decode()
            self._place.write(NAME, text)
            self._is_news = False
        except NotWritten as error:
            log.warning("events are not kept: %s", error)

    def _add(self, one: Happening, now: datetime) -> Event:
        message = one.message[:LONGEST]
        new = Event(one.type, one.reason, one.object, message, 1, now, now, one.is_alike)
        earlier = self._events.pop(new.key, None)
        if earlier is not None:
            new = structs.replace(new, count=earlier.count + 1, first=earlier.first)
        self._events[new.key] = new
        if len(self._events) > KEPT:
            del self._events[next(iter(self._events))]
        self._is_news = True
        return new


def recorded(place: Path) -> list[Event]:
    """Those that were kept, the last of them last; none if they cannot be read."""
    try:
        found = msgspec.json.decode((place / NAME).read_bytes(), type=list[Event])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("events are lost: %s", error)
        return []
    return sorted(found, key=lambda one: one.last)[-KEPT:]
