"""`mooring node remove`: a host is gone for good, and what it had in use may be had by others."""

import json
import time
from typing import Annotated, Final
from urllib.parse import quote

import typer

from mooring.cli.client import Client, Doc, Refused, path_of
from mooring.cli.common import Kubeconfig, Output, failing_well, printed, printed_json, table
from mooring.cli.drain import Looking, Used
from mooring.cli.following import Shown, followed
from mooring.errors import MooringError
from mooring.rules.draining import Fate

LATE_S: Final = 30.0  # after which a host that should be silent is not going to be
ATTACHMENTS: Final = "/apis/storage.k8s.io/v1/volumeattachments"
LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
HEADS: Final = {
    True: "These volumes are on {} alone, and are out of reach without it:",
    False: "These are in use on {}, and others may have them once it is removed:",
}


class StillAlive(MooringError):
    """Its token has ended, and it is heard of."""

    code = "StillAlive"

    def __init__(self, node: str) -> None:
        self.what = f"node {node} still renews its Lease, so nothing of it was removed"
        self.remedy = "if it is a server with an agent of its own, as of `mooring up`, stop that"
        super().__init__(self.what)


@failing_well
def remove(
    name: Annotated[str, typer.Argument(metavar="NODE")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="It is off: whatever it has in use is free.")
    ] = False,
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Take a host away for good. Its token ends; what it has in use is free once it has stopped.

    What it alone has, and what is in use there, is named first.
    """
    client, quiet = Client(kubeconfig), output == "json"
    volumes = _volumes(client, name)
    lost = [one for one in volumes if one.becomes is not Fate.SHARED]
    shared = [one for one in volumes if one.becomes is Fate.SHARED]
    if not quiet:
        for is_lost, some in ((True, lost), (False, shared)):
            _say(HEADS[is_lost].format(name), some)
    if not yes:
        typer.confirm(f"remove node {name}?", abort=True, err=quiet)
    _left(client, name, force=force)
    for path in (*_attached(client, name), _node(name), f"{LEASES}/{quote(name, safe='')}"):
        try:
            client.ask("DELETE", path)
        except Refused as error:
            if error.code != "NotFound":
                raise
    if quiet:
        printed_json({"node": name, "lost": _docs(lost), "shared": _docs(shared)})
        return
    typer.echo(f"node {name} is removed; its agent is let in no more")


def _volumes(client: Client, name: str) -> list[Used]:
    """Those that the host alone has, or has in use. None of one whose agent never ran."""
    try:
        return list(Looking(client, name).state().volumes)
    except Refused as error:
        if error.code != "NotFound":
            raise
        return []


def _left(client: Client, name: str, *, force: bool) -> None:
    """Its tokens have ended, and whatever it had in use it has no more. Raises StillAlive."""
    asked = json.dumps({"node": name, "force": force}).encode()
    first: float | None = None
    begun_s = time.monotonic()

    def look() -> Doc:
        nonlocal first
        left = client.ask("POST", path_of("leave"), asked)
        if first is None and not left["known"]:
            client.ask("GET", _node(name))  # that there is none is said by it
        first = left["waitS"] if first is None else first
        if left["waitS"] and time.monotonic() - begun_s > first + LATE_S:
            raise StillAlive(name)
        return left

    def shown(left: Doc) -> Shown:
        text = f"waits {left['waitS']:.0f} s for containers of {name} to have stopped"
        done = 100 * (1 - left["waitS"] / first) if first else 100
        return Shown(text, max(int(done), 0), not left["waitS"])

    followed(look, shown)


def _say(head: str, volumes: list[Used]) -> None:
    if volumes:
        typer.echo(head)
        rows = [[one.volume, one.claim or "-", one.capacity] for one in volumes]
        printed(table(("VOLUME", "CLAIM", "CAPACITY"), rows))


def _docs(volumes: list[Used]) -> list[Doc]:
    return [{"volume": one.volume, "claim": one.claim, "capacity": one.capacity} for one in volumes]


def _attached(client: Client, name: str) -> list[str]:
    """Paths of what says that a volume is in use on a node."""
    return [
        f"{ATTACHMENTS}/{quote(one['metadata']['name'], safe='')}"
        for one in client.items(ATTACHMENTS)
        if one["spec"].get("nodeName") == name
    ]


def _node(name: str) -> str:
    return f"/api/v1/nodes/{quote(name, safe='')}"
