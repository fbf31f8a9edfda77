"""`mooring up`: server and node agent in one process."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mooring import __version__
from mooring.cli.common import failing_well
from mooring.cli.kubeconfig import DEFAULT
from mooring.errors import MooringError
from mooring.model.peer import PORT as PEER_PORT

if TYPE_CHECKING:
    from mooring.daemon.settings import DockerSettings
    from mooring.node.peers import Listening

AUTO: Final = "auto"
PLUGIN_SOCKET: Final = Path("/run/docker/plugins/mooring.sock")
BACKUPS: Final = Path("/var/backups/mooring")


class BadAddress(MooringError):
    code = "BadAddress"

    def __init__(self, text: str, option: str) -> None:
        self.what = f"{option} {text!r} is not ADDRESS:PORT"
        self.remedy = "write it like 127.0.0.1:6443 or [::1]:6443"
        super().__init__(self.what)


# The options, as `mooring up -h` lists them.
DataDir = Annotated[
    Path, typer.Option("--data-dir", metavar="DIR", help="Where all state is kept.")
]
Listen = Annotated[
    str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where the API is served.")
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        help="Written for kubectl, mode 0600. Default: kubeconfig in the data directory.",
    ),
]
Pool = Annotated[
    Path | None,
    typer.Option(
        "--pool",
        metavar="DIR",
        help="Root of the first pool, `local`. Default: pool in the data directory.",
    ),
]
NodeName = Annotated[
    str | None, typer.Option("--node-name", metavar="NAME", help="Default: the hostname.")
]
PluginSocket = Annotated[
    str,
    typer.Option(
        "--plugin-socket",
        metavar="PATH",
        help="Of the Docker volume plugin; its file name is the driver's. auto: "
        f"{PLUGIN_SOCKET}, if this is root's and Docker is here. Empty: none.",
    ),
]
DockerSocket = Annotated[
    Path, typer.Option("--docker-socket", metavar="PATH", help="Of the Docker engine.")
]
DockerNamespace = Annotated[
    str,
    typer.Option(
        "--docker-namespace",
        metavar="NAME",
        help="Where the claims of Docker's volumes are, if these name no other.",
    ),
]
DockerNamespaces = Annotated[
    list[str] | None,
    typer.Option(
        "--docker-namespaces",
        metavar="NAME",
        help="Another that volumes may name, as NAMESPACE/VOLUME; repeatable.",
    ),
]
ImportDir = Annotated[
    list[Path] | None,
    typer.Option(
        "--import-dir",
        metavar="DIR",
        help="Archives and directories below it may fill volumes; repeatable. Default: none.",
    ),
]
BackupDir = Annotated[
    list[Path] | None,
    typer.Option(
        "--backup-dir",
        metavar="DIR",
        help="It, and what is below, may be a repository of backups; repeatable.  "
        f"[default: {BACKUPS}]",
    ),
]
PeerListen = Annotated[
    str,
    typer.Option(
        "--peer-listen",
        metavar="ADDRESS:PORT",
        help="Where agents of other hosts get volumes that move there. Empty: nowhere. auto: port "
        f"{PEER_PORT}, of a host that others reach.",
    ),
]
NodeLease = Annotated[
    float,
    typer.Option(
        "--node-lease",
        metavar="SECONDS",
        min=1.0,
        help="For how long this host counts as alive after its last word. After two thirds of it "
        "it stops by itself whoever writes to what other hosts may have then.",
    ),
]
Store = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="URL",
        help="A cluster of etcd, which several servers may share: etcd://HOST:PORT,…/NAME. "
        "Default: a file in the data directory.",
    ),
]
StoreCa = Annotated[
    Path | None,
    typer.Option("--store-ca", metavar="FILE", help="Authority of etcd's certificates; with TLS."),
]
StoreCert = Annotated[
    Path | None, typer.Option("--store-cert", metavar="FILE", help="Our certificate for etcd.")
]
StoreKey = Annotated[Path | None, typer.Option("--store-key", metavar="FILE", help="And its key.")]
StoreUser = Annotated[str, typer.Option("--store-user", metavar="NAME", help="A user of etcd.")]
StorePasswordFile = Annotated[
    Path | None,
    typer.Option("--store-password-file", metavar="FILE", help="With that user's password."),
]
LeaderLease = Annotated[
    float,
    typer.Option(
        "--leader-lease",
        metavar="SECONDS",
        min=1.0,
        help="Of several servers: after which another takes over from one that is gone.",
    ),
]
TlsSan = Annotated[
    list[str] | None,
    typer.Option(
        "--tls-san",
        metavar="NAME",
        help="Another name or address by which agents and clients reach the server; repeatable.",
    ),
]


@failing_well
def up(
    data_dir: DataDir = DEFAULT.parent,
    listen: Listen = "127.0.0.1:6443",
    kubeconfig: Kubeconfig = None,
    pool: Pool = None,
    node_name: NodeName = None,
    plugin_socket: PluginSocket = AUTO,
    docker_socket: DockerSocket = Path("/var/run/docker.sock"),
    docker_namespace: DockerNamespace = "default",
    docker_namespaces: DockerNamespaces = None,
    import_dir: ImportDir = None,
    backup_dir: BackupDir = None,
    tls_san: TlsSan = None,
    store: Store = "",
    store_ca: StoreCa = None,
    store_cert: StoreCert = None,
    store_key: StoreKey = None,
    store_user: StoreUser = "",
    store_password_file: StorePasswordFile = None,
    leader_lease: LeaderLease = 15.0,
    node_lease: NodeLease = 15.0,
    peer_listen: PeerListen = AUTO,
) -> None:
    """Start the server and the node agent in one process."""
    import uvloop  # both are slow to load, and only needed here

    from mooring.daemon.settings import Settings, StoreSettings
    from mooring.daemon.up import run

    docker = docker_of(plugin_socket, docker_socket, docker_namespace, docker_namespaces or ())
    host, port = address_of(listen)
    settings = Settings(
        data_dir=data_dir,
        host=host,
        port=port,
        kubeconfig=kubeconfig or data_dir / DEFAULT.name,
        pool=pool or data_dir / "pool",
        node_name=node_name or own_name(),
        docker=docker,
        tls_sans=tuple(tls_san or ()),
        store=StoreSettings(
            *(store, store_ca, store_cert, store_key, store_user, store_password_file)
        ),
        lease_s=leader_lease,
        node_lease_s=node_lease,
        peers=peers_of(peer_listen, host),
        import_dirs=absolute(import_dir or ()),
        backup_dirs=absolute(backup_dir or (BACKUPS,)),
    )
    log_to_stderr()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings, lambda url: say_ready(url, settings.kubeconfig)))


def docker_of(
    plugin_socket: str, engine_socket: Path, namespace: str, others: Iterable[str]
) -> "DockerSettings | None":
    """How Docker is served; None if it is not."""
    from mooring.daemon.settings import DockerSettings  # slow to load
    from mooring.dockerplugin.names import Namespaces

    is_required = plugin_socket != AUTO
    if not is_required:
        plugin_socket = str(PLUGIN_SOCKET) if _docker_is_here(engine_socket) else ""
    if not plugin_socket:
        return None
    namespaces = Namespaces(namespace, frozenset(others))
    return DockerSettings(Path(plugin_socket).absolute(), engine_socket, namespaces, is_required)


def peers_of(
    listen: str, host: str = "0.0.0.0", towards: tuple[str, int] | None = None
) -> "Listening | None":
    """Where other agents reach this one; None if they do not.

    host     where the server listens, if it is of this process
    towards  else the server's address
    raises   BadAddress
    """
    from mooring.node.peers import Listening  # slow to load

    if not listen or (listen == AUTO and host in ("127.0.0.1", "::1", "localhost")):
        return None
    where = (host, PEER_PORT) if listen == AUTO else address_of(listen, "--peer-listen")
    found = Listening(*where, is_required=listen != AUTO)
    return found if towards is None else found._replace(towards=towards)


def _docker_is_here(engine_socket: Path) -> bool:
    """Whether there is an engine to serve, and the right to: dockerd looks for plugins of root."""
    return os.geteuid() == 0 and (engine_socket.exists() or PLUGIN_SOCKET.parent.exists())


def own_name() -> str:
    """Of this host, as a Node is called."""
    return socket.gethostname().lower()


def absolute(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Whatever directory they were named from."""
    return tuple(one.absolute() for one in paths)


def log_to_stderr() -> None:
    """As key=value, for a journal."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="level=%(levelname)s at=%(name)s %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def say_ready(url: str, kubeconfig: Path) -> None:
    """And what to do next."""
    typer.echo(f"Mooring {__version__} serves {url}. Try next:")
    typer.echo(f"  export KUBECONFIG={kubeconfig.absolute()}")
    typer.echo("  kubectl get storageclasses,persistentvolumes,persistentvolumeclaims")
    typer.echo("  mooring status")


def address_of(text: str, option: str = "--listen") -> tuple[str, int]:
    """Host and port. Raises BadAddress."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    in_brackets = bare != host
    digits = port.isascii() and port.isdigit() and len(port) <= len("65535")
    if not bare or not digits or int(port) > 65535 or (":" in bare) != in_brackets:
        raise BadAddress(text, option)
    return bare, int(port)
