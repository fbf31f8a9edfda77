"""What an edge has come to, as it tells it: a file beside the proxy's, whole at any time."""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import structs

from mooring.edge.advice import Lack, lacks
from mooring.edge.certificates import Certificate
from mooring.edge.history import Reload
from mooring.edge.hosts import covers
from mooring.edge.interface import Facts
from mooring.edge.labels import shown
from mooring.edge.model import Backend, Model, Server, Wish
from mooring.edge.place import Place
from mooring.edge.routes import Route, disabled_of
from mooring.edge.rules import Rule
from mooring.edge.shares import parts_of, shared
from mooring.edge.untold import untold
from mooring.engine.swarm import GRACE_S, Swarm, Task
from mooring.errors import MooringError

NAME: Final = "status.json"
NOTHING: Final = Swarm()
SERVES: Final = "serves"
_OWN_REASON: Final = {
    "checking": "it has passed no check yet",
    "down": "its checks or its requests fail",
    "waits": "the proxy takes it at its next reload",
}


class NoStatus(MooringError):
    code = "NoStatus"

    def __init__(self, place: Path, why: str) -> None:
        self.what = f"no edge tells of itself in {place}: {why}"
        self.remedy = "start it with `mooring edge run`, or name its edge file with --file"
        super().__init__(self.what)


class NoSuchRoute(MooringError):
    code = "NoSuchRoute"

    def __init__(self, wanted: str) -> None:
        self.what = f"this edge knows no service and no host {shown(wanted)}"
        self.remedy = "`mooring edge status` lists all; a service needs the label mooring.edge.host"
        super().__init__(self.what)


