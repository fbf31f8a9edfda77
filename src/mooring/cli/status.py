"""`mooring status`: pools, claims, waste."""

from typing import Annotated, Final

import typer

from mooring.cli.client import Client, Doc, path_of
from mooring.cli.common import Kubeconfig, failing_well, printed, printed_json, table
from mooring.model.quantity import Quantity

FORMS: Final = ("", "json", "wide")
GIB: Final = 1 << 30


def _form(value: str) -> str:
    if value not in FORMS:
        raise typer.BadParameter("the other forms are json and wide")
    return value


Form = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="json|wide",
        callback=_form,
        help="json: for programs; wide: with the pools' drivers and disks.",
    ),
]


@failing_well
def status(output: Form = "", kubeconfig: Kubeconfig = None) -> None:
    """Show pools and their quotas, how many claims are in which phase, and what is wasted."""
    found = Client(kubeconfig).ask("GET", path_of("status"))
    if output == "json":
        printed_json(found)
        return
    _print_pools(found["pools"], wide=output == "wide")
    typer.echo(f"claims:  {_counted(found['claims'])}")
    typer.echo(f"volumes: {_counted(found['volumes'])}")
    if found.get("snapshots"):
        typer.echo(f"snapshots: {_counted(found['snapshots'])}")
    for one in found.get("moving", ()):
        what = one["claim"] or one["volume"]
        typer.echo(f"moving:  {what} from {one['from']} to {one['to']}, {one['told']}")
    _print_waste(found["waste"])


def _print_pools(pools: list[Doc], *, wide: bool) -> None:
    if not pools:
        typer.echo("there are no pools; `kubectl explain pool.spec` says how to grant one\n")
        return
    head = ("POOL", "NODE", "CAPACITY", "ALLOCATED", "VOLUMES", "NAMESPACES")
    printed(table(head, [_pool(pool) for pool in pools]))
    typer.echo()
    if wide:
        places = ("POOL", "DRIVER", "ROOT", "DISK USED", "DISK FREE")
        printed(table(places, [_place(pool) for pool in pools]))
        typer.echo()
    if notes := [note for pool in pools for note in _notes(pool)]:
        typer.echo("\n".join(f"note: {note}" for note in notes) + "\n")


def _notes(pool: Doc) -> list[str]:
    """What people should look at."""
    notes = []
    if pool["disk"] and _bytes(pool["allocated"]) > pool["disk"]["totalBytes"]:
        total = f"{pool['disk']['totalBytes'] // GIB}Gi"
        promised = f"pool {pool['name']} has promised {pool['allocated']}"
        notes.append(f"{promised}, and its disk is of {total}")
    notes += [f"pool {pool['name']}: {said}" for said in pool["conditions"]]
    if count := pool["orphans"]:
        several = f"{count} volumes or snapshots" if count > 1 else "one volume or snapshot"
        notes.append(
            f"pool {pool['name']} holds {several} that nobody owns: "
            f"mooring pool orphans {pool['name']}"
        )
    return notes


def _print_waste(waste: Doc) -> None:
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


def _place(pool: Doc) -> tuple[str, ...]:
    disk = pool["disk"] or {}
    amounts = (disk.get("usedBytes"), disk.get("freeBytes"))
    whole = ("unknown" if one is None else f"{one // GIB}Gi" for one in amounts)
    return (pool["name"], pool["driver"], pool["root"], *whole)


def _bytes(quantity: str) -> int:
    return Quantity.parse(quantity).bytes()


def _namespace(one: Doc) -> str:
    name = "each other" if one["name"] == "*" else one["name"]
    return f"{name} {one['allocated']}" + (f" of {one['quota']}" if one["quota"] else "")


def _counted(phases: dict[str, int]) -> str:
    return ", ".join(f"{count} {phase}" for phase, count in phases.items()) or "none"
