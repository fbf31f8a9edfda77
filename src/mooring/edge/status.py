"""What an edge has come to, as it tells it: a file beside the proxy's, whole at any time."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mooring.edge.hosts import covers
from mooring.edge.model import Model, Rule, Server
from mooring.errors import MooringError

NAME: Final = "status.json"


class NoStatus(MooringError):
    code = "NoStatus"

    def __init__(self, place: Path, why: str) -> None:
        self.what = f"no edge tells of itself in {place}: {why}"
        self.remedy = "start it with `mooring edge run`, or name its edge file with --file"
        super().__init__(self.what)


class _Told(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    pass


class ServerStatus(_Told, frozen=True):
    """state: serves, checking (it passed no check yet), leaves, down, waits (for a slot)."""

    address: str
    port: int
    node: str
    state: str
    key: str  # id of its task or node
    is_backup: bool = False


class RouteStatus(_Told, frozen=True):
    """One route of a service."""

    service: str
    name: str
    backend: str
    mode: str
    servers: tuple[ServerStatus, ...]


class RuleStatus(_Told, frozen=True):
    """winner: of a rule that is shadowed, the service that has it."""

    entry: str
    host: str
    path: str
    backend: str
    service: str
    winner: str = ""
    is_sent_on: bool = False

    @property
    def what(self) -> str:
        """The requests or connections that it is for."""
        return f"{self.host}{self.path}" if self.host else f"all of entry point {self.entry}"


class ProblemStatus(_Told, frozen=True):
    reason: str
    service: str
    route: str
    message: str


class Status(_Told, frozen=True):
    """manager  the address in use; failure  why the last look or change came to nothing"""

    pid: int
    manager: str
    reloads: int
    rules: tuple[RuleStatus, ...]
    routes: tuple[RouteStatus, ...]
    problems: tuple[ProblemStatus, ...]
    failure: str = ""
    manager_failure: str = ""


def routes_told(model: Model, state_of: Callable[[str, Server], str]) -> tuple[RouteStatus, ...]:
    """All routes with their servers. state_of: a backend's name and a server to its state."""
    return tuple(
        RouteStatus(
            service=one.route.service,
            name=one.route.name,
            backend=one.name,
            mode=one.route.mode,
            servers=tuple(
                ServerStatus(
                    address=it.address,
                    port=it.port,
                    node=it.node,
                    state=state_of(one.name, it),
                    key=it.key,
                    is_backup=it.is_backup,
                )
                for it in one.servers
            ),
        )
        for one in model.backends.values()
    )


def rules_told(model: Model) -> tuple[RuleStatus, ...]:
    """All rules, those that are shadowed with the winner."""
    told = [_rule(model, one) for one in model.rules]
    told += [_rule(model, one.rule, one.winner.service) for one in model.shadowed]
    return tuple(told)


def matching(status: Status, host: str, path: str) -> list[RuleStatus]:
    """Rules for a host and a path, that which is taken first; shadowed ones last.

    host  or the name of an entry point of TCP that is one service's
    """
    host, path = host.lower().rstrip("."), path.rstrip("/") + "/"
    fitting = [
        one
        for one in status.rules
        if (covers(one.host, host) if one.host else one.entry == host)
        and path.startswith(one.path.rstrip("/") + "/")
    ]
    fitting.sort(key=lambda one: (bool(one.winner), one.host.startswith("*"), -len(one.path)))
    return fitting


def written(place: Path, status: Status) -> None:
    """Tell it. Raises OSError."""
    new = place / f"{NAME}.new"
    new.write_bytes(msgspec.json.encode(status))
    os.replace(new, place / NAME)


def read(place: Path) -> Status:
    """As it was told last. Raises NoStatus."""
    try:
        return msgspec.json.decode((place / NAME).read_bytes(), type=Status)
    except OSError as error:
        raise NoStatus(place, error.strerror or str(error)) from error
    except msgspec.MsgspecError as error:
        raise NoStatus(place, f"{NAME} is none: {error}") from error


def _rule(model: Model, rule: Rule, winner: str = "") -> RuleStatus:
    service = model.backends[rule.backend].route.service
    return RuleStatus(
        rule.entry, rule.host, rule.path, rule.backend, service, winner, rule.is_sent_on
    )
