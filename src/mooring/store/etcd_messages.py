"""What a store asks of etcd and is told by it, in etcd's own messages. Decision 0030.

ROOT + key      the document
ROOT + "~last"  written by every commit, so that its revision is that of the last one. Its value
                tells the commits apart
ROOT + "~cut"   written when an answer was lost: every commit compares its revision, so what was
                sent before and comes to a member after it is not done any more
ROOT + "~base"  how much lower revisions are than etcd's; only where documents came from another
                store, whose revisions they go on from
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aetcd import rpc

from mooring.store.interface import ABSENT, ANY, Change, Changes, Check, Document, Write

LAST: Final = "~last"  # sorts behind all keys of documents, as the others do
CUT: Final = "~cut"
BASE: Final = "~base"
OURS: Final = "~"  # that no key of a document begins with
FIRST: Final = 1  # etcd's revision of an empty cluster
OPS_AT_MOST: Final = 128  # of each part of a transaction, as etcd has it
COMPARED_AT_MOST: Final = 64 << 10  # bytes of a value; a larger one is read instead

Heads = dict[str, Document]  # documents as they are, and what is ours beside them
TARGET: Final = rpc.Compare.CompareTarget
RESULT: Final = rpc.Compare.CompareResult


class Told(NamedTuple):
    """What a member told of whole commits.

    reached  the revision up to which it is complete
    marks    of the commits, and their revisions
    cut      the revision of the last cut; 0: none
    """

    changes: Changes
    reached: int
    marks: list[tuple[bytes, int]]
    cut: int


class Messages:
    """Of one root."""

    def __init__(self, root: str, offset: int = FIRST, begun: int = 0) -> None:
        """offset: between etcd's revisions and ours; begun: ours, before the first commit."""
        self._root = root
        self._offset = offset
        self.begun = begun

    # Names and numbers

    def key(self, key: str) -> bytes:
        """As etcd has it."""
        return (self._root + key).encode()

    def range(self, prefix: str, *, with_ours: bool = False) -> tuple[bytes, bytes]:
        """From the first key that begins like this, to the first that does not any more."""
        start = self.key(prefix)
        if prefix or with_ours:
            return start, start[:-1] + bytes([start[-1] + 1])
        return start, self.key(OURS)

    def revision(self, etcds: int) -> int:
        """Ours, of one of etcd's."""
        return etcds - self._offset

    def etcds(self, revision: int) -> int:
        """Etcd's, of one of ours; 0 stays: now, or not there."""
        return revision + self._offset if revision else 0

    def document(self, kv: Any) -> Document:
        key = bytes(kv.key)[len(self._root.encode()) :].decode()
        return Document(key, bytes(kv.value), self.revision(kv.mod_revision))

    def heads(self, answer: Any) -> Heads:
        """All that a transaction of reads has found."""
        kvs = (kv for one in answer.responses for kv in one.response_range.kvs)
        return {one.key: one for one in map(self.document, kvs)}

    def last_in(self, answer: Any) -> int:
        """The revision of the last commit, out of an answer that has it; else of the beginning."""
        last = self.heads(answer).get(LAST)
        return last.revision if last else self.begun

    # Transactions

    def reads(self, keys: Sequence[str]) -> Any:
        """What is there, all of one moment."""
        return rpc.TxnRequest(success=self._reads(keys))

    def hopeful(
        self, writes: Sequence[Write], checks: Sequence[Check], cut: int, mark: bytes
    ) -> Any:
        """All of it, if it is as expected and each write changes something; else what is there."""
        compares = [self._at(CUT, cut), *(self._at(one.key, one.revision) for one in checks)]
        for one in writes:
            expected = one.expected if isinstance(one.expected, int) else 0
            compares.append(self._at(one.key, expected))
            if expected and one.value is not None:
                compares.append(self._other_than(one.key, one.value))
        return rpc.TxnRequest(
            compare=compares,
            success=self._writes(((one.key, one.value) for one in writes), mark),
            failure=self._reads(keys_of(writes, checks)),
        )

    def exact(
        self, wanted: Sequence[Change], keys: Iterable[str], heads: Heads, mark: bytes
    ) -> Any:
        """What was decided on these heads, if they are so still; of what stays as it is, too."""
        return rpc.TxnRequest(
            compare=[
                self._at(key, heads[key].revision if key in heads else 0)
                for key in keys
                if key != LAST
            ],
            success=self._writes(((one.key, one.after) for one in wanted), mark),
        )

    def _writes(self, values: Iterable[tuple[str, bytes | None]], mark: bytes) -> list[Any]:
        return [
            rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=self.key(key)))
            if value is None
            else rpc.RequestOp(request_put=rpc.PutRequest(key=self.key(key), value=value))
            for key, value in (*values, (LAST, mark))
        ]

    def _reads(self, keys: Iterable[str]) -> list[Any]:
        ranges = (rpc.RangeRequest(key=self.key(key)) for key in keys)
        return [rpc.RequestOp(request_range=one) for one in ranges]

    def _at(self, key: str, revision: int) -> Any:
        """That a key is of this revision; 0: that there is none."""
        return rpc.Compare(
            key=self.key(key),
            target=TARGET.MOD,
            result=RESULT.EQUAL,
            mod_revision=self.etcds(revision),
        )

    def _other_than(self, key: str, value: bytes) -> Any:
        return rpc.Compare(
            key=self.key(key), target=TARGET.VALUE, result=RESULT.NOT_EQUAL, value=value
        )

    # Watches

    def watch(self, after: int) -> Any:
        """Of all keys, from behind one of etcd's revisions."""
        start, end = self.range("", with_ours=True)
        create = rpc.WatchCreateRequest(
            key=start, range_end=end, start_revision=after + 1, prev_kv=True
        )
        return rpc.WatchRequest(create_request=create)

    def told(self, answer: Any) -> Told | None:
        """None: what was before a change is forgotten."""
        changes: Changes = []
        marks: list[tuple[bytes, int]] = []
        cut, last, cut_key = 0, self.key(LAST), self.key(CUT)
        ours = self.key(OURS)
        for event in answer.events:
            kv = event.kv
            if not kv.key.startswith(ours):
                change = self._change(event)
                if change is None:
                    return None
                changes.append(change)
            elif kv.key == last:
                marks.append((bytes(kv.value), self.revision(kv.mod_revision)))
            elif kv.key == cut_key:
                cut = self.revision(kv.mod_revision)
        return Told(changes, self.revision(answer.events[-1].kv.mod_revision), marks, cut)

    def _change(self, event: Any) -> Change | None:
        is_gone = event.type == rpc.Event.EventType.DELETE
        if not event.prev_kv.key and (is_gone or event.kv.version > 1):
            return None
        before = self.document(event.prev_kv) if event.prev_kv.key else None
        after = self.document(event.kv)
        return Change(
            after.key,
            before.value if before else None,
            None if is_gone else after.value,
            after.revision,
            before.revision if before else 0,
        )


def keys_of(writes: Sequence[Write], checks: Sequence[Check]) -> list[str]:
    """All that a commit hangs on, and what is ours."""
    return [*sorted({one.key for one in writes} | {one.key for one in checks}), CUT, LAST]


def is_plain(writes: Sequence[Write], checks: Sequence[Check]) -> bool:
    """Whether a commit can be tried before anything is read."""
    return (
        0 < 2 * len(writes) + len(checks) < OPS_AT_MOST - 1
        and bool(writes)
        and all(
            one.expected is not ANY
            and not (one.value is None and one.expected is ABSENT)
            and len(one.value or b"") <= COMPARED_AT_MOST
            for one in writes
        )
    )


def later_cut(heads: Mapping[str, Document], cut: int) -> int:
    """The last one that is known."""
    return max(cut, heads[CUT].revision if CUT in heads else 0)
