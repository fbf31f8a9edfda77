"""`mooring store`: everything of a server moved from one store to another, and its schema."""

import asyncio
from collections.abc import Callable
from typing import Annotated

import typer

from mooring.cli.common import failing_well
from mooring.cli.following import amount as amount_of
from mooring.cli.following import bar
from mooring.cli.schema import finalize, status
from mooring.cli.up import StoreCa, StoreCert, StoreKey, StorePasswordFile, StoreUser

store = typer.Typer(
    no_args_is_help=True,
    help="Move all documents of a server elsewhere; let them be of a new version for good.",
)
store.command()(status)
store.command()(finalize)

PLACE = "A data directory, or etcd://HOST:PORT,…/NAME."


@store.command()
@failing_well
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help=PLACE)],
    target: Annotated[str, typer.Argument(metavar="TO", help=PLACE + " With nothing in it.")],
    store_ca: StoreCa = None,
    store_cert: StoreCert = None,
    store_key: StoreKey = None,
    store_user: StoreUser = "",
    store_password_file: StorePasswordFile = None,
) -> None:
    """Copy everything, then compare each byte. No server may run on either meanwhile.

    Broken off, it goes on where it was when it is run again.
    """
    from mooring.daemon import moving  # slow to load
    from mooring.daemon.settings import StoreSettings

    common = StoreSettings("", store_ca, store_cert, store_key, store_user, store_password_file)
    with bar() as progress:

        def begin(name: str, documents: int, size_bytes: int) -> Callable[[int, int], None]:
            task = progress.add_task(name, total=max(1, size_bytes), files="")

            def tell(done: int, done_bytes: int) -> None:
                files = f"{done} of {documents} documents"
                progress.update(task, completed=done_bytes, files=files)

            return tell

        amount = asyncio.run(moving.copy(source, target, common, begin))
    size = amount_of(amount.size_bytes)
    typer.echo(f"{amount.documents} documents, {size}, copied to {target} and compared")


@store.command()
@failing_well
def release(
    place: Annotated[str, typer.Argument(metavar="STORE", help=PLACE)],
    store_ca: StoreCa = None,
    store_cert: StoreCert = None,
    store_key: StoreKey = None,
    store_user: StoreUser = "",
    store_password_file: StorePasswordFile = None,
) -> None:
    """Let servers start on a store again, of which a copy was broken off and is given up."""
    from mooring.daemon import moving  # slow to load
    from mooring.daemon.settings import StoreSettings

    common = StoreSettings("", store_ca, store_cert, store_key, store_user, store_password_file)
    was_held = asyncio.run(moving.released(place, common))
    typer.echo(f"{place} is released" if was_held else f"{place} was not held")
