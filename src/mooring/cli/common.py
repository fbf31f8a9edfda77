"""What all commands share: options, and how an error is told."""

import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Annotated, Final, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from mooring.cli.client import Doc
from mooring.errors import MooringError

P = ParamSpec("P")
R = TypeVar("R")

WIDTH: Final = 100  # of what is printed to a file or a pipe


def _json(value: str) -> str:
    if value not in ("", "json"):
        raise typer.BadParameter("the only other form is json")
    return value


Output = Annotated[
    str, typer.Option("--output", "-o", metavar="json", callback=_json, help="For programs.")
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace", "-n", metavar="NAMESPACE", help="Of the claim; else the kubeconfig's."
    ),
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig", metavar="FILE", help="Of the server; else KUBECONFIG, else `mooring up`'s."
    ),
]


def fail(error: MooringError) -> NoReturn:
    """Say what, the code, and the remedy; exit 1."""
    typer.echo(f"error: {error.what} [{error.code}]", err=True)
    if error.remedy:
        typer.echo(f"remedy: {error.remedy}", err=True)
    raise typer.Exit(1)


def failing_well(command: Callable[P, R]) -> Callable[P, R]:
    """A command whose errors are told as such."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except MooringError as error:
            fail(error)

    return wrapped


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Columns as kubectl prints them; long cells are broken, not cut.

    A cell is shown as it is: brackets are no markup, and a terminal obeys nothing in it.
    """
    made = Table(box=None, pad_edge=False, header_style="", padding=(0, 3, 0, 0))
    rows = list(rows)
    for number, name in enumerate(head):  # the first column is what people copy: it stays whole
        whole = max((len(row[0]) for row in rows), default=0) if number == 0 else None
        made.add_column(name, overflow="fold", min_width=whole)
    for row in rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    return made


def plain(text: str) -> str:
    """What a terminal only shows: nothing in it is obeyed."""
    return "".join(one if one.isprintable() or one == "\n" else " " for one in text)


def printed(what: RenderableType, width: int = WIDTH) -> None:
    """Print something of Rich. Not a terminal: no colours, no blanks at line ends.

    width  in columns, where it is no terminal
    """
    if sys.stdout.isatty():
        Console(highlight=False).print(what)
        return
    text = StringIO()
    Console(file=text, width=width, highlight=False).print(what)
    typer.echo("\n".join(line.rstrip() for line in text.getvalue().splitlines()))


def printed_json(document: Doc) -> None:
    """Print a document for programs."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
