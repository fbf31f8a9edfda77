"""Removal and measuring of directories whose contents want to do harm."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.host import files
from mooring.host.errors import MountInside, OutsideRoot
from tests.host.privileges import UNPRIVILEGED, bound, needs_immutable, needs_mounts

DEEP = 1500  # beyond the usual 1,024 descriptors, Python's recursion and PATH_MAX

# Rights are given up after the import: nobody may not even reach this Python.
AS_NOBODY = """
import codecs, ctypes, os, sys
from mooring.host import files
with files.directory(sys.argv[1]) as fd:
    codecs.lookup("ascii")  # loads it
    os.setresgid(*[int(sys.argv[2])] * 3)
    os.setresuid(*[int(sys.argv[2])] * 3)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: /proc/self is ours again
    for name in ("no-entry", "no-entry/deep", "read-only", "read-only/deep"):
        os.mkdir(name, dir_fd=fd)
    os.mkfifo("read-only/deep/file", dir_fd=fd)
    os.mkdir("read-only/deep/directory", dir_fd=fd)
    os.mkfifo("read-only/deep/directory/file", dir_fd=fd)
    for name in ("no-entry/deep", "no-entry", "read-only/deep/directory", "read-only/deep"):
        os.chmod(name, 0 if name.startswith("no") else 0o555, dir_fd=fd)
    os.chmod("read-only", 0o555, dir_fd=fd)
    files.remove_tree("no-entry", fd)
    files.remove_tree("read-only", fd)
    print(os.listdir(fd))
"""


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    """A directory to be removed, beside one that must not be touched."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("kept")
    (tmp_path / "top").mkdir()
    yield tmp_path / "top"
    with files.directory(tmp_path) as fd:
        files.remove_tree("top", fd)  # pytest itself cannot remove what is too deep


@pytest.fixture
def beside(top: Path) -> Iterator[int]:
    with files.directory(top.parent) as fd:
        yield fd


def precious(top: Path) -> str:
    return (top.parent / "outside" / "precious").read_text()


def dig(directory: Path, depth: int) -> None:
    """A chain of directories longer than any path may be."""
    here = os.open(directory, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)


def fill_with_hostile_things(top: Path) -> None:
    (top / "link").symlink_to("../outside")
    (top / "to-root").symlink_to("/")
    (top / "loop").symlink_to("loop")
    (top / os.fsdecode(b"\xff\n '")).write_text("a name that is no text")
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(top / "socket"))
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "link").symlink_to("../../../outside")
    os.link(top.parent / "outside" / "precious", top / "a" / "hard")
    (top / "a").chmod(0)


def test_a_tree_goes_with_all_that_is_in_it_and_links_are_not_followed(
    top: Path, beside: int
) -> None:
    fill_with_hostile_things(top)
    files.remove_tree("top", beside)
    assert not top.exists()
    assert precious(top) == "kept"


def test_a_tree_deeper_than_any_path_is_removed(top: Path, beside: int) -> None:
    dig(top, DEEP)
    files.remove_tree("top", beside)
    assert not top.exists()


def test_a_wide_tree_is_removed(top: Path, beside: int) -> None:
    for number in range(300):
        (top / f"d{number}" / "below").mkdir(parents=True)
        (top / f"d{number}" / "file").touch()
    files.remove_tree("top", beside)
    assert not top.exists()


def test_what_is_absent_is_removed_already(beside: int) -> None:
    files.remove_tree("absent", beside)


def test_a_link_is_removed_and_its_target_stays(top: Path, beside: int) -> None:
    (top.parent / "link").symlink_to("outside")
    files.remove_tree("link", beside)
    assert not os.path.lexists(top.parent / "link")
    assert precious(top) == "kept"


def test_emptying_keeps_the_directory_and_its_mode(top: Path) -> None:
    fill_with_hostile_things(top)
    top.chmod(0o750)
    identity = top.stat().st_ino
    files.empty_directory_under(top.parent, top)
    assert os.listdir(top) == []
    assert (top.stat().st_ino, top.stat().st_mode & 0o777) == (identity, 0o750)
    assert precious(top) == "kept"


