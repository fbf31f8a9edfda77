"""The store that servers share, and of which schema it is.

GET   /mooring/v1/store            {"schema": N, "latest": N, "servers": [...], "changes": [...]}
POST  /mooring/v1/store/finalize   an admin: raise it to the latest, as the GET says. {"schema": N}

A server is {"name", "version", "knows": N, "silentS": seconds, "isThis"}.
"""

import logging
from typing import Final, NamedTuple, Protocol

import msgspec

from mooring.api.http import JSON, Request
from mooring.api.status import ApiError
from mooring.store.interface import Conflict, Store
from mooring.store.schema import FIRST, LATEST, MANY_HOSTS, OlderServers, finalize, schema_of

log = logging.getLogger(__name__)

PATH: Final = "/mooring/v1/store"
TRIES: Final = 5  # servers come and go
CHANGES: Final = {  # what a step to each schema means
    MANY_HOSTS: (
        "hosts may join (`mooring node token`)",
        "a StorageClass may say fencing and elsewhere, a Pool directory: {shared: true}",
        "a Mooring that knows one host alone refuses the store (StoreNewer), for good",
    )
}


class Server(NamedTuple):
    """silent_s: since its last word was new to this one."""

    name: str
    version: str
    knows: int
    silent_s: float
    is_this: bool


class Servers(Protocol):
    async def servers(self) -> list[Server]: ...


class StoreState:
    """Answers by path."""

    def __init__(self, store: Store, servers: Servers) -> None:
        self._store, self._servers = store, servers

    async def serves(self, request: Request) -> bool:
        """Whether it was one of its paths; of a user alone."""
        if (request.method, request.path) == ("GET", PATH):
            await request.answer(200, msgspec.json.encode(await self._state()), (JSON,))
            return True
        if (request.method, request.path) == ("POST", f"{PATH}/finalize"):
            await self._finalize()
            await request.answer(200, msgspec.json.encode({"schema": LATEST}), (JSON,))
            return True
        return False

    async def _state(self) -> dict[str, object]:
        schema = (await schema_of(self._store)).version
        servers = [
            {
                "name": one.name,
                "version": one.version,
                "knows": one.knows,
                "silentS": round(one.silent_s, 1),
                "isThis": one.is_this,
            }
            for one in await self._servers.servers()
        ]
        changes = [text for step in range(max(schema, FIRST), LATEST) for text in CHANGES[step + 1]]
        return {"schema": schema, "latest": LATEST, "servers": servers, "changes": changes}

    async def _finalize(self) -> None:
        for _ in range(TRIES):
            try:
                before = await finalize(self._store)
            except OlderServers as error:
                raise ApiError("Conflict", error.what, error.remedy) from error
            except Conflict:
                continue  # a server has come, or gone
            if before < LATEST:
                log.info("the store has schema %d from now on, before %d", LATEST, before)
            return
        raise ApiError("Conflict", "servers come and go all the time", "try again in a moment")


async def require_many_hosts(store: Store) -> None:
    """That hosts may join. Raises ApiError, Unavailable."""
    if (await schema_of(store)).version < MANY_HOSTS:
        raise ApiError(
            "Forbidden",
            "no host can join yet: the version before may be started on this store again, and "
            "knows one host alone",
            "end that by `mooring store finalize`; `mooring store status` says what it does",
        )
