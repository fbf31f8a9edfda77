"""Copies of trees: nothing gets lost, nothing is followed, and what is wrong is found."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mooring.host import files, mounts
from mooring.host.errors import MountInside
from mooring.host.scanning import Progress
from tests.host.hostile_tree import DEPTH, LONG, PAST_PATHS, STRANGE, planted
from tests.host.privileges import bound, needs_mounts
from tests.host.trees import Trees, silent

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="keeping owners needs root")
needs_rsync = pytest.mark.skipif(
    shutil.which("rsync") is None, reason="there is no rsync (`make programs` as root brings it)"
)


class CutOff(Progress):
    """Ends the work, as a crash would, after so many files."""

    def __init__(self, after: int) -> None:
        super().__init__(lambda counts: None)
        self._after = after

    def add(self, files: int, content: int) -> None:
        super().add(files, content)
        if self.files >= self._after:
            raise KeyboardInterrupt


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[Trees]:
    """Empty ones, beside a directory that nothing may touch."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("kept")
    made = Trees(tmp_path / "original", tmp_path / "copy")
    made.original.mkdir()
    made.copy.mkdir()
    yield made
    with files.directory(tmp_path) as fd:  # pytest itself cannot remove what is too deep
        for name in ("original", "copy"):
            files.remove_tree(name, fd)


@pytest.fixture
def hostile(trees: Trees, tmp_path: Path) -> Trees:
    planted(trees.original, tmp_path / "outside", PAST_PATHS)
    return trees


def traces(top: Path) -> dict[str, tuple[int, ...]]:
    """Everything that can be seen of a tree from outside, by path; what is too deep is not."""
    found = {}
    places = (top, *(top / name for name in ("a", "b", "closed")))
    for path in (top, *(place / name for place in places for name in os.listdir(place))):
        seen = os.lstat(path)
        accessed = () if stat.S_ISLNK(seen.st_mode) else (seen.st_atime_ns,)
        found[str(path.relative_to(top))] = (
            *(seen.st_mode, seen.st_uid, seen.st_gid, seen.st_size, seen.st_nlink, seen.st_rdev),
            *(seen.st_mtime_ns, seen.st_ctime_ns, *accessed),
        )
    return found


# All of it


def test_a_hostile_tree_is_copied_whole(hostile: Trees) -> None:
    assert hostile.run() == ["socket is left out: it is a socket"]
    assert hostile.differs() == []
    copied = {os.fsencode(one) for one in os.listdir(hostile.copy)}
    assert copied == {os.fsencode(one) for one in os.listdir(hostile.original)} - {b"socket"}
    assert copied >= set(STRANGE)


def test_the_original_is_left_as_it_was_and_what_links_lead_to_is_not_touched(
    hostile: Trees, tmp_path: Path
) -> None:
    before, outside = traces(hostile.original), os.stat(tmp_path / "outside" / "precious")
    hostile.run()
    hostile.compare()
    assert traces(hostile.original) == before
    assert os.stat(tmp_path / "outside" / "precious") == outside
    assert os.listdir(tmp_path / "outside") == ["precious"]
    assert os.readlink(hostile.copy / "to-outside") == str(tmp_path / "outside")


@needs_rsync
def test_rsync_finds_no_difference_either(hostile: Trees) -> None:
    for tree in hostile:  # what is too deep for rsync goes first
        with files.directory(tree) as top:
            files.remove_tree(LONG, top)
    os.truncate(hostile.original / "sparse", 16 << 20)  # it reads what is not there, too
    hostile.run()
    compared = subprocess.run(
        [
            *("rsync", "--archive", "--hard-links", "--acls", "--xattrs", "--numeric-ids"),
            *("--checksum", "--delete", "--dry-run", "--itemize-changes", "--exclude=/socket"),
            *("--", f"{hostile.original}/", f"{hostile.copy}/"),
        ],
        capture_output=True,
    )
    assert (compared.returncode, compared.stdout, compared.stderr) == (0, b"", b"")


