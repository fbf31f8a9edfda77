"""Which server, whom it is to be trusted by, and as whom: what a kubeconfig says."""

import os
import ssl
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from mooring.errors import MooringError

N = TypeVar("N", bound="_Named")

DEFAULT: Final = Path("/var/lib/mooring/kubeconfig")  # where `mooring up` writes it


class NoKubeconfig(MooringError):
    code = "NoKubeconfig"

    def __init__(self, path: Path | str, why: str) -> None:
        self.what = f"{path} cannot be used: {why}"
        self.remedy = "name the file that `mooring up` wrote: --kubeconfig FILE or KUBECONFIG"
        super().__init__(self.what)


@dataclass(frozen=True)
class Access:
    """A server and a user of it, as a file names them."""

    file: Path
    url: str  # https://host:port, no slash at the end
    token: str
    trust: ssl.SSLContext
    namespace: str  # of its context


class _Cluster(msgspec.Struct, rename="kebab"):
    server: str = ""
    certificate_authority: str = ""  # a file, as seen from the kubeconfig's directory
    certificate_authority_data: str = ""  # the same in base64


class _User(msgspec.Struct):
    token: str = ""


class _Context(msgspec.Struct):
    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _Named(msgspec.Struct):
    name: str


class _NamedCluster(_Named):
    cluster: _Cluster = msgspec.field(default_factory=_Cluster)


class _NamedUser(_Named):
    user: _User = msgspec.field(default_factory=_User)


class _NamedContext(_Named):
    context: _Context = msgspec.field(default_factory=_Context)


class _Kubeconfig(msgspec.Struct, rename="kebab"):
    clusters: list[_NamedCluster] = []
    users: list[_NamedUser] = []
    contexts: list[_NamedContext] = []
    current_context: str = ""


class _Unusable(ValueError):
    """What is wrong with a file, in words."""


def access(
    named: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    default: Path = DEFAULT,
) -> Access:
    """By the file that is named, else the first of KUBECONFIG that exists, else the default.

    Raises NoKubeconfig.
    """
    path = named or _named_by(environment) or default
    try:
        config = msgspec.yaml.decode(path.read_bytes(), type=_Kubeconfig)
        return _access(path, config)
    except ssl.SSLError as error:
        raise NoKubeconfig(path, "its certificate authority is no certificate") from error
    except OSError as error:
        raise NoKubeconfig(path, error.strerror or str(error)) from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise NoKubeconfig(path, " ".join(str(error).split())) from error


def _named_by(environment: Mapping[str, str]) -> Path | None:
    """kubectl merges the files that KUBECONFIG lists; Mooring wants all it needs in one."""
    listed = [Path(one) for one in environment.get("KUBECONFIG", "").split(os.pathsep) if one]
    return next((one for one in listed if one.exists()), listed[0] if listed else None)


def _access(path: Path, config: _Kubeconfig) -> Access:
    if not config.current_context:
        raise _Unusable("it has no current-context")
    context = _named("context", config.contexts, config.current_context).context
    cluster = _named("cluster", config.clusters, context.cluster).cluster
    user = _named("user", config.users, context.user).user
    url = urlsplit(cluster.server)
    if url.scheme != "https" or not url.hostname:
        raise _Unusable(f"its server {cluster.server!r} is not of the form https://HOST:PORT")
    if not user.token:
        raise _Unusable(f"its user {context.user!r} has no token")
    trust = ssl.create_default_context(cadata=_authority(path, cluster))
    namespace = context.namespace or "default"
    return Access(path, cluster.server.rstrip("/"), user.token, trust, namespace)


def _authority(path: Path, cluster: _Cluster) -> str:
    if cluster.certificate_authority_data:
        return b64decode(cluster.certificate_authority_data, validate=True).decode("ascii")
    if cluster.certificate_authority:
        return (path.parent / cluster.certificate_authority).read_text("ascii")
    raise _Unusable("its cluster has no certificate-authority-data")


def _named(what: str, things: Sequence[N], name: str) -> N:
    for thing in things:
        if thing.name == name:
            return thing
    raise _Unusable(f"it has no {what} {name!r}")
