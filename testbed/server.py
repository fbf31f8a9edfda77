"""A service that keeps connections open and writes down what it was asked to do: `python server.py
PORT LOG WORK_S`.

It answers with the name of its host. What is no GET is a piece of work: written down, with its
path, by who does it, before it is begun, so that the log knows of work that was cut off. Only the
standard library is used: it runs in containers that see Python and this file, and nothing else.
"""

import asyncio
import os
import socket
import sys


class Server:
    """work_s: how long a piece of work takes, in seconds."""

    def __init__(self, log: str, work_s: float) -> None:
        self._name, self._work_s = socket.gethostname(), work_s
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the client closes it."""
        body = f"{self._name}\n".encode()
        answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                fields = dict(one.lower().split(": ", 1) for one in head[1:] if ": " in one)
                await reader.readexactly(int(fields.get("content-length", 0)))
                method, path, _ = head[0].split()
                if method != "GET":
                    # One write to a file that is open to append: lines of several do not mix.
                    os.write(self._log, f"{method} {path} {self._name}\n".encode())
                    await asyncio.sleep(self._work_s)
                writer.write(answer)
                await writer.drain()
        except (EOFError, OSError):
            writer.close()


async def main(port: int, log: str, work_s: float) -> None:
    served = await asyncio.start_server(Server(log, work_s).serve, "0.0.0.0", port)
    await served.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
