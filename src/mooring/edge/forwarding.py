"""Sends an edge's events to a Mooring server, as Events of events.k8s.io, beside all other work."""

import asyncio
import logging
import socket
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final

import aiohttp

from mooring.clock import micro_timestamp
from mooring.edge.credentials import NoToken, credentials
from mooring.edge.events import Event
from mooring.edge.happenings import EDGE
from mooring.edge.settings import MooringServer

log = logging.getLogger(__name__)

CONTROLLER: Final = "mooring.dev/edge"
WAITING_AT_MOST: Final = 200  # events that are still to be sent; then those of long ago are not
BETWEEN_S: Final = 1.0
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
DEADLINE_S: Final = 10.0  # of one request
KNOWN_AT_MOST: Final = 2000  # events that were sent, whose next time is a series


class Forwarder:
    """To one server. What cannot be sent is tried again; nobody waits for it."""

    def __init__(self, server: MooringServer) -> None:
        self._server, self._host = server, socket.gethostname().lower()
        self.waiting: dict[tuple[str, str, str], Event] = {}  # by key, the newest last
        self._sent: dict[str, None] = {}  # names, in the order in which they were sent
        self._news = asyncio.Event()

    def take(self, events: Iterable[Event]) -> None:
        """Send them when it can be. The same again takes the place of the one before."""
        for one in events:
            self.waiting.pop(one.key, None)
            self.waiting[one.key] = one
            if len(self.waiting) > WAITING_AT_MOST:
                del self.waiting[next(iter(self.waiting))]
            self._news.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        delay_s, told = FIRST_RETRY_S, ""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._send_all()
                delay_s, told = FIRST_RETRY_S, ""
                await asyncio.sleep(BETWEEN_S)
            except (aiohttp.ClientError, OSError, TimeoutError, NoToken) as error:
                why = str(error) or type(error).__name__
                if why != told:
                    log.warning("events are not sent to %s: %s", self._server.url, why)
                told = why
                self._news.set()
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, LONGEST_RETRY_S)

    async def _send_all(self) -> None:
        token, trust = await asyncio.to_thread(
            credentials, self._server.token_file, self._server.ca
        )
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"},
            connector=aiohttp.TCPConnector(ssl=trust),
            timeout=aiohttp.ClientTimeout(DEADLINE_S),
        ) as client:
            for key, event in list(self.waiting.items()):
                await self._send(client, event)
                if self.waiting.get(key) is event:
                    del self.waiting[key]

    async def _send(self, client: aiohttp.ClientSession, event: Event) -> None:
        """Raises aiohttp.ClientError, TimeoutError if it may be sent later."""
        name, where = self._name(event), self._path()
        if name in self._sent and event.count > 1:
            words = {"Content-Type": "application/merge-patch+json"}
            change = {"series": _series(event)}
            async with client.patch(f"{where}/{name}", json=change, headers=words) as answer:
                if await _is_done(answer):
                    return
        async with client.post(where, json=self._document(event, name)) as answer:
            await _is_done(answer)
        self._sent[name] = None
        if len(self._sent) > KNOWN_AT_MOST:
            del self._sent[next(iter(self._sent))]

    def _path(self) -> str:
        base = self._server.url.rstrip("/")
        return f"{base}/apis/events.k8s.io/v1/namespaces/{self._server.namespace}/events"

    def _name(self, event: Event) -> str:
        text = "\n".join((self._host, *event.key, event.first.isoformat()))
        return f"edge.{sha256(text.encode()).hexdigest()[:16]}"

    def _document(self, event: Event, name: str) -> dict[str, Any]:
        series = {"series": _series(event)} if event.count > 1 else {}
        return {
            "metadata": {"name": name, "namespace": self._server.namespace},
            "eventTime": micro_timestamp(event.first),
            "type": event.type,
            "reason": event.reason,
            "action": event.reason,
            "note": event.message.encode()[:1024].decode(errors="ignore"),
            "regarding": self._regarding(event),
            "reportingController": CONTROLLER,
            "reportingInstance": self._host,
            **series,
        }

    def _regarding(self, event: Event) -> dict[str, str]:
        """A service of the swarm, or the machine of the edge."""
        if event.object == EDGE:
            kind, name = "Node", self._host
        else:
            kind, name = "Service", event.object.partition("/")[2]
        namespace = self._server.namespace
        return {"apiVersion": "v1", "kind": kind, "name": name, "namespace": namespace}


async def _is_done(answer: aiohttp.ClientResponse) -> bool:
    """Whether it is; not, if it is not there, or will never be. Raises aiohttp.ClientError."""
    if answer.status in (401, 403, 429) or answer.status >= 500:
        answer.raise_for_status()
    if answer.status >= 400 and answer.status not in (404, 409):
        log.warning("an event is refused: %s", (await answer.text())[:300])
    return answer.status < 400


def _series(event: Event) -> dict[str, Any]:
    return {"count": event.count, "lastObservedTime": micro_timestamp(event.last)}
