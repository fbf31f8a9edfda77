"""`mooring move`."""

import json
import sys
import time
from typing import Annotated, Final
from urllib.parse import quote

import msgspec
import typer
from rich.console import Console

from mooring.cli import completion
from mooring.cli.client import Client, Doc, Refused, claims_path
from mooring.cli.common import Kubeconfig, Namespace, Output, failing_well, printed_json
from mooring.errors import MooringError
from mooring.model.claim import Claim
from mooring.model.names import MOVE_TO
from mooring.model.volume import Volume
from mooring.rules.moving import may_come, way_of

LOOK_EACH_S: Final = 0.5
PATCH: Final = "application/merge-patch+json"


class MayNotMove(MooringError):
    code = "MayNotMove"

    def __init__(self, claim: str, why: str) -> None:
        self.what = f"claim {claim} does not move: {why}"
        self.remedy = "a class with `elsewhere: move` makes volumes that may, see docs/hosts.md"


class StillMoving(MooringError):
    code = "StillMoving"

    def __init__(self, claim: str, told: str) -> None:
        self.what = f"claim {claim} has not moved yet: {told}"
        self.remedy = "it goes on by itself; mooring status says how far it is"


@failing_well
def move(
    claim: Annotated[
        str,
        typer.Argument(
            metavar="CLAIM", help="Name of a bound claim.", autocompletion=completion.names
        ),
    ],
    node: Annotated[str, typer.Argument(metavar="NODE", help="Where its volume is to be.")],
    wait: Annotated[bool, typer.Option("--wait", help="Until it is there.")] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="Of --wait.")
    ] = 600.0,
    namespace: Namespace = "",
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Have the volume of a claim move to another host, as soon as nobody uses it."""
    client = Client(kubeconfig)
    client.ask("GET", f"/api/v1/nodes/{quote(node, safe='')}")
    name = claim.removeprefix("pvc/")
    path = f"{claims_path(namespace or client.namespace)}/{quote(name, safe='')}"
    bound = msgspec.convert(client.ask("GET", path), Claim)
    if not bound.volume_name:
        raise MayNotMove(bound.key, "it has no volume yet")
    path = f"/api/v1/persistentvolumes/{quote(bound.volume_name, safe='')}"
    volume = _view(client.ask("GET", path))
    found: Doc = client.ask("GET", path)
    if not (is_there := volume.hosts == (node,)):
        if not may_come(volume, node):
            raise MayNotMove(bound.key, f"what its class said is `elsewhere: {volume.elsewhere}`")
        patch = json.dumps({"metadata": {"annotations": {MOVE_TO: node}}}).encode()
        found = client.ask("PATCH", path, patch, content_type=PATCH)
    if wait and not is_there:
        found = _awaited(client, path, bound.key, node, timeout_s)
    if output:
        printed_json(found)
        return
    way = way_of(_view(found))
    typer.echo(f"{bound.key} moves to {node}, {way.told}" if way else f"{bound.key} is on {node}")


def _awaited(client: Client, path: str, key: str, node: str, timeout_s: float) -> Doc:
    """The volume once it is there. Raises StillMoving, MayNotMove."""
    console = Console(stderr=True, highlight=False)
    ends = time.monotonic() + timeout_s
    with console.status("moving") as status:
        while True:
            try:
                found: Doc = client.ask("GET", path)
            except Refused as error:
                raise MayNotMove(key, error.what) from error
            volume = _view(found)
            if volume.hosts == (node,):
                return found
            way = way_of(volume)
            if way is None or way.target != node:
                raise MayNotMove(key, "somebody else said that it is to be elsewhere")
            if time.monotonic() > ends:
                raise StillMoving(key, way.told)
            if sys.stderr.isatty():
                status.update(f"moving, {way.told}")
            time.sleep(LOOK_EACH_S)


def _view(doc: Doc) -> Volume:
    return msgspec.convert(doc, Volume)
