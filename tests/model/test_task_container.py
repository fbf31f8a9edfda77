"""Containers of tasks: what is known after things are told of them, in whatever order."""

from itertools import permutations

import msgspec
import pytest

from mooring.model.task_container import (
    HostTasks,
    State,
    TaskContainer,
    TaskPort,
    host_tasks_of,
    later,
)

PORTS = (TaskPort(80, 32768),)


def told(state: State, *, ports: tuple[TaskPort, ...] = ()) -> TaskContainer:
    return TaskContainer("c1", "t1", "s1", state, ports)


def test_a_container_that_ended_has_ended_however_late_other_words_come() -> None:
    words = (told("starting"), told("running", ports=PORTS), told("ending"), told("ended"))
    for order in permutations(words):
        known = None
        for word in order:
            known = later(known, word)
        assert known == told("ended", ports=PORTS)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b'{"host":"a","containers":[{"id":"../x","task":"t","service":"s","state":"ended"}]}',
        b'{"host":"a","containers":[{"id":"c\\n","task":"t","service":"s","state":"ended"}]}',
        b'{"host":"a","containers":[{"id":"c","task":"t","service":"s","state":"better"}]}',
        b'{"host":"a","containers":[{"id":"c","task":"t","service":"s","state":"running",'
        b'"ports":[[80,0]]}]}',
        b'{"host":"a","containers":[{"id":"c","task":"t","service":"s","state":"running",'
        b'"ports":[[80,65536]]}]}',
        msgspec.json.encode(HostTasks("a", (told("ended"),) * 2001)),
        msgspec.json.encode(HostTasks("a" * 254)),
    ],
)
def test_what_is_no_document_of_a_host(document: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        host_tasks_of(document)


def test_what_is_one() -> None:
    told_of = HostTasks("a", (told("running", ports=PORTS), told("ended")))
    assert host_tasks_of(msgspec.json.encode(told_of)) == told_of
