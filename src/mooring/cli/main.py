"""The `mooring` command."""

from typing import Annotated

import typer

from mooring import __version__
from mooring.cli.adopt import adopt
from mooring.cli.backup import backup, import_, restore
from mooring.cli.drain import drain, uncordon
from mooring.cli.edge import edge
from mooring.cli.explain import explain
from mooring.cli.mount import mount, umount
from mooring.cli.move import move
from mooring.cli.node import node
from mooring.cli.pool import pool
from mooring.cli.remove import remove
from mooring.cli.resize import resize
from mooring.cli.server import server
from mooring.cli.snapshot import clone, snapshot
from mooring.cli.status import status
from mooring.cli.store import store
from mooring.cli.top import top
from mooring.cli.up import up

app = typer.Typer(
    name="mooring",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Kubernetes's storage model for plain Docker hosts."""


def version() -> None:
    """Print the version."""
    typer.echo(f"mooring {__version__}")


for command in (
    *(up, server, explain, status, top, mount, umount, resize, snapshot, clone),
    *(adopt, backup, restore, move, version),
):
    app.command()(command)
app.command("import")(import_)
app.add_typer(pool, name="pool")
app.add_typer(edge, name="edge")
node.command()(drain)
node.command()(uncordon)
node.command()(remove)
app.add_typer(node, name="node")
app.add_typer(store, name="store")


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
