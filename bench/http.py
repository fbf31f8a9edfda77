"""Reading HTTP/1.1 answers, in whatever pieces they arrive."""

from collections.abc import Callable
from typing import Final

MAX_HEAD_BYTES: Final = 64 * 1024  # a head longer than this is no answer of an API server
_LENGTH: Final = b"\r\ncontent-length:"
_ENCODING: Final = b"\r\ntransfer-encoding:"


class Malformed(Exception):
    """What arrived is not HTTP/1.1, or ended in the middle of an answer."""


class ResponseParser:
    """The answers of one connection. Feed it bytes; it calls back for each whole answer.

    answered(status, body)  at the end of each answer but 1xx
    piece(data)             if given, gets the body of 200 answers as it comes; `body` is then b""
    """

    def __init__(
        self,
        answered: Callable[[int, bytes], None],
        piece: Callable[[bytes], None] | None = None,
    ) -> None:
        self._answered = answered
        self._piece = piece
        self._rest = b""  # arrived, but too short to act on
        self._state: Callable[[bytes, int], int] = self._head
        self._status = 0
        self._left = 0  # bytes of the body or chunk still to come
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Take what arrived. Raises Malformed."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at, end = 0, len(data)
        while at < end:
            after = self._state(data, at)
            if after < 0:
                self._rest = data[at:]
                return
            at = after

    def end(self) -> None:
        """The peer closed. Raises Malformed if that cut an answer."""
        if self._state == self._until_close:
            self._finish()
        elif self._state != self._head or self._rest:
            raise Malformed("the connection ended in the middle of an answer")

    # Each state takes (data, position) and returns the position after what it used, or -1 if
    # it needs more than is there.

    def _head(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            if len(data) - at > MAX_HEAD_BYTES:
                raise Malformed("the head of an answer does not end")
            return -1
        head = data[at : end + 2].lower()
        if not head.startswith(b"http/1.1 "):
            raise Malformed(f"not an HTTP/1.1 answer: {head[:40]!r}")
        self._status = int(head[9:12])
        start = end + 4
        if 100 <= self._status < 200:
            return start
        found = head.find(_LENGTH)
        if found >= 0:
            length = int(head[found + len(_LENGTH) : head.index(b"\r\n", found + 2)])
            return self._sized(data, start, length)
        if self._status in (204, 304):
            return self._sized(data, start, 0)
        found = head.find(_ENCODING)
        chunked = found >= 0 and b"chunked" in head[found : head.index(b"\r\n", found + 2)]
        self._state = self._chunk_size if chunked else self._until_close
        return start

    def _sized(self, data: bytes, start: int, length: int) -> int:
        end = start + length
        if len(data) >= end and not self._parts:  # nearly always: small and whole
            self._take(data[start:end])
            self._finish()
            return end
        self._left, self._state = length, self._body
        return start

    def _body(self, data: bytes, at: int) -> int:
        at = self._some(data, at)
        if not self._left:
            self._finish()
        return at

    def _chunk_size(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at)
        if end < 0:
            return -1
        self._left = int(data[at:end].partition(b";")[0], 16)
        self._state = self._chunk if self._left else self._trailer
        return end + 2

    def _chunk(self, data: bytes, at: int) -> int:
        at = self._some(data, at)
        if not self._left:
            self._state = self._chunk_end
        return at

    def _chunk_end(self, data: bytes, at: int) -> int:
        if len(data) < at + 2:
            return -1
        if data[at : at + 2] != b"\r\n":
            raise Malformed("a chunk is longer than it says")
        self._state = self._chunk_size
        return at + 2

    def _trailer(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at)
        if end < 0:
            return -1
        if end == at:
            self._finish()
        return end + 2

    def _until_close(self, data: bytes, at: int) -> int:
        self._take(data[at:])
        return len(data)

    def _some(self, data: bytes, at: int) -> int:
        taken = data[at : at + self._left]
        self._left -= len(taken)
        self._take(taken)
        return at + len(taken)

    def _take(self, data: bytes) -> None:
        if self._piece is not None and self._status == 200:
            self._piece(data)
        else:
            self._parts.append(data)

    def _finish(self) -> None:
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        self._state = self._head  # before the call: it may send, and the answer may be here
        self._answered(self._status, body)
