"""A load that counts every request: `python -m testbed.load ADDRESS PORT HOST`, until SIGTERM.

Each worker asks again and again over one connection that is kept open, as browsers and other
proxies do, or over one for each request. Nothing is tried twice: whatever is no answer 2xx is a
failure, told with its time.
"""

import argparse
import asyncio
import json
import signal
import time
from collections import Counter
from typing import Final

DEADLINE_S: Final = 30.0  # of one request
FAILURES_AT_MOST: Final = 20  # that are told one by one


class Load:
    """What happened so far.

    answers  bodies, which tell who answered, and how often
    times    when each was seen first and last, as time.time() says it
    """

    def __init__(
        self, address: str, port: int, request: bytes, pause_s: float, keeps: bool
    ) -> None:
        self.address, self.port, self.request, self.pause_s = address, port, request, pause_s
        self.keeps = keeps  # connections open
        self.done, self.failures = 0, list[tuple[float, str]]()
        self.answers: Counter[str] = Counter()
        self.times: dict[str, tuple[float, float]] = {}
        self.slowest_s = 0.0

    async def work(self, ends: asyncio.Event) -> None:
        """One worker. What is under way when it is to end is waited for, and counted."""
        streams = None
        while not ends.is_set():
            begun = time.monotonic()
            try:
                async with asyncio.timeout(DEADLINE_S):
                    streams = streams or await asyncio.open_connection(self.address, self.port)
                    body, stays = await self._ask(*streams)
                self.answers[body] += 1
                now = time.time()
                self.times[body] = (self.times.get(body, (now,))[0], now)
            except (OSError, LookupError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
                self.failures.append((time.time(), f"{type(error).__name__} {error}"[:200]))
                stays = False
            self.done += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
            if not (stays and self.keeps) and streams is not None:
                streams[1].close()
                streams = None
            await asyncio.sleep(self.pause_s)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, bool]:
        """The body, and whether the connection stays. Raises ValueError unless it is 2xx."""
        writer.write(self.request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        if "content-length" in fields:
            body = await reader.readexactly(int(fields["content-length"]))
            stays = fields.get("connection") != "close"
        else:
            body, stays = await reader.read(), False
        if head[0].split()[1][0] != "2":
            raise ValueError(f"{head[0]} {body[:80]!r}")
        return body.decode(errors="replace").strip()[:64], stays


async def _main(chosen: argparse.Namespace) -> None:
    request = f"{chosen.method} {chosen.path} HTTP/1.1\r\nHost: {chosen.host}\r\n"
    request += "" if chosen.keep else "Connection: close\r\n"
    request += "Content-Length: 0\r\n\r\n" if chosen.method == "POST" else "\r\n"
    load = Load(chosen.address, chosen.port, request.encode(), chosen.pause, chosen.keep)
    ends = asyncio.Event()
    workers = [asyncio.create_task(load.work(ends)) for _ in range(chosen.workers)]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ends.set)
    print("ready", flush=True)
    await asyncio.gather(*workers)
    told = {
        "done": load.done,
        "failed": len(load.failures),
        "failures": load.failures[:FAILURES_AT_MOST],
        "answers": load.answers,
        "times": load.times,
        "slowest_s": round(load.slowest_s, 3),
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("host", help="of the header of that name")
    parser.add_argument("--path", default="/")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--close", dest="keep", action="store_false", help="each connection")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two requests")
    asyncio.run(_main(parser.parse_args()))
