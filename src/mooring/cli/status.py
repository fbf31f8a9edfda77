"""`mooring status`: pools, claims, waste."""

import typer
from rich.console import Group

from mooring.cli.client import Client, Doc
from mooring.cli.common import Kubeconfig, Output, failing_well, printed, table


@failing_well
def status(output: Output = "", kubeconfig: Kubeconfig = None) -> None:
    """Show pools and their quotas, how many claims are in which phase, and what is wasted."""
    found = Client(kubeconfig).ask("GET", "/mooring/v1/status")
    if output:
        printed(found, output)
        return
    pools = table(
        ("POOL", "NODE", "CAPACITY", "ALLOCATED", "VOLUMES", "NAMESPACES"),
        [_pool(pool) for pool in found["pools"]],
    )
    printed(Group(pools, ""), output)
    typer.echo(f"claims:  {_counted(found['claims'])}")
    typer.echo(f"volumes: {_counted(found['volumes'])}")
    waste = found["waste"]
    if not waste["claims"]:
        typer.echo("waste:   none, no volume is larger than its claim asked for")
        return
    few = "claim has" if waste["claims"] == 1 else "claims have"
    typer.echo(f"waste:   {waste['total']}, {waste['claims']} {few} more than asked for:")
    for one in waste["largest"]:
        typer.echo(f"         {one['waste']} by {one['claim']}, of volume {one['volume']}")


def _pool(pool: Doc) -> tuple[str, ...]:
    return (
        pool["name"],
        pool["node"] or "any",
        pool["capacity"] or "no limit",
        pool["allocated"],
        str(pool["volumes"]),
        ", ".join(_namespace(one) for one in pool["namespaces"]),
    )


def _namespace(one: Doc) -> str:
    name = "each other" if one["name"] == "*" else one["name"]
    return f"{name} {one['allocated']}" + (f" of {one['quota']}" if one["quota"] else "")


def _counted(phases: dict[str, int]) -> str:
    return ", ".join(f"{count} {phase}" for phase, count in phases.items()) or "none"
