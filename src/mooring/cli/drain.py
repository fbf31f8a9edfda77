"""`mooring node drain` and `uncordon`: a host is to be out of use for a while, and no longer."""

import json
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import quote

import msgspec
import typer

from mooring.cli.client import Client, Doc, Refused
from mooring.cli.common import Kubeconfig, Output, failing_well, printed, printed_json, table
from mooring.cli.following import Shown, followed, interrupted
from mooring.errors import MooringError
from mooring.model.attachment import Attachment
from mooring.model.home import Elsewhere
from mooring.model.metadata import View
from mooring.model.names import (
    CONTAINER_NAME,
    MOVE_TO,
    SERVICE,
    STORAGE,
    SWARM_DRAINED,
    SWARM_NODE,
)
from mooring.model.node import Node
from mooring.model.pod import Pod
from mooring.model.volume import Volume
from mooring.rules.draining import DRAIN, Fate, fate, takes_data

V = TypeVar("V", bound=View)

SWARM_S: Final = 30.0  # for an agent beside a manager to do it, which looks each ten seconds
TRIES: Final = 8
MERGE: Final = "application/merge-patch+json"
HEADS: Final = {
    Fate.STAYS: "These volumes are on {} alone, and are out of reach until it is back in use:",
    Fate.MOVES: "These are on {}, and go to the host that wants them next:",
    Fate.SHARED: "These are in use on {}, and other hosts reach them, too:",
}


class NotDrained(MooringError):
    """It is cordoned, and stays so."""

    code = "NotDrained"

    def __init__(self, node: str, timeout_s: float, left: Sequence[str]) -> None:
        self.what = f"after {timeout_s:g} s volumes are in use on {node}: {', '.join(left)}"
        self.remedy = (
            "stop by hand what no swarm has started, `mooring umount` what is mounted by hand, and "
            f"run this again; or give it up: mooring node uncordon {node}"
        )


class CannotTake(MooringError):
    code = "CannotTake"

    def __init__(self, node: str, *, is_same: bool) -> None:
        why = "is the one to be drained" if is_same else "is cordoned, or not Ready"
        self.what = f"no volumes can be sent to {node}, which {why}"
        self.remedy = "name another: kubectl get nodes"


class Used(msgspec.Struct, frozen=True):
    """A volume of the host.

    users  containers and services there that have its claim
    moves  how far it is on its way to where it was sent; "" if it was not
    """

    volume: str
    claim: str
    capacity: str
    becomes: Fate
    attached: bool
    users: tuple[str, ...] = ()
    moves: str = ""

    @property
    def shown(self) -> str:
        """What it waits for."""
        why = ", ".join(self.users) or self.moves or "no container that is known"
        return f"{self.claim or self.volume} ({why})"


class State(msgspec.Struct, frozen=True):
    """What is known of the host. swarm: its node there, "" if it is in none."""

    node: str
    cordoned: bool
    swarm: str
    swarm_drained: bool
    volumes: tuple[Used, ...]

    @property
    def waits_for(self) -> list[Used]:
        """What is in use there, or has been sent away and has not left."""
        return [one for one in self.volumes if one.attached or one.moves]


