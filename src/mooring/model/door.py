"""What a node agent and a server say to each other, beside the Kubernetes API.

All bodies are msgpack; a stream is frames of a length of four bytes and as many of msgpack.
"""

from typing import Annotated, Final

import msgspec

PATH: Final = "/mooring/v1/node"
JOIN_PATH: Final = "/mooring/v1/join"
CA_PATH: Final = "/mooring/v1/ca"
VERSION: Final = 1  # of this protocol; one older is served, too
VERSION_HEADER: Final = "mooring-door"
PROGRESS_EVERY_S: Final = 2.0  # a stream that says nothing for three times as long is dead
LENGTH_BYTES: Final = 4

# hosts/NODE: who has joined by that name. Its revision is the cut of that host: each commit of its
# agent tells the cut that it knows, and is none if there is a later one. Decision 0036.
HOSTS: Final = "hosts/"

Revision = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62))]


class Doc(msgspec.Struct, array_like=True):
    """A stored document."""

    key: str
    value: bytes
    revision: int


class Documents(msgspec.Struct, array_like=True):
    """Some of them in key order, as they were at `revision`; `more` if there are others."""

    documents: list[Doc]
    revision: int
    more: bool


class Changed(msgspec.Struct, array_like=True):
    """One committed write; `after` None is a deletion."""

    key: str
    before: bytes | None
    after: bytes | None
    revision: int
    previous_revision: int


class Batch(msgspec.Struct, array_like=True):
    """What changed up to a revision, of what the agent may see: perhaps nothing.

    oldest  0, or from which revision on there is history yet: what was asked for is gone
    """

    revision: int
    changes: list[Changed] = []
    oldest: int = 0


class Wanted(msgspec.Struct, array_like=True):
    """One write. expected: the revision that the key must have, 0 if it must not be there."""

    key: str
    value: bytes | None
    expected: Revision


class Held(msgspec.Struct, array_like=True):
    """What must still be so, or the commit is none."""

    key: str
    revision: Revision


class Commit(msgspec.Struct, array_like=True):
    """again: it was sent before, and what became of it is not known.

    cut  of the host; None: its agent knows of none, as those of an earlier version
    """

    writes: list[Wanted]
    checks: list[Held] = []
    again: bool = False
    cut: Revision | None = None


class Cut(msgspec.Struct, array_like=True):
    """A new cut is wanted: what was sent with this one, and is not done yet, is not to be done.

    The answer is a Committed, or a Conflict that has the one there is.
    """

    known: Revision


class Committed(msgspec.Struct, array_like=True):
    revision: int


class Refusal(msgspec.Struct):
    """Why not. Of a Conflict: key, expected (-1: absent) and found; of an Expired: the oldest."""

    code: str
    what: str
    remedy: str = ""
    key: str = ""
    expected: int = 0
    found: int = 0


class JoinRequest(msgspec.Struct):
    """With the one-time token of `mooring node token` in the header of the request.

    pool  where volumes of the driver `directory` are to be on the host; "": nowhere
    """

    node: str
    pool: str = ""


class NodeToken(msgspec.Struct):
    """A node's own. expires: RFC 3339, UTC."""

    node: str
    token: str
    expires: str
    namespaces: list[str] = []  # that it serves; none: all
