"""Which rules HAProxy can have before the reload that tells their backends whom to let in. Pure.

Rules are in its maps, and change at once; a backend's lists and limits are in its configuration.
"""

from collections.abc import Collection, Iterable

from mooring.edge.haproxy.files import WAITING
from mooring.edge.model import Model
from mooring.edge.routes import Route
from mooring.edge.rules import Rule


def unguarded(
    model: Model, routes: Iterable[Route], slots: Collection[str], *, waits: bool
) -> set[Rule]:
    """Rules of backends that let in others than they are to.

    routes  of the configuration that it has, as far as they are known
    slots   names of the backends that it has
    waits   a reload is to come: of a backend that is not known it may be all about that
    """
    has = {one.backend: _access(one) for one in routes}
    other = {
        name
        for name, one in model.backends.items()
        if name in slots and (has[name] != _access(one.route) if name in has else waits)
    }
    return {one for one in model.rules if one.backend in other} if other else set()


def servable(
    rules: Iterable[Rule], slots: Collection[str], held_back: Collection[Rule]
) -> tuple[Rule, ...]:
    """Rules as they can be now.

    One whose backend it has not waits for the reload that brings it, with 503; so does one that is
    held back. One that shares its place is left out until then, while others have its part.
    """
    rules = list(rules)
    found = [
        one for one in rules if one.is_sent_on or (one.backend in slots and one not in held_back)
    ]
    served = {one.place for one in found}
    waiting = {one.place: one for one in rules if one.place not in served}
    found += (one._replace(backend=WAITING, weight=None) for one in waiting.values())
    return tuple(found)


def _access(route: Route) -> object:
    """What of a route says whom it lets in, and with what."""
    return route.allow, route.deny, route.limit, route.protocol, route.max_body_bytes
