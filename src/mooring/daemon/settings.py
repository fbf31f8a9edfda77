"""What a process of Mooring was told when it was started."""

from dataclasses import dataclass
from pathlib import Path

from mooring.dockerplugin.names import Namespaces
from mooring.node.peers import Listening


@dataclass(frozen=True)
class DockerSettings:
    """How Docker finds us, and we find it; and which claims it may see."""

    plugin_socket: Path
    engine_socket: Path
    namespaces: Namespaces
    is_required: bool  # that the socket is ours: if not, another that serves it may go on


@dataclass(frozen=True)
class StoreSettings:
    """Where documents are. url: of a cluster of etcd; "": in the data directory."""

    url: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    user: str = ""
    password_file: Path | None = None


@dataclass(frozen=True)
class Settings:
    """What `mooring up`, or `mooring server`, was told. pool: None: none is made."""

    data_dir: Path
    host: str
    port: int
    kubeconfig: Path
    pool: Path | None
    node_name: str
    docker: DockerSettings | None = None  # None: no volume plugin is served
    import_dirs: tuple[Path, ...] = ()  # what lies below may fill volumes
    backup_dirs: tuple[Path, ...] = ()  # there, and below, repositories of backups may be
    store: StoreSettings = StoreSettings()
    lease_s: float = 15.0  # of the server that leads, if there are several
    node_lease_s: float = 15.0  # of this host
    peers: Listening | None = None  # where agents of other hosts reach this one
    tls_sans: tuple[str, ...] = ()  # more names and addresses that clients reach the server by


@dataclass(frozen=True)
class AgentSettings:
    """What `mooring node run` was told."""

    data_dir: Path
    docker: DockerSettings | None = None  # None: no volume plugin is served
    import_dirs: tuple[Path, ...] = ()
    backup_dirs: tuple[Path, ...] = ()
    node_lease_s: float = 15.0
    peers: Listening | None = None
