"""What a host that has joined knows of it: DATA/agent.json, for its owner alone."""

import hashlib
import ssl
from pathlib import Path
from typing import Final

import msgspec

from mooring.api.certificates import private_file
from mooring.daemon.errors import usable
from mooring.errors import MooringError

FILE: Final = "agent.json"


class NotJoined(MooringError):
    code = "NotJoined"

    def __init__(self, data_dir: Path) -> None:
        self.what = f"this host has not joined: there is no {data_dir / FILE}"
        self.remedy = "on a server, `mooring node token` prints the command that joins it"
        super().__init__(self.what)


class Membership(msgspec.Struct, rename="camel"):
    """servers: URLs. ca: PEM. expires: of the token, RFC 3339."""

    node: str
    servers: list[str]
    ca: str
    token: str
    expires: str
    namespaces: list[str] = []

    def tls(self) -> ssl.SSLContext:
        """Trusts the servers' own authority alone."""
        return ssl.create_default_context(cadata=self.ca)


def membership(data_dir: Path) -> Membership:
    """Raises NotJoined, NotUsable."""
    path = data_dir / FILE
    if not path.exists():
        raise NotJoined(data_dir)
    with usable(path):
        return msgspec.json.decode(path.read_bytes(), type=Membership)


def keep(data_dir: Path, joined: Membership) -> None:
    """Raises NotUsable."""
    path = data_dir / FILE
    with usable(path):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        private_file(path, msgspec.json.format(msgspec.json.encode(joined)))


def fingerprint(ca: str) -> str:
    """Of the certificate of an authority: SHA-256, hexadecimal. ca: PEM."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(ca.strip())).hexdigest()
