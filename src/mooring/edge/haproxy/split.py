"""How HAProxy splits requests among services that share a place: by a map, without a reload.

The entry point's map gives such a place the name of a group. The map here gives the group's name
with a number from 0 to 99 the backend that gets that part, and with a backend the next one, for
when it has no server that answers.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from mooring.edge.model import Model
from mooring.edge.rules import SHARES_AT_MOST, Rule
from mooring.edge.settings import Settings
from mooring.edge.shares import PARTS, name_of, parts_of, shared, sticks
from mooring.edge.words import word

AT_RANDOM, BY_CLIENT = "split_", "stick_"  # how names of groups begin


class Group(NamedTuple):
    """Rules that share a place."""

    name: str
    rules: list[Rule]


def groups(model: Model) -> list[Group]:
    """All of a model. In one where clients stick, who gets a request goes by the client."""
    return [
        Group(f"{BY_CLIENT if sticks(some, model) else AT_RANDOM}{name_of(some[0])}", some)
        for some in shared(model.rules)
    ]


def file(settings: Settings) -> str:
    """The map's path, which is also its name at runtime. No entry point's is like it."""
    return f"{word(settings.directory)}/shares.of.map"


def entries(found: Iterable[Group]) -> dict[str, str]:
    """What the map has."""
    made: dict[str, str] = {}
    for name, rules in found:
        backends = [word(one.backend) for one in rules]
        getting = [
            b for b, part in zip(backends, parts_of(rules), strict=True) for _ in range(part)
        ]
        made |= {f"{name}/{number}": backend for number, backend in enumerate(getting)}
        nexts = zip(backends, backends[1:] + backends[:1], strict=True)
        made |= {f"{name}/{backend}": after for backend, after in nexts}
    return made


def is_in(found: Mapping[str, str], name: str, backend: str) -> bool:
    """Whether the map has a backend in a group of this name."""
    return f"{name}/{backend}" in found


def choice(settings: Settings) -> Iterator[str]:
    """Turn the name of a group into that of a backend."""
    where = f"map({file(settings)})"
    is_group = "{ var(txn.group) -m found }"
    begins = f"{{ var(txn.backend) -m beg {AT_RANDOM} {BY_CLIENT} }}"
    yield f"    http-request set-var(txn.group) var(txn.backend) if {begins}"
    yield f"    http-request set-var(txn.part) rand({PARTS}) if {is_group}"
    sticking = f"{{ var(txn.group) -m beg {BY_CLIENT} }}"
    yield f"    http-request set-var(txn.part) var(txn.client),djb2(1),mod({PARTS}) if {sticking}"
    given = f"var(txn.group),concat(/,txn.part),{where}"
    yield f"    http-request set-var(txn.backend) {given} if {is_group}"
    following = f"var(txn.group),concat(/,txn.backend),{where}"
    answers = "{ var(txn.backend),nbsrv gt 0 }"
    for _ in range(SHARES_AT_MOST - 1):
        yield f"    http-request set-var(txn.backend) {following} if {is_group} !{answers}"
