"""What node agents say to each other, and how they know each other. Decision 0033.

A connection is TLS with certificates on both sides, of the servers' authority. The one who calls
sends a line, a Call; the other one answers with a line, an Answer; what follows is up to the call.
"""

from hashlib import sha256
from typing import Final

import msgspec

from mooring.model import door

PORT: Final = 6444
ADDRESS: Final = "mooring.dev/peer"  # annotation of a Node: where its agent listens for others
CERTIFICATE_PATH: Final = f"{door.PATH}/certificate"
NAME_AT_MOST, LABEL_AT_MOST = 200, 63  # letters
LINE_BYTES: Final = 64 * 1024  # of a Call or an Answer


class Signing(msgspec.Struct, forbid_unknown_fields=True):
    """An agent asks for a certificate of its own key. request: a signing request, PEM."""

    request: str


class Signed(msgspec.Struct):
    """certificate: of the agent, PEM. ca: of the authority. expires: RFC 3339."""

    certificate: str
    ca: str
    expires: str


class Call(msgspec.Struct):
    """call: what is wanted. about: what that needs to know."""

    call: str
    about: msgspec.Raw = msgspec.Raw(b"{}")


class Answer(msgspec.Struct):
    """told: of a call that is served; else a code, what and remedy, as errors have them."""

    told: msgspec.Raw = msgspec.Raw(b"{}")
    code: str = ""
    what: str = ""
    remedy: str = ""


def server_name(node: str) -> str:
    """What the certificate of a node's agent is good for; no server is called so.

    A name in DNS has labels of 63 letters at most, that of a Node need not.
    """
    if len(node) > NAME_AT_MOST or any(len(one) > LABEL_AT_MOST for one in node.split(".")):
        node = f"long-{sha256(node.encode()).hexdigest()[:48]}"
    return f"{node}.node.mooring"


def identity(node: str, uid: str) -> str:
    """A URI in the certificate: one Node, and not another that is called the same later."""
    return f"mooring:node/{node}/{uid}"


def address_text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address_parts(text: str) -> tuple[str, int] | None:
    """Host and port; None if it is no address."""
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    is_port = port.isascii() and port.isdigit() and len(port) < 6
    return (bare, int(port)) if bare and is_port else None
