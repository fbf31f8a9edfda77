"""The parser reads every answer the same, however it is cut."""

import pytest

from bench.http import Malformed, ResponseParser

LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CASES = b"HTTP/1.1 201 Created\r\nX: y\r\nContent-LENGTH:2\r\nA: b\r\n\r\nok"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nhel\r\nA;name=value\r\nlo, world!\r\n0\r\nTrailer: x\r\n\r\n"
)
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
ALL = LENGTH + CASES + EMPTY + NO_CONTENT + CONTINUE + CHUNKED + REFUSED
ANSWERS = [
    (200, b"hello"),
    (201, b"ok"),
    (200, b""),
    (204, b""),
    (200, b"hello, world!"),
    (403, b"no"),
]


def answers(*pieces: bytes) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    parser = ResponseParser(lambda status, body: found.append((status, body)))
    for piece in pieces:
        parser.feed(piece)
    parser.end()
    return found


def test_answers_that_arrive_at_once_are_told_apart() -> None:
    assert answers(ALL) == ANSWERS


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_answers_that_arrive_in_small_pieces_are_the_same(size: int) -> None:
    assert answers(*(ALL[at : at + size] for at in range(0, len(ALL), size))) == ANSWERS


def test_answers_cut_in_two_at_any_byte_are_the_same() -> None:
    for cut in range(1, len(ALL)):
        assert answers(ALL[:cut], ALL[cut:]) == ANSWERS


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    assert answers(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo") == [(200, b"hello")]


def test_a_stream_is_handed_on_as_it_comes() -> None:
    pieces: list[bytes] = []
    parser = ResponseParser(lambda *_: None, pieces.append)
    parser.feed(CHUNKED[: CHUNKED.index(b", world!")])
    assert b"".join(pieces) == b"hello"


def test_a_refused_stream_is_an_answer_with_a_body() -> None:
    found: list[tuple[int, bytes]] = []
    pieces: list[bytes] = []
    ResponseParser(lambda status, body: found.append((status, body)), pieces.append).feed(REFUSED)
    assert (found, pieces) == ([(403, b"no")], [])


@pytest.mark.parametrize("cut", [3, 30, len(LENGTH) - 1])
def test_an_answer_cut_off_by_the_end_of_the_connection_is_said(cut: int) -> None:
    with pytest.raises(Malformed):
        answers(LENGTH[:cut])


@pytest.mark.parametrize(
    "nonsense",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc",
    ],
    ids=["another protocol", "an endless head", "a chunk longer than it says"],
)
def test_what_is_not_an_answer_is_refused(nonsense: bytes) -> None:
    with pytest.raises(Malformed):
        answers(nonsense)
