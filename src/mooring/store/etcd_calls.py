"""Calls of an etcd cluster: at one member, and at the next when that one does not answer.

The messages are those of the package aetcd, which are generated from etcd's own. Decision 0030.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
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
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
# Nothing was done, whatever came before it.
_UNDONE: Final = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)
# Members that cannot do it now; another may.
_ELSEWHERE: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


class BadStore(MooringError):
    code = "BadStore"

    def __init__(self, text: str, why: str) -> None:
        self.what = f"--store {text!r}: {why}"
        self.remedy = "write it like etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379/mooring"
        super().__init__(self.what)


class StoreRefuses(MooringError):
    """etcd does not let us in, or cannot be trusted."""

    code = "StoreRefuses"

    def __init__(self, endpoint: str, why: str, remedy: str) -> None:
        self.what, self.remedy = f"etcd at {endpoint}: {why}", remedy
        super().__init__(self.what)


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
        """The answer to something that may come twice. Raises Unavailable."""
        return await self._answered(lambda channel: getattr(rpc.KVStub(channel), method), request)

    async def txn(self, request: Any) -> tuple[Any, bool]:
        """The answer, and whether an earlier try of it may have been done.

        Its effect must be the same if it is done twice, or it must not be done a second time; its
        compares see to that.
        """
        tries = _Tries()
        answer = await self._answered(
            lambda channel: rpc.KVStub(channel).Txn, request, tries, writes=True
        )
        return answer, tries.may_be_done

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
                    raise Unavailable(f"{endpoint}: {answer.cancel_reason}", REMEDY)
                yield answer
        except AioRpcError as error:
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

    async def _answered(
        self,
        stub: Callable[[Channel], Callable[..., Awaitable[Any]]],
        request: Any,
        tries: "_Tries | None" = None,
        *,
        writes: bool = False,
    ) -> Any:
        loop = asyncio.get_running_loop()
        tries, until, delay_s = tries or _Tries(), loop.time() + AWAY_S, RETRY_S[0]
        failed = 0
        while True:
            endpoint = self.endpoint
            try:
                method = stub(self._channel(endpoint))
                return await method(request, timeout=CALL_S, metadata=await self._metadata())
            except AioRpcError as error:
                if self._is_old_token(error):
                    self._token = ""
                    continue
                self._refuse(endpoint, error)
                if error.code() in _UNDONE or error.code() not in _ELSEWHERE:
                    raise
                why = _said(error)
                tries.may_be_done = tries.may_be_done or (writes and _may_be_done(error))
            self.away(endpoint)
            failed += 1
            if loop.time() + delay_s >= until or self._closed:
                effect = Effect.UNKNOWN if tries.may_be_done else Effect.NONE
                raise Unavailable(f"etcd at {endpoint}: {why}", REMEDY, effect)
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

    def _is_old_token(self, error: AioRpcError) -> bool:
        said = str(error.details())
        return bool(self._token) and (
            error.code() is grpc.StatusCode.UNAUTHENTICATED or "invalid auth token" in said
        )

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


class _Tries:
    may_be_done = False


def _may_be_done(error: AioRpcError) -> bool:
    """Whether what was sent may have been done. Who could not be reached has done nothing."""
    said = str(error.details())
    return not ("failed to connect" in said or "Connection refused" in said)


def _said(error: AioRpcError) -> str:
    return str(error.details() or error.code().name)
