"""Static volumes: what is there, against what the PV says is there."""

import os
import socket
from pathlib import Path

import pytest

from mooring.host.mounts import Restriction
from mooring.node.errors import PathMissing, PathWrong
from mooring.node.sources import PathSource


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """One of each."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    (tmp_path / "character").symlink_to("/dev/null")
    return tmp_path


RIGHT = {
    "": {"directory", "file", "socket", "character"},
    "Directory": {"directory"},
    "DirectoryOrCreate": {"directory"},
    "File": {"file"},
    "FileOrCreate": {"file"},
    "Socket": {"socket"},
    "CharDevice": {"character"},
    "BlockDevice": set(),
}


@pytest.mark.parametrize("name", ["directory", "file", "socket", "character"])
@pytest.mark.parametrize("kind", RIGHT)
async def test_what_is_there_must_be_what_the_volume_says(here: Path, kind: str, name: str) -> None:
    source = PathSource(here / name, kind)
    if name in RIGHT[kind]:
        assert await source.path() == here / name
    else:
        with pytest.raises(PathWrong):
            await source.path()


@pytest.mark.parametrize("kind", ["", "Directory", "File", "Socket", "CharDevice", "BlockDevice"])
async def test_what_is_not_there_is_not_made(here: Path, kind: str) -> None:
    with pytest.raises(PathMissing):
        await PathSource(here / "absent", kind).path()
    assert "absent" not in os.listdir(here)


async def test_a_directory_or_file_is_made_where_the_type_says_so(here: Path) -> None:
    assert (await PathSource(here / "a" / "b", "DirectoryOrCreate").path()).is_dir()
    assert (await PathSource(here / "a" / "c", "FileOrCreate").path()).is_file()
    with pytest.raises(PathMissing):
        await PathSource(here / "absent" / "c", "FileOrCreate").path()


async def test_a_type_that_nobody_knows_is_refused(here: Path) -> None:
    with pytest.raises(PathWrong, match="Tape"):
        await PathSource(here / "file", "Tape").path()


def test_only_volumes_that_are_devices_are_mounted_with_devices() -> None:
    assert Restriction.NO_DEVICES in PathSource(Path("/dev"), "Directory").restrictions
    assert Restriction.NO_DEVICES not in PathSource(Path("/dev/null"), "CharDevice").restrictions
