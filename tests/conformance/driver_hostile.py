"""What every backend must do with what a container may have put into its volume, or has open."""

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from mooring.drivers.errors import GrowsLater, InUse
from mooring.drivers.interface import Source
from mooring.host import mounts
from tests.conformance.driver_bench import (
    NAME,
    OTHER,
    SIZE_BYTES,
    SNAPSHOT,
    Bench,
    check,
    disk_check,
)
from tests.host.privileges import bound, elsewhere

DEEP = 400  # levels; as a path it is longer than the kernel takes


def _planted(data: Path, outside: Path) -> None:
    """All that root in a container can make of files."""
    for name, target in (("out", outside), ("up", "../../../.."), ("self", "self")):
        (data / name).symlink_to(target)
    (data / "file").write_text("ours")
    os.link(data / "file", data / "second-name")
    os.mkfifo(data / "fifo")
    with suppress(PermissionError):
        os.mknod(data / "disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
        os.mknod(data / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (data / os.fsdecode(b"\xff\n-rf *")).mkdir(mode=0)
    (data / "size").write_text("99999999999")  # as beside its data
    (data / "about").write_text("{}")
    fd = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(DEEP):
        os.mkdir("deeper-and-deeper", dir_fd=fd)
        below = os.open("deeper-and-deeper", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.symlink(outside, "out", dir_fd=fd)
    os.close(fd)


@check
async def whatever_a_container_plants_is_copied_and_removed_and_never_followed(
    bench: Bench,
) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    _planted(await driver.publish(NAME), bench.outside)
    await driver.used_bytes(NAME)
    await driver.usage()
    if driver.features.expands:
        with suppress(GrowsLater):
            await driver.expand(NAME, SIZE_BYTES + 4096)
    if driver.features.snapshots:
        await driver.snapshot(SNAPSHOT, NAME)
        await driver.create(OTHER, SIZE_BYTES, Source(snapshot=SNAPSHOT))
        assert (await driver.publish(OTHER) / "out").is_symlink()
        await driver.unpublish(OTHER)
        await driver.delete(OTHER)
        await driver.delete_snapshot(SNAPSHOT)
    await driver.unpublish(NAME)
    await driver.delete(NAME)
    assert await driver.assets() == []
    assert len(bench.names_on_disk()) == 1  # the mark
    assert bench.precious_is_kept()


@check
async def a_directory_that_becomes_a_link_while_it_is_removed_leads_nowhere(bench: Bench) -> None:
    driver = await bench.started()
    for _ in range(5):
        await driver.create(NAME, SIZE_BYTES)
        data = await driver.publish(NAME)
        for number in range(20):
            (data / f"{number}" / "inner").mkdir(parents=True)
        swapping, ended = threading.Event(), threading.Event()
        swapper = threading.Thread(target=_swap, args=(data, bench.outside, swapping, ended))
        swapper.start()
        swapping.wait()
        try:
            with suppress(InUse):  # where it is a mount, the swapper uses it
                await driver.delete(NAME)
        finally:
            ended.set()
            swapper.join()
        await driver.unpublish(NAME)
        await driver.delete(NAME)
        assert len(bench.names_on_disk()) == 1
        assert bench.precious_is_kept()
    assert await driver.assets() == []
    assert await driver.create(NAME, SIZE_BYTES) in await driver.assets()


def _swap(data: Path, outside: Path, swapping: threading.Event, ended: threading.Event) -> None:
    """As a process in the container, which has a descriptor of its volume."""
    with suppress(OSError):
        fd = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    swapping.set()
    try:
        while not ended.is_set():
            for number in range(20):
                with suppress(OSError):
                    os.rename(f"{number}", f"away-{number}", src_dir_fd=fd, dst_dir_fd=fd)
                    os.symlink(outside, f"{number}", dir_fd=fd)
                with suppress(OSError):
                    os.unlink(f"{number}", dir_fd=fd)
                    os.rename(f"away-{number}", f"{number}", src_dir_fd=fd, dst_dir_fd=fd)
    finally:
        os.close(fd)


@disk_check
async def something_mounted_inside_keeps_a_volume_and_is_not_emptied(bench: Bench) -> None:
    driver = await bench.started()
    made = await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    (data / "inside").mkdir()
    with bound(bench.outside, data / "inside"):
        with pytest.raises(InUse):
            await driver.delete(NAME)
        assert await driver.assets() == [made]
        assert bench.precious_is_kept()
    await driver.delete(NAME)
    assert await driver.assets() == []
    assert bench.precious_is_kept()


@disk_check
async def a_private_copy_of_the_mounts_keeps_a_volume_and_lets_it_grow(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    user = bench.directory / "user"
    user.mkdir()
    with elsewhere("private", 'mount --bind "$1" "$2"', data, user) as process:
        seen = Path(f"/proc/{process}/root{user}")
        (seen / "file").write_text("before")
        await driver.unpublish(NAME)
        with pytest.raises(InUse):
            await driver.delete(NAME)
        if driver.features.snapshots:
            await driver.snapshot(SNAPSHOT, NAME)
        if driver.features.clones:
            await driver.create(OTHER, SIZE_BYTES, Source(asset=NAME))
        (seen / "file").write_text("after")
        assert (await driver.publish(NAME) / "file").read_text() == "after"
        await driver.unpublish(NAME)
    if driver.features.clones:
        assert (await driver.publish(OTHER) / "file").read_text() == "before"
        await driver.unpublish(OTHER)
        await driver.delete(OTHER)
    await driver.delete_snapshot(SNAPSHOT)
    await driver.delete(NAME)
    assert await driver.assets() == []
    assert bench.held_by_the_host() == []


@disk_check
async def an_open_file_keeps_no_volume_half_deleted(bench: Bench) -> None:
    driver = await bench.started()
    made = await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    with (data / "file").open("w+") as file:
        file.write("kept")
        file.flush()
        assert await driver.assets() == [made]
        try:
            await driver.delete(NAME)  # a directory's files live on as long as they are open
        except InUse:
            assert await driver.assets() == [made]
            assert (await driver.publish(NAME) / "file").read_text() == "kept"
        file.seek(0)
        assert file.read() == "kept"
    await driver.unpublish(NAME)
    await driver.delete(NAME)
    assert await driver.assets() == []
    assert len(bench.names_on_disk()) == 1
    assert mounts.mounts_below(str(bench.root)) == []
