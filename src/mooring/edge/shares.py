"""Services that share a host and path, each with its part of the requests. Pure.

They do so only if each of them has a weight: who says none is alone, so nobody gets requests of
another that has not asked for company.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from mooring.edge.model import Model
from mooring.edge.rules import Rule

PARTS: Final = 100  # of the requests


def shared(rules: Iterable[Rule]) -> list[list[Rule]]:
    """Rules of each place that several share, the older service's first."""
    found: dict[tuple[str, str, str], list[Rule]] = {}
    for rule in rules:
        if rule.weight is not None:
            found.setdefault(rule.place, []).append(rule)
    return [some for some in found.values() if len(some) > 1]


def parts_of(some: Sequence[Rule]) -> list[int]:
    """How many of a hundred requests each gets, at least one if its weight is not 0.

    If all weights are 0 the first gets all.
    """
    weights = [one.weight or 0 for one in some]
    total = sum(weights)
    if not total:
        return [PARTS, *(0 for _ in some[1:])]
    exact = [PARTS * one / total for one in weights]
    given = [max(int(one), 1) if one else 0 for one in exact]
    while (missing := PARTS - sum(given)) != 0:
        # To whom the most is missing, or from whom the most is to spare, and is not its only one.
        step = 1 if missing > 0 else -1
        fitting = [at for at in range(len(some)) if weights[at] and given[at] + step > 0]
        given[max(fitting, key=lambda at: step * (exact[at] - given[at]))] += step
    return given


def name_of(rule: Rule) -> str:
    """What stands for all that share a rule's place: a word of every proxy."""
    return sha256("\n".join(rule.place).encode()).hexdigest()[:16]


def sticks(some: Iterable[Rule], model: Model) -> bool:
    """Whether a client is to stay at one of them: if it would stay at a server of any."""
    return any(model.backends[one.backend].route.is_sticky for one in some)
