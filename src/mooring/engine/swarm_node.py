"""A node of a swarm as its managers keep it, and what an engine says of its own."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec


class OwnNode(NamedTuple):
    """id: "" of an engine that is in no swarm. is_manager: it may be asked for all nodes."""

    id: str = ""
    is_manager: bool = False


class NodeSpec(NamedTuple):
    """What managers are told of a node, all of it, and of which version that is."""

    id: str
    version: int
    spec: Mapping[str, Any]
    is_leader: bool = False

    @property
    def labels(self) -> Mapping[str, str]:
        return self.spec.get("Labels") or {}

    @property
    def availability(self) -> str:
        """active, pause or drain."""
        return str(self.spec.get("Availability") or "active")


class _Swarm(msgspec.Struct):
    id: str = msgspec.field(name="NodeID", default="")
    is_manager: bool = msgspec.field(name="ControlAvailable", default=False)


class _Info(msgspec.Struct):
    swarm: _Swarm = msgspec.field(name="Swarm", default_factory=_Swarm)


class _Version(msgspec.Struct):
    index: int = msgspec.field(name="Index", default=0)


class _Manager(msgspec.Struct):
    leads: bool = msgspec.field(name="Leader", default=False)


class _Node(msgspec.Struct):
    id: str = msgspec.field(name="ID")
    version: _Version = msgspec.field(name="Version", default_factory=_Version)
    spec: dict[str, Any] = msgspec.field(name="Spec", default_factory=dict)
    manager: _Manager | None = msgspec.field(name="ManagerStatus", default=None)


def own_node_of(info: bytes) -> OwnNode:
    """In an engine's answer to /info. Raises MsgspecError."""
    swarm = msgspec.json.decode(info, type=_Info).swarm
    return OwnNode(swarm.id, swarm.is_manager)


def node_specs_of(listed: bytes) -> list[NodeSpec]:
    """In a manager's answer to /nodes. Raises MsgspecError."""
    return [
        NodeSpec(one.id, one.version.index, one.spec, one.manager is not None and one.manager.leads)
        for one in msgspec.json.decode(listed, type=list[_Node])
    ]
