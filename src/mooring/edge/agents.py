"""Hears what agents tell of containers of tasks, from one Mooring server or the next. 0034.

Nothing depends on it: without a word the edge goes by what managers say, a little later.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import aiohttp
import msgspec

from mooring.edge.credentials import NoToken, credentials
from mooring.edge.settings import AgentServers
from mooring.model.task_container import (
    PROGRESS_EVERY_S,
    STREAM_PATH,
    HostTasks,
    host_tasks_of,
)

log = logging.getLogger(__name__)

CONNECT_S: Final = 2.0
SILENT_S: Final = 3 * PROGRESS_EVERY_S
LINE_BYTES: Final = 1 << 20  # all containers of a host
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 5.0


class Agents:
    """Of one edge.

    server   that tells now; empty: none does
    failure  why none does; empty if one does, or none was asked yet
    """

    def __init__(self, servers: AgentServers, take: Callable[[HostTasks], None]) -> None:
        self._servers, self._take = servers, take
        self.server, self.failure = "", ""
        self._failures: dict[str, str] = {}  # since one told last, by server

    async def run(self) -> None:
        """Until it is cancelled. Each that begins to tell says all that there is, so nothing is
        missed for good."""
        delay_s = FIRST_RETRY_S
        while True:
            for url in self._servers.urls:
                try:
                    await self._hear(url)
                    why = "it ended the stream"
                except (
                    *(aiohttp.ClientError, OSError, TimeoutError, NoToken),
                    *(ValueError, msgspec.MsgspecError),
                ) as error:
                    why = str(error) or type(error).__name__
                if self.server:
                    delay_s = FIRST_RETRY_S  # it told meanwhile
                self._fails(url, why)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LONGEST_RETRY_S)

    async def _hear(self, url: str) -> None:
        """Of one server, for as long as it tells. Raises what run catches."""
        token, trust = await asyncio.to_thread(
            credentials, self._servers.token_file, self._servers.ca
        )
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"},
            connector=aiohttp.TCPConnector(ssl=trust),
            timeout=aiohttp.ClientTimeout(None, sock_connect=CONNECT_S, sock_read=SILENT_S),
            read_bufsize=LINE_BYTES,
        ) as client:
            where = f"{url.rstrip('/')}{STREAM_PATH}"
            async with client.get(where, allow_redirects=False) as answer:
                if answer.status != 200:
                    said = await answer.text(errors="replace")
                    raise ValueError(f"it answers {answer.status} {' '.join(said.split())[:200]}")
                async for line in answer.content:
                    self._told(url, line)

    def _told(self, url: str, line: bytes) -> None:
        if not self.server:
            log.info("agents of hosts are heard by %s", url)
            self._failures.clear()
        self.server, self.failure = url, ""
        if line == b"{}\n":
            return
        try:
            told = host_tasks_of(line)
        except msgspec.MsgspecError as error:  # of an agent of another version; others are heard
            log.warning("what one agent says is not understood: %s", error)
            return
        self._take(told)

    def _fails(self, url: str, why: str) -> None:
        """Each in the log once, however often all of them are asked in turn."""
        if self._failures.get(url) != why:
            log.warning("agents are not heard by %s: %s", url, why)
        self._failures[url] = why
        self.server = ""
        self.failure = "; ".join(f"{url}: {why}" for url, why in self._failures.items())
