"""Exports of a real NFS server. It and the kernel parts are in a machine: test_machines.py."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mooring.drivers.directory import DirectoryDriver
from mooring.drivers.errors import InUse, PoolUnreachable
from mooring.drivers.interface import Place, asset_name
from mooring.drivers.nfs import NfsDriver
from mooring.host import files, mounts
from mooring.host.errors import HostStuck, MountFailed, NotTheExport
from mooring.node.errors import BadMountOption, BadSource
from mooring.node.published import Publisher
from mooring.node.remote import NfsSource, RemotePlaces
from mooring.node.sources import AssetSource
from tests.conformance.driver_bench import NFS_ROOT
from tests.vm.child import NAME
from tests.vm.conftest import Killed

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not NFS_ROOT, reason="needs an NFS server: `make slow` has it in a machine"),
]
OTHER = asset_name("pvc-0a1b2c3d-0000-4000-8000-000000000002")
SERVER = "127.0.0.1"
UID = "0a1b2c3d-0000-4000-8000-000000000009"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A directory on the server's side."""
    made = tmp_path / "export"
    made.mkdir()
    return made


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    for point in reversed(mounts.mounts_below(str(tmp_path))):
        mounts.unmount(Path(point))


def path_of(export: Path) -> str:
    """As clients call it."""
    return f"/{export.relative_to(NFS_ROOT)}"


def driver(tmp_path: Path, export: Path, **options: Any) -> NfsDriver:
    options = {"server": SERVER, "path": path_of(export), **options}
    return NfsDriver.at(Place("pool", "uid-of-pool", tmp_path / "pool", options))


def source(tmp_path: Path, export: Path, *options: str) -> NfsSource:
    return NfsSource(RemotePlaces(tmp_path / "state"), UID, SERVER, path_of(export), options)


def options_of(path: Path) -> frozenset[str]:
    return mounts.mounts_at(str(path))[-1].options


@contextmanager
def in_a_namespace(script: str) -> Iterator[None]:
    """A process with mounts of its own, as a container has them. Its script says that it is ready,
    and ends when its input does."""
    inside = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert inside.stdout is not None
    try:
        assert inside.stdout.readline() == b"ready\n"
        yield
    finally:
        inside.communicate()


async def once_it_answers(pool: NfsDriver) -> None:
    """What was late has ended, and the same is done again."""
    async with asyncio.timeout(120):
        while True:
            try:
                await pool.create(OTHER, 1 << 20)
            except HostStuck:
                await asyncio.sleep(0.1)
            else:
                return


def network(state: str) -> None:
    """While the one within this host is down, its server does not answer."""
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


async def test_a_pool_mounts_its_export_and_mounts_it_again(tmp_path: Path, export: Path) -> None:
    pool = driver(tmp_path, export, version="4.2", mountOptions=["noatime"])
    await pool.start(new=True)
    assert {"nosuid", "nodev", "noatime"} <= options_of(tmp_path / "pool")
    await pool.create(NAME, 1 << 20)
    assert (export / NAME / "data").is_dir()
    mounts.unmount(tmp_path / "pool")
    assert [one.name for one in await pool.assets()] == [NAME]


async def test_what_else_is_mounted_at_the_root_is_left_alone(tmp_path: Path, export: Path) -> None:
    (tmp_path / "pool").mkdir()
    with mounts.file_system("else", "tmpfs") as top, files.directory(tmp_path / "pool") as point:
        mounts.attach(top, point)
    with pytest.raises(NotTheExport, match="else is mounted"):
        await driver(tmp_path, export).start(new=True)


async def test_an_export_that_is_none_is_said(tmp_path: Path, export: Path) -> None:
    with pytest.raises(PoolUnreachable, match="No such file"):
        await driver(tmp_path, export / "none", version="4.2").start(new=True)