@failing_well
def drain(
    name: Annotated[str, typer.Argument(metavar="NODE")],
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0, help="For containers to leave.")
    ] = 300.0,
    move_to: Annotated[
        str,
        typer.Option("--move-to", metavar="NODE", help="Send volumes there whose class lets them."),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Drain without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be.")] = False,
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Have a host do nothing with volumes for a while. What is then out of reach is named first.

    It is cordoned, its swarm's node is set to `drain`, and this waits until its volumes are free.
    """
    client, quiet = Client(kubeconfig), output == "json"
    if move_to:
        _require_taker(client, name, move_to)
    looking = Looking(client, name)
    state = looking.state()
    if not quiet:
        _say(state)
    if dry_run:
        if quiet:
            printed_json(_document(state))
        return
    if not (yes or _is_wanted(client, name)):
        typer.confirm(f"drain node {name}?", abort=True, err=quiet)
    try:
        _set(client, name, drained=True)
        if not quiet:
            typer.echo(f"node {name} is cordoned")
        looking.move_to = move_to
        state = _left(looking, timeout, quiet=quiet)
    except KeyboardInterrupt:
        interrupted(f"mooring node uncordon {name}")
    if quiet:
        printed_json(_document(state))
    if state.waits_for:
        raise NotDrained(name, timeout, [one.shown for one in state.waits_for])
    if not quiet:
        typer.echo(f"node {name} is drained: no volume is in use there")
        typer.echo(f"back into use: mooring node uncordon {name}")


@failing_well
def uncordon(
    name: Annotated[str, typer.Argument(metavar="NODE")],
    kubeconfig: Kubeconfig = None,
) -> None:
    """Take a host back into use. Its swarm's node takes again what it took before."""
    _set(Client(kubeconfig), name, drained=False)
    typer.echo(f"node {name} is in use")


class Looking:
    """At one host, again and again: its volumes are asked for once, who uses them each time."""

    def __init__(self, client: Client, name: str) -> None:
        self._client, self._name = client, name
        self._volumes: dict[str, Volume | None] = {}  # None: not there any more
        self.move_to = ""  # a node to which volumes are sent that may move

    def state(self) -> State:
        """The volumes that the host alone has, and those that are in use there."""
        node = _view(self._client.ask("GET", _path(self._name)), Node)
        nodes = self._views("/api/v1/nodes", Node)
        there = "?fieldSelector=" + quote(f"spec.nodeName={self._name}")
        pods = [one for one in self._views(f"/api/v1/pods{there}", Pod) if not one.has_ended]
        attachments = self._views("/apis/storage.k8s.io/v1/volumeattachments", Attachment)
        attached = {one.volume for one in attachments if one.node == self._name}
        volumes = []
        for volume in self._known(attached):
            becomes = fate(volume, node, nodes)
            moves = self._sent(volume) if self.move_to else ""
            if volume.name in attached or moves or becomes in (Fate.STAYS, Fate.MOVES):
                becomes = Fate.MOVES if moves else becomes or Fate.SHARED
                used = _used(volume, becomes, volume.name in attached, pods)
                volumes.append(msgspec.structs.replace(used, moves=moves))
        swarm = node.annotations.get(SWARM_NODE, "")
        told = {id_ for one in nodes for id_ in one.annotations.get(SWARM_DRAINED, "").split()}
        is_drained = bool(swarm) and swarm in told
        return State(self._name, node.spec.unschedulable, swarm, is_drained, tuple(volumes))

    def _known(self, attached: set[str]) -> list[Volume]:
        if not self._volumes:
            found = self._views("/api/v1/persistentvolumes", Volume)
            self._volumes = {one.name: one for one in found}
        for name in attached - self._volumes.keys():
            self._volumes[name] = self._volume(name)
        if self.move_to:
            for name, one in self._volumes.items():
                if one is not None and self._has(one):
                    self._volumes[name] = self._volume(name)
        return [one for one in self._volumes.values() if one is not None]

    def _volume(self, name: str) -> Volume | None:
        try:
            return _view(self._client.ask("GET", _volume_path(name)), Volume)
        except Refused as error:
            if error.code != "NotFound":
                raise
            return None

    def _has(self, volume: Volume) -> bool:
        """Whether the host has something of a volume that may move."""
        home = volume.home
        return home is not None and (
            home.node == self._name or volume.copy_on(self._name) is not None
        )

    def _sent(self, volume: Volume) -> str:
        """Have a volume that may move do so. How far it is; "" if it has left, or stays."""
        home = volume.home
        if home is None or not self._has(volume):
            return ""
        if home.node != self._name:
            return f"it is on {home.node}, and is deleted here"
        if volume.elsewhere is Elsewhere.REFUSE:
            return ""
        if volume.annotations.get(MOVE_TO) != self.move_to:
            patch = {"metadata": {"annotations": {MOVE_TO: self.move_to}}}
            path, body = _volume_path(volume.name), json.dumps(patch).encode()
            self._client.ask("PATCH", path, body, content_type=MERGE)
        copy = volume.copy_on(self.move_to)
        return f"it moves to {self.move_to}{f', {copy.told}' if copy and copy.told else ''}"

    def _views(self, path: str, type_: type[V]) -> list[V]:
        return [_view(one, type_) for one in self._client.items(path)]


def _used(volume: Volume, becomes: Fate, is_attached: bool, pods: Sequence[Pod]) -> Used:
    ref = volume.claim_ref
    users = [
        one.annotations.get(SERVICE) or one.annotations.get(CONTAINER_NAME) or one.name
        for one in pods
        if ref is not None and one.namespace == ref.namespace and ref.name in one.claim_names
    ]
    capacity = str(volume.spec.capacity.get(STORAGE, ""))
    claim = ref.key if ref is not None else ""
    return Used(volume.name, claim, capacity, becomes, is_attached, tuple(sorted(set(users))))


def _left(looking: Looking, timeout_s: float, *, quiet: bool) -> State:
    """Wait until no volume is in use there, or for no longer. What is there then."""
    begun_s, told, last = time.monotonic(), False, looking.state()

    def look() -> Doc:
        nonlocal last, told
        last, waited_s = looking.state(), time.monotonic() - begun_s
        if not (told or quiet or not any(one.attached for one in last.volumes)) and (
            not last.swarm or last.swarm_drained or waited_s > min(SWARM_S, timeout_s / 2)
        ):
            told = True
            typer.echo(_of_swarm(last))
        return {"over": not last.waits_for or waited_s >= timeout_s}

    def shown(found: Doc) -> Shown:
        text = f"waits for {', '.join(one.shown for one in last.waits_for)}"
        total = len(last.volumes) or 1
        return Shown(text, 100 * (total - len(last.waits_for)) // total, bool(found["over"]))

    followed(look, shown)
    return last


def _of_swarm(state: State) -> str:
    """How containers leave."""
    if state.swarm_drained:
        return f"node {state.swarm} of the swarm is set to drain: its tasks go elsewhere"
    by_hand = "stop by hand what no swarm has started"
    if not state.swarm:
        return f"{state.node} is in no swarm that Mooring knows of: {by_hand}"
    return (
        f"no agent beside a manager of the swarm has set node {state.swarm} to drain. On a manager:"
        f"\n  docker node update --availability drain {state.swarm}"
    )


def _set(client: Client, name: str, *, drained: bool) -> None:
    """Cordon a node and have it drained, or neither. Repeatable."""
    for attempt in range(TRIES):
        doc = client.ask("GET", _path(name))
        spec = doc.get("spec") or {}
        taints = [one for one in spec.get("taints") or () if one.get("key") != DRAIN.key]
        if drained:
            taints.append({"key": DRAIN.key, "effect": DRAIN.effect})
        patch = {
            "metadata": {"resourceVersion": doc["metadata"]["resourceVersion"]},
            "spec": {"unschedulable": drained or None, "taints": taints or None},
        }
        try:
            client.ask("PATCH", _path(name), json.dumps(patch).encode(), content_type=MERGE)
            return
        except Refused as error:  # the agent wrote to it, too
            if error.code != "Conflict" or attempt == TRIES - 1:
                raise


def _require_taker(client: Client, name: str, taker: str) -> None:
    """That a node may be sent volumes. Raises Refused, CannotTake."""
    node = _view(client.ask("GET", _path(taker)), Node)
    if taker == name or not takes_data(node):
        raise CannotTake(taker, is_same=taker == name)


def _is_wanted(client: Client, name: str) -> bool:
    """Whether somebody has said yes to it before."""
    spec = client.ask("GET", _path(name)).get("spec") or {}
    return any(one.get("key") == DRAIN.key for one in spec.get("taints") or ())


def _say(state: State) -> None:
    for becomes, head in HEADS.items():
        rows = [
            [one.volume, one.claim or "-", one.capacity, ", ".join(one.users) or "-"]
            for one in state.volumes
            if one.becomes is becomes
        ]
        if rows:
            typer.echo(head.format(state.node))
            printed(table(("VOLUME", "CLAIM", "CAPACITY", "USED BY"), rows))
    if not state.volumes:
        typer.echo(f"no volume is on {state.node} alone, and none is in use there")


def _document(state: State) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(state)
    swarm_drained = found.pop("swarm_drained")
    return {**found, "swarmDrained": swarm_drained, "drained": not state.waits_for}


def _path(name: str) -> str:
    return f"/api/v1/nodes/{quote(name, safe='')}"


def _volume_path(name: str) -> str:
    return f"/api/v1/persistentvolumes/{quote(name, safe='')}"


def _view(doc: Doc, type_: type[V]) -> V:
    return msgspec.convert(doc, type_)
