"""How many slots a HAProxy has room for: it does not start with more than it may open files.

Each slot counts as one, for its checks, whether it has a server or not, and each connection as two.
With what it may open HAProxy makes room for as many connections as are left, but for 100 at least
it has to have it: else a reload comes to nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from mooring.edge.descriptors import REMEDY, limit_of, threads
from mooring.edge.model import Backend, Model
from mooring.edge.routes import Problem

CONNECTIONS_AT_LEAST: Final = 100  # HAProxy's own number
_OTHERS: Final = 64  # listeners, pipes and the like, of one that nobody could ask yet
_OF_THREAD: Final = 8


class Room(NamedTuple):
    """slots: that it has room for, all in all. limit: of open files."""

    slots: int
    limit: int


def of_running(info: Mapping[str, str], limit: int, slots: int) -> Room | None:
    """Of one that runs; None if it does not tell.

    info   what it says of itself
    limit  of open files, to which it may raise its own
    slots  that it has
    """
    try:
        sockets, most, now = (int(info[key]) for key in ("Maxsock", "Maxconn", "CurrConns"))
    except (KeyError, ValueError):
        return None
    others = sockets - 2 * most - slots
    return Room(limit - others - 2 * max(CONNECTIONS_AT_LEAST, now), limit) if limit else None


def of_start() -> Room | None:
    """Of one that we are to start, with a guess at what it needs beside."""
    limit = limit_of()
    others = _OTHERS + _OF_THREAD * threads()
    return Room(limit - others - 2 * CONNECTIONS_AT_LEAST, limit) if limit else None


def wanted(model: Model, there: Mapping[str, int]) -> int:
    """How many slots it would have. there: that it has, by backend; it gives none of them back."""
    return sum(_wanted(one, there) for one in model.backends.values())


def fitting(
    model: Model, there: Mapping[str, int], room: Room
) -> tuple[Model, tuple[Problem, ...]]:
    """What there is room for, and what there is to say of the rest.

    What is there stays; of the rest older services come first, and one that is too large is passed
    over for the next.
    """
    kept: dict[str, Backend] = {}
    problems = []
    used = sum(there.get(name, 0) for name in model.backends)
    needed = room.limit + wanted(model, there) - room.slots
    for name, backend in sorted(model.backends.items(), key=lambda one: _age(one[1])):
        has, wants = there.get(name, 0), _wanted(backend, there)
        if wants == has or used + wants - has <= room.slots:
            used += wants - has
            kept[name] = backend
            continue
        if has:
            kept[name] = replace(backend, slots=has)
        problems.append(_problem(backend, has, room.limit, needed))
    rules = tuple(one for one in model.rules if one.backend in kept)
    return replace(model, backends=kept, rules=rules), tuple(problems)


def _problem(backend: Backend, has: int, limit: int, needed: int) -> Problem:
    route = backend.route
    what = f"is left at {has} servers" if has else "is not served"
    message = (
        f"HAProxy may open {limit} files, and needs {needed} for all, so this {what}; {REMEDY}"
    )
    return Problem("TooFewFiles", *route.who, message, () if has else route.hosts)


def _wanted(backend: Backend, there: Mapping[str, int]) -> int:
    return max(backend.slots, there.get(backend.name, 0))


def _age(backend: Backend) -> tuple[str, str]:
    return backend.route.created, backend.name
