"""`mooring explain`: why a claim or a volume is as it is, and what would help."""

import json
from typing import Annotated
from urllib.parse import quote

import typer
from rich.table import Table

from mooring.cli.client import Client, Doc
from mooring.cli.common import Kubeconfig, Namespace, Output, failing_well, printed, table
from mooring.errors import Effect, MooringError

KINDS = {
    "pvc": "pvc",
    "persistentvolumeclaim": "pvc",
    "persistentvolumeclaims": "pvc",
    "pv": "pv",
    "persistentvolume": "pv",
    "persistentvolumes": "pv",
}


class BadQuestion(MooringError):
    code, effect = "BadQuestion", Effect.NONE

    def __init__(self, what: str) -> None:
        self.what = what
        self.remedy = "mooring explain pvc NAME, mooring explain pv NAME, or pvc --all"


def _names(context: typer.Context, incomplete: str) -> list[str]:
    """Names that could be meant, for the shell; none when the server cannot be asked."""
    try:
        client = Client(context.params.get("kubeconfig"))
        if KINDS.get(context.params.get("kind", "")) == "pv":
            items = client.items("/api/v1/persistentvolumes")
        else:
            namespace = quote(context.params.get("namespace") or "default", safe="")
            items = client.items(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims")
    except MooringError:
        return []
    names = [str(item["metadata"]["name"]) for item in items]
    return [name for name in names if name.startswith(incomplete)]


@failing_well
def explain(
    kind: Annotated[str, typer.Argument(metavar="pvc|pv")],
    name: Annotated[str, typer.Argument(metavar="[NAME]", autocompletion=_names)] = "",
    namespace: Namespace = "default",
    all_: Annotated[bool, typer.Option("--all", help="Each of them, a line each.")] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="What deleting it would do to data and users.")
    ] = False,
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Say why a claim is pending or bound, or a volume free or kept, and what would help."""
    which = KINDS.get(kind.lower())
    if which is None:
        raise BadQuestion(f"{kind!r} cannot be explained, only pvc and pv")
    if all_ == bool(name):
        raise BadQuestion("give one NAME, or --all" if all_ else "the NAME is missing")
    client = Client(kubeconfig)
    if all_:
        found = client.ask("GET", f"/mooring/v1/explain/{which}")
        printed(found if output else _table(found["items"]), output)
        return
    where = name if which == "pv" else f"{namespace}/{name}"
    query = "?delete=1" if delete else ""
    found = client.ask("GET", f"/mooring/v1/explain/{which}/{quote(where)}{query}")
    if output:
        typer.echo(json.dumps(found, indent=2))
    else:
        typer.echo("\n".join(found["lines"]))


def _table(items: list[Doc]) -> Table:
    rows = [
        (item["subject"].partition(" ")[2], item["state"], item["why"], item["help"])
        for item in items
    ]
    return table(("NAME", "STATE", "WHY", "WOULD HELP"), rows)
