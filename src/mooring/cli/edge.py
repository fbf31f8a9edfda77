"""`mooring edge`: the entry to a swarm."""

import asyncio
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mooring.cli.common import Kubeconfig, failing_well
from mooring.cli.watching import Form, Page, encoded, show, watched

edge = typer.Typer(
    name="edge", no_args_is_help=True, help="Keep a proxy right for the services of a swarm."
)
File = Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="The edge file.")]
DEFAULT = Path("/etc/mooring/edge.yaml")


@edge.command()
@failing_well
def run(
    attach: Annotated[
        bool | None,
        typer.Option(
            "--attach/--manage",
            help="A service of this machine runs the proxy, or this does; else as the file says.",
        ),
    ] = None,
    file: File = DEFAULT,
) -> None:
    """Start the proxy or find it again, and keep it right; it goes on when this ends."""
    import uvloop  # these are slow to load, and only needed here

    from mooring.edge.edge import run as keep
    from mooring.edge.settings import settings_of

    settings = settings_of(file, attach)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(keep(settings))


@edge.command()
@failing_well
def status(
    wanted: Annotated[
        str, typer.Argument(metavar="HOST|SERVICE", help="Of one, with all its servers.")
    ] = "",
    problems: Annotated[
        bool, typer.Option("--problems", help="Only routes and servers that are not well.")
    ] = False,
    servers: Annotated[
        bool, typer.Option("--servers", help="All of them, not only those that do not serve.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Until Ctrl-C, as it is.")] = False,
    file: File = DEFAULT,
    output: Form = "",
) -> None:
    """Show every route, its servers, and what is wrong."""
    from mooring.cli.edge_page import about, page
    from mooring.edge.settings import settings_of
    from mooring.edge.status import NoSuchRoute, has_ended, read

    place = Path(settings_of(file).directory)

    def look() -> Page | str:
        told = read(place)
        if wanted:
            told = about(told, wanted)
            if not told.routes and not told.problems:
                raise NoSuchRoute(wanted)
        if output:
            return encoded(told, output)
        shown = page(
            told,
            datetime.now(UTC),
            is_whole=not wanted,
            only_problems=problems,
            with_servers=servers or bool(wanted),
        )
        ended = f"this is of a `mooring edge run` that has ended (process {told.pid})"
        return [*shown, "", ended] if has_ended(told) else shown

    if watch:
        watched(look)
    elif isinstance(found := look(), str):
        typer.echo(found)
    else:
        show(found)


@edge.command()
@failing_well
def events(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Of one service.")] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="And those that come.")] = False,
    file: File = DEFAULT,
    output: Form = "",
) -> None:
    """Show what happened, how often, and when last."""
    from mooring.cli.edge_events import about, followed, lines
    from mooring.cli.edge_events import encoded as encoded_each
    from mooring.edge.events import recorded
    from mooring.edge.settings import settings_of

    place = Path(settings_of(file).directory)
    found = about(recorded(place), service)
    if output and watch:
        shown = encoded_each(found)
    elif output:
        shown = [encoded(found, output)]
    else:
        shown = lines(found, datetime.now(UTC))
    for text in shown:
        typer.echo(text)
    if not found and not output:
        typer.echo("nothing has happened yet", err=True)
    if watch:
        followed(lambda: about(recorded(place), service), output)


@edge.command()
@failing_well
def explain(
    where: Annotated[str, typer.Argument(metavar="HOST[/PATH]")],
    entry: Annotated[str, typer.Option("--entry", metavar="NAME", help="Of one alone.")] = "",
    file: File = DEFAULT,
) -> None:
    """Say where requests for a host go, why, and what would have fewer of them fail."""
    from mooring.edge.explaining import asked, explained
    from mooring.edge.settings import settings_of
    from mooring.edge.status import read

    told = read(Path(settings_of(file).directory))
    show([*explained(told, asked(where, entry), datetime.now(UTC))])


@edge.command()
@failing_well
def render(file: File = DEFAULT) -> None:
    """Print the configuration for the swarm as it is now; nothing is changed."""
    from mooring.edge.edge import rendered
    from mooring.edge.settings import settings_of

    typer.echo(asyncio.run(rendered(settings_of(file))), nl=False)


@edge.command()
@failing_well
def diff(file: File = DEFAULT) -> None:
    """Print what would change now: by a reload, and without; exit 1 if something, 0 if nothing."""
    from mooring.edge.edge import difference
    from mooring.edge.settings import settings_of

    found = asyncio.run(difference(settings_of(file)))
    if found.reload:
        show(["by a reload:", *found.reload])
    if found.runtime:
        show(["without a reload:", *found.runtime])
    raise typer.Exit(1 if any(found) else 0)


@edge.command()
@failing_well
def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the edge, as its machine's.")],
    directory: Annotated[
        Path, typer.Option("--directory", metavar="DIR", help="Where its two files are written.")
    ] = DEFAULT.parent,
    days: Annotated[float, typer.Option("--days", metavar="N", help="Until it ends.")] = 365.0,
    end: Annotated[
        bool, typer.Option("--end", help="End the one that is there; make none.")
    ] = False,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let an edge hear what agents see of tasks, and nothing else; one made before ends."""
    from mooring.cli.edge_token import ended, made

    lines = ended(name, kubeconfig) if end else made(name, directory, days, kubeconfig)
    show([*lines])


@edge.command()
@failing_well
def keepalived(
    address: Annotated[str, typer.Option(help="That moves, with its prefix: 10.0.0.100/24.")],
    interface: Annotated[str, typer.Option(help="Where it is to be, as eth0.")],
    peer: Annotated[list[str], typer.Option(help="Another machine; may be said again.")],
    router_id: Annotated[int, typer.Option(help="1 to 255, the same on all machines.")] = 51,
    file: File = DEFAULT,
) -> None:
    """Print what keepalived needs to give several machines with an edge one address."""
    from mooring.edge.keepalived import keepalived as configured
    from mooring.edge.settings import settings_of

    said = configured(settings_of(file), address, interface, peer, router_id)
    typer.echo(said, nl=False)
