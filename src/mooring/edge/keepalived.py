"""The configuration of keepalived, which gives two machines with an edge one address.

Whether a machine may have it is asked of the proxy, never of Mooring: the proxy goes on without.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from mooring.edge.settings import EntryPoint, Settings
from mooring.edge.words import before_port, is_a, word
from mooring.errors import MooringError

CHECK_S: Final = 1  # how long an answer may take, and between two checks
FALL: Final = 2  # checks that fail: a proxy that died is started again before
_INTERFACE: Final = re.compile(r"[A-Za-z0-9._-]{1,15}", re.ASCII)


class BadPair(MooringError):
    """What is said of two machines with one address cannot be so."""

    code = "BadPair"

    def __init__(self, why: str, remedy: str) -> None:
        self.what, self.remedy = why, remedy
        super().__init__(why)


def keepalived(
    settings: Settings, address: str, interface: str, peers: Sequence[str], router_id: int = 51
) -> str:
    """What is to stand in its file on one of the machines.

    address    that moves between them, with its prefix: 10.0.0.100/24
    peers      addresses of the other machines
    router_id  1 to 255, the same on all of them
    raises     BadPair
    """
    if not is_a(ipaddress.ip_interface, address):
        raise BadPair(f"{address!a} is no address", "as 10.0.0.100/24")
    if not _INTERFACE.fullmatch(interface):
        raise BadPair(f"{interface!a} is no interface", "`ip link` lists them")
    for peer in peers:
        if not is_a(ipaddress.ip_address, peer):
            raise BadPair(f"{peer!a} is no address", "name the other machine, as 10.0.0.12")
    if not 1 <= router_id <= 255:
        raise BadPair(f"{router_id} is no router id", "1 to 255")
    lines = [
        "# Written by `mooring edge keepalived`.",
        "global_defs {",
        "    enable_script_security",
        "    script_user nobody",
        "}",
        "vrrp_script proxy {",
        f'    script "/usr/bin/curl {_request(settings)}"',
        f"    interval {CHECK_S}",
        f"    timeout {CHECK_S + 1}",
        f"    fall {FALL}",
        "    rise 2",
        "}",
        "vrrp_instance mooring_edge {",
        # Whoever has the address keeps it while its proxy answers: each move costs connections.
        "    state BACKUP",
        "    nopreempt",
        f"    interface {word(interface)}",
        f"    virtual_router_id {router_id}",
        "    priority 100",
        "    advert_int 1",
        "    unicast_peer {",
        *(f"        {word(peer)}" for peer in peers),
        "    }",
        "    virtual_ipaddress {",
        f"        {word(address)} dev {word(interface)}",
        "    }",
        "    track_script {",
        "        proxy",
        "    }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _request(settings: Settings) -> str:
    """Any answer will do: a name that no service has gets one as well."""
    entry = _asked(settings)
    is_any = ipaddress.ip_address(entry.address).is_unspecified
    host = ("::1" if ":" in entry.address else "127.0.0.1") if is_any else entry.address
    scheme = "https" if entry.tls else "http"
    return f"-sk -o /dev/null -m {CHECK_S} {scheme}://{before_port(host)}:{entry.port}/"


def _asked(settings: Settings) -> EntryPoint:
    for entry in settings.entries_of("http"):
        if not entry.accept_proxy_from:
            return entry
    raise BadPair(
        "no entry point can be asked whether the proxy answers",
        "have one of HTTP without acceptProxyFrom, at 127.0.0.1 if for nobody else",
    )
