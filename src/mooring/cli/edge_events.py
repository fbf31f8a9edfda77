"""`mooring edge events`: a line each, as kubectl prints them."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec
import typer

from mooring.cli.common import plain
from mooring.cli.watching import LOOK_EACH_S
from mooring.edge.events import Event
from mooring.objects.printing import duration

HEAD: Final = ("LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE")
_AT_LEAST: Final = (9, 7, 13, 12)  # columns, so that those to come stand below these


def about(events: Iterable[Event], wanted: str) -> list[Event]:
    """Those of a service; all of them if none is named."""
    return [one for one in events if not wanted or one.object == f"service/{wanted}"]


def lines(events: Sequence[Event], now: datetime, *, head: bool = True) -> list[str]:
    """Messages stand last and are not broken."""
    rows = [HEAD] * head + [_row(one, now) for one in events]
    widths = [max(len(row[at]) for row in rows) for at in range(4)] if rows else []
    widths = [max(pair) for pair in zip(widths, _AT_LEAST, strict=False)]
    return [
        "   ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]


def followed(look: Callable[[], list[Event]], form: str) -> None:
    """Print those that come, and those that come again, until Ctrl-C."""
    seen = {one.key: one for one in look()}
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(LOOK_EACH_S)
            found = look()
            news = [one for one in found if seen.get(one.key) != one]
            seen = {one.key: one for one in found}
            for text in encoded(news) if form else lines(news, datetime.now(UTC), head=False):
                typer.echo(text)


def encoded(events: Iterable[Event]) -> list[str]:
    """For programs that read a line at a time."""
    return [msgspec.json.encode(one).decode() for one in events]


def _row(one: Event, now: datetime) -> tuple[str, str, str, str, str]:
    last, first = (duration((now - at).total_seconds()) for at in (one.last, one.first))
    seen = f"{last} (x{one.count} over {first})" if one.count > 1 else last
    return seen, one.type, plain(one.reason), plain(one.object), plain(one.message)
