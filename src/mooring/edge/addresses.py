"""Addresses with a port, as the edge file has them."""

import ipaddress
import re
from typing import Final, NamedTuple

from mooring.edge.words import is_a

_PORT: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


class Address(NamedTuple):
    """Where something listens on this machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(text: str) -> Address | None:
    """Of ADDRESS:PORT, an IPv6 one in brackets; None if it is none."""
    host, _, port = text.rpartition(":")
    is_six = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if is_six else host
    if not _PORT.fullmatch(port) or int(port) > 65535 or is_six != (":" in host):
        return None
    return Address(host, int(port)) if is_a(ipaddress.ip_address, host) else None
