"""What is shown again and again as it changes, and documents for programs."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Final

import msgspec
import typer
import yaml
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from mooring.cli.common import plain, printed

# Lines, each a sentence that is not broken, and tables.
Page = list[str | RenderableType]
LOOK_EACH_S: Final = 1.0
FORMS: Final = ("", "json", "yaml")


def _form(value: str) -> str:
    if value not in FORMS:
        raise typer.BadParameter("the other forms are json and yaml")
    return value


Form = Annotated[
    str,
    typer.Option("--output", "-o", metavar="json|yaml", callback=_form, help="For programs."),
]


def encoded(what: object, form: str) -> str:
    """A document of msgspec as JSON or YAML."""
    document = msgspec.to_builtins(what)
    if form == "yaml":
        text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        return text.rstrip("\n")
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def show(page: Page) -> None:
    """Once."""
    for one in page:
        typer.echo(plain(one)) if isinstance(one, str) else printed(one)


def watched(look: Callable[[], Page | str]) -> None:
    """Show it until Ctrl-C: in its place on a terminal; for programs, whenever it is other."""
    with suppress(KeyboardInterrupt):
        last, now = None, look()
        while isinstance(now, str) or not sys.stdout.isatty():
            if not isinstance(now, str):
                show([*now, ""])
            elif now != last:
                typer.echo(now)
            time.sleep(LOOK_EACH_S)
            last, now = now, look()
        with Live(console=Console(highlight=False), auto_refresh=False) as live:
            while True:
                live.update(Group(*(_lively(one) for one in now)), refresh=True)
                time.sleep(LOOK_EACH_S)
                now = look()


def _lively(one: str | RenderableType) -> RenderableType:
    return Text(plain(one)) if isinstance(one, str) else one
