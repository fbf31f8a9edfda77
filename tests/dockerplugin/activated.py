"""A plugin in a process of its own that systemd, or whoever does as systemd does, has started.

Usage: activated.py PATH: take the socket for PATH, say how on standard output, and answer calls:
Path with this process's number, and nothing to all others. Ends at SIGTERM.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import uvloop

from mooring.dockerplugin.errors import text
from mooring.dockerplugin.listener import plugin_listener
from mooring.dockerplugin.transport import Request, Transport
from mooring.errors import MooringError


class Numbered:
    async def activated(self, peer_pid: int | None) -> None:
        pass

    async def answer(self, call: str, request: Request, peer_pid: int | None) -> dict[str, object]:
        return {"Mountpoint": str(os.getpid())} if call == "Path" else {}

    def delivered(self, call: str, request: Request) -> None:
        pass

    async def undelivered(self, call: str, request: Request) -> None:
        pass


async def main(path: Path) -> None:
    try:
        listener = plugin_listener(path)
    except MooringError as error:
        print(text(error), flush=True)
        return
    left = [name for name in os.environ if name.startswith("LISTEN_")]
    print(json.dumps({"fd": listener.fileno(), "left": left}), flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    transport = Transport(Numbered(), listener, "here")
    await transport.start()
    await stop.wait()
    await transport.stop()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
