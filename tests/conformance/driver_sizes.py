"""A size holds in whatever way it is filled, also in what was cloned, restored or grown."""

import os
from collections.abc import Callable
from contextlib import suppress
from errno import EDQUOT, ENOSPC, EOPNOTSUPP, EXDEV
from pathlib import Path
from typing import Final

import pytest

from mooring.drivers.errors import GrowsLater
from mooring.drivers.interface import Source
from mooring.host import filesystems
from tests.conformance.driver_bench import MIB, NAME, OTHER, SIZE_BYTES, SNAPSHOT, Bench, disk_check
from tests.conformance.driver_limits import written_bytes

SMALL_BYTES: Final = 64 << 10
NO_LIMIT: Final = "it says that it does not enforce a size"


def _until_refused(write: Callable[[int], int], at_most: int) -> int:
    """write  is told how much there is, and says how much it added"""
    written = 0
    try:
        while written < at_most:
            written += write(written)
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
    return written


def _many_files(data: Path, at_most: int) -> int:
    content = os.urandom(SMALL_BYTES)
    return _until_refused(lambda had: (data / f"small-{had}").write_bytes(content), at_most)


def _allocated(data: Path, at_most: int) -> int:
    with (data / "allocated").open("wb") as file:

        def more(had: int) -> int:
            os.posix_fallocate(file.fileno(), had, 4 * MIB)
            return 4 * MIB

        return _until_refused(more, at_most)


def _with_holes(data: Path, at_most: int) -> int:
    """Every other piece is a hole: the file looks twice as large as what is in it."""
    piece = os.urandom(256 << 10)
    with (data / "holes").open("wb", buffering=0) as file:
        return _until_refused(lambda had: os.pwrite(file.fileno(), piece, 2 * had), at_most)


def _rewritten_copies(data: Path, at_most: int) -> int:
    """Copies that share their blocks take no room until they are written to."""
    first, piece = data / "copy-0", os.urandom(16 * MIB)
    first.write_bytes(piece)
    for number in range(1, 2 * at_most // len(piece)):
        with first.open("rb") as source, (data / f"copy-{number}").open("wb") as target:
            filesystems.clone(source.fileno(), target.fileno())

    def rewrite(had: int) -> int:
        with (data / f"copy-{had // len(piece)}").open("r+b", buffering=0) as file:
            done = file.write(os.urandom(len(piece)))
            os.fsync(file.fileno())
        return done

    return _until_refused(rewrite, at_most)


WAYS: Final = {
    "files": _many_files,
    "allocated": _allocated,
    "holes": _with_holes,
    "copies": _rewritten_copies,
}


@disk_check
async def a_size_holds_in_whatever_way_it_is_filled(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(OTHER, SIZE_BYTES)
    assert len(await driver.assets()) == 1
    if not driver.features.enforces_size:
        pytest.skip(NO_LIMIT)
    neighbour = await driver.publish(OTHER) / "neighbour"
    for way, fill in WAYS.items():
        await driver.create(NAME, SIZE_BYTES)
        try:
            filled = fill(await driver.publish(NAME), SIZE_BYTES + 64 * MIB)
        except OSError as error:
            if error.errno not in (EOPNOTSUPP, EXDEV):
                raise
        else:
            lowest = 0.8 if way == "copies" else 0.9  # in pieces of 16 MiB, the old ones kept
            assert lowest * SIZE_BYTES <= filled <= SIZE_BYTES, (way, filled / SIZE_BYTES)
        neighbour.write_text(way)
        assert neighbour.read_text() == way
        await driver.unpublish(NAME)
        await driver.delete(NAME)


@disk_check
async def a_size_holds_in_what_is_cloned_restored_larger_or_grown(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    assert len(await driver.assets()) == 1
    if not driver.features.enforces_size:
        pytest.skip(NO_LIMIT)
    content = os.urandom(8 * MIB)
    (await driver.publish(NAME) / "kept").write_bytes(content)
    made = []
    if driver.features.clones:
        await driver.create(OTHER, SIZE_BYTES, Source(asset=NAME))
        made.append((OTHER, SIZE_BYTES))
    if driver.features.snapshots:
        await driver.snapshot(SNAPSHOT, NAME)
        await driver.create(SNAPSHOT, 2 * SIZE_BYTES, Source(snapshot=SNAPSHOT))
        made.append((SNAPSHOT, 2 * SIZE_BYTES))
    with suppress(GrowsLater):
        await driver.expand(NAME, 2 * SIZE_BYTES)
        made.append((NAME, 2 * SIZE_BYTES))  # at once, while it is at hand
    for name, size_bytes in made:
        data = await driver.publish(name)
        had = 0 if "simple" in bench.backend.name and name != NAME else len(content)
        written = written_bytes(data / "file", 3 * SIZE_BYTES)
        assert 0.9 * size_bytes <= written + had <= size_bytes, (name, written / size_bytes)
        assert (data / "kept").read_bytes() == content
        (data / "file").unlink()
