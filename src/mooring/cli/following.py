"""Long work of the server, shown while it goes on: it goes on without us as well."""

import signal
import sys
import time
from collections.abc import Callable
from typing import Final, NamedTuple, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from mooring.cli.client import Doc, NoServer

LOOK_EACH_S: Final = 0.3
AWAY_AT_MOST_S: Final = 60.0  # that the server may be restarted while it is looked at
INTERRUPTED: Final = 128 + signal.SIGINT
UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


class Shown(NamedTuple):
    """How far something is, for people. percent is None while that is not known."""

    text: str
    percent: int | None
    is_over: bool


def bar() -> Progress:
    """On standard error, and only if somebody looks at it."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[files]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def followed(look: Callable[[], Doc], shown: Callable[[Doc], Shown]) -> Doc:
    """Look again and again, and show it, until it is over. Returns what was seen last.

    raises  Refused; NoServer, if it is away for longer than a restart takes
    """
    away_since_s: float | None = None
    with bar() as progress:
        task = progress.add_task("", total=None, files="")
        while True:
            try:
                found = look()
                away_since_s = None
            except NoServer:
                away_since_s = away_since_s or time.monotonic()
                if time.monotonic() - away_since_s > AWAY_AT_MOST_S:
                    raise
            else:
                now = shown(found)
                total = None if now.percent is None else 100
                progress.update(task, description=now.text, completed=now.percent or 0, total=total)
                if now.is_over:
                    progress.update(task, visible=False)
                    return found
            time.sleep(LOOK_EACH_S)


def interrupted(how_to_stop: str) -> NoReturn:
    """Ctrl-C ends the looking alone."""
    typer.echo("the server goes on with it", err=True)
    typer.echo(f"to give it up: {how_to_stop}", err=True)
    raise typer.Exit(INTERRUPTED) from None


def amount(count: int) -> str:
    """Of bytes, for people: three digits, in powers of 1024."""
    size, power = float(count), 0
    while size >= 1000:
        size, power = size / 1024, power + 1
    return f"{size:.3g} {UNITS[power]}"
