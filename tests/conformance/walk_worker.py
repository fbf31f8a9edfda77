"""A driver in a process that may be killed at any moment, and has a successor within milliseconds.

    BACKEND ROOT ADDRESS, and on standard input a line for each process that is wanted

This process imports everything once and forks. What it forks connects to an abstract socket, says
its number, and makes the calls that it is sent there, a line of JSON each.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from mooring import crashpoints
from mooring.drivers.interface import Driver, Place, Source, asset_name
from mooring.errors import MooringError
from tests.conformance.test_drivers import BACKENDS


async def _made(driver: Driver, call: str, arguments: list[Any]) -> object:
    match call, *arguments:
        case ["start"]:
            return await driver.start(new=True)
        case ["create", name, size_bytes]:
            return await driver.create(asset_name(name), size_bytes)
        case ["restore", name, size_bytes, snapshot]:
            source = Source(snapshot=asset_name(snapshot))
            return await driver.create(asset_name(name), size_bytes, source)
        case ["clone", name, size_bytes, asset]:
            return await driver.create(
                asset_name(name), size_bytes, Source(asset=asset_name(asset))
            )
        case ["expand", name, size_bytes]:
            return await driver.expand(asset_name(name), size_bytes)
        case ["snapshot", name, asset]:
            return await driver.snapshot(asset_name(name), asset_name(asset))
        case ["publish", name]:
            return str(await driver.publish(asset_name(name)))
        case ["assets" | "snapshots" | "usage" as which]:
            return await getattr(driver, which)()
        case ["delete" | "delete_snapshot" | "unpublish" as which, name]:
            return await getattr(driver, which)(asset_name(name))
    raise SystemExit(f"no such call: {call} {arguments}")


async def _serve(driver: Driver, peer: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=peer)
    while line := await reader.readline():
        point, call, *arguments = json.loads(line)
        crashpoints.arm(point)
        try:
            answer = [await _made(driver, call, arguments)]
        except MooringError as error:
            answer = [None, error.code, str(error)]
        crashpoints.arm("")
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()


def _forked(name: str, root: Path, path: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    backend = next(one for one in BACKENDS if one.name == name)
    driver = backend.make(Place("walk", "uid-of-pool", root, backend.options))
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(f"\0{path}")
        peer.sendall(b"%d\n" % os.getpid())
        asyncio.run(_serve(driver, peer))


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who dies is gone
    for _ in sys.stdin:
        if os.fork() == 0:
            os.close(sys.stdin.fileno())
            _forked(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
            os._exit(0)


if __name__ == "__main__":
    main()
