"""Which of many snapshots are kept: grandfather, father and son. Pure."""

from collections.abc import Callable, Iterable
from datetime import datetime, tzinfo
from typing import Final, NamedTuple

from mooring.model.schedule import Keep


class Made(NamedTuple):
    """What was made by a schedule, for one of its times. One that is not usable protects none."""

    name: str
    at: datetime
    is_usable: bool


# What is alike of two moments that are of one period, by the field of Keep.
_PERIODS: Final[dict[str, Callable[[datetime], object]]] = {
    "hourly": lambda at: (at.year, at.month, at.day, at.hour, at.utcoffset()),
    "daily": lambda at: (at.year, at.month, at.day),
    "weekly": lambda at: at.isocalendar()[:2],
    "monthly": lambda at: (at.year, at.month),
}


def kept(made: Iterable[Made], keep: Keep, zone: tzinfo) -> frozenset[str]:
    """The names of those that are kept.

    Of the usable ones: the newest, as many as `last` says; and the newest of each of the newest
    hours, days, weeks and months in which there are any, as many as these say. One that is not
    usable is kept while no newer one is: it may become so, and until then takes nobody's place.

    zone  in which days begin
    """
    newest_first = sorted(made, key=lambda one: (one.at, one.name), reverse=True)
    usable = [one for one in newest_first if one.is_usable]
    names = {one.name for one in usable[: keep.last]}
    for field, period in _PERIODS.items():
        seen: set[object] = set()
        for one in usable:
            if len(seen) == getattr(keep, field):
                break
            if (of := period(one.at.astimezone(zone))) not in seen:
                seen.add(of)
                names.add(one.name)
    latest = usable[0].at if usable else None
    names |= {one.name for one in newest_first if latest is None or one.at > latest}
    return frozenset(names)
