"""What all commands share: options, and how an error is told."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, ParamSpec, TypeVar

import typer

from mooring.errors import MooringError

P = ParamSpec("P")
R = TypeVar("R")

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
