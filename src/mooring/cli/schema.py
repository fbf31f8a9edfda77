"""`mooring store status` and `finalize`: which versions may be started on a store."""

from typing import Annotated

import typer

from mooring.cli.client import Client, Doc, path_of
from mooring.cli.common import Kubeconfig, Output, failing_well, printed, printed_json, table

SILENT_S = 15.0  # three words of a server


@failing_well
def status(output: Output = "", kubeconfig: Kubeconfig = None) -> None:
    """Say of which schema the store is, which servers there are, and what finalize would do."""
    found = Client(kubeconfig).ask("GET", path_of("store"))
    if output == "json":
        printed_json(found)
        return
    typer.echo(f"schema {found['schema']}; this Mooring knows {found['latest']}")
    printed(table(("SERVER", "VERSION", "KNOWS", "STATE"), map(_row, found["servers"])))
    _say_changes(found)


@failing_well
def finalize(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")] = False,
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let the store have what this version brings. The version before cannot be started again."""
    client = Client(kubeconfig)
    found = client.ask("GET", path_of("store"))
    if output != "json":
        _say_changes(found)
    if found["schema"] < found["latest"] and not dry_run:
        if not yes:
            typer.confirm("finalize the store? No command takes that back", abort=True)
        done = client.ask("POST", path_of("store", "finalize"))
        found = {**found, "schema": done["schema"], "changes": []}
        if output != "json":
            typer.echo(f"the store has schema {found['schema']}")
    if output == "json":
        printed_json(found)


def _say_changes(found: Doc) -> None:
    if found["schema"] >= found["latest"]:
        typer.echo("the store is finalized: nothing is left to do")
        return
    typer.echo(
        f"Until `mooring store finalize` leads from schema {found['schema']} to {found['latest']}, "
        "the version before may be started again. From then on:"
    )
    for text in found["changes"]:
        typer.echo(f"  - {text}")
    if older := [one["name"] for one in found["servers"] if one["knows"] < found["latest"]]:
        typer.echo(f"It waits for servers that know less: {', '.join(older)}")


def _row(server: Doc) -> tuple[str, str, str, str]:
    state = "asked" if server["isThis"] else "there"
    if server["silentS"] > SILENT_S:
        state = f"silent for {server['silentS']:.0f} s"
    return server["name"], server["version"], str(server["knows"]), state
