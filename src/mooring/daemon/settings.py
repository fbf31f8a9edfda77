"""What a process of Mooring was told when it was started."""

from dataclasses import dataclass
from pathlib import Path

from mooring.dockerplugin.names import Namespaces


@dataclass(frozen=True)
class DockerSettings:
    """How Docker finds us, and we find it; and which claims it may see."""

    plugin_socket: Path
    engine_socket: Path
    namespaces: Namespaces
    is_required: bool  # that the socket is ours: if not, another that serves it may go on


@dataclass(frozen=True)
class Settings:
    """What `mooring up` was told."""

    data_dir: Path
    host: str
    port: int
    kubeconfig: Path
    pool: Path
    node_name: str
    docker: DockerSettings | None = None  # None: no volume plugin is served
    import_dirs: tuple[Path, ...] = ()  # what lies below may fill volumes
    backup_dirs: tuple[Path, ...] = ()  # there, and below, repositories of backups may be
    tls_sans: tuple[str, ...] = ()  # more names and addresses that clients reach the server by


@dataclass(frozen=True)
class AgentSettings:
    """What `mooring node run` was told."""

    data_dir: Path
    docker: DockerSettings | None = None  # None: no volume plugin is served
    import_dirs: tuple[Path, ...] = ()
    backup_dirs: tuple[Path, ...] = ()
