"""Which store a process has, and what all servers of it have in common."""

import logging
from pathlib import Path
from typing import Final

import msgspec

from mooring.api.certificates import private_file
from mooring.daemon.errors import usable
from mooring.daemon.settings import StoreSettings
from mooring.store.copying import require_free
from mooring.store.interface import ABSENT, Conflict, Store, Write
from mooring.store.schema import require_known
from mooring.store.sqlite import SqliteStore

log = logging.getLogger(__name__)

AUTHORITY: Final = "pki/authority"  # of no served kind: the authority of all servers of a store
FILE: Final = "mooring.db"


class _Authority(msgspec.Struct):
    certificate: bytes
    key: bytes


async def opened(settings: StoreSettings, data_dir: Path) -> Store:
    """The store of a process that serves it. Raises MooringError."""
    store = await store_at(settings, data_dir)
    try:
        place = place_of(settings, data_dir)
        await require_free(store, place)
        await require_known(store, place)
    except BaseException:
        await store.close()
        raise
    return store


def place_of(settings: StoreSettings, data_dir: Path) -> str:
    """What people call it."""
    return settings.url or str(data_dir)


async def store_at(settings: StoreSettings, data_dir: Path, base: int = 0) -> Store:
    """Whatever is in it. base: the revision from which on a new one counts. Raises MooringError."""
    if not settings.url:
        _make(data_dir)
        return await SqliteStore.opened(data_dir / FILE, base=base)
    # Loaded only here: gRPC costs 20 MiB that a server on SQLite does not need.
    from mooring.store.etcd import EtcdStore
    from mooring.store.etcd_calls import Access, endpoints_of

    endpoints, root = endpoints_of(settings.url)
    access = Access(
        endpoints,
        root,
        settings.ca,
        settings.certificate,
        settings.key,
        settings.user,
        settings.password_file,
    )
    log.info("store=etcd members=%s root=%s", ",".join(endpoints), root)
    return await EtcdStore.opened(access, base=base)


def _make(directory: Path) -> None:
    """For its owner alone. Raises NotUsable."""
    with usable(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)


async def share_authority(store: Store, directory: Path) -> None:
    """Have the files of the authority be those of all servers of a store that others have, too.

    The first server brings its own. Raises MooringError.
    """
    ca, key = directory / "ca.crt", directory / "ca.key"
    found = await store.get(AUTHORITY)
    if not store.is_shared and (found is None or ca.exists()):
        return  # a server alone has one in a store that was copied from such, if at all
    _make(directory)
    if found is None:
        with usable(directory):
            if not (ca.exists() and key.exists()):
                from mooring.api import issuing  # slow to load
                from mooring.api.certificates import CA_DAYS

                made = issuing.authority(CA_DAYS)
                private_file(key, made[0])
                private_file(ca, made[1])
            ours = _Authority(ca.read_bytes(), key.read_bytes())
        try:
            await store.commit([Write(AUTHORITY, msgspec.msgpack.encode(ours), ABSENT)])
            return
        except Conflict:  # another server was first
            found = await store.get(AUTHORITY)
            assert found is not None
    theirs = msgspec.msgpack.decode(found.value, type=_Authority)
    with usable(directory):
        if ca.exists() and ca.read_bytes() == theirs.certificate:
            return
        (directory / "server.crt").unlink(missing_ok=True)  # of another authority
        private_file(key, theirs.key)
        private_file(ca, theirs.certificate)
