"""A count of a tree that goes on a piece at a time, whatever is planted in it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.host import files
from mooring.host.counting import Count, Counting
from tests.host.hostile_tree import planted
from tests.host.privileges import bound, needs_mounts

LARGE = 3 << 20


def counted(path: Path, at_most: int = 7) -> Count:
    counting = Counting(str(path))
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


@pytest.mark.parametrize("at_most", [1, 2, 7, 100_000])
def test_it_agrees_with_du_whatever_is_in_it(tree: Path, at_most: int) -> None:
    planted(tree, tree.parent / "outside")
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


def test_one_that_is_given_up_closes_what_it_has_open(tree: Path) -> None:
    (tree / "below").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    counting = Counting(str(tree))
    counting.give_up()
    counting.step(1)
    counting.close()
    assert len(os.listdir("/proc/self/fd")) == before
