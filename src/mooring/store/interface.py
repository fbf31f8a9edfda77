"""The contract of a store: versioned documents, atomic commits, watches without a gap."""

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol

from mooring.errors import Effect, MooringError


class Expect(Enum):
    """What a write may find at its key, other than an exact revision."""

    ABSENT = "absent"
    ANY = "any"


ABSENT: Final = Expect.ABSENT
ANY: Final = Expect.ANY
MAX_VALUE_BYTES: Final = 1024 * 1024  # larger objects are refused, as Kubernetes' store does
# Of one commit, and of its checks. etcd takes 128 of each part of a transaction, of which one is
# its own.
MAX_WRITES: Final = 63


class Document(NamedTuple):
    """A stored value and the revision of the commit that wrote it."""

    key: str
    value: bytes
    revision: int


class Write(NamedTuple):
    """One change of a commit: new bytes, or None to delete.

    key       "<plural>.<group>/<namespace>/<name>" or "<plural>.<group>/<name>"; once in a commit
    expected  the revision the key must have now, ABSENT, or ANY
    """

    key: str
    value: bytes | None
    expected: int | Expect = ANY


class Check(NamedTuple):
    """A key that must still be at this revision (0: absent) for the commit to happen."""

    key: str
    revision: int


class Change(NamedTuple):
    """One committed write, as a watch shows it. `after` None is a deletion."""

    key: str
    before: bytes | None
    after: bytes | None
    revision: int
    previous_revision: int  # of `before`; 0 if there was none


Changes = list[Change]  # a batch


@dataclass(frozen=True, slots=True)
class Page:
    """Documents in key order as they were at `revision`; `more` if the limit cut the list."""

    documents: list[Document]
    revision: int
    more: bool


class Store(Protocol):
    """Versioned documents. One suite (tests/conformance/test_store.py) says what each store does.

    Revisions are positive, grow by each commit that changed something, and survive restarts.
    """

    @property
    def is_shared(self) -> bool:
        """Whether other processes write to it, too."""

    async def get(self, key: str) -> Document | None:
        """The document as last committed."""

    async def list(
        self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0
    ) -> Page:
        """Documents whose key starts with `prefix` and sorts after `after`, in key order.

        limit     0: all
        revision  0: now; else as it was then. Raises Expired if history is gone.
        raises    Unavailable after close or when the files cannot be read
        """

    def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> Awaitable[int]:
        """Do all writes or none, durable when this is awaited. The answer is the revision.

        Begun by the call, or when it is awaited; those begun together may share an fsync.
        A write whose bytes equal what is stored changes nothing; if no write changes anything
        no revision is made and the current one is returned. Watchers have been handed the
        changes before this returns. A caller cancelled meanwhile does not know what happened.
        Raises Conflict (nothing done), TooLarge (nothing done), Unavailable (its effect says),
        ValueError (our bug: a key twice, or more than MAX_WRITES).
        """

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Changes]:
        """Every change after `from_revision` in order, in batches, without a gap, for ever.

        A batch is never empty, and never splits the writes of one commit. Raises Expired
        when the history from there is gone, or when the reader fell too far behind.
        Ends when the store is closed.
        """

    async def revision(self) -> int:
        """The revision of the last commit."""

    async def compact(self, before: int) -> None:
        """Forget history older than this revision: watches and lists from there are Expired."""

    async def close(self) -> None:
        """Finish what was accepted, stop watches, release the files."""


class Conflict(MooringError):
    """A key was not at the revision expected."""

    code = "Conflict"

    def __init__(self, key: str, expected: int | Expect, found: int) -> None:
        self.key, self.expected, self.found = key, expected, found
        wanted = expected.value if isinstance(expected, Expect) else f"revision {expected}"
        self.what = f"{key} is at revision {found}, expected {wanted}"
        self.remedy = "read it again and repeat the change"
        super().__init__(self.what)


class Expired(MooringError):
    """The history asked for is no longer kept."""

    code = "Expired"

    def __init__(self, revision: int, oldest: int) -> None:
        self.revision, self.oldest = revision, oldest
        self.what = f"revision {revision} is too old, history starts at {oldest}"
        self.remedy = "list again and watch from the new revision"
        super().__init__(self.what)


class TooLarge(MooringError):
    """A value is over MAX_VALUE_BYTES."""

    code = "TooLarge"

    def __init__(self, key: str, size_bytes: int) -> None:
        self.what = f"{key} is {size_bytes} bytes, at most {MAX_VALUE_BYTES} are stored"
        self.remedy = "make the object smaller"
        super().__init__(self.what)


class Unavailable(MooringError):
    """The store could not do it: closed, disk full, input/output error, out of reach.

    After Effect.UNKNOWN read the keys again: the commit may have happened.
    """

    code = "Unavailable"

    def __init__(self, why: str, remedy: str, effect: Effect = Effect.NONE) -> None:
        self.what, self.remedy, self.effect = f"the store is not available: {why}", remedy, effect
        super().__init__(self.what)
