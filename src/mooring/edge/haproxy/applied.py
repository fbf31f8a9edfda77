"""What HAProxy's configuration was made of: a file beside it, for whoever follows it next.

Without it a restart of ours would not know which routes the proxy has, and would reload it for a
service that is gone, or take a route out that stays as it was.
"""

import logging
from collections.abc import Mapping
from typing import Final

import msgspec

from mooring.edge.model import Backend
from mooring.edge.place import Place
from mooring.edge.routes import Route

log = logging.getLogger(__name__)

NAME: Final = "applied.json"


class Applied(msgspec.Struct):
    """generation: of the configuration. families: of servers, by backend, as parts.family has."""

    generation: int = 0
    routes: list[Route] = []
    families: dict[str, str] = {}

    def backends(self, slots: Mapping[str, int]) -> dict[str, Backend]:
        """As far as they hang on no server. slots: that they have, by name"""
        return {
            one.backend: Backend(one, (), slots[one.backend])
            for one in self.routes
            if one.backend in slots
        }


_decoder: Final = msgspec.json.Decoder(Applied)


def applied(place: Place, generation: int) -> Applied:
    """Of the configuration of this generation; nothing if that is not known."""
    try:
        found = _decoder.decode((place.path / NAME).read_bytes())
    except FileNotFoundError:
        return Applied()
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("what HAProxy's configuration was made of is lost: %s", error)
        return Applied()
    return found if found.generation == generation else Applied()


def note(place: Place, made_of: Applied) -> None:
    """Raises NotWritten."""
    place.write(NAME, msgspec.json.encode(made_of).decode())
