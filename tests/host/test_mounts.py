"""What mountinfo says, bind mounts, and who has them in other mount namespaces."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.host import files, mounts
from mooring.host.errors import MountBusy, MountFailed
from mooring.host.mountinfo import Mountinfo, Place
from mooring.host.mounts import Restriction
from tests.host.privileges import bound, elsewhere, needs_mounts

LINES = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue
40 35 0:44 /a\040b//deleted /mnt/tab\011\134040\012end ro,nosuid - tmpfs none\043 rw
"""


def test_mountinfo_is_read_with_any_number_of_optional_fields() -> None:
    proc, ext, _ = Mountinfo(LINES).all()
    assert (proc.id, proc.parent, proc.device, proc.point) == (22, 27, "0:21", "/proc")
    assert (ext.root, ext.point, ext.type, ext.source) == ("/mnt1", "/mnt2", "ext3", "/dev/root")
    assert ext.options == {"rw", "noatime"}
    assert (ext.peer_group, ext.master) == (2, 1)
    assert (proc.peer_group, proc.master) == (0, 0)


def test_escapes_in_mountinfo_are_undone_once() -> None:
    escaped = Mountinfo(LINES).all()[2]
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
            assert mounts.holders(fd) == [f"{target.parent}/tar\\nget"]
        with bound(source.parent, target):
            assert mounts.holders(fd) == []  # it shows all of the pool, not just this


def test_a_mount_is_found_by_its_number_and_not_by_one_that_begins_like_it() -> None:
    table = Mountinfo(LINES)
    assert table.mount(3) is None
    inner = table.mount(36)
    assert inner is not None
    assert table.parent(inner) is None
    assert inner.place_of("/mnt2/a/b") == Place("98:0", "/mnt1/a/b")


@needs_mounts
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\rb", r"a\rb"),
        ("a\x1b\u2028b", r"a\x1b\u2028b"),
        ("\udcff", r"\udcff"),
        ("a#b - ä", "a#b - ä"),
        ("a\\040b", "a\\040b"),
    ],
)
def test_no_name_breaks_the_lines_of_mountinfo_or_of_a_terminal(
    tmp_path: Path, name: str, shown: str
) -> None:
    source, target = tmp_path / "source" / name, tmp_path / "target" / name
    for directory in (source, target):
        directory.mkdir(parents=True)
    with bound(source, target), files.directory(source) as fd:
        assert mounts.mounts_below(str(target.parent)) == [str(target)]
        assert [one.place for one in mounts.mounts_at(str(target))] == [mounts.place_of(fd)]
        assert mounts.holders(fd) == [f"{target.parent}/{shown}"]


@needs_mounts
@pytest.mark.system
def test_whoever_shows_a_directory_in_a_mount_namespace_of_his_own_is_found(
    pair: tuple[Path, Path],
) -> None:
    source, target = pair
    with elsewhere("private", 'mount --bind "$1" "$2"', source, target) as process:
        assert mounts.mounts_at(str(target)) == []
        with files.directory(source) as fd:
            assert mounts.holders(fd) == [f"{target.parent}/tar\\nget of process {process} (sh)"]


@needs_mounts
def test_a_directory_shared_with_itself_is_one_mount_in_a_peer_group_of_its_own(
    tmp_path: Path,
) -> None:
    outer, root = tmp_path, tmp_path / "root"
    (root / "point").mkdir(parents=True)
    mounts.share_with_itself(outer)
    try:
        assert not mounts.is_shared_with_itself(root)
        for _ in range(2):
            mounts.share_with_itself(root)
            assert mounts.is_shared_with_itself(root, by_us=True)
        around, inner = mounts.mounts_at(str(outer)) + mounts.mounts_at(str(root))
        assert 0 != around.peer_group != inner.peer_group != 0
        with bound(root, root / "point"):
            assert len(mounts.mounts_at(str(root / "point"))) == 1
            with pytest.raises(MountBusy):
                mounts.unmount_one(root)
        mounts.unmount_one(root)
        assert mounts.mounts_at(str(root)) == []
    finally:
        mounts.unmount(root)
        mounts.unmount_one(outer)


@needs_mounts
def test_a_directory_that_is_only_bound_to_itself_becomes_shared_without_another_mount(
    tmp_path: Path,
) -> None:
    """As old kernels leave it half way."""
    with bound(tmp_path, tmp_path):
        subprocess.run(["mount", "--make-private", tmp_path], check=True)
        assert not mounts.is_shared_with_itself(tmp_path)
        mounts.share_with_itself(tmp_path)
        assert mounts.is_shared_with_itself(tmp_path)
        assert not mounts.is_shared_with_itself(tmp_path, by_us=True)
        assert len(mounts.mounts_at(str(tmp_path))) == 1


@needs_mounts
def test_what_somebody_else_mounted_is_not_taken_for_a_directory_shared_with_itself(
    pair: tuple[Path, Path],
) -> None:
    source, target = pair
    with bound(source, target):
        subprocess.run(["mount", "--make-shared", target], check=True)
        assert not mounts.is_shared_with_itself(target)
        mounts.share_with_itself(target)
        assert mounts.is_shared_with_itself(target)
        mounts.unmount_one(target)
        assert [one.place.root for one in mounts.mounts_at(str(target))] == [str(source)]