def test_what_is_deeper_than_any_path_is_copied(trees: Trees, tmp_path: Path) -> None:
    planted(trees.original, tmp_path / "outside", DEPTH)
    with pytest.raises(KeyboardInterrupt):
        trees.run(CutOff(20))
    trees.run()
    assert trees.differs() == []
    fd = os.open(trees.copy, os.O_RDONLY)
    for _ in range(DEPTH):
        below = os.open(LONG, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    bottom = os.open("bottom", os.O_RDONLY, dir_fd=fd)
    assert os.read(bottom, 100) == b"down here"
    os.close(bottom)
    os.close(fd)


def test_holes_stay_holes(hostile: Trees) -> None:
    hostile.run()
    copy = os.stat(hostile.copy / "sparse")
    assert (copy.st_size, copy.st_blocks * 512 < 1 << 20) == (1 << 30, True)
    with (hostile.copy / "sparse").open("rb") as file:
        file.seek(300 << 20)
        assert file.read(21) == b"content at some place"


def test_names_of_one_file_are_names_of_one_copy(hostile: Trees) -> None:
    hostile.run()
    for names in (("a/first", "b/second", "third"), ("to-precious", "a/same-link")):
        copies = [os.lstat(hostile.copy / name) for name in names]
        assert {one.st_ino for one in copies} == {copies[0].st_ino}
        assert copies[0].st_nlink == len(names)


def test_what_was_scanned_is_what_was_copied(hostile: Trees) -> None:
    progress = silent()
    totals = hostile.scan()
    hostile.run(progress)
    assert (progress.files, progress.bytes) == (totals.files, totals.bytes)
    found = hostile.compare(totals).totals
    assert (found.files, found.bytes, found.changed_ns) == (
        totals.files, totals.bytes, totals.changed_ns
    )  # fmt: skip
    assert 1 << 20 > totals.room_bytes - 4096 * PAST_PATHS > 4096


@needs_mounts
def test_a_mount_inside_is_not_entered(trees: Trees, tmp_path: Path) -> None:
    (trees.original / "point").mkdir()
    with bound(tmp_path / "outside", trees.original / "point"):
        with pytest.raises(MountInside):
            trees.run()
    assert not (trees.copy / "point" / "precious").exists()


# Going on


@pytest.mark.parametrize("after", [1, 5, 12, 20])
def test_a_copy_that_was_cut_off_goes_on(hostile: Trees, after: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        hostile.run(CutOff(after))
    assert hostile.differs() != []
    hostile.run()
    assert hostile.differs() == []
    assert [name for name in os.listdir(hostile.copy) if name.startswith(".mooring")] == []


def test_what_is_copied_already_is_not_copied_again(trees: Trees) -> None:
    (trees.original / "file").write_text("content")
    trees.run()
    before = os.stat(trees.copy / "file").st_ino
    trees.run()
    assert os.stat(trees.copy / "file").st_ino == before


def test_what_only_the_copy_has_is_removed(hostile: Trees, tmp_path: Path) -> None:
    planted(hostile.copy, tmp_path / "outside", PAST_PATHS)
    (hostile.copy / "surplus").mkdir()
    (hostile.copy / "surplus" / "file").touch()
    (hostile.copy / "a" / "surplus").symlink_to(tmp_path / "outside")
    hostile.run()
    assert hostile.differs() == []


def test_what_is_something_else_in_the_copy_is_replaced(trees: Trees) -> None:
    (trees.original / "file").write_text("content")
    (trees.original / "directory").mkdir()
    (trees.original / "directory" / "inside").touch()
    (trees.original / "link").symlink_to("file")
    (trees.copy / "file").mkdir()
    (trees.copy / "file" / "inside").touch()
    (trees.copy / "directory").write_text("content")
    (trees.copy / "link").mkdir()
    trees.run()
    assert trees.differs() == []


def test_a_copy_is_not_written_through_another_name_of_it(trees: Trees, tmp_path: Path) -> None:
    (trees.original / "file").write_text("content")
    os.link(tmp_path / "outside" / "precious", trees.copy / "file")
    trees.run()
    assert (tmp_path / "outside" / "precious").read_text() == "kept"
    assert trees.differs() == []


# Finding what is wrong


def _exchange(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _flip(path: Path) -> None:
    """Other content, and nothing else that tells."""
    times = os.stat(path)
    with path.open("r+b") as file:
        file.write(b"X")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


WRONGS: dict[str, Callable[[Path], object]] = {
    "third: it has other content": lambda copy: _flip(copy / "third"),
    "third: it is missing in the copy": lambda copy: (copy / "third").unlink(),
    "sparse: it has other content": lambda copy: _flip(copy / "sparse"),
    "surplus: it is in the copy alone": lambda copy: (copy / "surplus").touch(),
    "program: it has mode 0600, not 6751": lambda copy: (copy / "program").chmod(0o600),
    "program: it is of 0:0, not of 4711:4712": lambda copy: os.chown(copy / "program", 0, 0),
    "program: it has another time of modification": lambda copy: os.utime(copy / "program"),
    "program: it has another attribute user.mime": lambda copy: os.setxattr(
        copy / "program", "user.mime", b"text/plain"
    ),
    "to-outside: it has another attribute trusted.of-a-link": lambda copy: os.removexattr(
        copy / "to-outside", "trusted.of-a-link", follow_symlinks=False
    ),
    "a: it has another attribute user.new": lambda copy: os.setxattr(copy / "a", "user.new", b""),
    ".: it has mode 0700, not 2770": lambda copy: copy.chmod(0o700),
    "fifo: it is something else in the copy": lambda copy: _exchange(copy / "fifo"),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_a_difference_is_found_and_mended_by_the_next_copy(hostile: Trees, wrong: str) -> None:
    hostile.run()
    WRONGS[wrong](hostile.copy)
    assert wrong in {one.replace("a/first", "third").replace("b/second", "third")
                     for one in hostile.differs()}  # fmt: skip
    hostile.run()
    assert hostile.differs() == []


def test_a_link_that_leads_elsewhere_is_found(trees: Trees) -> None:
    (trees.original / "link").symlink_to("here")
    trees.run()
    times = os.lstat(trees.copy / "link")
    (trees.copy / "link").unlink()
    (trees.copy / "link").symlink_to("else")
    times_ns = (times.st_atime_ns, times.st_mtime_ns)
    os.utime(trees.copy / "link", ns=times_ns, follow_symlinks=False)
    os.utime(trees.copy, ns=(0, os.stat(trees.original).st_mtime_ns))
    assert trees.differs() == ["link: it leads elsewhere"]


def test_one_file_in_place_of_two_that_look_the_same_is_found(trees: Trees) -> None:
    for name in ("one", "two"):
        (trees.original / name).write_text("same")
        os.utime(trees.original / name, ns=(1, 1))
    trees.run()
    (trees.copy / "two").unlink()
    os.link(trees.copy / "one", trees.copy / "two")
    os.utime(trees.copy, ns=(0, os.stat(trees.original).st_mtime_ns))
    assert [one.partition(": ")[2] for one in trees.differs()] == ["it is linked with other files"]


def test_what_is_written_while_it_is_copied_is_named(trees: Trees) -> None:
    for name in ("one", "two"):
        (trees.original / name).write_text(name)
    before = trees.scan()
    trees.run()
    (trees.original / "two").write_text("new")
    compared = trees.compare(before)
    assert compared.changed.named == ["two"]
    assert compared.differs.named == ["two: it has other content"]


def test_a_file_that_is_removed_while_it_is_copied_is_seen_by_its_directory(trees: Trees) -> None:
    (trees.original / "sub").mkdir()
    (trees.original / "sub" / "file").touch()
    before = trees.scan()
    (trees.original / "sub" / "file").unlink()
    trees.run()
    assert trees.compare(before).changed.named == ["sub"]


def test_only_the_first_of_many_differences_are_named(trees: Trees) -> None:
    for number in range(50):
        (trees.original / str(number)).touch()
    os.utime(trees.original, ns=(1, 1))
    found = trees.compare().differs
    assert (found.count, len(found.named)) == (51, 20)


# File systems that share blocks


@pytest.mark.system
@pytest.mark.skipif(shutil.which("mkfs.xfs") is None, reason="there is no mkfs.xfs")
@needs_mounts
def test_where_blocks_can_be_shared_no_content_is_written_twice(tmp_path: Path) -> None:
    disk, point = tmp_path / "disk", tmp_path / "point"
    point.mkdir()
    with disk.open("wb") as file:
        file.truncate(512 << 20)
    for command in (["mkfs.xfs", "-q", str(disk)], ["mount", "-o", "loop", str(disk), str(point)]):
        subprocess.run(command, check=True, capture_output=True)
    try:
        trees = Trees(point / "original", point / "copy")
        trees.original.mkdir()
        trees.copy.mkdir()
        (trees.original / "file").write_bytes(os.urandom(32 << 20))
        os.sync()
        before = os.statvfs(point).f_bfree
        trees.run()
        taken = (before - os.statvfs(point).f_bfree) * os.statvfs(point).f_frsize
        assert taken < 1 << 20
        assert trees.differs() == []
    finally:
        mounts.unmount(point)
