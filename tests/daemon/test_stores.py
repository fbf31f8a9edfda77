"""What servers of a store have in common, from their start on."""

from pathlib import Path

from mooring.api.certificates import Authority
from mooring.daemon.stores import share_authority
from mooring.store.memory import MemoryStore


class Shared(MemoryStore):
    """As if other servers had it, too."""

    is_shared = True


async def authority_of(store: Shared, directory: Path) -> Authority:
    """As a server makes it that starts there."""
    await share_authority(store, directory)
    authority = Authority(directory)
    authority.ensure(["localhost"])
    return authority


async def test_servers_of_a_store_have_one_authority(tmp_path: Path) -> None:
    store = Shared()
    first = await authority_of(store, tmp_path / "first")
    second = await authority_of(store, tmp_path / "second")
    assert second.ca.read_bytes() == first.ca.read_bytes()
    assert second.certificate.read_bytes() != first.certificate.read_bytes()


async def test_a_server_with_an_authority_of_its_own_takes_that_of_the_others(
    tmp_path: Path,
) -> None:
    store = Shared()
    first = await authority_of(store, tmp_path / "first")
    before = Authority(tmp_path / "second")
    before.ensure(["localhost"])
    own, certificate = before.ca.read_bytes(), before.certificate.read_bytes()
    second = await authority_of(store, tmp_path / "second")
    assert second.ca.read_bytes() == first.ca.read_bytes() != own
    assert second.certificate.read_bytes() != certificate
    assert second.certificate.read_bytes().endswith(first.ca.read_bytes())


async def test_a_server_that_starts_again_keeps_its_certificate(tmp_path: Path) -> None:
    store = Shared()
    before = (await authority_of(store, tmp_path)).certificate.read_bytes()
    assert (await authority_of(store, tmp_path)).certificate.read_bytes() == before


async def test_what_was_copied_from_etcd_to_a_file_keeps_its_authority(tmp_path: Path) -> None:
    store = Shared()
    theirs = (await authority_of(store, tmp_path / "before")).ca.read_bytes()
    store.is_shared = False
    assert (await authority_of(store, tmp_path / "new")).ca.read_bytes() == theirs
    own = Authority(tmp_path / "own")
    own.ensure(["localhost"])
    before = own.ca.read_bytes()
    assert (await authority_of(store, tmp_path / "own")).ca.read_bytes() == before


async def test_a_server_alone_keeps_its_authority_to_itself(tmp_path: Path) -> None:
    store = MemoryStore()
    await share_authority(store, tmp_path)
    assert await store.revision() == 0
    assert list(tmp_path.iterdir()) == []
