"""A container as the Docker engine tells of it in a list."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

# The exit status is in no field of its own, but in a text for people: Exited (137) 2 seconds ago.
_EXITED: Final = re.compile(r"(?:Exited|Restarting) \((-?\d+)\)")

SERVICE_LABEL: Final = "com.docker.swarm.service.name"


class ContainerMount(NamedTuple):
    """A volume of a driver at a path of a container."""

    volume: str  # as Docker calls it
    driver: str
    target: str  # in the container
    read_only: bool


@dataclass(frozen=True, slots=True)
class Container:
    """One container, with the volumes that it has or will have once it runs."""

    id: str  # 64 hex digits
    name: str
    image: str
    state: str  # created, running, paused, restarting, removing, exited, dead
    exit_code: int | None  # of its last run, if that ended
    created: int  # seconds since the epoch
    mounts: tuple[ContainerMount, ...]
    service: str = ""  # of a swarm, whose task it is


class _Mount(msgspec.Struct, rename="pascal"):
    type: str = ""
    name: str = ""
    driver: str = ""
    destination: str = ""
    read_write: bool = msgspec.field(name="RW", default=True)


class _Container(msgspec.Struct, rename="pascal"):
    id: str
    names: list[str] | None = None
    image: str = ""
    state: str = ""
    status: str = ""
    created: int = 0
    mounts: list[_Mount] | None = None
    labels: dict[str, str] | None = None


_list: Final = msgspec.json.Decoder(list[_Container] | None)


def containers_of(body: bytes, driver: str) -> list[Container]:
    """Those in an answer to GET /containers/json that have volumes of this driver, and no other.

    raises  msgspec.MsgspecError if it is no such answer
    """
    found = (_container(one, driver) for one in _list.decode(body) or ())
    return [one for one in found if one.mounts]


def _container(said: _Container, driver: str) -> Container:
    ended = _EXITED.match(said.status)
    mounts = (
        ContainerMount(one.name, one.driver, one.destination, not one.read_write)
        for one in said.mounts or ()
        if one.type == "volume" and one.driver == driver
    )
    return Container(
        id=said.id,
        name=_own_name(said.names or ()),
        image=said.image,
        state=said.state,
        exit_code=int(ended[1]) if ended else None,
        created=said.created,
        mounts=tuple(sorted(mounts, key=lambda one: one.target)),
        service=(said.labels or {}).get(SERVICE_LABEL, ""),
    )


def _own_name(names: Sequence[str]) -> str:
    """Its own, not what containers that are linked to it call it: /other/alias. "" if none."""
    return min((name.removeprefix("/") for name in names), key=lambda n: n.count("/"), default="")
