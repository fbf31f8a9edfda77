"""`mooring explain`: why a claim, a volume or a pod is as it is, and what would help."""

from typing import Annotated
from urllib.parse import quote

import typer
from rich.table import Table

from mooring.cli import completion
from mooring.cli.client import Client, Doc, path_of
from mooring.cli.common import (
    Kubeconfig,
    Namespace,
    Output,
    failing_well,
    printed,
    printed_json,
    table,
)
from mooring.errors import MooringError


class BadQuestion(MooringError):
    code = "BadQuestion"

    def __init__(self, what: str) -> None:
        self.what = what
        self.remedy = "mooring explain pvc NAME, mooring explain pv NAME, or pvc --all"


@failing_well
def explain(
    kind: Annotated[
        str, typer.Argument(metavar="pvc|pv|snapshot|pod", autocompletion=completion.kinds)
    ],
    name: Annotated[str, typer.Argument(metavar="[NAME]", autocompletion=completion.names)] = "",
    namespace: Namespace = "",
    all_: Annotated[
        bool, typer.Option("--all", help="Each of them, a line each; -n: of one namespace.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="What deleting it would do to data and users.")
    ] = False,
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Say why a claim, a volume, a snapshot or a pod is as it is, and what would help."""
    which = completion.KINDS.get(kind.lower())
    if which is None:
        raise BadQuestion(f"{kind!r} cannot be explained, only pvc, pv, snapshot and pod")
    if all_ == bool(name):
        raise BadQuestion("NAME and --all cannot go together" if name else "the NAME is missing")
    if which == "snapshot" and (all_ or delete):
        raise BadQuestion("a snapshot is explained by its NAME, without --all and --delete")
    if all_ and delete:
        raise BadQuestion("--delete is about one NAME, not --all")
    if delete and which == "pod":
        raise BadQuestion("--delete is about claims and volumes; a pod has no data of its own")
    client = Client(kubeconfig)
    if all_:
        found = client.ask("GET", f"{path_of('explain', which)}?namespace={quote(namespace)}")
    elif which == "pv":
        found = client.ask("GET", f"{path_of('explain', which, name)}?delete={delete:d}")
    else:
        where = path_of("explain", which, namespace or client.namespace, name)
        found = client.ask("GET", f"{where}?delete={delete:d}")
    if output:
        printed_json(found)
    elif all_ and not found["items"]:
        typer.echo("there are none", err=True)
    elif all_:
        printed(_table(which, found["items"]))
    else:
        typer.echo("\n".join(found["lines"]))


def _table(which: str, items: list[Doc]) -> Table:
    rows = [
        (item["subject"].partition(" ")[2], item["state"], item["why"], item["help"])
        for item in items
    ]
    what = {"pvc": "CLAIM", "pv": "VOLUME", "pod": "POD"}[which]
    return table((what, "PHASE", "REASON", "WOULD HELP"), rows)
