"""Of which schema a store is: what a Mooring has to know to read it, and not to destroy it.

The document SCHEMA says it. It is raised by an operator's word alone (`mooring store finalize`):
until then the version before may be started again, so nothing is written that it would not
understand. SERVERS names the servers of a store that several share, and what each knows. A server
is put there by a commit that holds only while SCHEMA is one that it knows; SCHEMA is raised by a
commit that holds only while SERVERS is as it was looked at. So none slips in between.
"""

import logging
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from mooring.crashpoints import crash_point, passing
from mooring.errors import MooringError
from mooring.store.interface import ABSENT, Check, Conflict, Store, Write
from mooring.store.refusals import StoreNewer

log = logging.getLogger(__name__)

SCHEMA: Final = "format/schema"  # both of no served kind
SERVERS: Final = "format/servers"
FIRST: Final = 1  # one host, whose server is the only one
MANY_HOSTS: Final = 2  # hosts join, fence themselves, and share pools
LATEST: Final = MANY_HOSTS
TRIES: Final = 16  # of a commit that others' commits get in the way of

FINALIZE_CHECKED: Final = crash_point("finalize.checked")
FINALIZE_WRITTEN: Final = crash_point("finalize.written")


class Known(msgspec.Struct, frozen=True, rename="camel"):
    """A server. knows: the latest schema that it can serve. beat: grows while it lives."""

    version: str
    knows: int
    beat: int = 0


class Schema(NamedTuple):
    """revision: of the commit that wrote it; 0: nobody did, and the store is new."""

    version: int
    revision: int


class OlderServers(MooringError):
    """Some servers of a store do not know the schema that it is to have."""

    code = "OlderServers"

    def __init__(self, names: list[str]) -> None:
        self.what = f"these servers know an earlier schema alone: {', '.join(names)}"
        self.remedy = (
            "upgrade or stop them first, see `mooring store status`; one that was killed counts as "
            "gone half a minute after its last word"
        )
        super().__init__(self.what)


_servers: Final = msgspec.json.Decoder(dict[str, Known])


async def schema_of(store: Store) -> Schema:
    """As the store says. Raises Unavailable."""
    found = await store.get(SCHEMA)
    return Schema(int(found.value), found.revision) if found is not None else Schema(LATEST, 0)


async def require_known(store: Store, place: str) -> None:
    """Say of a store that says nothing which schema it has: the latest, if it is new.

    Raises StoreNewer.
    """
    if await store.get(SCHEMA) is None:
        is_new = not (await store.list("", limit=1)).documents
        version = LATEST if is_new else FIRST
        with suppress(Conflict):  # another server said it
            await store.commit([Write(SCHEMA, str(version).encode(), ABSENT)])
    found = await schema_of(store)
    if found.version > LATEST:
        raise StoreNewer(place, found.version, LATEST)


async def servers_of(store: Store) -> tuple[dict[str, Known], int]:
    """Those that say that they are there, by name, and the revision of that."""
    found = await store.get(SERVERS)
    return (_servers.decode(found.value), found.revision) if found is not None else ({}, 0)


async def announce(store: Store, name: str, server: Known, place: str) -> None:
    """Say that a server is there. Raises StoreNewer, Unavailable."""
    for _ in range(TRIES):
        schema = await schema_of(store)
        if schema.version > server.knows:
            raise StoreNewer(place, schema.version, server.knows)
        servers, revision = await servers_of(store)
        if await _put(store, {**servers, name: server}, revision, Check(SCHEMA, schema.revision)):
            return
    log.warning("this server is not announced yet: others write there all the time")


async def withdraw(store: Store, *names: str) -> None:
    """Say that servers are gone; repeatable. Raises Unavailable."""
    for _ in range(TRIES):
        servers, revision = await servers_of(store)
        left = {name: one for name, one in servers.items() if name not in names}
        if left == servers or await _put(store, left, revision):
            return


async def _put(store: Store, servers: dict[str, Known], revision: int, *checks: Check) -> bool:
    """Whether nobody else was first."""
    value = msgspec.json.encode(servers)
    try:
        await store.commit([Write(SERVERS, value, revision or ABSENT)], checks)
    except Conflict:
        return False
    return True


async def finalize(store: Store) -> int:
    """Raise the schema to the latest: from now on no earlier Mooring starts there.

    Repeatable. Returns what it was before. Raises OlderServers, Unavailable, Conflict.
    """
    schema = await schema_of(store)
    if schema.version >= LATEST:
        return schema.version
    servers, revision = await servers_of(store)
    if older := sorted(name for name, one in servers.items() if one.knows < LATEST):
        raise OlderServers(older)
    passing(FINALIZE_CHECKED)
    write = Write(SCHEMA, str(LATEST).encode(), schema.revision or ABSENT)
    await store.commit([write], [Check(SERVERS, revision)])
    passing(FINALIZE_WRITTEN)
    return schema.version
