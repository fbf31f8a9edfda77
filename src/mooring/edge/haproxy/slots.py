"""Which server stands in which slot, and what to tell HAProxy so that it does. Pure.

A slot is a server of the configuration that has no address of its own: it is pointed at a task when
one comes, and rests when it goes, without a reload (edge §1.2, §5).
"""

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple

from mooring.edge.model import Backend, Server, Wish

RESTING: Final = ("127.0.0.1", 1)  # where a slot points that never had a server


class Admin(Enum):
    """What HAProxy was told of a slot."""

    READY = "ready"
    DRAIN = "drain"  # checked, no new requests
    MAINT = "maint"  # neither


class Slot(NamedTuple):
    """As HAProxy has it. is_up: it passed its last check, in the state in which it is."""

    number: int
    address: str
    port: int
    admin: Admin
    is_up: bool


class Point(NamedTuple):
    """Point a resting slot at a server, to be checked before it gets requests."""

    slot: int
    server: Server


class Turn(NamedTuple):
    """Tell a slot its state."""

    slot: int
    admin: Admin


class Plan(NamedTuple):
    """What to do now.

    steps     in this order
    places    {server key: slot} once they are done
    waits     servers that have a slot, and have yet to pass a check
    homeless  servers without a slot: a reload makes more, or requests of another's end
    """

    steps: tuple[Point | Turn, ...]
    places: Mapping[str, int]
    waits: tuple[str, ...]
    homeless: tuple[str, ...]


def plan(
    backend: Backend,
    slots: Sequence[Slot],
    places: Mapping[str, int],
    busy: Collection[int] = (),
) -> Plan:
    """What brings the slots of a backend to its servers.

    slots   all of it as they are now, by number, the first is 1
    places  {server key: slot} as the last plan had it; what it does not know is found by address
    busy    slots with requests that have not ended
    """
    return _Planner(backend, slots, places, busy).plan()


def takes_over(made: Plan, slots: Sequence[Slot]) -> bool:
    """Whether it gives a server what another had, whose requests may go on.

    slots  as the plan was made of
    """
    fresh = {one.number for one in slots if one[1:3] == RESTING}
    return any(isinstance(step, Point) and step.slot not in fresh for step in made.steps)


class _Planner:
    def __init__(
        self,
        backend: Backend,
        slots: Sequence[Slot],
        places: Mapping[str, int],
        busy: Collection[int],
    ) -> None:
        self.backend = backend
        self.busy = busy
        self.slots = {one.number: one for one in slots}
        wanted = {one.key: one for one in backend.servers}
        self.places = {
            key: number for key, number in places.items() if key in wanted and number in self.slots
        }
        self.steps: list[Point | Turn] = []
        self.waits: list[str] = []
        self.homeless: list[str] = []

    def plan(self) -> Plan:
        for server in self.backend.servers:
            self._found(server)
        held = set(self.places.values())
        for number, slot in self.slots.items():
            if number not in held and slot.admin is not Admin.MAINT:
                self.steps.append(Turn(number, Admin.MAINT))
        free = self._free(held)
        for server in self.backend.servers:
            if server.wish is Wish.SERVE:
                self._serve(server, free)
        answers = [one for one in self.backend.servers if self._answers(one)]
        for server in self.backend.servers:
            if server.wish is Wish.LEAVE:
                self._leave(server, has_other=bool(answers))
        return Plan(tuple(self.steps), self.places, tuple(self.waits), tuple(self.homeless))

    def _found(self, server: Server) -> None:
        """Nobody told where it is: after a start of ours it is in the slot that points at it."""
        if server.key in self.places:
            return
        held = set(self.places.values())
        for number, slot in self.slots.items():
            is_it = slot.admin is not Admin.MAINT and _points_at(slot, server)
            if is_it and number not in held:
                self.places[server.key] = number
                return

    def _may_have(self, server: Server, number: int) -> bool:
        """Of `mesh`, the first slot is the active one, and the others are backups.

        Only where a server comes: one that stands by goes on where it is when it becomes the active
        one, since the first backup takes all requests while the active slot has none.
        """
        return self.backend.route.mode != "mesh" or server.is_backup == (number > 1)

    def _free(self, held: set[int]) -> list[int]:
        """Resting slots, those first that point nowhere: the others may have requests to end.

        What becomes of those would count against the server that came. So the slot is theirs
        while somebody answers others, and stays.
        """
        resting = [
            one
            for one in self.slots.values()
            if one.number not in held and one.admin is Admin.MAINT
        ]
        if self.busy and any(self._answers(one) for one in self.backend.servers):
            resting = [one for one in resting if one.number not in self.busy]
        resting.sort(key=lambda one: (one.number in self.busy, one[1:3] != RESTING, one))
        return [one.number for one in resting]

    def _serve(self, server: Server, free: list[int]) -> None:
        number = self.places.get(server.key)
        if number is None:
            number = next((one for one in free if self._may_have(server, one)), None)
            if number is None:
                self.homeless.append(server.key)
                return
            free.remove(number)
            self.places[server.key] = number
        slot = self.slots[number]
        if slot.admin is Admin.MAINT or not _points_at(slot, server):
            if slot.admin is not Admin.MAINT:
                self.steps.append(Turn(number, Admin.MAINT))
            self.steps.append(Point(number, server))
            self.waits.append(server.key)
        elif slot.admin is Admin.DRAIN:
            if slot.is_up:
                self.steps.append(Turn(number, Admin.READY))
            else:
                self.waits.append(server.key)

    def _answers(self, server: Server) -> bool:
        """It takes requests, or will once the steps are done."""
        slot = self.slots.get(self.places.get(server.key, 0))
        return (
            server.wish is Wish.SERVE
            and slot is not None
            and slot.is_up
            and slot.admin is not Admin.MAINT
            and _points_at(slot, server)
        )

    def _leave(self, server: Server, has_other: bool) -> None:
        """The last one that answers goes on, as long as it is there."""
        slot = self.slots.get(self.places.get(server.key, 0))
        if slot is None:
            return  # it never took a request, and shall not begin
        if has_other and slot.admin is Admin.READY:
            self.steps.append(Turn(slot.number, Admin.DRAIN))
        elif (
            not has_other and slot.admin is Admin.DRAIN and slot.is_up and _points_at(slot, server)
        ):
            self.steps.append(Turn(slot.number, Admin.READY))


def _points_at(slot: Slot, server: Server) -> bool:
    return (slot.address, slot.port) == (server.address, server.port)
