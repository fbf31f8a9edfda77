"""`mooring edge`: the entry to a swarm."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mooring.cli.common import Output, failing_well, printed, table

if TYPE_CHECKING:
    from mooring.edge.status import Status

edge = typer.Typer(
    name="edge", no_args_is_help=True, help="Keep a proxy right for the services of a swarm."
)
File = Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="The edge file.")]
DEFAULT = Path("/etc/mooring/edge.yaml")


@edge.command()
@failing_well
def run(file: File = DEFAULT) -> None:
    """Start the proxy or find it again, and keep it right; it goes on when this ends."""
    import uvloop  # these are slow to load, and only needed here

    from mooring.edge.edge import run as keep
    from mooring.edge.settings import settings_of

    settings = settings_of(file)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(keep(settings))


@edge.command()
@failing_well
def status(file: File = DEFAULT, output: Output = "") -> None:
    """Show every route, its servers, and what is wrong."""
    from mooring.edge.settings import settings_of
    from mooring.edge.status import read

    told = read(Path(settings_of(file).directory))
    if output:
        import msgspec

        typer.echo(msgspec.json.encode(told))
        return
    hosts: dict[str, list[str]] = {}
    for rule in told.rules:
        shadow = f" (shadowed by {rule.winner})" if rule.winner else ""
        hosts.setdefault(rule.backend, []).append(f"{rule.what}{shadow}")
    rows = [
        (
            ", ".join(hosts.get(route.backend, ["-"])),
            _service(route.service, route.name),
            route.mode,
            f"{server.address}:{server.port}" if server else "-",
            server.node if server else "-",
            (server.state + (" (backup)" if server.is_backup else "")) if server else "no server",
        )
        for route in told.routes
        for server in (route.servers or (None,))
    ]
    printed(table(("ROUTE", "SERVICE", "MODE", "SERVER", "NODE", "STATE"), rows))
    for problem in told.problems:
        typer.echo(
            f"{problem.reason}: {_service(problem.service, problem.route)}: {problem.message}"
        )
    typer.echo(f"manager {told.manager}, {told.reloads} reloads")
    if not Path(f"/proc/{told.pid}").exists():
        typer.echo(f"this is of a `mooring edge run` that has ended (process {told.pid})")
    for failure in filter(None, (told.failure, told.manager_failure)):
        typer.echo(f"failing: {failure}")


@edge.command()
@failing_well
def explain(
    where: Annotated[str, typer.Argument(metavar="HOST[/PATH]")], file: File = DEFAULT
) -> None:
    """Say where requests for a host go, and why."""
    from mooring.edge.settings import settings_of
    from mooring.edge.status import matching, read

    told = read(Path(settings_of(file).directory))
    host, _, path = where.partition("/")
    host = host.partition(":")[0]
    rules = matching(told, host, f"/{path}")
    if not rules or rules[0].winner:
        typer.echo(f"{where} goes nowhere (404): no service has the label mooring.edge.host={host}")
    for index, rule in enumerate(rules):
        what = f"{rule.host}{rule.path} of service {rule.service} at {rule.entry}"
        if rule.winner:
            typer.echo(f"  not {what}: the older service {rule.winner} has it")
        elif index:
            typer.echo(f"  not {what}: {rules[0].what} is closer")
        else:
            how = "is sent to the same name with TLS, for" if rule.is_sent_on else "goes to"
            typer.echo(f"{where} {how} service {rule.service}, by {what}")
            _explain_servers(told, rule.backend)


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
    """Print what a reload would change now; exit 1 if something, 0 if nothing."""
    import difflib

    from mooring.edge.edge import proxy_of, rendered
    from mooring.edge.settings import settings_of

    settings = settings_of(file)
    current = proxy_of(settings).configuration()
    before = current.read_text().splitlines() if current.exists() else []
    after = asyncio.run(rendered(settings)).splitlines()
    lines = list(difflib.unified_diff(before, after, str(current), "wanted", lineterm="", n=2))
    for line in lines:
        typer.echo(line)
    raise typer.Exit(1 if lines else 0)


def _service(name: str, route: str) -> str:
    return f"{name}.{route}" if route else name


def _explain_servers(told: "Status", backend: str) -> None:
    route = next(one for one in told.routes if one.backend == backend)
    if not route.servers:
        typer.echo("  it has no server (503): no task of it runs with its port published")
    for server in route.servers:
        typer.echo(f"  {server.address}:{server.port} on {server.node}: {server.state}")
