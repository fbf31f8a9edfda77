"""One call of a driver in a process of its own: NAME ROOT CALL [ARGUMENTS]"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from mooring.drivers.btrfs import BtrfsDriver
from mooring.drivers.interface import Place, Source, asset_name
from mooring.errors import MooringError
from tests.conformance.test_drivers import BACKENDS, IDLE
from tests.conformance.test_hanging import HANGING


def pieces(stream: Path) -> Callable[[], Awaitable[bytes]]:
    """What was written to a file, as it comes from another host."""
    file = stream.open("rb")

    async def read() -> bytes:
        return file.read(1 << 16)

    return read


async def _call(name: str, root: Path, what: str, *arguments: str) -> None:
    backend = next(one for one in (*BACKENDS, IDLE, HANGING) if one.name == name)
    driver = backend.make(Place("bench", "uid-of-pool", root, backend.options))
    match what, *arguments:
        case ["start"]:
            await driver.start(new=True)
        case ["serve"]:  # until its standard input ends
            await driver.start(new=True)
            print(f"process {os.getpid()}", flush=True)
            await asyncio.to_thread(sys.stdin.read)
        case ["delete", asset]:
            await driver.delete(asset_name(asset))
        case ["create", asset, size_bytes]:
            await driver.create(asset_name(asset), int(size_bytes))
        case ["expand", asset, size_bytes]:
            await driver.expand(asset_name(asset), int(size_bytes))
        case ["modify", asset]:
            offered = driver.features.attributes.items()
            await driver.modify(asset_name(asset), {key: values[-1] for key, values in offered})
        case ["clone", asset, source, size_bytes]:
            made = Source(asset=asset_name(source))
            await driver.create(asset_name(asset), int(size_bytes), made)
        case ["publish", asset]:
            await driver.publish(asset_name(asset))
        case ["unpublish", asset]:
            await driver.unpublish(asset_name(asset))
        case ["snapshot", snapshot, asset]:
            await driver.snapshot(asset_name(snapshot), asset_name(asset))
        case ["delete_snapshot", snapshot]:
            await driver.delete_snapshot(asset_name(snapshot))
        case ["receive", snapshot, size_bytes, stream]:
            assert isinstance(driver, BtrfsDriver)
            await driver.receive(asset_name(snapshot), int(size_bytes), pieces(Path(stream)))
        case _:
            raise SystemExit(f"no such call: {what} {arguments}")


if __name__ == "__main__":
    try:
        asyncio.run(_call(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
    except MooringError as error:
        raise SystemExit(f"{error.code}: {error}") from error
