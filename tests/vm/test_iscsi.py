"""Disks of a real iSCSI target. It and the kernel parts are in a machine: test_machines.py."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from mooring.host import iscsi, mounts
from mooring.host.errors import LoginFailed
from mooring.node.errors import (
    BadMountOption,
    BadSource,
    DiskNeedsRepair,
    NoDisk,
    NoFileSystemOnDisk,
    OtherFileSystem,
)
from mooring.node.iscsi import IscsiSource, end_unused
from mooring.node.remote import RemotePlaces
from tests.vm.conftest import Killed

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        "MOORING_TEST_ISCSI" not in os.environ,
        reason="needs an iSCSI target: `make slow` has it in a machine",
    ),
]
IQN: Final = "iqn.2026-01.dev.mooring:target"
PORTAL: Final = "127.0.0.1:3260"
UIDS: Final = ("", *(f"0a1b2c3d-0000-4000-8000-00000000000{lun}" for lun in (1, 2)))
MIB: Final = 1 << 20
POINTS: Final = (
    *("remote.iscsi.noted", "remote.iscsi.login", "remote.iscsi.made", "remote.iscsi.mounted"),
    "remote.iscsi.logout",
)


def ran(*command: str) -> None:
    subprocess.run(command, capture_output=True, check=True)


def _target(*words: str) -> None:
    ran("tgtadm", "--lld", "iscsi", "--tid", "1", *words)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[list[Path]]:
    """A target with two empty disks; what is on its side, by their numbers from 1 on."""
    files = [tmp_path / f"disk-{lun}" for lun in (0, 1, 2)]
    _target("--mode", "target", "--op", "new", "--targetname", IQN)
    for lun in (1, 2):
        with files[lun].open("wb") as file:
            file.truncate(400 * MIB)
        unit = ("--mode", "logicalunit", "--op", "new", "--lun", str(lun))
        _target(*unit, "--backing-store", str(files[lun]))
    _target("--mode", "target", "--op", "bind", "--initiator-address", "ALL")
    yield files
    for point in reversed(mounts.mounts_below(str(tmp_path))):
        mounts.unmount(Path(point))
    for words in (("--logout",), ("-o", "delete")):
        subprocess.run(["iscsiadm", "-m", "node", *words], capture_output=True)
    _target("--mode", "target", "--op", "delete", "--force")


def volume(tmp_path: Path, lun: int = 1, **how: Any) -> IscsiSource:
    how = {"portals": (PORTAL,), "is_new": True, **how}
    places = how.pop("places", None) or RemotePlaces(tmp_path / "state")
    return IscsiSource(places, UIDS[lun], iqn=IQN, lun=lun, **how)


def left(tmp_path: Path) -> list[str]:
    """Of what a host has for its volumes."""
    found = sorted((tmp_path / "state/remote").rglob("*"))
    return [one.name for one in found if one.name != ".sessions"]


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
async def test_an_empty_disk_gets_a_file_system_once(
    kind: str, disks: list[Path], tmp_path: Path
) -> None:
    path = await volume(tmp_path, kind=kind).path()
    (path / "file").write_text("kept")
    found = mounts.mounts_at(str(path))[-1]
    assert found.type == kind
    assert {"nosuid", "nodev"} <= found.options
    assert await volume(tmp_path, kind=kind).path() == path
    await volume(tmp_path).release()
    await volume(tmp_path).release()
    assert (iscsi.has_session(IQN), left(tmp_path)) == (False, [])
    path = await volume(tmp_path, is_new=False, read_only=True).path()
    assert (path / "file").read_text() == "kept"
    with pytest.raises(OSError):
        (path / "other").touch()
    await volume(tmp_path).release()


async def test_a_session_ends_with_the_last_disk_of_its_target(
    disks: list[Path], tmp_path: Path
) -> None:
    for lun in (1, 2):
        await volume(tmp_path, lun).path()
    await volume(tmp_path, 1).release()
    assert iscsi.has_session(IQN)
    await volume(tmp_path, 2).release()
    assert (iscsi.has_session(IQN), left(tmp_path)) == (False, [])


async def test_another_disk_is_let_go_while_one_is_being_mounted(
    disks: list[Path], tmp_path: Path
) -> None:
    """In all orders that turn up: a release never takes away what is about to be mounted."""
    places = RemotePlaces(tmp_path / "state")
    first, second = (volume(tmp_path, lun, places=places) for lun in (1, 2))
    await first.path()
    for _ in range(5):
        path, _ = await asyncio.gather(second.path(), first.release())
        assert len(mounts.mounts_at(str(path))) == 1
        first, second = second, first
    await first.release()
    assert (iscsi.has_session(IQN), left(tmp_path)) == (False, [])


async def test_what_fails_after_the_login_ends_the_session(
    disks: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(NoFileSystemOnDisk):
        await volume(tmp_path, is_new=False).path()
    assert not iscsi.has_session(IQN)
    await volume(tmp_path, 2).path()
    with pytest.raises(NoFileSystemOnDisk):
        await volume(tmp_path, is_new=False).path()
    assert iscsi.has_session(IQN)  # the other disk is used


async def test_a_session_of_an_administrator_stays(disks: list[Path], tmp_path: Path) -> None:
    await iscsi.login(iscsi.Target(PORTAL, IQN), {})
    await volume(tmp_path).path()
    await volume(tmp_path).release()
    assert iscsi.has_session(IQN)


async def test_the_next_portal_is_tried(disks: list[Path], tmp_path: Path) -> None:
    await volume(tmp_path, portals=("127.0.0.1:3261", PORTAL)).path()
    await volume(tmp_path).release()
    assert left(tmp_path) == []


async def test_a_used_volume_gets_no_new_file_system(disks: list[Path], tmp_path: Path) -> None:
    with pytest.raises(NoFileSystemOnDisk):
        await volume(tmp_path, is_new=False).path()
    assert not any(disks[1].read_bytes())


async def test_a_disk_with_something_else_is_left_alone(disks: list[Path], tmp_path: Path) -> None:
    with disks[1].open("r+b") as disk:  # a partition of Linux from sector 1 on
        disk.seek(446)
        disk.write(bytes([0, 0, 2, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 0, 8, 0, 0]))
        disk.seek(510)
        disk.write(b"\x55\xaa")
    before = disks[1].read_bytes()
    with pytest.raises(OtherFileSystem, match="partition table"):
        await volume(tmp_path).path()
    assert disks[1].read_bytes() == before
    ran("mkfs.xfs", "-q", str(disks[2]))
    with pytest.raises(OtherFileSystem, match="xfs, and not ext4"):
        await volume(tmp_path, 2, kind="ext4").path()


async def test_a_damaged_file_system_is_mounted_nowhere(disks: list[Path], tmp_path: Path) -> None:
    ran("mkfs.ext4", "-q", str(disks[1]))
    with disks[1].open("r+b") as disk:
        disk.seek(4096)  # the descriptors of groups; e2fsck -p does not rebuild them
        disk.write(os.urandom(8192))
        disk.seek(1024 + 0x3A)
        disk.write(b"\2\0")  # it says itself that it has errors
    with pytest.raises(DiskNeedsRepair):
        await volume(tmp_path).path()
    assert mounts.mounts_below(str(tmp_path)) == []
    assert not iscsi.has_session(IQN)  # nobody else has a disk of it


async def test_a_target_that_wants_a_password_gets_it(disks: list[Path], tmp_path: Path) -> None:
    auth, words = "node.session.auth", ("--user", "host", "--password", "a-long-secret")
    ran("tgtadm", "--lld", "iscsi", "--mode", "account", "--op", "new", *words)
    _target("--mode", "account", "--op", "bind", "--user", "host")
    try:
        with pytest.raises(LoginFailed):
            await volume(tmp_path).path()
        settings = {f"{auth}.authmethod": "CHAP", f"{auth}.username": "host"}
        await volume(tmp_path, settings={**settings, f"{auth}.password": "a-long-secret"}).path()
        await volume(tmp_path).release()
        assert (iscsi.has_session(IQN), left(tmp_path)) == (False, [])
    finally:
        ran("tgtadm", "--lld", "iscsi", "--mode", "account", "--op", "delete", "--user", "host")


async def test_what_is_not_there_is_said(disks: list[Path], tmp_path: Path) -> None:
    with pytest.raises(LoginFailed, match=":3262"):
        await volume(tmp_path, portals=("127.0.0.1:3262",)).path()
    with pytest.raises(BadMountOption, match="noexec"):
        await volume(tmp_path, options=("noexec",)).path()
    with pytest.raises(BadSource, match="fsType"):
        await volume(tmp_path, kind="btrfs").path()
    beyond = IscsiSource(RemotePlaces(tmp_path / "state"), UIDS[1], (PORTAL,), IQN, 9)
    with pytest.raises(NoDisk):
        await beyond.path()
    assert not iscsi.has_session(IQN)


@pytest.mark.parametrize("point", POINTS)
async def test_a_call_goes_on_where_it_was_killed(
    point: str, disks: list[Path], tmp_path: Path, killed: Killed
) -> None:
    state = {"state": str(tmp_path / "state"), "uid": UIDS[1]}
    about = {**state, "portals": [PORTAL], "iqn": IQN, "lun": 1, "is_new": True}
    killed(point, "iscsi", about, "release" if point.endswith("logout") else "path")
    path = await volume(tmp_path).path()
    assert len(mounts.mounts_at(str(path))) == 1
    await volume(tmp_path).release()
    assert (iscsi.has_session(IQN), left(tmp_path)) == (False, [])


@pytest.mark.parametrize("point", ["remote.iscsi.login", "remote.iscsi.logout"])
async def test_the_next_start_ends_what_nobody_asked_for_again(
    point: str, disks: list[Path], tmp_path: Path, killed: Killed
) -> None:
    state = {"state": str(tmp_path / "state"), "uid": UIDS[1]}
    about = {**state, "portals": [PORTAL], "iqn": IQN, "lun": 1, "is_new": True}
    killed(point, "iscsi", about, "release" if point.endswith("logout") else "path")
    await end_unused(RemotePlaces(tmp_path / "state"))
    assert (iscsi.has_session(IQN), left(tmp_path)) == (False, [])
