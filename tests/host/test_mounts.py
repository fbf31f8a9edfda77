"""What mountinfo says, and bind mounts."""

import os
import subprocess
from pathlib import Path

import pytest

from mooring.host import files, mounts
from mooring.host.errors import MountBusy, MountFailed
from mooring.host.mounts import Restriction
from tests.host.privileges import bound, needs_mounts

LINES = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue
40 35 0:44 /a\040b//deleted /mnt/tab\011\134040\012end ro,nosuid - tmpfs none\043 rw
"""


def test_mountinfo_is_read_with_any_number_of_optional_fields() -> None:
    proc, ext, _ = mounts.parsed(LINES)
    assert (proc.id, proc.parent, proc.device, proc.point) == (22, 27, "0:21", "/proc")
    assert (ext.root, ext.point, ext.type, ext.source) == ("/mnt1", "/mnt2", "ext3", "/dev/root")
    assert ext.options == {"rw", "noatime"}


def test_escapes_in_mountinfo_are_undone_once() -> None:
    escaped = mounts.parsed(LINES)[2]
    assert escaped.root == "/a b//deleted"
    assert escaped.point == "/mnt/tab\t\\040\nend"
    assert escaped.source == "none#"


def test_the_mounts_of_this_process_hold_its_root() -> None:
    assert "/" in {mount.point for mount in mounts.mount_table()}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    source, target = tmp_path / "sou rce", tmp_path / "tar\nget"
    source.mkdir()
    target.mkdir()
    (source / "file").write_text("data")
    return source, target


@needs_mounts
def test_what_is_bound_is_seen_until_it_is_unmounted(pair: tuple[Path, Path]) -> None:
    source, target = pair
    with bound(source, target):
        assert (target / "file").read_text() == "data"
        assert [mount.root[-8:] for mount in mounts.mounts_at(str(target))] == ["/sou rce"]
        assert mounts.mounts_below(str(target.parent)) == [str(target)]
    assert os.listdir(target) == []
    mounts.unmount(target)
    mounts.unmount(target / "absent")


@needs_mounts
def test_a_mount_forbids_what_it_should_and_what_its_source_forbade(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = pair
    second = tmp_path / "second"
    second.mkdir()
    with bound(source, target):
        mounts.restrict(target, Restriction.NO_SUID | Restriction.READ_ONLY)
        with bound(target, second):
            mounts.restrict(second, Restriction.NO_DEVICES)
            options = mounts.mounts_at(str(second))[0].options
            assert {"ro", "nosuid", "nodev"} <= options
            with pytest.raises(OSError):
                (second / "new").touch()
    (source / "new").touch()


@needs_mounts
def test_every_layer_of_mounts_goes(pair: tuple[Path, Path]) -> None:
    source, target = pair
    with bound(source, target), mounts.handle(source) as again:
        mounts.bind(again, target)
        assert len(mounts.mounts_at(str(target))) == 2
        mounts.unmount(target)
        assert mounts.mounts_at(str(target)) == []


@needs_mounts
def test_a_mount_with_an_open_file_stays(pair: tuple[Path, Path]) -> None:
    source, target = pair
    with bound(source, target):
        with (target / "file").open() as file, pytest.raises(MountBusy):
            mounts.unmount(target)
        assert file.closed
        assert mounts.mounts_at(str(target))


@needs_mounts
def test_a_mount_on_nothing_fails(pair: tuple[Path, Path]) -> None:
    with mounts.handle(pair[0]) as source, pytest.raises(MountFailed):
        mounts.bind(source, pair[1] / "absent")


@needs_mounts
def test_whoever_shows_a_directory_or_what_is_in_it_is_found(pair: tuple[Path, Path]) -> None:
    source, target = pair
    (source / "inner").mkdir()
    with files.directory(source) as fd:
        assert mounts.holders(fd) == []
        with bound(source / "inner", target):
            assert mounts.holders(fd) == [str(target)]
        with bound(source.parent, target):
            assert mounts.holders(fd) == []  # it shows all of the pool, not just this


@needs_mounts
def test_whoever_shows_a_directory_in_a_mount_namespace_of_his_own_is_found(
    pair: tuple[Path, Path],
) -> None:
    source, target = pair
    script = 'mount --bind "$1" "$2" && echo ready && read -r line'
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, "sh", source, target],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        assert mounts.mounts_at(str(target)) == []
        with files.directory(source) as fd:
            assert [holder.split(" of ")[0] for holder in mounts.holders(fd)] == [str(target)]
        other.stdin.close()
