"""`mooring up`: server and node agent in one process."""

import asyncio
import logging
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from mooring import __version__
from mooring.cli.common import failing_well
from mooring.cli.kubeconfig import DEFAULT
from mooring.errors import MooringError


class NotServed(MooringError):
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


@failing_well
def up(
    data_dir: Annotated[
        Path, typer.Option("--data-dir", metavar="DIR", help="Where all state is kept.")
    ] = DEFAULT.parent,
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where the API is served.")
    ] = "127.0.0.1:6443",
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            "--kubeconfig",
            metavar="FILE",
            help="Written for kubectl, mode 0600. Default: kubeconfig in the data directory.",
        ),
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option(
            "--pool",
            metavar="DIR",
            help="Root of the first pool, `local`. Default: pool in the data directory.",
        ),
    ] = None,
    node_name: Annotated[
        str | None, typer.Option("--node-name", metavar="NAME", help="Default: the hostname.")
    ] = None,
    plugin_socket: Annotated[
        str,
        typer.Option(
            "--plugin-socket",
            metavar="PATH",
            help="Of the Docker plugin, which is not there yet: empty.",
        ),
    ] = "",
) -> None:
    """Start the server and the node agent in one process."""
    import uvloop  # both are slow to load, and only needed here

    from mooring.daemon import Settings, run

    if plugin_socket:
        raise NotServed(plugin_socket)
    host, port = _address(listen)
    settings = Settings(
        data_dir=data_dir,
        host=host,
        port=port,
        kubeconfig=kubeconfig or data_dir / DEFAULT.name,
        pool=pool or data_dir / "pool",
        node_name=node_name or socket.gethostname().lower(),
    )
    _log()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings, lambda url: _ready(url, settings.kubeconfig)))


def _log() -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="level=%(levelname)s at=%(name)s %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _ready(url: str, kubeconfig: Path) -> None:
    typer.echo(f"Mooring {__version__} serves {url}. Try next:")
    typer.echo(f"  export KUBECONFIG={kubeconfig.absolute()}")
    typer.echo("  kubectl get storageclasses,persistentvolumes,persistentvolumeclaims")
    typer.echo("  mooring status")


def _address(text: str) -> tuple[str, int]:
    """Host and port. Raises BadAddress."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    in_brackets = bare != host
    digits = port.isascii() and port.isdigit() and len(port) <= len("65535")
    if not bare or not digits or int(port) > 65535 or (":" in bare) != in_brackets:
        raise BadAddress(text)
    return bare, int(port)
