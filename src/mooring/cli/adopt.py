"""`mooring adopt`."""

import time
from typing import Annotated, Final

import msgspec
import typer
from rich.progress import Progress, TaskID

from mooring.cli.client import Client, Doc, NoServer, Refused, path_of
from mooring.cli.common import Kubeconfig, Namespace, Output, fail, failing_well, printed_json
from mooring.cli.following import AWAY_AT_MOST_S, INTERRUPTED, LOOK_EACH_S, amount, bar
from mooring.errors import MooringError

DOING: Final = {
    "Waiting": "waiting for its turn, and for Docker",
    "Scanning": "looking at what there is",
    "Making": "making the claim and its volume",
    "Copying": "copying",
    "Verifying": "verifying",
}


@failing_well
def adopt(
    volume: Annotated[
        str, typer.Argument(metavar="VOLUME", help="Of Docker's own driver `local`, used by none.")
    ],
    name: Annotated[
        str,
        typer.Option("--name", metavar="NAME", help="Of the new volume. Default: VOLUME-adopted."),
    ] = "",
    namespace: Namespace = "",
    size: Annotated[
        str,
        typer.Option(
            "--size",
            metavar="SIZE",
            help="Such as 10Gi. Default: what the data takes and a fifth, in whole Gi.",
        ),
    ] = "",
    class_name: Annotated[
        str, typer.Option("--class", metavar="CLASS", help="Default: the default StorageClass.")
    ] = "",
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Copy a volume of Docker's own into a claim of a new name, verify it, and leave the old one.

    The server does it, and goes on if this command is interrupted; the same command again shows how
    far it is. Until it is verified nobody can mount the copy.
    """
    client = Client(kubeconfig)
    wanted = {
        "volume": volume,
        "name": name,
        "namespace": namespace or client.namespace,
        "size": size,
        "class": class_name,
    }
    found = client.ask("POST", path_of("adoptions"), msgspec.json.encode(wanted))
    try:
        found = _followed(client, found)
    except KeyboardInterrupt:
        _say_that_it_goes_on(found)
        raise typer.Exit(INTERRUPTED) from None
    if output == "json":
        printed_json(found)
    if found["error"] is not None:
        fail(_Failed(found["error"]))
    if output != "json":
        _say_what_was_done(found)


class NotBegun(MooringError):
    """The server was started anew, and what is not made yet it does not remember."""

    code = "NotBegun"

    def __init__(self, found: Doc) -> None:
        self.what = (
            f"the server was restarted before claim {found['claim']} was made, or that was deleted"
        )
        self.remedy = "run the same command again to begin anew"
        super().__init__(self.what)


class _Failed(Refused):
    """What the server says of an adoption that came to nothing."""

    def __init__(self, error: Doc) -> None:
        details = {"remedy": error["remedy"]}
        super().__init__({"reason": error["code"], "message": error["what"], "details": details})


def _followed(client: Client, found: Doc) -> Doc:
    """Show how far it is, until it ends. Raises NoServer, NotBegun, Refused."""
    with bar() as progress:
        task = progress.add_task("", total=None, files="")
        away_since_s: float | None = None
        while found["phase"] not in ("Done", "Failed"):
            _show(progress, task, found)
            time.sleep(LOOK_EACH_S)
            try:
                found = client.ask("GET", path_of("adoptions", *found["claim"].split("/")))
                away_since_s = None
            except Refused as refused:
                if refused.code == "NotFound":
                    raise NotBegun(found) from refused
                raise
            except NoServer:  # it is restarted, perhaps, and goes on with the copy
                away_since_s = away_since_s or time.monotonic()
                if time.monotonic() - away_since_s > AWAY_AT_MOST_S:
                    raise
        progress.update(task, visible=False)
    return found


def _show(progress: Progress, task: TaskID, found: Doc) -> None:
    has_bytes = found["ofBytes"] > 0
    done, of_all = ("bytes", "ofBytes") if has_bytes else ("files", "ofFiles")
    progress.update(
        task,
        description=DOING.get(found["phase"], found["phase"]),
        completed=found[done],
        total=found[of_all] or None,
        files=_counted(found) if found["files"] else "",
    )


def _say_what_was_done(found: Doc) -> None:
    claim, volume = found["claim"], found["volume"]
    typer.echo(f"{claim} is the verified copy of volume {volume}: {_counted(found)}")
    left = found["leftOut"]
    for one in left["named"]:
        typer.echo(f"note: {one}", err=True)
    if (more := left["count"] - len(left["named"])) > 0:
        typer.echo(f"note: and {more} more", err=True)
    if found["name"]:
        typer.echo(f"use it: docker run -v {found['name']}:/data ...")
    typer.echo(f"the old volume is as it was; once you need it no more: docker volume rm {volume}")


def _say_that_it_goes_on(found: Doc) -> None:
    namespace, _, claim = found["claim"].partition("/")
    typer.echo("the server goes on with it; the same command again shows how far it is", err=True)
    typer.echo(f"to give it up: kubectl delete pvc {claim} -n {namespace}", err=True)


def _counted(found: Doc) -> str:
    files = f"{found['files']:,}"
    if found["phase"] == "Done" or not found["ofFiles"]:
        return f"{files} files, {amount(found['bytes'])}"
    amounts = f"{amount(found['bytes'])} of {amount(found['ofBytes'])}"
    return f"{files} of {found['ofFiles']:,} files, {amounts}"
