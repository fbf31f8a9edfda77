"""How a host leaves for good. POST /mooring/v1/leave, of an admin.

{"node": NAME, "force": false}   its tokens end
{"waitS": N, "known": true}      the volumes in use there are free after so many seconds: ask again
                                 then; 0: they are. known: there was a host of that name, or is

What an operator does not vouch for is refused: volumes that others reach, in use on a host that did
not promise to stop its containers once its Lease has run out. Docker volumes §9: never two writers.
"""

from typing import Final

import msgspec

from mooring.api.bodies import read_as
from mooring.api.http import JSON, Request
from mooring.api.status import ApiError
from mooring.api.tokens import Tokens
from mooring.model import door, task_container
from mooring.model.attachment import Attachment
from mooring.model.node import Node
from mooring.model.volume import Volume
from mooring.objects.leases import SeenLeases
from mooring.objects.objects import Objects
from mooring.rules.fencing import (
    MARGIN_S,
    has_promised,
    is_of_one_of_several,
    is_out_of_service,
)

PATH: Final = "/mooring/v1/leave"


class Leaves(msgspec.Struct, forbid_unknown_fields=True):
    node: str
    force: bool = False


class Left(msgspec.Struct, rename="camel"):
    wait_s: float
    known: bool


class Leaving:
    """Of one server. By what it has seen of the host's Lease."""

    def __init__(self, objects: Objects, tokens: Tokens, leases: SeenLeases) -> None:
        self._objects, self._tokens, self._leases = objects, tokens, leases

    async def serves(self, request: Request) -> bool:
        """Answer, if it is that. Repeatable. Raises ApiError."""
        if (request.method, request.path) != ("POST", PATH):
            return False
        leaves = await read_as(request, Leaves)
        node = leaves.node
        await self._objects.fresh()
        if not leaves.force:
            self.refuse_risky(node)
        ends = door.HOSTS + node, task_container.key_of(node)
        is_known = await self._tokens.ended(node, "node", *ends)
        is_known = is_known or self._objects.view(Node, node) is not None
        await request.answer(200, msgspec.json.encode(Left(self.wait_s(node), is_known)), (JSON,))
        return True

    def refuse_risky(self, node: str) -> None:
        """Raises ApiError, if what is in use there could have two writers once it is let go, and
        nobody says that the host is off."""
        risky = [one.volume for one in self._shared(node) if not has_promised(one.annotations)]
        if risky and not is_out_of_service(self._objects.view(Node, node)):
            raise _refused(node, sorted(risky))

    def wait_s(self, node: str) -> float:
        """Until a host has stopped writing to what another may have then, if nobody lets it in."""
        if is_out_of_service(self._objects.view(Node, node)) or not self._shared(node):
            return 0.0
        return max(MARGIN_S - self._leases.late_s(node), 0.0)

    def _shared(self, node: str) -> list[Attachment]:
        """Of volumes in use on a node that another host may have next."""
        return [
            one
            for one in self._objects.views(Attachment)
            if one.node == node
            and (volume := self._objects.view(Volume, one.volume)) is not None
            and is_of_one_of_several(volume)
        ]


def _refused(node: str, volumes: list[str]) -> ApiError:
    return ApiError(
        "Conflict",
        f"volumes are in use on {node}, which may write to them for as long as it runs, and others "
        f"could have them then: {', '.join(volumes)}",
        f"mooring node drain {node}; if the host is off: mooring node remove {node} --force",
    )
