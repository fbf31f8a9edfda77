"""How nginx splits requests among services that share a host and path: by chance, at each request.

A share without a server is left out; nginx cannot see that one has none that answers. All else of a
place, as its timeout, is that of the first that has a server.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mooring.edge.model import Backend, Model
from mooring.edge.nginx import parts
from mooring.edge.rules import Rule
from mooring.edge.settings import EntryPoint
from mooring.edge.shares import name_of, parts_of, shared, sticks
from mooring.edge.words import word


class Choice(NamedTuple):
    """What requests of a place go to. target: the name of its upstream, or a variable with it."""

    rule: Rule
    backend: Backend
    target: str


def by_path(rules: Iterable[Rule]) -> list[list[Rule]]:
    """Rules of one host, those together that share their place."""
    found: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        found.setdefault((rule.host, rule.path), []).append(rule)
    return list(found.values())


def chosen(some: Sequence[Rule], model: Model) -> Choice:
    """Of rules that share a place, or of one alone."""
    serving = _serving(some, model)
    rule = (serving or some)[0]
    backend = model.backends[rule.backend]
    target = f"${_variable(rule)}" if len(serving) > 1 else word(rule.backend)
    return Choice(rule, backend, target)


def variables(entry: EntryPoint, model: Model) -> Iterator[str]:
    """Those of an entry point."""
    for some in shared(one for one in model.rules if one.entry == entry.name):
        serving = _serving(some, model)
        if len(serving) < 2:
            continue
        by = f"${parts.variable(entry)}_client" if sticks(some, model) else "$request_id"
        yield f'    split_clients "{by}" ${_variable(serving[0])} {{'
        given = sorted(zip(parts_of(serving), serving, strict=True), key=lambda one: one[0])
        for part, rule in given[:-1]:
            if part:
                yield f"        {part}% {word(rule.backend)};"
        yield f"        * {word(given[-1][1].backend)};"
        yield "    }"


def _serving(some: Sequence[Rule], model: Model) -> list[Rule]:
    return [one for one in some if parts.in_use(model.backends[one.backend])]


def _variable(rule: Rule) -> str:
    return f"mooring_split_{name_of(rule)}"
