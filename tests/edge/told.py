"""A swarm that is only told of, on a host of its own, where whoever is asked answers."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from testbed.generated import FIRST_PORT, GeneratedSwarm
from tests.docker.testbed import Host

NODES: Final = 200  # so many tasks have the same port, each at an address of its own
# Whoever is asked at any address answers with that address.
SERVERS: Final = f"""
import asyncio

async def serve(reader, writer):
    body = writer.get_extra_info("sockname")[0].encode()
    head = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
    try:
        while True:
            await reader.readuntil(b"\\r\\n\\r\\n")
            writer.write(head + body)
    except (EOFError, OSError):
        writer.close()

async def main():
    for port in range({FIRST_PORT}, {FIRST_PORT} + 3):
        await asyncio.start_server(serve, "0.0.0.0", port, backlog=1000)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def standing(host: Host, swarm: GeneratedSwarm) -> Iterator[None]:
    """Its manager answers at the host's socket meanwhile, and all its tasks do."""
    host.run("ip", "route", "add", "local", "10.77.0.0/16", "dev", "lo")
    servers = host.popen(sys.executable, "-c", SERVERS, log="servers.log")
    ends = threading.Event()

    async def serve() -> None:
        async with swarm.served(host.socket):
            await asyncio.to_thread(ends.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()
        servers.kill()
