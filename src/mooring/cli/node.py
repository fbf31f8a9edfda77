"""`mooring node`: hosts that use volumes of a server somewhere else."""

import asyncio
import json
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from mooring import __version__
from mooring.cli.client import Client, Refused, path_of
from mooring.cli.common import Kubeconfig, Output, failing_well, printed_json
from mooring.cli.kubeconfig import DEFAULT, access
from mooring.cli.up import (
    AUTO,
    BACKUPS,
    BackupDir,
    DataDir,
    DockerNamespace,
    DockerNamespaces,
    DockerSocket,
    ImportDir,
    NodeLease,
    NodeName,
    PeerListen,
    PluginSocket,
    absolute,
    docker_of,
    log_to_stderr,
    own_name,
    peers_of,
)
from mooring.errors import MooringError
from mooring.model.door import CA_PATH, JOIN_PATH

DEADLINE_S: Final = 30.0
FINGERPRINT_LETTERS: Final = 64

node = typer.Typer(no_args_is_help=True, help="Have hosts join, run their agents, take them away.")


class BadToken(MooringError):
    code = "BadToken"

    def __init__(self) -> None:
        self.what = "that is no token to join with"
        self.remedy = "`mooring node token` on a server prints the whole command"
        super().__init__(self.what)


class NotTheServer(MooringError):
    code = "NotTheServer"

    def __init__(self, url: str) -> None:
        self.what = f"{url} is not a server that this token was made by"
        self.remedy = "see that nobody is between, and that the address is right"
        super().__init__(self.what)


class CannotJoin(MooringError):
    code = "CannotJoin"

    def __init__(self, url: str, why: str) -> None:
        self.what = f"{url} does not answer: {why}"
        self.remedy = "see whether the server listens there for others, see --listen of mooring up"
        super().__init__(self.what)


@node.command()
@failing_well
def token(
    node_name: Annotated[
        str,
        typer.Option(
            "--node",
            metavar="NAME",
            help="Good for a host of this name alone, also if it was there before.",
        ),
    ] = "",
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            "--namespace", metavar="NAME", help="That the host serves; repeatable. Default: all."
        ),
    ] = None,
    hours: Annotated[float, typer.Option("--hours", metavar="N", help="Until it ends.")] = 1.0,
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Make a token that one host can join with, once, and print the command."""
    from mooring.daemon.membership import fingerprint

    client = Client(kubeconfig)
    asked = {"node": node_name, "namespaces": namespace or [], "hours": hours}
    made = client.ask("POST", path_of("tokens"), json.dumps(asked).encode())
    server = access(kubeconfig)
    ca = _fetched(server.url + CA_PATH, server.trust).decode()
    whole = f"{made['token']}.{fingerprint(ca)}"
    if output == "json":
        printed_json({**made, "token": whole})
        return
    typer.echo(f"# once, on the host that is to join; until {made['expires']}")
    typer.echo(f"mooring node join {client.url} --token {whole}")


@node.command()
@failing_well
def join(
    server: Annotated[list[str], typer.Argument(metavar="URL...", help="Of one server, or more.")],
    token: Annotated[str, typer.Option("--token", metavar="TOKEN", help="To join with, once.")],
    node_name: NodeName = None,
    data_dir: DataDir = DEFAULT.parent,
    pool: Annotated[
        str | None,
        typer.Option(
            "--pool",
            metavar="DIR",
            help="Where volumes of this host are. Empty: none. Default: pool in --data-dir.",
        ),
    ] = None,
) -> None:
    """Join this host to a server: its agent may use volumes from then on."""
    from mooring.daemon.membership import Membership, fingerprint, keep

    secret, _, wanted = token.partition(".")
    if not secret or len(wanted) != FINGERPRINT_LETTERS:
        raise BadToken
    ca = _fetched(server[0].rstrip("/") + CA_PATH, _trusting_anybody()).decode()
    try:
        is_it = fingerprint(ca) == wanted
    except ValueError:
        is_it = False
    if not is_it:
        raise NotTheServer(server[0])
    root = str((data_dir / "pool").absolute()) if pool is None else pool
    asked = {"node": node_name or own_name(), "pool": str(Path(root).absolute()) if root else ""}
    trust = ssl.create_default_context(cadata=ca)
    made = json.loads(_fetched(server[0].rstrip("/") + JOIN_PATH, trust, secret, asked))
    joined = Membership(
        node=made["node"],
        servers=[one.rstrip("/") for one in server],
        ca=ca,
        token=made["token"],
        expires=made["expires"],
        namespaces=made.get("namespaces", []),
    )
    keep(data_dir, joined)
    typer.echo(f"This host has joined as node {joined.node}. Start its agent:")
    typer.echo(f"  mooring node run --data-dir {data_dir.absolute()}")


@node.command()
@failing_well
def run(
    data_dir: DataDir = DEFAULT.parent,
    plugin_socket: PluginSocket = AUTO,
    docker_socket: DockerSocket = Path("/var/run/docker.sock"),
    docker_namespace: DockerNamespace = "default",
    docker_namespaces: DockerNamespaces = None,
    import_dir: ImportDir = None,
    backup_dir: BackupDir = None,
    node_lease: NodeLease = 15.0,
    peer_listen: PeerListen = AUTO,
) -> None:
    """Run the agent of this host, which has joined."""
    import uvloop  # both are slow to load, and only needed here

    from mooring.daemon import agent
    from mooring.daemon.settings import AgentSettings

    settings = AgentSettings(
        data_dir=data_dir,
        docker=docker_of(plugin_socket, docker_socket, docker_namespace, docker_namespaces or ()),
        import_dirs=absolute(import_dir or ()),
        backup_dirs=absolute(backup_dir or (BACKUPS,)),
        node_lease_s=node_lease,
        peers=peers_of(peer_listen, towards=_server_of(data_dir)),
    )
    log_to_stderr()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(agent.run(settings, _ready))


def _server_of(data_dir: Path) -> tuple[str, int] | None:
    """The address of a server that this host has joined. Raises NotJoined, NotUsable."""
    from mooring.daemon.membership import membership

    url = urlsplit(membership(data_dir).servers[0])
    return (url.hostname, url.port or 443) if url.hostname else None


def _ready(url: str) -> None:
    typer.echo(f"The agent of Mooring {__version__} serves this host, with {url}")


def _trusting_anybody() -> ssl.SSLContext:
    """For what is compared with a fingerprint, and nothing else."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _fetched(url: str, trust: ssl.SSLContext, token: str = "", body: Any = None) -> bytes:
    """The body of an answer 200. Raises CannotJoin, Refused."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    sent = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, sent, headers)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
    )
    try:
        with opener.open(request, timeout=DEADLINE_S) as answer:
            found: bytes = answer.read()
            return found
    except urllib.error.HTTPError as error:
        raise Refused(_status(error)) from error
    except (OSError, HTTPException, ValueError) as error:
        raise CannotJoin(url, str(error)) from error


def _status(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        found = json.loads(error.read())
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"message": f"it answers {error.code}"}