async def test_volumes_of_a_pool_are_held_one_by_one(tmp_path: Path, export: Path) -> None:
    """A container has one of them; its neighbour is free, though both are of one export."""
    pool, publisher = driver(tmp_path, export), Publisher(tmp_path / "state")
    await pool.start(new=True)
    await publisher.start()
    for name, uid in ((NAME, "uid-1"), (OTHER, "uid-2")):
        await pool.create(name, 1 << 20)
        await publisher.publish(uid, AssetSource(pool, name))
    leave = f"umount {tmp_path}/state/mounts/uid-2/fs {tmp_path}/pool/{OTHER}/data"
    with in_a_namespace(f"{leave} && echo ready && cat"):
        assert (await publisher.held()).keys() == {"uid-1"}
        for name, uid in ((NAME, "uid-1"), (OTHER, "uid-2")):
            await publisher.unpublish(uid, AssetSource(pool, name))
        with pytest.raises(InUse):
            await pool.delete(NAME)
        await pool.delete(OTHER)
    await pool.delete(NAME)
    assert await pool.assets() == []


async def test_a_server_that_is_away_stops_its_own_pool_alone(tmp_path: Path, export: Path) -> None:
    pool = driver(tmp_path, export)
    await pool.start(new=True)
    await pool.create(NAME, 1 << 20)
    beside = DirectoryDriver.at(Place("beside", "uid-beside", tmp_path / "beside"))
    await beside.start(new=True)
    network("down")
    try:
        hanging = asyncio.create_task(pool.create(OTHER, 1 << 20))
        assert (await beside.create(NAME, 1 << 20)).name == NAME
        assert not hanging.done()
        with pytest.raises(HostStuck):
            await hanging
    finally:
        network("up")
    await once_it_answers(pool)
    assert sorted(one.name for one in await pool.assets()) == [NAME, OTHER]


@pytest.mark.parametrize(
    ("point", "call"), [("nfs.mounted", "start"), ("nfs.published", "publish")]
)
async def test_a_pool_goes_on_where_it_was_killed(
    point: str, call: str, tmp_path: Path, export: Path, killed: Killed
) -> None:
    pool = driver(tmp_path, export)
    about = {"root": str(tmp_path / "pool"), "options": dict(pool.place.options)}
    killed(point, "driver", about, call)
    await pool.start(new=True)
    await pool.create(NAME, 1 << 20)
    path = await pool.publish(NAME)
    assert len(mounts.mounts_at(str(path))) == len(mounts.mounts_at(str(tmp_path / "pool"))) == 1
    await pool.unpublish(NAME)
    await pool.delete(NAME)
    assert mounts.mounts_below(str(tmp_path / "pool")) == []


async def test_a_static_volume_is_mounted_and_let_go(tmp_path: Path, export: Path) -> None:
    (export / "file").write_text("there")
    volume = source(tmp_path, export)
    path = await volume.path()
    assert await volume.path() == path
    assert (path / "file").read_text() == "there"
    assert {"nosuid", "nodev"} <= options_of(path)
    await volume.release()
    await volume.release()
    assert not path.exists()
    assert (export / "file").read_text() == "there"


async def test_a_static_volume_may_be_read_only(tmp_path: Path, export: Path) -> None:
    path = await source(tmp_path, export, "ro,noatime").path()
    assert {"ro", "noatime"} <= options_of(path)
    with pytest.raises(OSError):
        (path / "file").touch()


async def test_what_a_static_volume_may_not_say(tmp_path: Path, export: Path) -> None:
    with pytest.raises(BadMountOption, match="suid"):
        await source(tmp_path, export, "suid").path()
    with pytest.raises(BadSource, match="server"):
        await NfsSource(RemotePlaces(tmp_path), UID, "-o", "/").path()
    with pytest.raises(MountFailed, match="No such file"):
        await source(tmp_path, export / "none", "vers=4.2").path()


@pytest.mark.parametrize(
    ("point", "call"), [("remote.nfs.mounted", "path"), ("remote.unmounted", "release")]
)
async def test_a_static_volume_goes_on_where_it_was_killed(
    point: str, call: str, tmp_path: Path, export: Path, killed: Killed
) -> None:
    about = {"uid": UID, "server": SERVER, "export": path_of(export)}
    killed(point, "nfs", {"state": str(tmp_path / "state"), **about}, call)
    volume = source(tmp_path, export)
    path = await volume.path()
    assert len(mounts.mounts_at(str(path))) == 1
    await volume.release()
    assert os.listdir(tmp_path / "state/remote") == []
