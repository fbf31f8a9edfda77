"""A load that counts every request: `python -m testbed.load ADDRESS PORT HOST`, until SIGTERM.

Each worker asks again and again over one connection that is kept open, as browsers and other
proxies do, or over one for each request. Nothing is tried twice: whatever is no answer 2xx is a
failure, told with the times when it began and ended. With `--number` each request has a path of its
own, the given one with a number after it, so that whoever answers can tell them apart.
"""

import argparse
import asyncio
import json
import signal
import time
from collections import Counter
from typing import Final, NamedTuple

DEADLINE_S: Final = 30.0  # of one request
FAILURES_AT_MOST: Final = 1000  # that are told one by one
BODY: Final = b"work"  # of methods that send one


class Failure(NamedTuple):
    """began, ended: as time.time() says it. number: which request it was, the first is 0."""

    began: float
    ended: float
    why: str
    number: int


class Load:
    """What happened so far.

    answers  bodies, which tell who answered, and how often
    times    when each was seen first and last, as time.time() says it
    """

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen = chosen
        self.begun, self.done, self.failures = 0, 0, list[Failure]()
        self.answers: Counter[str] = Counter()
        self.times: dict[str, tuple[float, float]] = {}
        self.slowest_s = 0.0

    async def work(self, ends: asyncio.Event) -> None:
        """One worker. What is under way when it is to end is waited for, and counted."""
        streams = None
        while not ends.is_set():
            number, began = self.begun, time.time()
            self.begun += 1
            try:
                async with asyncio.timeout(DEADLINE_S):
                    if streams is None:
                        where = self.chosen.address, self.chosen.port
                        streams = await asyncio.open_connection(*where)
                    body, stays = await self._ask(*streams, number)
                self.answers[body] += 1
                now = time.time()
                self.times[body] = (self.times.get(body, (now,))[0], now)
            except (OSError, LookupError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
                why = f"{type(error).__name__} {error}"[:200]
                self.failures.append(Failure(began, time.time(), why, number))
                stays = False
            self.done += 1
            self.slowest_s = max(self.slowest_s, time.time() - began)
            if not (stays and self.chosen.keep) and streams is not None:
                streams[1].close()
                streams = None
            await asyncio.sleep(self.chosen.pause)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> tuple[str, bool]:
        """The body, and whether the connection stays. Raises ValueError unless it is 2xx."""
        writer.write(self._request(number))
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

    def _request(self, number: int) -> bytes:
        chosen = self.chosen
        path = f"{chosen.path}{number}" if chosen.number else chosen.path
        lines = [f"{chosen.method} {path} HTTP/1.1", f"Host: {chosen.host}"]
        lines += [] if chosen.keep else ["Connection: close"]
        body = BODY if chosen.method in ("POST", "PUT", "PATCH") else b""
        lines += [f"Content-Length: {len(body)}"] if body else []
        return "\r\n".join([*lines, "", ""]).encode() + body


async def _main(chosen: argparse.Namespace) -> None:
    load = Load(chosen)
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
    parser.add_argument("--number", action="store_true", help="append a number to the path")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--close", dest="keep", action="store_false", help="each connection")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two requests")
    asyncio.run(_main(parser.parse_args()))
