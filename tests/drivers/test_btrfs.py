"""What the btrfs driver promises beyond the contract of every backend, on a real file system."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from errno import EDQUOT
from pathlib import Path

import pytest

from mooring.crashpoints import POINTS
from mooring.drivers.btrfs import MIN_SIZE_BYTES, BtrfsDriver
from mooring.drivers.errors import (
    AssetDamaged,
    BadPoolOption,
    NoSuchAsset,
    NoSuchSnapshot,
    WrongFileSystem,
)
from mooring.drivers.interface import AssetName, Place, Source, asset_name
from mooring.host import btrfs, files
from mooring.host.btrfs import Quotas
from mooring.host.errors import ProgramFailed
from tests.conformance.driver_bench import (
    MIB,
    NAME,
    OTHER,
    SIMPLE_QUOTAS_SINCE,
    SNAPSHOT,
    Backend,
    Bench,
    on_a_bench,
)
from tests.conformance.driver_child import pieces
from tests.host.privileges import needs_mounts

SIZE_BYTES = 32 * MIB
UNTIL_GONE_S = 60  # the kernel removes what it counted at its next commit or the one after
BACKEND = Backend("btrfs.mooring.dev btrfs", BtrfsDriver.at, ("btrfs.",), disk="btrfs")
SIMPLE = replace(BACKEND, options={"quotas": "simple"}, since=SIMPLE_QUOTAS_SINCE)
pytestmark = needs_mounts


@pytest.fixture(params=[BACKEND], ids=["full"])
async def bench(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with on_a_bench(request.param, tmp_path) as made:
        yield made


either = pytest.mark.parametrize("bench", [BACKEND, SIMPLE], ids=["full", "simple"], indirect=True)
simple = pytest.mark.parametrize("bench", [SIMPLE], ids=["simple"], indirect=True)


@pytest.fixture
async def driver(bench: Bench) -> BtrfsDriver:
    made = await bench.started()
    assert isinstance(made, BtrfsDriver)
    return made


def until_refused(write: Callable[[int], int]) -> int:
    """Write until that is refused for the volume is full; what could be written.

    write  is told how much there is by now
    """
    written = 0
    try:
        while True:
            written += write(written)
    except OSError as error:
        assert error.errno == EDQUOT  # noqa: PT017
        return written


def sequential(volume: Path) -> int:
    """One file, as fast as possible."""
    with (volume / "file").open("wb", buffering=0) as file:
        return until_refused(lambda _: file.write(b"x" * (64 << 10)))


def scattered(volume: Path) -> int:
    """Blocks of 4 KiB with holes between them, synced every now and then."""

    def write(written: int) -> int:
        if written % (256 << 10) == 0:
            os.fdatasync(file.fileno())
        return os.pwrite(file.fileno(), b"x" * 4096, 2 * written)

    with (volume / "holes").open("wb", buffering=0) as file:
        return until_refused(write)


def many_files(volume: Path) -> int:
    """Of 8 KiB each."""
    return until_refused(lambda written: (volume / f"small-{written}").write_bytes(b"x" * 8192))


def on_disk(disk: Path) -> None:
    with files.directory(disk) as fd:
        files.file_system_synced(fd)


def groups(disk: Path) -> set[str]:
    """Of subvolumes other than the top one, by what the kernel counts them."""
    with files.directory(disk) as fd:
        counted = Path("/sys/fs/btrfs") / btrfs.file_system_id(fd) / "qgroups"
    return {one for one in os.listdir(counted) if one[:1].isdigit()} - {"0_5"}


def number(place: Path) -> int:
    with files.directory(place) as fd:
        return btrfs.subvolume_id(fd)


async def uncounted(driver: BtrfsDriver, disk: Path) -> None:
    """Wait until nothing counts what was deleted."""
    async with asyncio.timeout(UNTIL_GONE_S):
        while groups(disk):
            await driver.usage()
            await asyncio.sleep(0.05)


async def test_another_file_system_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    root = tmp_path / "new" / "pool"
    with pytest.raises(WrongFileSystem, match="not on a btrfs"):
        await BtrfsDriver.at(Place("bench", "uid", root)).start(new=True)
    assert os.listdir(tmp_path) == []


@pytest.mark.system
@either
@pytest.mark.parametrize("fill", [sequential, scattered, many_files])
@pytest.mark.parametrize("size_bytes", [MIN_SIZE_BYTES, SIZE_BYTES])
async def test_a_volume_takes_what_it_is_large_and_its_neighbour_writes_on(
    driver: BtrfsDriver, fill: Callable[[Path], int], size_bytes: int
) -> None:
    await driver.create(NAME, size_bytes)
    await driver.create(OTHER, size_bytes)
    full, neighbour = await driver.publish(NAME), await driver.publish(OTHER)
    assert 0.9 * size_bytes <= fill(full) <= size_bytes
    with (neighbour / "file").open("wb") as file:
        file.write(b"x" * MIB)
        os.fsync(file.fileno())


@either
async def test_a_full_volume_can_be_emptied_and_filled_again(driver: BtrfsDriver) -> None:
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    sequential(data)
    (data / "file").unlink()
    on_disk(driver.place.root)
    assert sequential(data) >= 0.9 * SIZE_BYTES


@either
async def test_a_full_volume_takes_more_as_soon_as_it_is_larger(driver: BtrfsDriver) -> None:
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    with (data / "open").open("wb", buffering=0) as held:
        had = sequential(data)
        await driver.expand(NAME, 2 * SIZE_BYTES)
        while had + held.tell() < 1.9 * SIZE_BYTES:
            held.write(b"x" * (64 << 10))


async def test_a_clone_is_limited_to_its_own_size_with_what_it_began_with(
    driver: BtrfsDriver,
) -> None:
    await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "begun").write_bytes(b"x" * (SIZE_BYTES // 2))
    await driver.snapshot(SNAPSHOT, NAME)
    await driver.create(OTHER, 2 * SIZE_BYTES, Source(snapshot=SNAPSHOT))
    more = sequential(await driver.publish(OTHER))
    assert 1.8 * SIZE_BYTES <= more + SIZE_BYTES // 2 <= 2 * SIZE_BYTES
    assert sequential(await driver.publish(NAME)) + SIZE_BYTES // 2 <= SIZE_BYTES


async def test_what_is_made_from_something_larger_is_as_large(driver: BtrfsDriver) -> None:
    await driver.create(NAME, 2 * SIZE_BYTES)
    made = await driver.create(OTHER, SIZE_BYTES, Source(asset=NAME))
    assert made.size_bytes == 2 * SIZE_BYTES
    assert await driver.create(OTHER, SIZE_BYTES, Source(asset=NAME)) == made


async def test_a_snapshot_has_what_was_written_and_not_synced_and_cannot_be_written(
    driver: BtrfsDriver,
) -> None:
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    with (data / "file").open("wb", buffering=0) as file:
        file.write(b"before")
        await driver.snapshot(SNAPSHOT, NAME)
        file.write(b" and after")
    kept = driver.place.root / f".snapshot-{SNAPSHOT}" / "data"
    assert (kept / "file").read_bytes() == b"before"
    with pytest.raises(OSError, match="Read-only"):
        (kept / "file").write_bytes(b"x")


async def test_nothing_is_made_from_what_is_absent(driver: BtrfsDriver) -> None:
    for source, error in (
        (Source(snapshot=SNAPSHOT), NoSuchSnapshot),
        (Source(asset=OTHER), NoSuchAsset),
    ):
        with pytest.raises(error):
            await driver.create(NAME, SIZE_BYTES, source)
    with pytest.raises(NoSuchAsset):
        await driver.snapshot(SNAPSHOT, NAME)
    assert os.listdir(driver.place.root) == [".mooring-pool"]


@either
async def test_deleting_leaves_no_subvolume_and_nothing_that_counts_it(
    driver: BtrfsDriver, bench: Bench
) -> None:
    await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "file").write_bytes(b"x" * MIB)
    await driver.snapshot(SNAPSHOT, NAME)
    await driver.create(OTHER, SIZE_BYTES, Source(snapshot=SNAPSHOT))
    assert len(groups(bench.disk)) >= 3
    await driver.delete(NAME)
    await driver.delete_snapshot(SNAPSHOT)
    await driver.delete(OTHER)
    assert os.listdir(driver.place.root) == [".mooring-pool"]
    with files.directory(bench.disk) as fd:
        assert btrfs.subvolumes_in(fd, btrfs.subvolume_id(fd)) == []
    await uncounted(driver, bench.disk)


@either
async def test_subvolumes_that_a_container_made_go_with_its_volume(
    driver: BtrfsDriver, bench: Bench
) -> None:
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    with files.directory(data) as outer:
        for number_of in range(40):  # more than one answer of the kernel holds
            btrfs.create_subvolume(f"{number_of:0200}", outer)
        btrfs.create_subvolume("inner", outer)
        with files.directory("inner", outer) as inner:
            btrfs.create_subvolume("innermost", inner)
            btrfs.snapshot(inner, "kept", inner, read_only=True)
        assert len(btrfs.subvolumes_in(outer, btrfs.subvolume_id(outer))) == 43
    (data / "inner" / "innermost" / "out").symlink_to(bench.outside)
    await driver.delete(NAME)
    assert os.listdir(driver.place.root) == [".mooring-pool"]
    assert bench.precious_is_kept()
    await uncounted(driver, bench.disk)


async def test_subvolumes_that_a_container_made_are_counted_and_take_no_more(
    driver: BtrfsDriver, bench: Bench
) -> None:
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    with files.directory(data) as outer:
        btrfs.create_subvolume("inner", outer)
    (data / "inner" / "file").write_bytes(b"x" * (2 * SIZE_BYTES))
    on_disk(bench.disk)
    assert (await driver.used_bytes(NAME) or 0) >= 2 * SIZE_BYTES
    with pytest.raises(OSError, match="quota exceeded"):
        (data / "inner" / "more").write_bytes(b"x" * MIB)
    (data / "inner" / "file").unlink()


@simple
async def test_simple_quotas_hold_a_volume_to_its_size_with_all_that_is_inside(
    driver: BtrfsDriver,
) -> None:
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    with files.directory(data) as outer:
        btrfs.create_subvolume("inner", outer)
    (data / "outside").write_bytes(b"x" * (SIZE_BYTES // 2))
    assert sequential(data / "inner") <= SIZE_BYTES // 2
    assert (await driver.used_bytes(NAME) or 0) <= SIZE_BYTES


@either
async def test_the_quotas_that_are_on_already_are_used(bench: Bench) -> None:
    first, second = ("simple", "full") if bench.backend is SIMPLE else ("full", "simple")
    for quotas in (first, second):
        root = bench.disk / quotas
        driver = BtrfsDriver.at(Place("bench", quotas, root, {"quotas": quotas}))
        await driver.start(new=True)
        await driver.create(NAME, SIZE_BYTES)
        assert 0.9 * SIZE_BYTES <= sequential(await driver.publish(NAME)) <= SIZE_BYTES
        await driver.stop()
    with files.directory(bench.disk) as fd:
        assert btrfs.quotas(fd) is {"full": Quotas.FULL, "simple": Quotas.SIMPLE}[first]


@either
async def test_what_is_used_is_told_without_a_walk(driver: BtrfsDriver, bench: Bench) -> None:
    await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "file").write_bytes(b"x" * (8 * MIB))
    on_disk(bench.disk)
    assert 8 * MIB <= (await driver.used_bytes(NAME) or 0) < 9 * MIB
    with pytest.raises(NoSuchAsset):
        await driver.used_bytes(OTHER)


def turned_off(disk: Path) -> None:
    with files.directory(disk) as fd:
        btrfs.disable_quotas(fd)
        assert btrfs.quotas(fd) is Quotas.OFF


@either
async def test_limits_are_set_again_after_quotas_were_turned_off(
    driver: BtrfsDriver, bench: Bench
) -> None:
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    turned_off(bench.disk)
    await bench.restarted()
    assert sequential(data) <= SIZE_BYTES
    turned_off(bench.disk)
    await driver.create(OTHER, SIZE_BYTES)
    with files.directory(data) as fd:
        number = btrfs.subvolume_id(fd)
        groups = (number, btrfs.group_of(number))
        assert SIZE_BYTES in [btrfs.limit_of(fd, group) for group in groups]


async def test_a_plain_directory_in_place_of_the_data_is_not_served(driver: BtrfsDriver) -> None:
    await driver.create(NAME, SIZE_BYTES)
    place = driver.place.root / NAME / "data"
    place.rename(driver.place.root / "moved")
    place.mkdir()
    for call in (driver.publish(NAME), driver.create(OTHER, SIZE_BYTES, Source(asset=NAME))):
        with pytest.raises(AssetDamaged, match="not a subvolume"):
            await call
    assert await driver.assets() == []


def test_quotas_of_another_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPoolOption, match="full or simple"):
        BtrfsDriver.at(Place("bench", "uid", tmp_path, {"quotas": "on"}))


async def test_two_pools_may_share_a_file_system(driver: BtrfsDriver, bench: Bench) -> None:
    other = BtrfsDriver.at(Place("second", "uid-2", bench.disk / "second"))
    await other.start(new=True)
    assert await driver.create(NAME, SIZE_BYTES) == await other.create(NAME, SIZE_BYTES)
    await other.delete(NAME)
    await other.stop()
    assert [asset.name for asset in await driver.assets()] == [NAME]


async def test_a_deleted_number_is_of_no_other_subvolume(driver: BtrfsDriver) -> None:
    await driver.create(NAME, SIZE_BYTES)
    first = number(await driver.publish(NAME))
    await driver.delete(NAME)
    await driver.create(asset_name(NAME), SIZE_BYTES)
    assert number(await driver.publish(NAME)) > first


@pytest.fixture
async def second(tmp_path: Path) -> AsyncIterator[BtrfsDriver]:
    """A pool on another file system."""
    place = tmp_path / "second"
    place.mkdir()
    async with on_a_bench(BACKEND, place) as bench:
        made = await bench.started()
        assert isinstance(made, BtrfsDriver)
        yield made


LATER = asset_name("snapshot-later")


async def sent(
    driver: BtrfsDriver, name: AssetName, to: Path, since: AssetName | None = None
) -> None:
    with to.open("wb") as file:

        async def write(content: bytes) -> None:
            file.write(content)

        await driver.send(name, write, since)


RECEIVING = [point for point in sorted(POINTS) if point.startswith("streams.")]


async def test_a_snapshot_sent_is_the_same_elsewhere_and_the_next_one_sends_what_is_new(
    driver: BtrfsDriver, second: BtrfsDriver, tmp_path: Path
) -> None:
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    first, rest = os.urandom(8 * MIB), os.urandom(MIB)
    (data / "first").write_bytes(first)
    await driver.snapshot(SNAPSHOT, NAME)
    (data / "rest").write_bytes(rest)
    await driver.snapshot(LATER, NAME)
    whole, new = tmp_path / "whole", tmp_path / "new"
    await sent(driver, SNAPSHOT, whole)
    await sent(driver, LATER, new, since=SNAPSHOT)
    assert new.stat().st_size < 2 * MIB < 8 * MIB < whole.stat().st_size
    kept = await second.receive(SNAPSHOT, SIZE_BYTES, pieces(whole), as_of_ns=123456789)
    assert kept.created_ns == 123456789
    assert await second.receive(SNAPSHOT, SIZE_BYTES, pieces(whole)) == kept
    await second.receive(LATER, SIZE_BYTES, pieces(new))
    assert {one.name for one in await second.snapshots()} == {SNAPSHOT, LATER}
    made = await second.create(OTHER, SIZE_BYTES, Source(snapshot=LATER))
    restored = await second.publish(OTHER)
    assert {path.name: path.read_bytes() for path in restored.iterdir()} == {
        "first": first,
        "rest": rest,
    }
    assert made.size_bytes == SIZE_BYTES
    sequential(restored)


async def test_a_stream_that_is_cut_off_or_lacks_its_beginning_makes_no_snapshot(
    driver: BtrfsDriver, second: BtrfsDriver, tmp_path: Path
) -> None:
    await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "file").write_bytes(os.urandom(MIB))
    await driver.snapshot(SNAPSHOT, NAME)
    await driver.snapshot(LATER, NAME)
    stream = tmp_path / "stream"
    await sent(driver, SNAPSHOT, stream)
    os.truncate(stream, MIB // 2)
    with pytest.raises(ProgramFailed):
        await second.receive(SNAPSHOT, SIZE_BYTES, pieces(stream))
    await sent(driver, LATER, stream, since=SNAPSHOT)
    with pytest.raises(ProgramFailed, match="parent"):
        await second.receive(LATER, SIZE_BYTES, pieces(stream))
    assert os.listdir(second.place.root) == [".mooring-pool"]
    with pytest.raises(NoSuchSnapshot):
        await sent(driver, LATER, stream, since=OTHER)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99, 1.0])
async def test_a_host_that_hangs_up_makes_no_snapshot_wherever_it_does(
    driver: BtrfsDriver, second: BtrfsDriver, tmp_path: Path, share: float
) -> None:
    """Between two commands of a stream as well, where btrfs would take it for whole."""
    await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "file").write_bytes(os.urandom(MIB))
    await driver.snapshot(SNAPSHOT, NAME)
    await sent(driver, SNAPSHOT, stream := tmp_path / "stream")
    os.truncate(stream, int(stream.stat().st_size * share))
    whole = pieces(stream)

    async def cut_off() -> bytes:
        if not (content := await whole()):
            raise ConnectionResetError
        return content

    with pytest.raises((ConnectionResetError, ProgramFailed)):
        await second.receive(SNAPSHOT, SIZE_BYTES, cut_off)
    assert os.listdir(second.place.root) == [".mooring-pool"]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"btrfs-stream\0\1\0\0\0", os.urandom(MIB)])
async def test_what_is_no_stream_makes_no_snapshot(driver: BtrfsDriver, content: bytes) -> None:
    left = [content, b""]

    async def read() -> bytes:
        return left.pop(0)

    with pytest.raises((ProgramFailed, AssetDamaged)):
        await driver.receive(SNAPSHOT, SIZE_BYTES, read)
    assert os.listdir(driver.place.root) == [".mooring-pool"]


async def test_a_host_that_was_the_home_gets_back_what_is_new_since_its_own_snapshot(
    driver: BtrfsDriver, second: BtrfsDriver, tmp_path: Path
) -> None:
    """There and back, with what was received as the common beginning both ways."""
    await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "large").write_bytes(os.urandom(8 * MIB))
    await driver.snapshot(SNAPSHOT, NAME)
    await sent(driver, SNAPSHOT, there := tmp_path / "there")
    await second.receive(SNAPSHOT, SIZE_BYTES, pieces(there))
    await second.create(NAME, SIZE_BYTES, Source(snapshot=SNAPSHOT))
    (await second.publish(NAME) / "more").write_bytes(b"more")
    await second.snapshot(LATER, NAME)
    await sent(second, LATER, back := tmp_path / "back", since=SNAPSHOT)
    assert back.stat().st_size < MIB
    await driver.receive(LATER, SIZE_BYTES, pieces(back))
    await driver.create(OTHER, SIZE_BYTES, Source(snapshot=LATER))
    assert (await driver.publish(OTHER) / "more").read_bytes() == b"more"
    assert (await driver.publish(OTHER) / "large").stat().st_size == 8 * MIB


@pytest.mark.system
@pytest.mark.parametrize("point", [*RECEIVING, "btrfs.snapshot.sized"])
async def test_receiving_that_was_killed_leaves_nothing_after_a_start(
    driver: BtrfsDriver, tmp_path: Path, bench: Bench, point: str
) -> None:
    await driver.create(NAME, SIZE_BYTES)
    await driver.snapshot(SNAPSHOT, NAME)
    stream = tmp_path / "stream"
    await sent(driver, SNAPSHOT, stream)
    assert await bench.killed_at(point, "receive", LATER, str(SIZE_BYTES), str(stream))
    await driver.start(new=False)
    assert {one.name for one in await driver.snapshots()} == {SNAPSHOT}
    assert not {name for name in bench.names_on_disk() if LATER in name}
    await driver.receive(LATER, SIZE_BYTES, pieces(stream))
    assert {one.name for one in await driver.snapshots()} == {SNAPSHOT, LATER}
