"""A count of a tree that goes on a piece at a time, whatever is planted in it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.host import files
from mooring.host.counting import KEPT_AT_MOST, NOT_COUNTED, TOO_MANY, Count, Counting
from tests.host.hostile_tree import DEPTH, PAST_PATHS, planted
from tests.host.privileges import bound, needs_mounts

LARGE = 3 << 20


def counted(path: Path, at_most: int = 7, kept: int = KEPT_AT_MOST) -> Count:
    counting = Counting(str(path), kept)
    try:
        while not counting.step(at_most):
            pass
        return counting.count
    finally:
        counting.close()


def as_du_says(path: Path) -> Count:
    def asked(*options: str) -> int:
        done = subprocess.run(["du", "-sx", *options, path], capture_output=True, check=True)
        return int(done.stdout.split()[0])

    return Count(asked("--block-size=1"), asked("--inodes"))


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/precious").write_bytes(b"x" * LARGE)
    made = tmp_path / "tree"
    made.mkdir()
    yield made
    with files.directory(tmp_path) as fd:  # pytest itself cannot remove what is too deep
        files.remove_tree(made.name, fd)


def test_an_empty_directory_is_one_entry(tree: Path) -> None:
    assert counted(tree).entries == 1


@pytest.mark.parametrize(
    ("at_most", "depth"), [(1, PAST_PATHS), (2, PAST_PATHS), (7, DEPTH), (100_000, PAST_PATHS)]
)
def test_it_agrees_with_du_whatever_is_in_it(tree: Path, at_most: int, depth: int) -> None:
    planted(tree, tree.parent / "outside", depth)
    assert counted(tree, at_most) == as_du_says(tree)


def test_links_are_not_followed(tree: Path) -> None:
    (tree / "away").symlink_to(tree.parent / "outside")
    assert counted(tree).room_bytes < LARGE


@needs_mounts
def test_mounts_are_not_entered(tree: Path) -> None:
    (tree / "mounted").mkdir()
    (tree / "beside").write_text("x")
    with bound(tree.parent / "outside", tree / "mounted"):
        found = counted(tree)
    assert (found.entries, found.room_bytes < LARGE) == (3, True)


def test_what_goes_meanwhile_is_left_out(tree: Path) -> None:
    for number in range(5):
        (tree / f"d{number}").mkdir()
        (tree / f"d{number}/file").write_text("x")
    counting = Counting(str(tree))
    assert not counting.step(5)  # all directories are known now, none was entered
    for number in (1, 3):
        (tree / f"d{number}/file").unlink()
        (tree / f"d{number}").rmdir()
    while not counting.step(1):
        pass
    counting.close()
    assert counting.count.entries == 1 + 5 + 3


def test_it_ends_early_where_it_would_keep_too_much(tree: Path) -> None:
    for number in range(50):
        (tree / f"d{number}").mkdir()
    assert counted(tree, kept=50).fault == ""
    found = counted(tree, kept=20)
    assert (found.entries, found.fault) == (1 + 21, TOO_MANY)


def test_names_that_were_entered_and_files_with_one_name_are_not_kept(tree: Path) -> None:
    below = tree
    for number in range(40):
        below = below / f"d{number}"
        below.mkdir()
        (below / "file").touch()
    assert counted(tree, kept=1) == counted(tree)


def test_files_with_several_names_are_kept_up_to_a_limit(tree: Path) -> None:
    (tree / "one").touch()
    for number in range(20):
        (tree / f"name{number}").hardlink_to(tree / "one")
    assert counted(tree, kept=1).fault == ""
    for number in range(20):
        (tree / f"more{number}").touch()
        (tree / f"also{number}").hardlink_to(tree / f"more{number}")
    assert counted(tree, kept=15).fault == TOO_MANY
    assert counted(tree).entries == 22


@needs_mounts
@pytest.mark.system
@pytest.mark.skipif(shutil.which("debugfs") is None, reason="needs the program debugfs")
@pytest.mark.parametrize("damage", ["clri broken/file", "clri broken"])
def test_what_cannot_be_looked_at_does_not_end_it(tree: Path, damage: str) -> None:
    (tree / "broken").mkdir()
    for name in ("a", "broken/file", "broken/other", "z"):
        (tree / name).write_bytes(b"x" * 8192)
    disk = tree.parent / "disk"
    with disk.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", tree, disk], check=True)
    subprocess.run(["debugfs", "-w", "-R", damage, disk], check=True, capture_output=True)
    point = tree.parent / "point"
    point.mkdir()
    subprocess.run(["mount", "-o", "loop", disk, point], check=True)
    try:
        found = counted(point)
    finally:
        subprocess.run(["umount", point], check=True)
    assert found.fault == NOT_COUNTED
    assert found.entries >= 4  # itself, a, z, lost+found
    assert found.room_bytes >= 2 * 8192


def test_one_that_is_given_up_closes_what_it_has_open(tree: Path) -> None:
    (tree / "below").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    counting = Counting(str(tree))
    counting.give_up()
    counting.step(1)
    counting.close()
    assert len(os.listdir("/proc/self/fd")) == before
