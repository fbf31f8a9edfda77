"""What a host has from its first start on."""

from pathlib import Path

from mooring.daemon.first_start import first_start
from mooring.daemon.settings import Settings
from mooring.model.pool import Pool
from mooring.model.storage_class import StorageClass
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.memory import MemoryStore


class Shared(MemoryStore):
    """As if other servers had it, too."""

    is_shared = True


async def started(store: MemoryStore, place: Path, node: str) -> Objects:
    objects = Objects(store, ALL_KINDS)
    await objects.start()
    place.mkdir(exist_ok=True)
    settings = Settings(place, "127.0.0.1", 0, place / "kubeconfig", place / "pool", node)
    await first_start(objects, settings)
    return objects


def pools(objects: Objects) -> dict[str, str]:
    """And whose they are."""
    return {one.name: one.spec.node for one in objects.views(Pool)}


async def test_each_host_of_a_store_has_a_pool_of_its_own(tmp_path: Path) -> None:
    store = Shared()
    await started(store, tmp_path / "a", "a")
    objects = await started(store, tmp_path / "b", "b")
    assert pools(objects) == {"local": "a", "local-b": "b"}
    assert sorted(one.name for one in objects.views(StorageClass)) == ["host", "local"]


async def test_what_was_deleted_is_not_made_again(tmp_path: Path) -> None:
    store = Shared()
    await started(store, tmp_path / "a", "a")
    objects = await started(store, tmp_path / "b", "b")
    await objects.delete(objects.kinds[StorageClass.resource], "host")
    objects = await started(store, tmp_path / "b", "b")
    assert [one.name for one in objects.views(StorageClass)] == ["local"]


async def test_a_server_without_an_agent_makes_no_pool(tmp_path: Path) -> None:
    objects = Objects(Shared(), ALL_KINDS)
    await objects.start()
    settings = Settings(tmp_path, "127.0.0.1", 0, tmp_path / "kubeconfig", None, "")
    await first_start(objects, settings)
    assert pools(objects) == {}
    assert objects.entry("namespaces", "default") is not None
