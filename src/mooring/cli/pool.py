"""`mooring pool`: one pool in full, and what lies in it that nobody owns."""

from typing import Annotated, Final
from urllib.parse import quote

import typer

from mooring.cli.client import Client, Doc, path_of
from mooring.cli.common import Kubeconfig, Output, failing_well, printed, printed_json, table
from mooring.model.quantity import ONE, Quantity
from mooring.rules.pool_health import shown_bytes

POOLS: Final = "/apis/mooring.dev/v1/pools/"

pool = typer.Typer(no_args_is_help=True, help="Show how a pool is, and the data nobody owns in it.")
Name = Annotated[str, typer.Argument(metavar="POOL")]


@pool.command()
@failing_well
def show(name: Name, output: Output = "", kubeconfig: Kubeconfig = None) -> None:
    """Show one pool: what its place has, what it promised, how it is."""
    found = Client(kubeconfig).ask("GET", POOLS + quote(name, safe=""))
    if output == "json":
        printed_json(found)
        return
    for line in _lines(found):
        typer.echo(line)


@pool.command()
@failing_well
def orphans(
    name: Name,
    delete: Annotated[
        str, typer.Option("--delete", metavar="ORPHAN", help="Delete this one, with its data.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """List data in a pool that no volume and no snapshot names; delete one by name."""
    client = Client(kubeconfig)
    if delete:
        if not yes:
            typer.confirm(f"delete {delete} in pool {name}, with all of its data?", abort=True)
        gone = client.ask("DELETE", path_of("pools", name, "orphans", delete))
        if output == "json":
            printed_json(gone)
        else:
            typer.echo(f"{gone['kind']} {gone['name']} is deleted, with its data")
        return
    found = client.ask("GET", path_of("pools", name, "orphans"))
    if output == "json":
        printed_json(found)
        return
    if not found["count"]:
        typer.echo(f"pool {name} has no orphans: all that is in it has its volume or snapshot")
        return
    head = ("NAME", "KIND", "SIZE", "USED")
    printed(table(head, [_orphan(one) for one in found["items"]]))
    typer.echo(f"\nto delete one with its data: mooring pool orphans {name} --delete NAME")


def _orphan(one: Doc) -> tuple[str, ...]:
    return (one["name"], one["kind"], one["size"], _amount(one.get("used")))


def _lines(found: Doc) -> list[str]:
    spec, status = found["spec"], found.get("status") or {}
    lines = [
        f"pool {found['metadata']['name']}: {spec['driver']} at {spec['root']}"
        f" on {spec.get('node') or 'any node'}"
    ]
    if capacity := status.get("capacity"):
        lines.append(
            f"  place:     {_amount(capacity['total'])}, {_amount(capacity['used'])} used, "
            f"{_amount(capacity['available'])} available"
        )
    if inodes := status.get("inodes"):
        lines.append(f"  inodes:    {inodes.get('used', 0)} of {inodes.get('total', 0)} used")
    ratio = status.get("overcommitRatio")
    promised = f"  promised:  {_amount(status.get('allocated', '0'))} to {status.get('volumes', 0)}"
    limits = [f"capacity {spec['capacity']}"] if spec.get("capacity") else []
    if over := spec.get("overcommit"):
        limits.append(f"overcommit {Quantity.parse(over).nanos / ONE:g}")
    lines.append(
        f"{promised} {'volume' if status.get('volumes') == 1 else 'volumes'}"
        + (f", {ratio} times the place" if ratio else "")
        + (f"; limits: {', '.join(limits)}" if limits else "")
    )
    for one in status.get("conditions") or ():
        lines.append(f"  {one['type']}: {one['status']} ({one['reason']}): {one['message']}")
    orphans = status.get("orphans") or {}
    if orphans.get("count"):
        lines.append(f"  orphans:   {orphans['count']}; see mooring pool orphans")
    return lines


def _amount(quantity: str | None) -> str:
    return "-" if quantity is None else shown_bytes(Quantity.parse(quantity).bytes())
