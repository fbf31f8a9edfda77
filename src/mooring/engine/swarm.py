"""Services, tasks and nodes of a swarm as a manager lists them; what the edge needs of them.

version  the change of the swarm that was its last; they are counted through. 0: it was not told
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import msgspec

Mode = Literal["ingress", "host"]
GRACE_S: Final = 10.0  # between SIGTERM and SIGKILL, of a service that says nothing of it
# States of a task that has ended, or never will run.
ENDED: Final = frozenset({"complete", "failed", "shutdown", "rejected", "orphaned", "remove"})


class Port(NamedTuple):
    """A port of a service or of a task.

    target     within the container
    published  of the node; 0 if it is not known yet
    mode       ingress: every node takes it and passes it on; host: the task's own node only
    """

    target: int
    published: int
    mode: Mode
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True)
class Service:
    """created: RFC 3339 as Docker writes it, UTC, so that text order is order of time."""

    id: str
    name: str
    labels: Mapping[str, str]
    created: str
    ports: tuple[Port, ...] = ()
    replicas: int | None = 1  # None: one on each node that may have it
    container_labels: Mapping[str, str] = field(default_factory=dict)
    has_settled: bool = True  # no update of it is under way
    has_healthcheck: bool = False  # of its own: an image may have one that no manager tells
    starts_first: bool = False  # an update starts the new task before it stops the old one
    grace_s: float = GRACE_S  # that a task has after SIGTERM
    version: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Task:
    """One container of a service, or the intent to have one."""

    id: str
    service_id: str
    node_id: str  # empty until it is placed
    state: str
    desired: str
    ports: tuple[Port, ...] = ()  # of its own, published on its node
    slot: int = 0  # its number within the service; 0: it has none
    stamp: str = ""  # when it came to its state, by the clock of its node; RFC 3339
    version: int = field(default=0, compare=False)

    @property
    def is_running(self) -> bool:
        return self.state == "running"

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def is_leaving(self) -> bool:
        """It runs, and is to end soon."""
        return self.is_running and self.desired not in ("running", "ready", "complete")


@dataclass(frozen=True, slots=True)
class Node:
    id: str
    name: str
    state: str  # ready, down, unknown, disconnected
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    manager_address: str = ""  # HOST:PORT, of managers
    version: int = field(default=0, compare=False)

    @property
    def is_away(self) -> bool:
        """It is `unknown` only while its managers have a new leader, which has not heard of it."""
        return self.state not in ("ready", "unknown")


@dataclass(frozen=True, slots=True)
class Swarm:
    """All that was there at one look, by id."""

    services: Mapping[str, Service] = field(default_factory=dict)
    tasks: Mapping[str, Task] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """Of the last change to anything that is there yet."""
        some = (self.services, self.tasks, self.nodes)
        return max((one.version for all_of in some for one in all_of.values()), default=0)


class _Pascal(msgspec.Struct, rename="pascal"):
    pass


class _Port(_Pascal):
    target_port: int = 0
    published_port: int = 0
    publish_mode: str = "ingress"
    protocol: str = "tcp"


class _Healthcheck(_Pascal):
    test: list[str] | None = None


class _ContainerSpec(_Pascal):
    labels: dict[str, str] | None = None
    healthcheck: _Healthcheck | None = None
    stop_grace_period: int | None = None  # in nanoseconds


class _Template(_Pascal):
    container_spec: _ContainerSpec | None = None


class _Replicated(_Pascal):
    replicas: int = 1


class _ServiceMode(_Pascal):
    replicated: _Replicated | None = None


class _Endpoint(_Pascal):
    ports: list[_Port] | None = None


class _UpdateConfig(_Pascal):
    order: str = ""


class _ServiceSpec(_Pascal):
    name: str = ""
    update_config: _UpdateConfig | None = None
    labels: dict[str, str] | None = None
    task_template: _Template = msgspec.field(default_factory=_Template)
    mode: _ServiceMode = msgspec.field(default_factory=_ServiceMode)
    endpoint_spec: _Endpoint | None = None


class _UpdateStatus(_Pascal):
    state: str = ""


class _Version(_Pascal):
    index: int = 0


class _Service(_Pascal):
    id: str = msgspec.field(name="ID")
    version: _Version = msgspec.field(default_factory=_Version)
    created_at: str = ""
    spec: _ServiceSpec = msgspec.field(default_factory=_ServiceSpec)
    endpoint: _Endpoint = msgspec.field(default_factory=_Endpoint)
    update_status: _UpdateStatus | None = None


class _PortStatus(_Pascal):
    ports: list[_Port] | None = None


class _TaskStatus(_Pascal):
    timestamp: str = ""
    state: str = ""
    port_status: _PortStatus | None = None


class _Task(_Pascal):
    id: str = msgspec.field(name="ID")
    version: _Version = msgspec.field(default_factory=_Version)
    service_id: str = msgspec.field(name="ServiceID", default="")
    node_id: str = msgspec.field(name="NodeID", default="")
    slot: int = 0
    status: _TaskStatus = msgspec.field(default_factory=_TaskStatus)
    desired_state: str = ""


class _NodeSpec(_Pascal):
    labels: dict[str, str] | None = None


class _Description(_Pascal):
    hostname: str = ""


class _NodeStatus(_Pascal):
    state: str = ""
    addr: str = ""


class _ManagerStatus(_Pascal):
    addr: str = ""


class _Node(_Pascal):
    id: str = msgspec.field(name="ID")
    version: _Version = msgspec.field(default_factory=_Version)
    spec: _NodeSpec = msgspec.field(default_factory=_NodeSpec)
    description: _Description = msgspec.field(default_factory=_Description)
    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)
    manager_status: _ManagerStatus | None = None


_services: Final = msgspec.json.Decoder(list[_Service])
_tasks: Final = msgspec.json.Decoder(list[_Task])
_nodes: Final = msgspec.json.Decoder(list[_Node])
_UNDER_WAY: Final = frozenset({"updating", "rollback_started"})


def services_of(body: bytes) -> dict[str, Service]:
    """Those in an answer to GET /services. Raises msgspec.MsgspecError if it is no such answer."""
    return {one.id: _service(one) for one in _services.decode(body)}


def tasks_of(body: bytes) -> dict[str, Task]:
    """Those of services in an answer to GET /tasks. Raises msgspec.MsgspecError likewise."""
    return {one.id: _task(one) for one in _tasks.decode(body) if one.service_id}


def nodes_of(body: bytes) -> dict[str, Node]:
    """Those in an answer to GET /nodes. Raises msgspec.MsgspecError likewise."""
    return {one.id: _node(one) for one in _nodes.decode(body)}


def _service(said: _Service) -> Service:
    spec, container = said.spec, said.spec.task_template.container_spec
    return Service(
        id=said.id,
        name=spec.name,
        labels=spec.labels or {},
        created=said.created_at,
        # Those of the endpoint have numbers, and are not there yet when a service is new.
        ports=_ports(said.endpoint.ports or (spec.endpoint_spec or said.endpoint).ports),
        replicas=spec.mode.replicated.replicas if spec.mode.replicated else None,
        container_labels=(container.labels or {}) if container else {},
        has_settled=said.update_status is None or said.update_status.state not in _UNDER_WAY,
        has_healthcheck=_is_checked(container.healthcheck if container else None),
        starts_first=spec.update_config is not None and spec.update_config.order == "start-first",
        grace_s=_grace_s(container.stop_grace_period if container else None),
        version=said.version.index,
    )


def _is_checked(said: _Healthcheck | None) -> bool:
    return said is not None and bool(said.test) and said.test != ["NONE"]


def _grace_s(said: int | None) -> float:
    return GRACE_S if said is None else said / 1e9


def _task(said: _Task) -> Task:
    status = said.status
    return Task(
        id=said.id,
        service_id=said.service_id,
        node_id=said.node_id,
        state=status.state,
        desired=said.desired_state,
        ports=_ports(status.port_status.ports if status.port_status else None),
        slot=said.slot,
        stamp=status.timestamp,
        version=said.version.index,
    )


def _node(said: _Node) -> Node:
    return Node(
        id=said.id,
        name=said.description.hostname,
        state=said.status.state,
        address=said.status.addr,
        labels=said.spec.labels or {},
        manager_address=said.manager_status.addr if said.manager_status else "",
        version=said.version.index,
    )


def _ports(said: list[_Port] | None) -> tuple[Port, ...]:
    return tuple(
        Port(
            one.target_port,
            one.published_port,
            "host" if one.publish_mode == "host" else "ingress",
            one.protocol,
        )
        for one in said or ()
    )
