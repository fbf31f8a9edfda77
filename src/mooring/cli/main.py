"""The `mooring` command."""

import asyncio
import logging
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from mooring import __version__
from mooring.cli.common import fail
from mooring.cli.explain import explain
from mooring.cli.mount import mount, umount
from mooring.cli.status import status
from mooring.errors import MooringError

app = typer.Typer(
    name="mooring",
    help="Kubernetes's storage model for plain Docker hosts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (explain, status, mount, umount):
    app.command()(command)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"mooring {__version__}")


@app.command()
def up(
    data_dir: Annotated[
        Path, typer.Option("--data-dir", metavar="DIR", help="Where all state is kept.")
    ] = Path("/var/lib/mooring"),
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where the API is served.")
    ] = "127.0.0.1:6443",
    kubeconfig: Annotated[
        Path | None,
        typer.Option("--kubeconfig", metavar="FILE", help="Written for kubectl, mode 0600."),
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option("--pool", metavar="DIR", help="Root of the first pool, `local`."),
    ] = None,
    node_name: Annotated[
        str | None, typer.Option("--node-name", metavar="NAME", help="Default: the hostname.")
    ] = None,
    plugin_socket: Annotated[
        str,
        typer.Option("--plugin-socket", metavar="PATH", help="Of the Docker plugin; empty: none."),
    ] = "",
) -> None:
    """Start the server and the node agent in one process."""
    from mooring.daemon import Settings, run  # slow to load, and only needed here

    if plugin_socket:
        fail(Unserved(plugin_socket))
    host, port = _address(listen)
    settings = Settings(
        data_dir=data_dir,
        host=host,
        port=port,
        kubeconfig=kubeconfig or data_dir / "kubeconfig",
        pool=pool or data_dir / "pool",
        node_name=node_name or socket.gethostname().lower(),
    )
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="level=%(levelname)s at=%(name)s %(message)s"
    )

    def ready() -> None:
        typer.echo(f"Mooring {__version__} serves https://{listen}. Try next:")
        typer.echo(f"  export KUBECONFIG={settings.kubeconfig.absolute()}")
        typer.echo("  kubectl get storageclasses,persistentvolumes,persistentvolumeclaims")

    import uvloop

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings, ready))
    except MooringError as error:
        fail(error)


class Unserved(MooringError):
    code = "NotServed"

    def __init__(self, path: str) -> None:
        self.what = f"there is no Docker plugin yet that could serve {path}"
        self.remedy = "leave --plugin-socket empty"
        super().__init__(self.what)


class BadAddress(MooringError):
    code = "BadAddress"

    def __init__(self, text: str) -> None:
        self.what = f"--listen {text!r} is not ADDRESS:PORT"
        self.remedy = "write it like 127.0.0.1:6443 or [::1]:6443"
        super().__init__(self.what)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        fail(BadAddress(text))
    return host.strip("[]"), int(port)


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
