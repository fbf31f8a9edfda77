"""`mooring mount` and `mooring umount`."""

import typer

from mooring.cli.client import Client, claim_path
from mooring.cli.common import Kubeconfig, Namespace, failing_well

ClaimName = typer.Argument(metavar="CLAIM", help="Name of a PersistentVolumeClaim.")


@failing_well
def mount(
    claim: str = ClaimName, namespace: Namespace = "default", kubeconfig: Kubeconfig = None
) -> None:
    """Have a claim's volume at a path of the server's host, and print that path. Repeatable."""
    mounted = Client(kubeconfig).ask("POST", claim_path(namespace, claim))
    if mounted["note"]:
        typer.echo(f"note: {mounted['note']}", err=True)
    typer.echo(mounted["path"])


@failing_well
def umount(
    claim: str = ClaimName, namespace: Namespace = "default", kubeconfig: Kubeconfig = None
) -> None:
    """Take the path of a claim's volume away. The data stays."""
    mounted = Client(kubeconfig).ask("DELETE", claim_path(namespace, claim))
    typer.echo(f"{claim} is no longer at {mounted['path']}")
