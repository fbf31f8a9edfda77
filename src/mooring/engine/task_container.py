"""Containers of a swarm's tasks as the Docker engine of their host tells of them."""

import signal
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from mooring.model.task_container import State, TaskContainer, TaskPort

TASK: Final = "com.docker.swarm.task.id"  # labels that a swarm gives
SERVICE: Final = "com.docker.swarm.service.id"
# What an engine tells of them that says whether they may get requests.
ACTIONS: Final = ("start", "health_status", "kill", "die", "stop", "destroy")
_RTMIN: Final = 34  # of glibc, as images say RTMIN+3


class TaskEvent(NamedTuple):
    """signal: of a `kill`, else 0."""

    id: str
    action: str
    signal: int
    task: str
    service: str

    def ends_with(self, stop_signal: int) -> bool:
        """Whether it is told to end: a signal may also mean something else to it."""
        ends = (signal.SIGTERM, signal.SIGKILL, stop_signal)
        return self.action == "kill" and self.signal in ends

    def state(self, stop_signal: int = 0) -> State | None:
        """In which the container is by it; None if that has to be asked."""
        if self.action in ("die", "stop", "destroy"):
            return "ended"
        if self.action == "health_status: healthy":
            return "running"
        # Its swarm tells it to end then.
        if self.action == "health_status: unhealthy" or self.ends_with(stop_signal):
            return "ending"
        return None


class Inspected(NamedTuple):
    """container: None if it has not been started yet, or is of no task."""

    container: TaskContainer | None
    stop_signal: int


class _Actor(msgspec.Struct):
    id: str = msgspec.field(name="ID", default="")
    attributes: dict[str, str] = msgspec.field(name="Attributes", default_factory=dict)


class _Event(msgspec.Struct):
    action: str = msgspec.field(name="Action", default="")
    actor: _Actor = msgspec.field(name="Actor", default_factory=_Actor)


class _Pascal(msgspec.Struct, rename="pascal"):
    pass


class _Health(_Pascal):
    status: str = ""


class _State(_Pascal):
    status: str = ""
    health: _Health | None = None


class _Config(_Pascal):
    labels: dict[str, str] | None = None
    stop_signal: str = ""


class _Binding(_Pascal):
    host_port: str = ""


class _Network(_Pascal):
    ports: dict[str, list[_Binding] | None] | None = None


class _Inspected(_Pascal):
    id: str
    state: _State = msgspec.field(default_factory=_State)
    config: _Config = msgspec.field(default_factory=_Config)
    network_settings: _Network = msgspec.field(default_factory=_Network)


class _Listed(_Pascal):
    id: str


_event: Final = msgspec.json.Decoder(_Event)
_inspected: Final = msgspec.json.Decoder(_Inspected)
_listed: Final = msgspec.json.Decoder(list[_Listed] | None)


def event_of(line: bytes) -> TaskEvent:
    """In a line of GET /events. Raises msgspec.MsgspecError if it is none."""
    said = _event.decode(line)
    about = said.actor.attributes
    number = about.get("signal", "")
    return TaskEvent(
        said.actor.id,
        said.action,
        int(number) if number.isdecimal() else 0,
        about.get(TASK, ""),
        about.get(SERVICE, ""),
    )


def ids_of(body: bytes) -> list[str]:
    """In an answer to GET /containers/json. Raises msgspec.MsgspecError if it is no such."""
    return [one.id for one in _listed.decode(body) or ()]


def inspected_of(body: bytes) -> Inspected:
    """In an answer to GET /containers/ID/json. Raises msgspec.MsgspecError likewise."""
    said = _inspected.decode(body)
    labels, state = said.config.labels or {}, _state(said.state)
    number = stop_signal(said.config.stop_signal)
    if state is None or TASK not in labels:
        return Inspected(None, number)
    ports = _ports(said.network_settings.ports or {})
    made = TaskContainer(said.id, labels[TASK], labels.get(SERVICE, ""), state, ports)
    return Inspected(made, number)


def stop_signal(text: str) -> int:
    """The number of the signal that a container is stopped with: SIGTERM, QUIT, RTMIN+3, 15."""
    name = text.upper().removeprefix("SIG")
    base, _, more = name.partition("+")
    if base == "RTMIN" and (more.isdecimal() or not more):
        return _RTMIN + int(more or 0)
    if name.isdecimal():
        return int(name)
    found = getattr(signal, f"SIG{name}", signal.SIGTERM) if name.isalnum() else signal.SIGTERM
    return int(found)


def _state(said: _State) -> State | None:
    if said.status in ("running", "paused"):
        health = said.health.status if said.health else ""
        known: dict[str, State] = {"starting": "starting", "unhealthy": "ending"}
        return known.get(health, "running")
    return None if said.status in ("created", "") else "ended"


def _ports(said: Mapping[str, list[_Binding] | None]) -> tuple[TaskPort, ...]:
    found = set()
    for name, bindings in said.items():
        target, _, protocol = name.partition("/")
        for one in bindings or ():
            if protocol == "tcp" and target.isdecimal() and one.host_port.isdecimal():
                found.add((int(target), int(one.host_port)))
    return tuple(TaskPort(*one) for one in sorted(found))
