"""Routes that the proxy's own checker refuses: found one by one, so that they alone are left out.

Edge §8. A refusal is a bug of ours, for labels are held to a grammar; whoever wrote the label is
told all the same, and nobody else's route suffers.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

from mooring.edge.errors import ConfigRejected
from mooring.edge.routes import Problem, Route

Key = tuple[str, str]
Refusal = Callable[[Collection[Route]], Awaitable[ConfigRejected | None]]
SAID_AT_MOST: Final = 200  # characters of what the checker said


class Quarantine:
    """What is left out, and what goes on instead.

    Kept by the route itself: once its labels are others, it is tried again.
    """

    def __init__(self) -> None:
        self._refused: dict[Key, tuple[Route, Route | None, str]] = {}

    def add(self, route: Route, before: Route | None, error: ConfigRejected) -> None:
        """Leave a route out. before: how the proxy has it; None: it has not, or the same."""
        kept = before if before != route else None
        self._refused[route.key] = route, kept, ascii(error.said.strip()[:SAID_AT_MOST])

    def sifted(self, routes: Sequence[Route]) -> tuple[list[Route], list[Problem]]:
        """Routes as they can be served, and what there is to say of the others."""
        served, problems = [], []
        for route in routes:
            refused, kept, said = self._refused.get(route.key, (None, None, ""))
            if route != refused:
                served.append(route)
                continue
            how = "is left out" if kept is None else "stays as it was"
            message = f"the proxy does not take this route, so it {how}; report it: {said}"
            problems.append(Problem("ConfigRejected", *route.who, message, route.hosts))
            if kept is not None:
                served.append(_published(kept, route))
        return served, problems


def _published(kept: Route, now: Route) -> Route:
    """A route as it was, at the port that its service has now: another may have that of before."""
    if kept.mode == "direct":
        return kept
    return replace(kept, published=now.published if kept.port == now.port else 0)


async def spoilers(
    routes: Collection[Route], known: Collection[Route], refusal: Refusal
) -> list[tuple[Route, ConfigRejected]]:
    """Routes that spoil a configuration of all of them, each with what the checker says to it.

    known    routes that it took before: of them only those are suspects that changed, as long as
             it takes the others now
    refusal  what the checker says to a configuration of some routes alone; None: it takes it. It
             is asked some 2 log2(routes) times for each that is found
    returns  nothing if it is not the routes
    """
    before = set(known)
    good = [one for one in routes if one in before]
    if await refusal(good) is not None:
        good = []
        if await refusal(good) is not None:
            return []
    held = set(good)
    return await _among([one for one in routes if one not in held], good, refusal)


async def _among(
    suspects: Sequence[Route], good: list[Route], refusal: Refusal
) -> list[tuple[Route, ConfigRejected]]:
    """Those of the suspects that spoil; the others are added to the good."""
    said = await refusal([*good, *suspects])
    if said is None:
        good += suspects
        return []
    if len(suspects) == 1:
        return [(suspects[0], said)]
    half = len(suspects) // 2
    first = await _among(suspects[:half], good, refusal)
    return first + await _among(suspects[half:], good, refusal)
