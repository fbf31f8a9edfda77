"""The process that copies: what it says, how it ends, and that its work goes on after a kill."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from mooring.host import copies, files, mounts
from mooring.host.copier import Ended, Said, Tick
from mooring.host.errors import CopyFailed, DiskFull
from tests.host.privileges import bound, needs_mounts, small_disk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="keeping owners needs root")
FEW, MANY = 300, 3000
DIRECTORIES = 30


def ignored(_: Tick) -> None:
    pass


def filled(made: Path, count: int) -> Path:
    """With so many files, of which each has its number in it."""
    for number in range(DIRECTORIES):
        (made / str(number)).mkdir(parents=True)
    for number in range(count):
        (made / str(number % DIRECTORIES) / str(number)).write_bytes(b"%d\n" % number)
    return made


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """In memory, where there is some: a copy waits for all that anybody wrote to its disk."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as made:
        yield Path(made)


@pytest.fixture
def original(place: Path) -> Path:
    return filled(place / "original", FEW)


@pytest.fixture
def large(place: Path) -> Path:
    """It takes more than a moment to copy."""
    return filled(place / "original", MANY)


@pytest.fixture
def copy(place: Path) -> Path:
    made = place / "copy"
    made.mkdir()
    return made


async def test_it_tells_how_far_it_is_and_what_it_found(original: Path, copy: Path) -> None:
    (original / "large").write_bytes(os.urandom(8 << 20))
    ticks: list[Tick] = []
    ended = await copies.copied(original, copy, ticks.append)
    assert (ended.totals.files, ended.left.count) == (FEW + 1, 0)
    assert (ended.changed.count, ended.differs.count) == (0, 0)
    assert list(dict.fromkeys(tick.phase for tick in ticks))[-2:] == ["copying", "verifying"]
    for tick in ticks:
        if tick.phase != "scanning":
            assert tick.of_all.files == ended.totals.files
            assert tick.done.bytes <= tick.of_all.bytes == ended.totals.bytes


async def test_a_scan_says_what_there_is(original: Path) -> None:
    totals = await copies.scanned(original, ignored)
    assert (totals.files, totals.bytes) == (FEW, sum(len(f"{n}\n") for n in range(FEW)))


async def test_it_dies_with_who_called_for_it_and_goes_on_at_the_next_call(
    large: Path, copy: Path
) -> None:
    begun = asyncio.Event()

    def look(tick: Tick) -> None:
        if tick.phase == "copying":
            begun.set()

    working = asyncio.create_task(copies.copied(large, copy, look))
    await begun.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    ended = await copies.copied(large, copy, ignored)
    assert (ended.totals.files, ended.changed.count, ended.differs.count) == (MANY, 0, 0)


def test_it_ends_when_mooring_is_killed(large: Path, copy: Path) -> None:
    script = (
        "import asyncio, pathlib, sys\n"
        "from mooring.host import copies\n"
        "paths = [pathlib.Path(one) for one in sys.argv[1:]]\n"
        "asyncio.run(copies.copied(*paths, lambda tick: print(tick.phase, flush=True)))\n"
    )
    command = [sys.executable, "-c", script, str(large), str(copy)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline()
        caller.send_signal(signal.SIGKILL)
    # It holds the copy as long as it lives.
    with files.directory(copy) as fd:
        waited = subprocess.run(["flock", str(fd)], pass_fds=[fd], timeout=60)
        assert waited.returncode == 0
    ended = asyncio.run(copies.copied(large, copy, ignored))
    assert (ended.totals.files, ended.differs.count) == (MANY, 0)


async def test_two_at_once_do_not_disturb_each_other(original: Path, copy: Path) -> None:
    for ended in await asyncio.gather(*(copies.copied(original, copy, ignored) for _ in "ab")):
        assert (ended.totals.files, ended.differs.count) == (FEW, 0)


async def test_a_writer_is_found_out(large: Path, copy: Path) -> None:
    def write(tick: Tick) -> None:
        if tick.phase != "scanning":
            (large / "29" / "new").write_text(tick.phase)

    ended = await copies.copied(large, copy, write)
    assert ended.changed.count > 0
    assert {"29", "29/new"} & set(ended.changed.named)


async def test_what_a_power_failure_took_from_a_copy_is_made_anew(
    original: Path, copy: Path
) -> None:
    await copies.copied(original, copy, ignored)
    lost = copy / "7" / "37"
    times = os.stat(lost)
    lost.write_bytes(b"\0" * times.st_size)
    os.utime(lost, ns=(times.st_atime_ns, times.st_mtime_ns))
    ended = await copies.copied(original, copy, ignored)
    assert ended.differs.named == []
    assert lost.read_bytes() == b"37\n"


@needs_mounts
async def test_a_disk_without_the_room_is_refused_before_it_is_filled(
    original: Path, copy: Path
) -> None:
    (original / "large").write_bytes(b"x" * (8 << 20))
    await small_disk(copy, "2m")
    try:
        with pytest.raises(DiskFull, match="2097152 bytes are free"):
            await copies.copied(original, copy, ignored)
        assert os.listdir(copy) == []
    finally:
        mounts.unmount(copy)


@needs_mounts
async def test_a_mount_inside_is_refused_by_name(original: Path, copy: Path) -> None:
    with bound(copy, original / "3"):
        with pytest.raises(CopyFailed, match="/original/3") as refused:
            await copies.copied(original, copy, ignored)
    assert refused.value.code == "MountInside"


async def test_a_directory_that_is_not_there_is_said(place: Path, copy: Path) -> None:
    with pytest.raises(Exception, match="nowhere"):
        await copies.copied(place / "nowhere", copy, ignored)


def test_devices_are_left_out_and_said_where_none_may_be_made(original: Path, copy: Path) -> None:
    os.mknod(original / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    copier = (sys.executable, "-m", "mooring.host.copier", "copy", str(original), str(copy))
    command = ["setpriv", "--bounding-set=-mknod", "--", *copier]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # its input stays open, or it would end with that
        said = process.stdout.read().splitlines()
    ended = msgspec.json.decode(said[-1], type=Said)
    assert isinstance(ended, Ended)
    assert ended.left.named == ["null is left out: this process may not make devices"]
    assert (ended.differs.count, ended.changed.count) == (0, 0)


async def test_a_link_in_place_of_the_directory_is_not_followed(
    original: Path, copy: Path, place: Path
) -> None:
    (place / "link").symlink_to(original)
    with pytest.raises(CopyFailed, match="link"):
        await copies.copied(place / "link", copy, ignored)
