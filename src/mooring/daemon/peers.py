"""The certificate by which other agents know this one: made at each start, renewed in time."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from mooring.api.certificates import AGENT_DAYS, private_file
from mooring.background import Background
from mooring.daemon.errors import usable
from mooring.errors import MooringError
from mooring.host import keys
from mooring.model.node import Node
from mooring.model.peer import CERTIFICATE_PATH, Signed, Signing
from mooring.objects.objects import Objects
from mooring.store.remote import RemoteStore

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 600.0  # at the age of the certificate; a minute after it could not be had
RETRY_S: Final = 60.0

Sign = Callable[[str], Awaitable[Signed]]  # a request, PEM


class Certificate:
    """Contexts of TLS that always have one that is good."""

    def __init__(
        self, objects: Objects, node: str, directory: Path, ca: Callable[[], str], sign: Sign
    ) -> None:
        """
        directory  where it is kept, with its key, for the library of TLS, which reads files
        ca         the certificate of the authority, PEM
        sign       has a request signed
        """
        self._objects, self._node, self._directory = objects, node, directory
        self._sign, self._ca = sign, ca
        self.served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.calling = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ready = asyncio.Event()
        self._ends, self._uid = datetime.now(UTC), ""
        self._renewing = Background("peer certificate")

    async def start(self) -> None:
        """Have one as soon as that is possible."""
        for context in (self.served, self.calling):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_verify_locations(cadata=self._ca())
            context.verify_mode = ssl.CERT_REQUIRED
        self._renewing.begin(self._renew_again_and_again())

    async def stop(self) -> None:
        await self._renewing.end()

    async def _renew_again_and_again(self) -> None:
        while True:
            wait_s = await self._renewed() if self._is_due() else LOOK_EVERY_S
            await asyncio.sleep(wait_s)

    async def _renewed(self) -> float:
        """Whether it could be or not. Returns when it is looked at again."""
        try:
            await self._renew()
            self.ready.set()
            return LOOK_EVERY_S
        except (MooringError, OSError, ValueError) as error:  # of an earlier version, too
            log.warning("agents of other hosts are out of reach: no certificate: %s", error)
            return RETRY_S

    def _is_due(self) -> bool:
        node = self._objects.view(Node, self._node)
        left_s = (self._ends - datetime.now(UTC)).total_seconds()
        return left_s < AGENT_DAYS * 86400 / 2 or (node is not None and node.uid != self._uid)

    async def _renew(self) -> None:
        node = self._objects.view(Node, self._node)
        made = await keys.made()
        signed = await self._sign(made.request)
        await asyncio.to_thread(self._load, made.key, signed.certificate)
        self._ends = datetime.fromisoformat(signed.expires)
        self._uid = node.uid if node is not None else ""

    def _load(self, key: str, certificate: str) -> None:
        paths = self._directory / "agent.crt", self._directory / "agent.key"
        with usable(self._directory):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path, content in zip(paths, (certificate, key), strict=True):
                private_file(path, content.encode())
            for context in (self.served, self.calling):
                context.load_cert_chain(*paths)


def by_server(store: Callable[[], RemoteStore]) -> Sign:
    """Signed by a server that the agent has joined."""

    async def sign(request: str) -> Signed:
        path = CERTIFICATE_PATH.rpartition("/")[2]
        body = await store().posted(path, msgspec.to_builtins(Signing(request)))
        return msgspec.json.decode(body, type=Signed)

    return sign