class _Told(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    pass


class ServerStatus(_Told, frozen=True):
    """state: serves, checking (it passed no check yet), leaves, down, waits (for a slot).

    task    as `docker service ps` names it; empty of a node
    reason  of a state that is not as usual
    since   when it came to that state, as we saw it
    """

    address: str
    port: int
    node: str
    state: str
    key: str  # id of its task or node
    is_backup: bool = False
    task: str = ""
    reason: str = ""
    since: datetime | None = None


class RouteStatus(_Told, frozen=True):
    """One route of a service.

    lacks    what would have it lose fewer requests, see Lack
    grace_s  that its tasks have after SIGTERM
    """

    service: str
    name: str
    backend: str
    mode: str
    servers: tuple[ServerStatus, ...]
    lacks: tuple[Lack, ...] = ()
    grace_s: float = GRACE_S

    @property
    def label(self) -> str:
        """Of the service, and of its route if that has a name of its own."""
        return f"{self.service}.{self.name}" if self.name else self.service

    @property
    def serving(self) -> int:
        """How many of its servers get requests."""
        return sum(one.state == SERVES for one in self.servers)


class RuleStatus(_Told, frozen=True):
    """winner: of a rule that is shadowed, the service that has it.

    part  how many of a hundred requests it gets, if it shares them; None: it does not
    """

    entry: str
    host: str
    path: str
    backend: str
    service: str
    winner: str = ""
    is_sent_on: bool = False
    part: int | None = None

    @property
    def place(self) -> tuple[str, str, str]:
        """As the rule's."""
        return self.entry, self.host, self.path

    @property
    def what(self) -> str:
        """The requests or connections that it is for."""
        return f"{self.host}{self.path}" if self.host else f"all of entry point {self.entry}"


class ProblemStatus(_Told, frozen=True):
    reason: str
    service: str
    route: str
    message: str
    hosts: tuple[str, ...] = ()  # that it keeps from the service


class CertificateStatus(_Told, frozen=True):
    """source: a file or directory of the operator's; file: its name beside the proxy; unserved:
    names of it that another is served for."""

    source: str
    file: str
    names: tuple[str, ...]
    expires: datetime
    unserved: tuple[str, ...] = ()


class ProxyStatus(_Told, frozen=True):
    """facts: None, it does not run; starts: how often it had to be started."""

    kind: str
    facts: Facts | None = None
    starts: int = 0


class ManagerStatus(_Told, frozen=True):
    """One that could not be used when it was asked last; it is asked again when its turn comes."""

    address: str
    why: str


class AgentsStatus(_Told, frozen=True):
    """server: that tells what agents see of tasks, empty if none does, and why; hosts: whose."""

    server: str
    hosts: tuple[str, ...]
    failure: str = ""


class Status(_Told, frozen=True):
    """What there was at one moment.

    manager       the address in use
    reloads       that came to something, since `since`; of the others failed_reloads
    failure       why the last look or change came to nothing
    swarm_seen    when the swarm was last looked at; None: never
    """

    pid: int
    manager: str
    reloads: int
    rules: tuple[RuleStatus, ...]
    routes: tuple[RouteStatus, ...]
    problems: tuple[ProblemStatus, ...]
    failure: str = ""
    manager_failure: str = ""
    managers_lost: tuple[ManagerStatus, ...] = ()
    proxy: ProxyStatus = ProxyStatus("")
    failed_reloads: int = 0
    last_reload: Reload | None = None
    since: datetime | None = None
    swarm_seen: datetime | None = None
    certificates: tuple[CertificateStatus, ...] = ()
    disabled: tuple[ProblemStatus, ...] = ()
    agents: AgentsStatus | None = None  # None: no server is asked for what they tell


def routes_told(
    model: Model, state_of: Callable[[str, Server], str], swarm: Swarm = NOTHING
) -> tuple[RouteStatus, ...]:
    """All routes with their servers. state_of: a backend's name and a server to its state."""
    return tuple(
        route_told(one, [state_of(one.name, it) for it in one.servers], swarm)
        for one in model.backends.values()
    )


def route_told(backend: Backend, states: Sequence[str], swarm: Swarm) -> RouteStatus:
    """One of them. states: of its servers, in their order."""
    route, service = backend.route, swarm.services.get(backend.route.service_id)
    return RouteStatus(
        service=route.service,
        name=route.name,
        backend=backend.name,
        mode=route.mode,
        servers=tuple(
            _server_told(route, one, state, swarm)
            for one, state in zip(backend.servers, states, strict=True)
        ),
        lacks=lacks(route, service),
        grace_s=service.grace_s if service else GRACE_S,
    )


def _server_told(route: Route, one: Server, state: str, swarm: Swarm) -> ServerStatus:
    return ServerStatus(
        address=one.address,
        port=one.port,
        node=one.node,
        state=state,
        key=one.key,
        is_backup=one.is_backup,
        task=_task(route.service, swarm.tasks.get(one.key)),
        reason=_reason(one, state, swarm),
    )


def disabled_told(swarm: Swarm) -> tuple[ProblemStatus, ...]:
    """Routes that labels take out."""
    return tuple(ProblemStatus(*one) for it in swarm.services.values() for one in disabled_of(it))


def certificates_told(
    certificates: Iterable[Certificate], served: Iterable[Certificate]
) -> tuple[CertificateStatus, ...]:
    """All of them, in the order of their sources. served: as they were chosen."""
    chosen = {one.source: one for one in served}

    def told(one: Certificate) -> CertificateStatus:
        it = chosen.get(one.source)
        left = one.names - it.names if it else one.names
        file = it.file if it else one.file
        return CertificateStatus(
            one.source, file, tuple(sorted(one.names)), one.expires, tuple(sorted(left))
        )

    return tuple(told(one) for one in sorted(certificates, key=lambda one: one.source))


def _task(service: str, task: Task | None) -> str:
    if task is None:
        return ""
    return f"{service}.{task.slot}" if task.slot else f"{service}.{task.id[:12]}"


def _reason(server: Server, state: str, swarm: Swarm) -> str:
    """Why a server is in a state that is not as usual; of none that serves and is to."""
    if state in _OWN_REASON:
        return _OWN_REASON[state]
    if server.wish is Wish.SERVE:
        return ""
    task = swarm.tasks.get(server.key)
    node = swarm.nodes.get(task.node_id if task else server.key)
    if task is not None and task.is_leaving:
        why = "its task is to end"
    else:
        why = f"its node is {node.state}" if node else "its node is gone"
    return f"{why}, and no other answers" if state == SERVES else why


def rules_told(model: Model) -> tuple[RuleStatus, ...]:
    """All rules, those that are shadowed with the winner."""
    sharing = ((some, parts_of(some)) for some in shared(model.rules))
    given = {one: part for some, all_of in sharing for one, part in zip(some, all_of, strict=True)}
    told = [_rule(model, one, part=given.get(one)) for one in model.rules]
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


def written(place: Place, status: Status) -> None:
    """Tell it. Raises NotWritten."""
    place.write(NAME, msgspec.json.encode(status).decode())


def seen_again(place: Path, at: datetime) -> None:
    """What was told still holds at this time. Raises OSError.

    The file's time tells it: it is written anew only for what is other.
    """
    os.utime(place / NAME, (at.timestamp(), at.timestamp()))


def read(place: Path) -> Status:
    """As it was told last. Raises NoStatus."""
    try:
        told = msgspec.json.decode((place / NAME).read_bytes(), type=Status)
        if since := untold(place):
            told = structs.replace(told, failure=f"{since}. What is said here may be old")
        if told.swarm_seen is None:
            return told
        again = datetime.fromtimestamp((place / NAME).stat().st_mtime, UTC)
        return structs.replace(told, swarm_seen=again)
    except OSError as error:
        raise NoStatus(place, error.strerror or str(error)) from error
    except msgspec.MsgspecError as error:
        raise NoStatus(place, f"{NAME} is none: {error}") from error


def has_ended(status: Status) -> bool:
    """Whether the process that told it is no more."""
    return not Path(f"/proc/{status.pid}").exists()


def _rule(model: Model, rule: Rule, winner: str = "", part: int | None = None) -> RuleStatus:
    service = model.backends[rule.backend].route.service
    return RuleStatus(
        rule.entry, rule.host, rule.path, rule.backend, service, winner, rule.is_sent_on, part
    )
