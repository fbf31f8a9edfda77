"""`mooring resize`."""

import sys
import time
from typing import Annotated, Final
from urllib.parse import quote

import msgspec
import typer
from rich.console import Console

from mooring.cli import completion
from mooring.cli.client import Client, Doc, Refused, claims_path
from mooring.cli.common import Kubeconfig, Namespace, Output, fail, failing_well, printed_json
from mooring.errors import MooringError
from mooring.model.claim import Claim
from mooring.model.quantity import QuantityError, parse_quantity
from mooring.rules.remedies import expanding
from mooring.rules.resizing import (
    CONTROLLER_ERROR,
    NODE_ERROR,
    NODE_STEP,
    lacks_room,
    progress,
)

LOOK_EACH_S: Final = 0.2
PATCH: Final = "application/merge-patch+json"


class BadSize(MooringError):
    code = "BadSize"

    def __init__(self, text: str) -> None:
        self.what = f"{text!r} is no size"
        self.remedy = "say it as 10Gi, 512Mi or 10G"


class NotGrown(MooringError):
    """What the claim itself says."""

    code = "NotGrown"

    def __init__(self, claim: Claim, why: str) -> None:
        self.what = f"claim {claim.key} has {claim.capacity} and not {claim.request}: {why}"
        self.remedy = f"mooring explain pvc {claim.name} -n {claim.namespace} says what would help"


@failing_well
def resize(
    claim: Annotated[
        str,
        typer.Argument(
            metavar="CLAIM", help="Name of a bound claim.", autocompletion=completion.names
        ),
    ],
    size: Annotated[
        str, typer.Argument(metavar="SIZE", help="What it is to have in all, such as 20Gi.")
    ],
    wait: Annotated[
        bool, typer.Option("--wait", help="Until it has it, or it is known that it will not.")
    ] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="Of --wait.")
    ] = 60.0,
    namespace: Namespace = "",
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Have a claim grow, or ask for less than what cannot be reached. Nothing ever shrinks."""
    client = Client(kubeconfig)
    namespace = namespace or client.namespace
    name = claim.removeprefix("pvc/")
    path = f"{claims_path(namespace)}/{quote(name, safe='')}"
    try:
        parse_quantity(size)
    except QuantityError:
        raise BadSize(size) from None
    patch = msgspec.json.encode({"spec": {"resources": {"requests": {"storage": size}}}})
    try:
        found = client.ask("PATCH", path, patch, content_type=PATCH)
    except Refused as refused:
        raise _helped(client, path, refused) from refused
    error: MooringError | None = None
    if wait:
        found, error = _awaited(client, path, found, timeout_s)
    if output:
        printed_json(found)
    if error is not None:
        fail(error)
    if not output:
        typer.echo(_said(_view(found)))


def _awaited(
    client: Client, path: str, found: Doc, timeout_s: float
) -> tuple[Doc, MooringError | None]:
    """The claim as it is at the end, and why it has not what it asks for."""
    console = Console(stderr=True, highlight=False)
    ends = time.monotonic() + timeout_s
    with console.status("growing") as status:
        while True:
            claim = _view(found)
            if not lacks_room(claim):
                return found, None
            for one in claim.status.conditions:
                if one.type in (CONTROLLER_ERROR, NODE_ERROR):
                    return found, NotGrown(claim, one.message)
            if time.monotonic() > ends:
                return found, NotGrown(claim, _waits_for(claim) or f"after {timeout_s:g} s")
            if sys.stderr.isatty():
                status.update(_waits_for(claim) or "growing")
            time.sleep(LOOK_EACH_S)
            found = client.ask("GET", path)


def _waits_for(claim: Claim) -> str:
    if progress(claim) in NODE_STEP:
        return "its file system grows once nobody mounts it"
    return ""


def _said(claim: Claim) -> str:
    if not lacks_room(claim):
        return f"{claim.key} has {claim.capacity}"
    why = _waits_for(claim)
    return f"{claim.key} is to grow from {claim.capacity} to {claim.request}" + (
        f"; {why}" if why else ""
    )


def _helped(client: Client, path: str, refused: Refused) -> Refused:
    """With what would help, where the server speaks as Kubernetes does."""
    try:
        claim = _view(client.ask("GET", path))
    except MooringError:
        return refused
    if refused.code == "Forbidden" and not refused.remedy:
        refused.remedy = (
            f"let class {claim.class_name} do it: {expanding(claim.class_name)}"
            if claim.class_name
            else "it is of no class, so nobody grows it: make a new claim"
        )
    elif refused.code == "Invalid" and not refused.remedy:
        refused.remedy = (
            f"ask for more than the {claim.capacity} that it has"
            if claim.phase == "Bound"
            else f"mooring explain pvc {claim.name} -n {claim.namespace}: it is not Bound yet"
        )
    return refused


def _view(doc: Doc) -> Claim:
    return msgspec.convert(doc, Claim)
