"""`mooring top`: how full volumes, claims and pools are, the fullest first."""

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final
from urllib.parse import urlencode

import typer
import yaml
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from mooring.cli.client import Client, Doc, path_of
from mooring.cli.common import Kubeconfig, failing_well, printed, printed_json, table
from mooring.clock import SystemClock
from mooring.rules.pool_health import shown_bytes

UNKNOWN: Final = "-"
EVERY_S: Final = 2.0
FORMS: Final = ("", "wide", "json", "yaml")
UNBROKEN: Final = 400  # columns of a table that no terminal shows: a program may read it
NUMBERS: Final = ("USED", "CAPACITY", "USED %", "INODES", "INODES %", "SEEN", "MOUNTED")
POOL_HEAD: Final = (
    *("POOL", "NODE", "READY", "USED", "TOTAL", "USED %", "INODES %", "PROMISED"),
    *("OF PLACE", "VOLUMES", "ORPHANS"),
)


class Of(StrEnum):
    """What is shown."""

    CLAIMS = "claims"
    VOLUMES = "volumes"
    POOLS = "pools"


def _form(value: str) -> str:
    if value not in FORMS:
        raise typer.BadParameter("the other forms are wide, json and yaml")
    return value


@failing_well
def top(
    of: Annotated[Of, typer.Argument(metavar="[claims|volumes|pools]")] = Of.CLAIMS,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAMESPACE", help="Claims of one alone.")
    ] = "",
    limit: Annotated[int, typer.Option(min=0, metavar="ROWS", help="0: all there are.")] = 100,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="wide|json|yaml",
            callback=_form,
            help="wide: with volumes and paths; the others: for programs, all rows.",
        ),
    ] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again every 2 s.")] = False,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show how full claims, volumes or pools are, the fullest first."""
    is_table = output in ("", "wide")
    if watch and not is_table:
        raise typer.BadParameter("--watch shows a table, not json or yaml")
    client, wide = Client(kubeconfig), output == "wide"
    if watch:
        _watch(client, of, namespace, limit, wide=wide)
        return
    found = _asked(client, of, namespace, limit if is_table else 0)
    if output == "json":
        printed_json(found)
    elif output == "yaml":
        typer.echo(yaml.safe_dump(found, sort_keys=False, allow_unicode=True), nl=False)
    else:
        printed(_shown(found, of, wide=wide), UNBROKEN)


def _asked(client: Client, of: Of, namespace: str, limit: int) -> Doc:
    asked = {"namespace": namespace, "limit": str(limit)}
    query = urlencode({key: value for key, value in asked.items() if value})
    return client.ask("GET", f"{path_of('top', of.value)}?{query}")


def _watch(client: Client, of: Of, namespace: str, limit: int, *, wide: bool) -> None:
    """Until Ctrl-C."""
    clock = SystemClock()
    try:
        with Live(
            _shown(_asked(client, of, namespace, limit), of, wide=wide), auto_refresh=False
        ) as live:
            while True:
                time.sleep(EVERY_S)
                shown = _shown(_asked(client, of, namespace, limit), of, wide=wide)
                stamp = Text(f"{clock.now():%H:%M:%S} UTC, every {EVERY_S:g} s; Ctrl-C ends it")
                live.update(Group(stamp, shown), refresh=True)
    except KeyboardInterrupt:
        return


def _shown(found: Doc, of: Of, *, wide: bool) -> RenderableType:
    rows = found["items"]
    if not rows:
        return Text(f"there are no {of.value}" + (" with a volume" if of is Of.CLAIMS else ""))
    if of is Of.POOLS:
        shown: list[RenderableType] = [table(POOL_HEAD, [_pool(row) for row in rows])]
        shown += [
            Text(f"pool {row['pool']} is not ready: {row['message']}")
            for row in rows
            if row["message"]
        ]
    else:
        first, second = ("CLAIM", "VOLUME") if of is Of.CLAIMS else ("VOLUME", "CLAIM")
        is_long = wide or of is Of.VOLUMES
        head = (first, *((second,) if is_long else ()), *NUMBERS, *(("PATH",) if wide else ()))
        shown = [table(head, [_volume(row, of, wide=wide) for row in rows])]
        shown += [
            Text(f"{row['claim'] or row['volume']} cannot be looked at: {row['abnormal']}")
            for row in rows
            if row["abnormal"]
        ]
    if (more := found["count"] - len(rows)) > 0:
        shown.append(Text(f"and {more} more; --limit 0 shows all"))
    return Group(*shown)


def _volume(row: Doc, of: Of, *, wide: bool) -> Sequence[str]:
    claim, volume = row["claim"] or UNKNOWN, row["volume"]
    names = [volume, claim] if of is Of.VOLUMES else [claim, volume]
    return (
        *(names if wide or of is Of.VOLUMES else names[:1]),
        _bytes(row["usedBytes"]),
        _bytes(row["capacityBytes"]),
        _percent(row["usedPercent"]),
        UNKNOWN if row["inodesUsed"] is None else str(row["inodesUsed"]),
        _percent(row["inodesPercent"]),
        (row["takenAt"] or UNKNOWN)[-9:],
        "here" if row["path"] else UNKNOWN,
        *([row["path"] or UNKNOWN] if wide else []),
    )


def _pool(row: Doc) -> Sequence[str]:
    return (
        row["pool"],
        row["node"] or "any",
        row["ready"],
        _bytes(row["usedBytes"]),
        _bytes(row["totalBytes"]),
        _percent(row["usedPercent"]),
        _percent(row["inodesPercent"]),
        _bytes(row["allocatedBytes"]),
        _percent(row["promisedPercent"]),
        str(row["volumes"]),
        UNKNOWN if row["orphans"] is None else str(row["orphans"]),
    )


def _bytes(count: int | None) -> str:
    return UNKNOWN if count is None else shown_bytes(count)


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f}%"
