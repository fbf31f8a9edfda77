"""What the watchdog is told, whatever the disk is like."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mooring.node.watch import FILE, Watch
from mooring.node.watchdog import read
from tests.host.privileges import a_small_disk, fill, needs_mounts

VOLUME = Path("/volume")


def a_watch(state: Path, run: Path) -> Watch:
    return Watch(state, run, launch=lambda _: None)


def test_it_is_told_where_an_earlier_version_was(tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.write_text(json.dumps({"agent": 1, "until": 1.0, "volumes": ["/old"]}))
    watch = a_watch(tmp_path, tmp_path / "run")
    assert watch.earlier_until_s() == 1.0
    watch.tell(2.0, [VOLUME])
    assert (read(file)["until"], read(file)["volumes"]) == (2.0, [str(VOLUME)])
    assert a_watch(tmp_path, tmp_path / "run").earlier_until_s() == 2.0


def test_an_earlier_version_is_heard_again(tmp_path: Path) -> None:
    a_watch(tmp_path, tmp_path / "run").tell(1.0, [VOLUME])
    new = tmp_path / "new"
    new.write_text(json.dumps({"until": 2.0, "volumes": ["/old"]}))
    new.replace(tmp_path / FILE)
    watch = a_watch(tmp_path, tmp_path / "run")
    assert watch.earlier_until_s() == 2.0
    watch.tell(3.0, [VOLUME])
    assert read(tmp_path / FILE)["until"] == 3.0


def test_where_there_is_no_place_in_memory_a_disk_has_to_do(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")
    watch = a_watch(tmp_path, tmp_path / "run")
    for until_s in (1.0, 2.0):
        watch.tell(until_s, [VOLUME])
        assert read(tmp_path / FILE)["until"] == until_s


def test_nothing_is_written_where_nothing_is_to_be_watched(tmp_path: Path) -> None:
    a_watch(tmp_path, tmp_path / "run").tell(1.0, [])
    assert not list(tmp_path.iterdir())


def test_what_was_told_before_the_host_started_is_not_true_any_more(tmp_path: Path) -> None:
    told = {"boot": "another", "until": 9e9, "volumes": ["/v"]}
    (tmp_path / FILE).write_text(json.dumps(told))
    assert a_watch(tmp_path, tmp_path / "run").earlier_until_s() is None


def test_nothing_is_left_where_nothing_was_to_be_watched_at_the_end(tmp_path: Path) -> None:
    watch = a_watch(tmp_path, tmp_path / "run")
    watch.tell(1.0, [VOLUME])
    watch.tell(2.0, [])
    watch.end()
    watch.end()
    assert not list((tmp_path / "run").iterdir())
    assert read(tmp_path / FILE) == {}


@needs_mounts
def test_a_full_disk_keeps_no_host_from_saying_that_it_lives(tmp_path: Path) -> None:
    with a_small_disk(tmp_path / "state") as state:
        watch = a_watch(state, tmp_path / "run")
        watch.tell(1.0, [VOLUME])
        fill(state)
        watch.tell(2.0, [VOLUME])
        assert read(state / FILE)["until"] == 2.0


@needs_mounts
def test_where_memory_is_full_too_it_says_so_and_what_was_told_stands(tmp_path: Path) -> None:
    with a_small_disk(tmp_path / "full") as full:
        watch = a_watch(full, full / "run")
        watch.tell(1.0, [VOLUME])
        fill(full)
        with pytest.raises(OSError, match="No space left"):
            watch.tell(2.0, [VOLUME])
        assert read(full / FILE)["until"] == 1.0


def test_each_agent_starts_a_watchdog_of_its_own_version_once(tmp_path: Path) -> None:
    launched: list[Path] = []
    for _ in range(2):
        watch = Watch(tmp_path, tmp_path / "run", launch=launched.append)
        watch.tell(1.0, [])
        assert not launched
        with a_lock(tmp_path / f"{FILE}.lock"):  # one watches
            for until_s in (1.0, 2.0):
                watch.tell(until_s, [VOLUME])
        assert launched == [tmp_path / FILE]
        watch.tell(3.0, [VOLUME])
        assert len(launched) == 2  # it has ended
        launched.clear()
        watch.tell(4.0, [])


@contextmanager
def a_lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
