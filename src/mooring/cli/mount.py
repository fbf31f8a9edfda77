"""`mooring mount` and `mooring umount`."""

from typing import Annotated

import typer

from mooring.cli import completion
from mooring.cli.client import Client, Refused, path_of
from mooring.cli.common import Kubeconfig, Namespace, failing_well

HELP = "Name of a PersistentVolumeClaim."


@failing_well
def mount(
    claim: Annotated[
        str, typer.Argument(metavar="CLAIM", help=HELP, autocompletion=completion.names)
    ],
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Have a claim's volume at a path of the server's host, and print that path. Repeatable."""
    client = Client(kubeconfig)
    where = (namespace or client.namespace, claim.removeprefix("pvc/"))
    try:
        mounted = client.ask("POST", path_of("mounts", *where))
    except Refused as refused:
        if refused.code != "NotBound":
            raise
        found = client.ask("GET", path_of("explain", "pvc", *where))
        refused.what = "; ".join((refused.what, found["why"], *found["details"]))
        refused.remedy = found["help"] or refused.remedy
        raise
    if mounted["note"]:
        typer.echo(f"note: {mounted['note']}", err=True)
    typer.echo(mounted["path"])


@failing_well
def umount(
    claim: Annotated[
        str, typer.Argument(metavar="CLAIM", help=HELP, autocompletion=completion.mounted)
    ],
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Take the path of a claim's volume away. The data stays."""
    client = Client(kubeconfig)
    mounted = client.ask("DELETE", path_of("mounts", namespace or client.namespace, claim))
    typer.echo(f"{claim} is no longer at {mounted['path']}")
