"""What the proxy has not yet of a model, and gets without a reload. Pure.

Rules are in its maps, and servers in their slots: a configuration says nothing of either.
"""

from collections.abc import Iterator

from mooring.edge.model import Backend, Model, Server, Wish
from mooring.edge.status import RouteStatus, RuleStatus, ServerStatus, Status, rules_told


def differences(status: Status | None, model: Model) -> list[str]:
    """A line each, + for what comes, - for what goes, ~ for what changes, in an order of its own.

    status  as the edge told it last; None: it told nothing
    """
    rules = [one for one in status.rules if not one.winner] if status else []
    routes = {one.backend: one for one in status.routes} if status else {}
    return [*_of_rules(rules, model), *_of_servers(routes, model)]


def _of_rules(before: list[RuleStatus], model: Model) -> Iterator[str]:
    now = {_place(one): one for one in rules_told(model) if not one.winner}
    had = {_place(one): one for one in before}
    for place in sorted(had.keys() | now.keys()):
        one, other = had.get(place), now.get(place)
        if one is None and other is not None:
            yield f"+ {_rule(other)}"
        elif one is not None and other is None:
            yield f"- {_rule(one)}"
        elif one is not None and other is not None and _goes_to(one) != _goes_to(other):
            yield f"~ {_rule(other)}, not {one.service}"


def _of_servers(before: dict[str, RouteStatus], model: Model) -> Iterator[str]:
    for name in sorted(model.backends, key=lambda one: _who(model.backends[one])):
        backend, route = model.backends[name], before.get(name)
        had = {one.key: one for one in route.servers} if route else {}
        who = _who(backend)
        for server in backend.servers:
            yield from _of_server(who, had.pop(server.key, None), server)
        for one in had.values():
            yield f"- server {one.address}:{one.port} of {who}, on {one.node}"


def _of_server(who: str, had: ServerStatus | None, server: Server) -> Iterator[str]:
    what = f"server {server.address}:{server.port} of {who}, on {server.node}"
    if had is None:
        if server.wish is Wish.SERVE:
            yield f"+ {what}"
    elif (had.address, had.port) != (server.address, server.port):
        yield f"~ {what}, not {had.address}:{had.port}"
    elif server.wish is Wish.LEAVE and had.state != "leaves" and not had.reason:
        yield f"~ {what}: it is to leave"
    elif server.wish is Wish.SERVE and had.state == "leaves":
        yield f"~ {what}: it is to stay"
    elif had.is_backup != server.is_backup:
        yield f"~ {what}: it {'stands by' if server.is_backup else 'is the active one'}"


def _place(one: RuleStatus) -> tuple[str, str, str, str]:
    """What a rule is told apart by: those that share a place, by their backend too."""
    return *one.place, one.backend if one.part is not None else ""


def _goes_to(one: RuleStatus) -> tuple[str, bool]:
    return one.backend, one.is_sent_on


def _rule(one: RuleStatus) -> str:
    how = "to the same with TLS, for" if one.is_sent_on else "to"
    return f"rule {one.what} at entry point {one.entry}: {how} {one.service}"


def _who(backend: Backend) -> str:
    return ".".join(filter(None, backend.route.who))