@needs_mounts
@pytest.mark.parametrize("where", ["point", "a/b/point"])
def test_a_mount_inside_is_refused_before_anything_is_removed(
    top: Path, beside: int, where: str
) -> None:
    (top / "file").write_text("kept")
    (top / where).mkdir(parents=True)
    with bound(top.parent / "outside", top / where):
        with pytest.raises(MountInside):
            files.remove_tree("top", beside)
        with pytest.raises(MountInside):
            files.empty_directory_under(top.parent, top)
    assert (top / "file").read_text() == "kept"
    assert precious(top) == "kept"


@needs_mounts
def test_a_directory_that_is_itself_a_mount_is_not_entered(top: Path, beside: int) -> None:
    with bound(top.parent / "outside", top):
        with pytest.raises(MountInside):
            files.remove_tree("top", beside)
    assert precious(top) == "kept"


def test_a_path_below_the_root_is_removed_and_its_neighbours_stay(top: Path) -> None:
    (top / "a" / "b" / "c").mkdir(parents=True)
    files.remove_tree_under(top, top / "a" / "b")
    assert os.listdir(top / "a") == []
    files.remove_tree_under(top, top / "a" / "b")


@pytest.mark.parametrize("path", ["../outside", "..", "", ".", "link", "link/precious", "/etc"])
def test_a_path_that_leads_out_of_the_root_is_refused(top: Path, path: str) -> None:
    (top / "link").symlink_to("../outside")
    with pytest.raises(OutsideRoot):
        files.remove_tree_under(top, top / path)
    with pytest.raises(OutsideRoot):
        files.empty_directory_under(top, top / path)
    assert precious(top) == "kept"


def test_a_link_inside_the_root_is_resolved_and_its_target_removed(top: Path) -> None:
    (top / "real" / "below").mkdir(parents=True)
    (top / "link").symlink_to("real")
    files.remove_tree_under(top, top / "link" / "below")
    assert os.listdir(top / "real") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_without_roots_rights_directories_that_forbid_it_are_removed_all_the_same(
    top: Path,
) -> None:
    os.chown(top, UNPRIVILEGED, UNPRIVILEGED)
    child = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(top), str(UNPRIVILEGED)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (child.stdout, child.stderr) == ("[]\n", "")


def test_a_small_file_is_read_only_if_it_is_a_file(top: Path) -> None:
    os.mkfifo(top / "fifo")
    (top / "link").symlink_to("../outside/precious")
    (top / "file").write_text("content")
    with files.directory(top) as fd:
        assert files.small_file("file", fd) == b"content"
        for name in ("fifo", "link", "absent"):
            with pytest.raises(OSError):
                files.small_file(name, fd)


def test_a_file_is_replaced_whole(top: Path) -> None:
    with files.directory(top) as fd:
        files.written("name", b"old", fd)
        files.written("name", b"new", fd)
    assert [(path.name, path.read_text()) for path in top.iterdir()] == [("name", "new")]


def flagged(path: Path, immutable: bool) -> None:
    fd = os.open(path, os.O_RDONLY)
    assert files.set_immutable(fd, immutable)
    os.close(fd)


@needs_immutable
def test_what_is_immutable_can_be_changed_by_nobody_until_that_is_taken_back(top: Path) -> None:
    (top / "file").write_text("old")
    flagged(top / "file", True)
    flagged(top, True)
    flagged(top, True)
    for forbidden in ((top / "new").touch, (top / "file").unlink, top.rmdir):
        with pytest.raises(PermissionError):
            forbidden()
    with pytest.raises(PermissionError):
        (top / "file").write_text("new")
    flagged(top, False)
    flagged(top / "file", False)
    (top / "file").write_text("new")


def test_where_nothing_can_be_immutable_that_is_said() -> None:
    with open("/proc/self/status") as file:
        assert not files.set_immutable(file.fileno(), True)
        assert not files.set_immutable(file.fileno(), False)
