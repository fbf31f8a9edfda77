"""The server's own certificate authority, and the kubeconfig that trusts it."""

import ipaddress
import os
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import yaml

from mooring.clock import timestamp
from mooring.model.peer import Signed, identity, server_name

CA_DAYS: Final = 3650
SERVER_DAYS: Final = 365
AGENT_DAYS: Final = 1.0  # of an agent's, which is renewed when half of that is over
CLUSTER: Final = "mooring"  # in kubeconfigs; one without it is somebody else's
RENEW_DAYS: Final = 30  # before the server's certificate ends, a start makes a new one


def private_file(path: Path, content: bytes) -> None:
    """Written whole or not at all, readable by its owner alone."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


class Authority:
    """ca.crt, ca.key, server.crt and server.key in one directory."""

    def __init__(self, directory: Path) -> None:
        self.ca, self._ca_key = directory / "ca.crt", directory / "ca.key"
        self.certificate, self.key = directory / "server.crt", directory / "server.key"

    def ensure(self, hosts: Sequence[str]) -> None:
        """Make what is missing, or ends soon, or does not name these hosts."""
        # Loaded only here: it costs several MiB that a running server does not need.
        from mooring.api import issuing

        self.ca.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.ca.exists() and self._ca_key.exists()):
            key, certificate = issuing.authority(CA_DAYS)
            private_file(self._ca_key, key)
            private_file(self.ca, certificate)
            self.certificate.unlink(missing_ok=True)
        if self.certificate.exists() and self.key.exists():
            ends, names = issuing.described(self.certificate.read_bytes())
            enough = datetime.now(UTC) + timedelta(days=RENEW_DAYS)
            if ends > enough and set(hosts) <= names:
                return
        ca_key, ca = self._ca_key.read_bytes(), self.ca.read_bytes()
        key, certificate = issuing.server(ca_key, ca, hosts, SERVER_DAYS)
        private_file(self.key, key)
        private_file(self.certificate, certificate + ca)

    def for_agent(self, request: str, node: str, uid: str) -> Signed:
        """A certificate for the agent of a Node. Raises ValueError: it is no request. Blocks."""
        from mooring.api import issuing

        names = (server_name(node), identity(node, uid))
        ca_key, ca = self._ca_key.read_bytes(), self.ca.read_bytes()
        made, ends = issuing.agent(ca_key, ca, request.encode(), names, AGENT_DAYS)
        return Signed(made.decode(), ca.decode(), timestamp(ends))


def names_of(address: str) -> list[str]:
    """What a certificate for a listening address must be good for."""
    hosts = ["localhost", "127.0.0.1", "::1"]
    try:
        wildcard = ipaddress.ip_address(address).is_unspecified
    except ValueError:
        wildcard = False
    if not wildcard and address not in hosts:
        hosts.append(address)
    return hosts


def kubeconfig(server: str, ca: bytes, token: str) -> bytes:
    """A file that makes kubectl an administrator here."""
    authority = {"server": server, "certificate-authority-data": b64encode(ca).decode()}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CLUSTER, "cluster": authority}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "mooring", "context": {"cluster": CLUSTER, "user": "admin"}}],
        "current-context": "mooring",
    }
    return yaml.safe_dump(config, sort_keys=False).encode()
