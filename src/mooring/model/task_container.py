"""Containers of a swarm's tasks, as the agent of their host tells edges of them.

One document for each host, tasks/NODE, of no served kind: all of its containers each time, so that
the newest document is all that there is to know. Decision 0034.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

PREFIX: Final = "tasks/"
CONTAINERS_AT_MOST: Final = 2000  # of one host that edges are told of
STREAM_PATH: Final = "/mooring/v1/edge/tasks"  # where edges are told
PROGRESS_EVERY_S: Final = 2.0  # a stream that says nothing for three times as long is dead

# starting: it runs, its check of health has not passed yet. ending: it was told to end, or its
# check fails, after which a swarm tells it to.
State = Literal["starting", "running", "ending", "ended"]
ORDER: Final[Mapping[State, int]] = {"starting": 0, "running": 1, "ending": 2, "ended": 3}
_Id = Annotated[str, Meta(pattern=r"^[0-9a-z]{1,64}\Z")]
_Number = Annotated[int, Meta(ge=1, le=65535)]
_Name = Annotated[str, Meta(max_length=253)]


class TaskPort(msgspec.Struct, frozen=True, array_like=True):
    """Of TCP, published on the container's own host. target: within the container."""

    target: _Number
    published: _Number


class TaskContainer(msgspec.Struct, frozen=True, omit_defaults=True):
    """task, service: ids of the swarm, as the container's labels have them."""

    id: _Id
    task: _Id
    service: _Id
    state: State
    ports: Annotated[tuple[TaskPort, ...], Meta(max_length=100)] = ()


class HostTasks(msgspec.Struct, frozen=True):
    """All of one host, by id; those that have ended only for a while.

    host  the name of its Node
    """

    host: _Name
    containers: Annotated[tuple[TaskContainer, ...], Meta(max_length=CONTAINERS_AT_MOST)] = ()


_host_tasks: Final = msgspec.json.Decoder(HostTasks)


def key_of(node: str) -> str:
    """Of the document of a host."""
    return f"{PREFIX}{node}"


def host_tasks_of(document: bytes) -> HostTasks:
    """What a document says. Raises msgspec.MsgspecError if it is no such."""
    return _host_tasks.decode(document)


def may_be_told(container: TaskContainer) -> bool:
    """Whether it is as a document takes it: anybody may give a container labels like a swarm's."""
    try:
        msgspec.convert(msgspec.to_builtins(container), TaskContainer)
    except msgspec.ValidationError:
        return False
    return True


def later(before: TaskContainer | None, told: TaskContainer) -> TaskContainer:
    """What is known of a container after one more thing is told of it, in whatever order.

    The container of a task ends once and for all, so no word that comes late brings it back.
    """
    if before is None:
        return told
    state = max(before.state, told.state, key=ORDER.__getitem__)
    found = told if told.ports or not before.ports else before
    return msgspec.structs.replace(found, state=state)
