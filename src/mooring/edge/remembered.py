"""The memory of an edge across its own restarts: a file beside the proxy's.

Without it a label that was broken yesterday would take its route out when Mooring is started again,
and a task that leaves just then would lose its slot at once.
"""

import logging
from typing import Final

import msgspec

from mooring.edge.model import Memory
from mooring.edge.place import Place
from mooring.edge.routes import Route
from mooring.engine.swarm import Port

log = logging.getLogger(__name__)

NAME: Final = "memory.json"


class _File(msgspec.Struct):
    routes: list[Route]
    ports: dict[str, list[Port]]


_decoder: Final = msgspec.json.Decoder(_File)


def remembered(place: Place) -> Memory:
    """What was remembered; nothing if that cannot be read."""
    try:
        said = _decoder.decode((place.path / NAME).read_bytes())
    except FileNotFoundError:
        return Memory()
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("what was remembered is lost: %s", error)
        return Memory()
    ports = {task: tuple(some) for task, some in said.ports.items()}
    return Memory({one.key: one for one in said.routes}, ports)


def remember(place: Place, memory: Memory) -> None:
    """Raises NotWritten."""
    ports = {task: list(some) for task, some in memory.ports.items()}
    text = msgspec.json.encode(_File(list(memory.routes.values()), ports)).decode()
    place.write(NAME, text)
