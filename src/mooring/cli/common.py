"""What all commands share: options, and how an error is told."""

import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table

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
    str, typer.Option("--namespace", "-n", metavar="NAMESPACE", help="Of the claim.")
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
    """Columns as kubectl prints them; long cells are broken, not cut."""
    made = Table(box=None, pad_edge=False, header_style="", padding=(0, 3, 0, 0))
    for name in head:
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def printed(what: Any, output: str) -> None:
    """Print something of Rich, or a document as JSON. Not a terminal: 100 columns, no colours."""
    if output:
        typer.echo(json.dumps(what, indent=2))
        return
    width = None if sys.stdout.isatty() else WIDTH
    Console(width=width, highlight=False, soft_wrap=False).print(what)
