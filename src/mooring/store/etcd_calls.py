"""Calls of an etcd cluster: at one member, and at the next when that one does not answer.

The messages are those of the package aetcd, which are generated from etcd's own. Decision 0030.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
from aetcd import rpc
from grpc.aio import AioRpcError, Channel, insecure_channel, secure_channel

from mooring.errors import Effect, MooringError
from mooring.store.interface import Unavailable

log = logging.getLogger(__name__)

CALL_S: Final = 3.0  # of one call at one member: a slow disk has that long
AWAY_S: Final = 10.0  # after which no member is asked any more, and the caller told
RETRY_S: Final = (0.02, 1.0)  # first and longest, between rounds of all members
REMEDY: Final = (
    "see whether most of etcd's members run and reach each other: etcdctl endpoint health"
)
# A member that is silent is found out by calls that take too long. Pings come no more often than
# members take them, once in 5 s, or they end the connection.
OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),  # what may have been done is not done twice behind our back
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),  # that a connection may take to be made, too
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
# Members that cannot do it now; another may.
_ELSEWHERE: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
# What members and gRPC say of a request that was surely not done.
_UNDONE: Final = ("failed to connect", "Connection refused", "too many requests", "no leader")
_OLD_TOKEN: Final = ("invalid auth token", "revision of auth store is old", "revision in header")
_TOGETHER: Final = (
    ("--store-cert", "--store-key"),
    ("--store-key", "--store-cert"),
    ("--store-cert", "--store-ca"),
    ("--store-user", "--store-password-file"),
    ("--store-password-file", "--store-user"),
)
_TOO_LARGE: Final = ("request is too large", "larger than max")


class BadStore(MooringError):
    code = "BadStore"

    def __init__(self, text: str, why: str) -> None:
        self.what = f"--store {text!r}: {why}"
        self.remedy = "write it like etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379/mooring"
        super().__init__(self.what)


class HalfAccess(MooringError):
    """Something is named that is nothing without the rest: nobody would be let in, or all of it
    went in the clear."""

    code = "HalfAccess"

    def __init__(self, has: str, lacks: str) -> None:
        self.what = f"{has} is nothing without {lacks}"
        self.remedy = f"name {lacks} too, see docs/stores.md"
        super().__init__(self.what)


class StoreRefuses(Unavailable):
    """etcd does not let us in, or cannot be trusted."""

    code = "StoreRefuses"

    def __init__(self, endpoint: str, why: str, remedy: str) -> None:
        super().__init__(f"etcd at {endpoint}: {why}", remedy)


class Unsure(Unavailable):
    """An answer was lost: what was sent may have been done, or may be done yet."""

    def __init__(self, why: str) -> None:
        super().__init__(why, "read it again and see", Effect.UNKNOWN)


class Forgotten(Unavailable):
    """History was asked for that etcd does not have."""


class Oversized(Unavailable):
    """etcd does not take as much at once."""


@dataclass(frozen=True)
class Access:
    """Where a cluster is, and how we are let in.

    endpoints  HOST:PORT of members
    root       that all keys begin with
    ca, certificate, key  files in PEM, for TLS; without a CA there is none
    user, password_file   of etcd's own accounts
    """

    endpoints: tuple[str, ...]
    root: str = "/mooring/"
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    user: str = ""
    password_file: Path | None = None

    def __post_init__(self) -> None:
        """Raises HalfAccess."""
        flags = {
            "--store-ca": self.ca,
            "--store-cert": self.certificate,
            "--store-key": self.key,
            "--store-user": self.user,
            "--store-password-file": self.password_file,
        }
        for has, lacks in _TOGETHER:
            if flags[has] and not flags[lacks]:
                raise HalfAccess(has, lacks)


def endpoints_of(text: str) -> tuple[tuple[str, ...], str]:
    """Members and root of `etcd://HOST:PORT,…/ROOT`. Raises BadStore."""
    url = urlsplit(text)
    if url.scheme != "etcd":
        raise BadStore(text, "it is not etcd://")
    if url.username or url.query or url.fragment:
        raise BadStore(text, "a user is named by --store-user, and nothing follows the root")
    endpoints = tuple(one for one in url.netloc.split(",") if one)
    for one in endpoints:
        host, _, port = one.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise BadStore(text, f"{one!r} is not HOST:PORT")
    if not endpoints:
        raise BadStore(text, "it names no member")
    name = url.path.strip("/") or "mooring"
    return endpoints, f"/{name}/"


class Calls:
    """Of one cluster."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._endpoints = list(access.endpoints)
        self._channels: dict[str, Channel] = {}
        self._credentials: grpc.ChannelCredentials | None = None
        self._token = ""  # of the user; etcd forgets it after some minutes
        self._closed = False

    @property
    def endpoint(self) -> str:
        """The member that is asked first."""
        return self._endpoints[0]

    def away(self, endpoint: str) -> None:
        """Ask another member first, unless somebody has seen to that."""
        if self._endpoints[0] == endpoint:
            self._endpoints.append(self._endpoints.pop(0))

    async def kv(self, method: str, request: Any) -> Any:
        """The answer to something that may come twice. Raises Unavailable, Forgotten."""
        return await self._answered(method, request, is_repeatable=True)

    async def once(self, request: Any) -> Any:
        """The answer to a transaction. It is sent to another member only if it was surely not done.

        raises  Unsure if it may have been done; Oversized; Unavailable otherwise: it was not
        """
        return await self._answered("Txn", request, is_repeatable=False)

    async def watch(self, request: Any) -> AsyncIterator[Any]:
        """What a member tells of changes. Ends with the connection, or when that member has no
        leader. Raises Unavailable."""
        endpoint = self.endpoint
        stub = rpc.WatchStub(self._channel(endpoint))
        call = stub.Watch(metadata=(*await self._metadata(), ("hasleader", "true")))
        try:
            await call.write(request)
            async for answer in call:
                if answer.canceled and not answer.compact_revision:
                    self._token = ""  # of one that is too old, too, etcd says: permission denied
                    raise Unavailable(f"{endpoint}: {answer.cancel_reason}", REMEDY)
                yield answer
        except AioRpcError as error:
            if not self._renews(error):
                self._refuse(endpoint, error)
            self.away(endpoint)
            raise Unavailable(f"{endpoint}: {_said(error)}", REMEDY) from error
        finally:
            call.cancel()

    async def close(self) -> None:
        self._closed = True
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def _answered(self, method: str, request: Any, *, is_repeatable: bool) -> Any:
        loop = asyncio.get_running_loop()
        until, delay_s, failed = loop.time() + AWAY_S, RETRY_S[0], 0
        while True:
            endpoint, is_sent = self.endpoint, False
            try:
                call = getattr(rpc.KVStub(self._channel(endpoint)), method)
                metadata = await self._metadata()
                is_sent = True
                return await call(request, timeout=CALL_S, metadata=metadata)
            except AioRpcError as error:
                if not self._renews(error):
                    self._refuse(endpoint, error)
                    if error.code() not in _ELSEWHERE:
                        raise _meant(endpoint, error) from error
                    if is_sent and not is_repeatable and _may_be_done(error):
                        self.away(endpoint)
                        raise Unsure(f"etcd at {endpoint}: {_said(error)}") from error
                why = _said(error)
            self.away(endpoint)
            failed += 1
            if loop.time() + delay_s >= until or self._closed:
                raise Unavailable(f"etcd at {endpoint}: {why}", REMEDY)
            if failed % len(self._endpoints) == 0:
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_S[1])

    def _channel(self, endpoint: str) -> Channel:
        if self._closed:
            raise Unavailable("it is closed", "start Mooring again")
        if endpoint not in self._channels:
            if self._access.ca is None:
                made = insecure_channel(endpoint, options=OPTIONS)
            else:
                made = secure_channel(endpoint, self._tls(), options=OPTIONS)
            self._channels[endpoint] = made
        return self._channels[endpoint]

    def _tls(self) -> grpc.ChannelCredentials:
        """Raises StoreRefuses."""
        if self._credentials is None:
            files = (self._access.ca, self._access.key, self._access.certificate)
            try:
                ca, key, certificate = (one.read_bytes() if one else None for one in files)
            except OSError as error:
                remedy = "see --store-ca, --store-cert and --store-key"
                raise StoreRefuses(self.endpoint, str(error), remedy) from error
            self._credentials = grpc.ssl_channel_credentials(ca, key, certificate)
        return self._credentials

    async def _metadata(self) -> tuple[tuple[str, str], ...]:
        if not self._access.user:
            return ()
        if not self._token:
            self._token = await self._authenticated()
        return (("token", self._token),)

    async def _authenticated(self) -> str:
        """A token for the user. Raises StoreRefuses, AioRpcError."""
        path = self._access.password_file
        try:
            password = path.read_text().strip() if path is not None else ""
        except OSError as error:
            raise StoreRefuses(self.endpoint, str(error), "see --store-password-file") from error
        request = rpc.AuthenticateRequest(name=self._access.user, password=password)
        channel = self._channel(self.endpoint)
        answer = await rpc.AuthStub(channel).Authenticate(request, timeout=CALL_S)
        return str(answer.token)

    def _renews(self, error: AioRpcError) -> bool:
        """Whether all it takes is a new token, which the next call asks for."""
        said = _said(error)
        is_old = bool(self._token) and (
            error.code() is grpc.StatusCode.UNAUTHENTICATED
            or any(one in said for one in _OLD_TOKEN)
        )
        if is_old:
            self._token = ""
        return is_old

    def _refuse(self, endpoint: str, error: AioRpcError) -> None:
        """Raises StoreRefuses for what no other member would do otherwise."""
        said = str(error.details())
        if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED) or (
            "authentication failed" in said or "user name is empty" in said
        ):
            remedy = "see --store-user and --store-password-file, and its rights to the root"
            raise StoreRefuses(endpoint, said, remedy) from error
        if "CERTIFICATE_VERIFY_FAILED" in said or "handshake failed" in said.lower():
            remedy = "see --store-ca, --store-cert and --store-key, and the names it serves by"
            raise StoreRefuses(endpoint, said, remedy) from error
        if "database space exceeded" in said:
            remedy = "make room as docs/stores.md says: etcdctl defrag, then etcdctl alarm disarm"
            raise Unavailable(f"etcd at {endpoint} is full: {said}", remedy) from error
        if any(one in said for one in _TOO_LARGE):
            raise Oversized(f"etcd at {endpoint}: {said}", "see its --max-request-bytes") from error


def _may_be_done(error: AioRpcError) -> bool:
    """Whether what was sent may have been done. Who could not be reached has done nothing."""
    return not any(one in _said(error) for one in _UNDONE)


def _meant(endpoint: str, error: AioRpcError) -> Unavailable:
    """What no other member would answer otherwise."""
    kind = Forgotten if error.code() is grpc.StatusCode.OUT_OF_RANGE else Unavailable
    return kind(f"etcd at {endpoint}: {_said(error)}", REMEDY)


def _said(error: AioRpcError) -> str:
    return str(error.details() or error.code().name)