class Shared:
    """A directory mounted below a root that is shared with itself, as volumes are."""

    def __init__(self, directory: Path) -> None:
        self.root, self.data = directory / "root", directory / "data"
        self.point, self.target = self.root / "uid" / "fs", directory / "target"
        for one in (self.point, self.data / "inner", self.target):
            one.mkdir(parents=True)
        mounts.share_with_itself(self.root)

    def bind(self) -> None:
        with mounts.handle(self.data) as data:
            mounts.bind(data, self.point)

    def held(self, *processes: int) -> list[str]:
        place = mounts.mounts_at(str(self.point))[0].place
        held = mounts.held_elsewhere({place}, processes)
        many = {place, place._replace(root="/nowhere"), place._replace(root=str(self.target))}
        assert held == mounts.held_elsewhere(many, processes)  # which goes another way
        return held.get(place, [])

    def seen_by(self, process: int) -> list[str]:
        """Mount points in the namespace of a process at which the data is seen."""
        place = mounts.mounts_at(str(self.point))[0].place
        return [one.point for _, one in Mountinfo.of(process).showing({place})]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    with bound(tmp_path, tmp_path):
        # What others mount beside the root must not come back to us, whatever this machine shares.
        subprocess.run(["mount", "--make-private", tmp_path], check=True)
        made = Shared(tmp_path)
        yield made
        mounts.unmount(made.point)
        mounts.unmount(made.root)


@needs_mounts
@pytest.mark.system
@pytest.mark.parametrize("propagation", ["slave", "unchanged"])
@pytest.mark.parametrize("first", ["the mount", "the namespace"])
def test_a_copy_that_the_kernel_made_of_our_mount_holds_nothing_and_goes_with_it(
    shared: Shared, propagation: str, first: str
) -> None:
    if first == "the mount":
        shared.bind()
    with elsewhere(propagation, ":") as process:
        if first == "the namespace":
            shared.bind()
        assert shared.seen_by(process) == [str(shared.point)]
        assert shared.held() == []
        mounts.unmount(shared.point)
        assert str(shared.point) not in {one.point for one in mounts.mount_table(process)}


@needs_mounts
def test_a_copy_of_another_mount_of_ours_holds_nothing_either(shared: Shared) -> None:
    """As two volumes may have the same directory."""
    second = shared.root / "second"
    second.mkdir()
    shared.bind()
    with bound(shared.data, second), elsewhere("slave", ":") as process:
        assert sorted(shared.seen_by(process)) == sorted([str(second), str(shared.point)])
        assert shared.held() == []


@needs_mounts
@pytest.mark.system
def test_a_copy_of_a_copy_holds_nothing_either(shared: Shared) -> None:
    """As in a container that is given all mounts of a service, which has its own from us."""
    with (
        elsewhere("slave", "mount --make-rshared /") as between,
        elsewhere("slave", ":", within=between) as innermost,
    ):
        shared.bind()
        assert shared.seen_by(innermost) == [str(shared.point)]
        assert shared.held() == []


@needs_mounts
@pytest.mark.system
@pytest.mark.parametrize("propagation", ["slave", "unchanged"])
@pytest.mark.parametrize("kind", ["--make-private", "--make-slave", "--make-shared"])
def test_a_bind_mount_of_ours_holds_it_whatever_it_gets_from_us(
    shared: Shared, propagation: str, kind: str
) -> None:
    shared.bind()
    script = 'mount --bind "$1" "$2"; mount "$3" "$2"'
    arguments = (shared.point, shared.target, Path(kind))
    with elsewhere(propagation, script, *arguments) as process:
        assert shared.held() == [f"{shared.target} of process {process} (sh)"]
        assert shared.held(process) == []
        mounts.unmount(shared.point)
        assert str(shared.target) in {one.point for one in mounts.mount_table(process)}


@needs_mounts
@pytest.mark.system
def test_a_part_of_it_holds_it_and_what_it_is_a_part_of_does_not(shared: Shared) -> None:
    shared.bind()
    with elsewhere("slave", 'mount --bind "$1" "$2"', shared.point / "inner", shared.target):
        assert len(shared.held()) == 1
    with elsewhere("slave", 'mount --bind "$1" "$2"', shared.data.parent, shared.target):
        assert shared.held() == []


@needs_mounts
@pytest.mark.system
def test_a_private_copy_of_our_mount_stays_behind_and_holds_it(shared: Shared) -> None:
    shared.bind()
    with elsewhere("private", ":") as process:
        assert shared.held() == [f"{shared.point} of process {process} (sh)"]
        mounts.unmount(shared.point)
        assert str(shared.point) in {one.point for one in mounts.mount_table(process)}


HEADLESS = """
import ctypes, sys, threading
def live():
    print("ready", flush=True)
    sys.stdin.read()
threading.Thread(target=live).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@needs_mounts
@pytest.mark.system
def test_a_process_whose_first_thread_has_ended_holds_it_too(shared: Shared) -> None:
    shared.bind()
    with subprocess.Popen(
        ["unshare", "--mount", sys.executable, "-c", HEADLESS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        until_headless(process.pid)
        assert len(shared.held()) == 1
        process.stdin.close()


def until_headless(process: int) -> None:
    while " Z " not in Path(f"/proc/{process}/task/{process}/stat").read_text():
        os.sched_yield()


@needs_mounts
@pytest.mark.system
def test_who_is_in_our_namespace_is_known(shared: Shared) -> None:
    assert mounts.in_our_namespace(os.getpid())
    assert not mounts.in_our_namespace(0)
    with elsewhere("unchanged", ":") as process:
        assert not mounts.in_our_namespace(process)
