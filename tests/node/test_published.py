"""Volumes at their paths on a host: made, found again, held by others, taken away."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mooring.crashpoints import POINTS
from mooring.drivers.errors import NoSuchAsset
from mooring.drivers.interface import Place, asset_name
from mooring.drivers.registry import driver_for
from mooring.host import files, mounts
from mooring.host.errors import MountBusy
from mooring.host.processes import checked
from mooring.node.errors import (
    BadVolumeUid,
    PathMissing,
    PublishedElsewhere,
    PublishFailed,
)
from mooring.node.published import Publisher
from mooring.node.sources import AssetSource, PathSource
from tests.host.privileges import (
    bound,
    elsewhere,
    hanging_disk,
    needs_fuse,
    needs_immutable,
    needs_mounts,
)

UID = "0a1b2c3d-0000-4000-8000-000000000001"
OTHER = "0a1b2c3d-0000-4000-8000-000000000002"


class Host:
    """A state directory and some data, on this machine."""

    def __init__(self, directory: Path) -> None:
        self.state, self.root = directory / "state", directory / "state" / "mounts"
        self.data = directory / "data"
        self.data.mkdir()
        (self.data / "file").write_text("data")
        self.source = PathSource(self.data)

    async def publisher(self) -> Publisher:
        """As after a start of the agent."""
        publisher = Publisher(self.state)
        await publisher.start()
        return publisher

    def mounts(self) -> list[str]:
        """Of volumes."""
        return mounts.mounts_below(str(self.root))

    def left(self) -> list[str]:
        """What remains of all that was mounted and made."""
        return mounts.mounts_below(str(self.state)) + os.listdir(self.root)

    def clean(self) -> None:
        """Also what is protected against being removed."""
        for point in reversed(mounts.mounts_below(str(self.state))):
            mounts.unmount(Path(point))
        asyncio.run(Publisher(self.state).start())


def ended(
    *arguments: str, before: tuple[str, ...] = (), crash_at: str = ""
) -> subprocess.CompletedProcess[str]:
    """A Python process that has run to its end."""
    return subprocess.run(
        [*before, sys.executable, *arguments],
        env={**os.environ, "MOORING_CRASH_AT": crash_at},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.clean()


@needs_mounts
async def test_a_volume_is_at_the_path_of_its_uid_without_suid_and_devices(host: Host) -> None:
    published = await (await host.publisher()).publish(UID, host.source)
    assert published.path == host.state / "mounts" / UID / "fs"
    assert (published.path / "file").read_text() == "data"
    assert published.note == ""
    (published.path / "new").write_text("written")
    assert (host.data / "new").read_text() == "written"
    assert {"nosuid", "nodev", "rw"} <= mounts.mounts_at(str(published.path))[0].options


@needs_mounts
async def test_publishing_again_or_at_once_makes_one_mount(host: Host) -> None:
    publisher = await host.publisher()
    many = await asyncio.gather(*(publisher.publish(UID, host.source) for _ in range(6)))
    assert len(set(many)) == 1
    assert host.mounts() == [str(many[0].path)]
    assert await publisher.published() == [many[0]]


@needs_mounts
async def test_unpublishing_leaves_nothing_but_the_data_and_may_be_repeated(host: Host) -> None:
    publisher = await host.publisher()
    await publisher.publish(UID, host.source)
    await publisher.unpublish(UID, host.source)
    await publisher.unpublish(UID, host.source)
    assert host.left() == []
    assert (host.data / "file").read_text() == "data"
    assert await publisher.published() == []


@needs_mounts
async def test_a_volume_with_open_files_stays_published(host: Host) -> None:
    publisher = await host.publisher()
    published = await publisher.publish(UID, host.source)
    with (published.path / "file").open():
        with pytest.raises(MountBusy):
            await publisher.unpublish(UID)
        assert await publisher.published() == [published]
    await publisher.unpublish(UID)


@needs_mounts
async def test_a_restart_finds_what_is_published_under_its_users(host: Host) -> None:
    first = await (await host.publisher()).publish(UID, host.source)
    with (first.path / "file").open():
        publisher = Publisher(host.state)
        assert await publisher.start() == [first]
        assert await publisher.publish(UID, host.source) == first
        assert host.mounts() == [str(first.path)]


@needs_mounts
async def test_after_a_reboot_what_is_not_mounted_is_forgotten(host: Host) -> None:
    published = await (await host.publisher()).publish(UID, host.source)
    mounts.unmount(published.path)  # as a reboot does
    assert await Publisher(host.state).start() == []
    assert host.left() == []


@needs_mounts
async def test_a_mount_whose_intent_was_lost_is_kept_and_can_be_taken_away(host: Host) -> None:
    published = await (await host.publisher()).publish(UID, host.source)
    with files.directory(published.path.parent) as directory:
        files.set_immutable(directory, False)
        os.unlink("intent", dir_fd=directory)
    publisher = Publisher(host.state)
    assert [volume.uid for volume in await publisher.start()] == [UID]
    await publisher.unpublish(UID)
    assert host.mounts() == []


@needs_mounts
async def test_users_are_never_switched_over_to_other_data(host: Host, tmp_path: Path) -> None:
    publisher = await host.publisher()
    published = await publisher.publish(UID, host.source)
    (tmp_path / "other").mkdir()
    with pytest.raises(PublishedElsewhere):
        await publisher.publish(UID, PathSource(tmp_path / "other"))
    assert (published.path / "file").read_text() == "data"


@needs_mounts
async def test_a_read_only_volume_cannot_be_written(host: Host) -> None:
    published = await (await host.publisher()).publish(UID, host.source, read_only=True)
    with pytest.raises(OSError, match="Read-only"):
        (published.path / "new").touch()


@needs_mounts
async def test_a_single_file_is_published_as_one(host: Host) -> None:
    publisher = await host.publisher()
    published = await publisher.publish(UID, PathSource(host.data / "file", "File"))
    assert published.path.read_text() == "data"
    await publisher.unpublish(UID)
    assert host.left() == []


@needs_mounts
@needs_immutable
@pytest.mark.parametrize("type_", ["Directory", "File"])
async def test_while_nothing_is_mounted_nobody_can_write_at_the_path(
    host: Host, type_: str
) -> None:
    place = host.data if type_ == "Directory" else host.data / "file"
    published = await (await host.publisher()).publish(UID, PathSource(place, type_))
    mounts.unmount(published.path)
    bare = published.path
    assert bare.stat().st_mode & 0o777 == 0
    for forbidden in (
        (bare / "new").touch if bare.is_dir() else partial(bare.write_text, "new"),
        partial(bare.rename, bare.with_name("other")),
        partial(bare.chmod, 0o777),
        bare.with_name("beside").touch,
    ):
        with pytest.raises(PermissionError):
            forbidden()
    publisher = await host.publisher()
    assert host.left() == []
    published = await publisher.publish(UID, PathSource(place, type_))
    assert host.mounts() == [str(published.path)]


@needs_mounts
async def test_a_bare_path_is_covered_again_also_by_something_else(host: Host) -> None:
    publisher = await host.publisher()
    for source in (host.source, host.source, PathSource(host.data / "file", "File")):
        published = await publisher.publish(UID, source)
        assert published.path.is_dir() == source.place.is_dir()
        mounts.unmount(published.path)
    await publisher.unpublish(UID)
    assert host.left() == []


@needs_mounts
async def test_the_root_is_shared_with_itself_as_long_as_a_volume_is_in_it(host: Host) -> None:
    publisher = await host.publisher()
    assert not mounts.is_shared_with_itself(host.root)
    await asyncio.gather(*(publisher.publish(uid, host.source) for uid in (UID, OTHER)))
    assert mounts.is_shared_with_itself(host.root)
    assert len(mounts.mounts_at(str(host.root))) == 1
    again = await host.publisher()
    await again.unpublish(UID)
    assert mounts.is_shared_with_itself(host.root)
    await again.unpublish(OTHER)
    assert host.left() == []


@needs_mounts
async def test_volumes_that_come_and_go_at_once_are_always_in_a_shared_root(host: Host) -> None:
    publisher = await host.publisher()

    async def come_and_go(uid: str) -> None:
        for _ in range(5):
            await publisher.publish(uid, host.source)
            assert mounts.is_shared_with_itself(host.root)
            await publisher.unpublish(uid)

    await asyncio.gather(*(come_and_go(f"uid-{number}") for number in range(4)))
    await publisher.publish(UID, host.source)
    await publisher.unpublish(UID)
    assert host.left() == []


@needs_mounts
async def test_a_root_that_an_administrator_shared_is_used_and_left_to_him(host: Host) -> None:
    await host.publisher()
    with bound(host.root, host.root):
        await checked("mount", "--make-shared", str(host.root), deadline_s=10)
        publisher = await host.publisher()
        await publisher.publish(UID, host.source)
        assert len(mounts.mounts_at(str(host.root))) == 1
        await publisher.unpublish(UID)
        assert host.left() == [str(host.root)]


@needs_mounts
async def test_a_host_is_new_unless_a_volume_is_still_mounted(host: Host) -> None:
    publisher = await host.publisher()
    assert publisher.host_is_new
    published = await publisher.publish(UID, host.source)
    assert not (await host.publisher()).host_is_new
    mounts.unmount(published.path)
    assert (await host.publisher()).host_is_new
    assert (await host.publisher()).host_is_new


@needs_mounts
async def test_paths_are_known_without_a_look_at_a_disk(host: Host) -> None:
    publisher = await host.publisher()
    assert publisher.published_path(UID) is None
    published = await publisher.publish(UID, host.source)
    again = await host.publisher()
    for one in (publisher, again):
        assert one.published_path(UID) == published.path
        assert one.published_path(OTHER) is None
    await again.unpublish(UID)
    assert again.published_path(UID) is None


@needs_mounts
@pytest.mark.system
async def test_who_has_a_volume_mounted_for_himself_holds_it_and_a_copy_does_not(
    host: Host,
) -> None:
    publisher = await host.publisher()
    assert await publisher.held_by(UID) == []
    published = await publisher.publish(UID, host.source)
    (host.data / "target").mkdir()
    other = host.data.with_name("other")
    other.mkdir()
    with elsewhere("slave", ":"):
        assert await publisher.held_by(UID) == []
        with elsewhere(
            "slave", 'mount --bind "$1" "$2"', published.path, host.data / "target"
        ) as p:
            held = [f"{host.data}/target of process {p} (sh)"]
            assert await publisher.held_by(UID) == held
            assert await publisher.held_by(UID, engine=p) == []
            assert await publisher.held_by(OTHER) == []
            mounts.unmount(published.path)  # unseen by its user
            assert await publisher.held_by(UID) == held
            await publisher.publish(OTHER, PathSource(other))
            assert await publisher.held() == {UID: held}
            assert await publisher.held(engine=p) == {}
    with pytest.raises(BadVolumeUid):
        await publisher.held_by("../x")


@needs_mounts
@pytest.mark.system
async def test_mounts_are_visible_where_they_propagate_to_and_nowhere_else(host: Host) -> None:
    publisher = await host.publisher()
    assert await publisher.visible_to(os.getpid())
    assert not await publisher.visible_to(0)
    with elsewhere("private", ":") as private:
        assert not await publisher.visible_to(private)
        assert host.left() == []
        published = await publisher.publish(UID, host.source)
        assert not await publisher.visible_to(private)
        with elsewhere("slave", ":") as slave, elsewhere("private", ":") as later:
            assert await publisher.visible_to(slave)
            assert not await publisher.visible_to(later)
    assert host.mounts() == [str(published.path)]
    assert os.listdir(host.root) == [UID]


@needs_mounts
async def test_a_probe_that_a_crash_left_goes_at_the_next_start(host: Host) -> None:
    publisher = await host.publisher()
    published = await publisher.publish(UID, host.source)
    point = host.root / ".probe-1" / "point"
    point.mkdir(parents=True)
    with mounts.handle(host.data) as data:
        mounts.bind(data, point)
    await host.publisher()
    assert host.mounts() == [str(published.path)]
    assert os.listdir(host.root) == [UID]
    assert (host.data / "file").exists()


@needs_mounts
async def test_an_asset_is_published_and_a_missing_one_is_said_to_be(
    host: Host, tmp_path: Path
) -> None:
    driver = driver_for("directory.mooring.dev", Place("local", "uid-1", tmp_path / "pool"))
    await driver.start(new=True)
    publisher, name = await host.publisher(), asset_name("pvc-1")
    with pytest.raises(NoSuchAsset):
        await publisher.publish(UID, AssetSource(driver, name))
    assert host.left() == []
    await driver.create(name, 1 << 20)
    published = await publisher.publish(UID, AssetSource(driver, name))
    (published.path / "file").write_text("data")
    assert (await driver.publish(name) / "file").read_text() == "data"
    await publisher.unpublish(UID, AssetSource(driver, name))
    await driver.delete(name)


class UncheckedSource(PathSource):
    """A path that became something else after it was looked at."""

    async def path(self) -> Path:
        return self.place


@needs_mounts
async def test_a_link_where_none_may_be_is_not_mounted(host: Host, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    with pytest.raises(PathMissing):
        await (await host.publisher()).publish(
            UID, UncheckedSource(tmp_path / "link", follows_links=False)
        )
    assert host.mounts() == []


@needs_mounts
@needs_fuse
async def test_volumes_whose_backend_hangs_are_in_nobody_elses_way(
    host: Host, tmp_path: Path
) -> None:
    (tmp_path / "hanging").mkdir()
    publisher = await host.publisher()
    with hanging_disk(tmp_path / "hanging"):
        hanging = [
            asyncio.create_task(
                publisher.publish(f"uid-{number}", UncheckedSource(tmp_path / "hanging"))
            )
            for number in range(6)
        ]
        await asyncio.sleep(0)  # until they have begun
        published = await publisher.publish(UID, host.source)
        assert await publisher.published() == [published]
        await publisher.held_by(UID)
        await publisher.unpublish(UID)
        assert not any(task.done() for task in hanging)
    for task in hanging:
        with pytest.raises(PublishFailed):
            await task
    mounts.unmount(tmp_path / "hanging")
    assert host.left() == []


@pytest.mark.parametrize("uid", ["", ".", "..", "../x", "a/b", "-a", "a\n", "x" * 65])
async def test_a_uid_that_leads_elsewhere_is_refused(host: Host, uid: str) -> None:
    publisher = await host.publisher()
    with pytest.raises(BadVolumeUid):
        await publisher.publish(uid, host.source)
    with pytest.raises(BadVolumeUid):
        await publisher.unpublish(uid)


PUBLISHER_POINTS = sorted(name for name in POINTS if name.split(".")[0].endswith("publish"))


@needs_mounts
@pytest.mark.system
@pytest.mark.parametrize("point", PUBLISHER_POINTS)
async def test_a_publisher_killed_at_any_point_is_whole_when_it_is_asked_again(
    host: Host, point: str
) -> None:
    what = point.split(".")[0]
    if what == "unpublish":
        await (await host.publisher()).publish(UID, host.source)
    arguments = [str(host.state), UID, what, str(host.data)]
    child = ended("-m", "tests.node.publisher_child", *arguments, crash_at=point)
    assert child.returncode == -signal.SIGKILL
    publisher = await host.publisher()
    published = await publisher.publish(UID, host.source)
    assert (published.path / "file").read_text() == "data"
    assert {"nosuid", "nodev"} <= mounts.mounts_at(str(published.path))[0].options
    assert host.mounts() == [str(published.path)]
    assert mounts.is_shared_with_itself(host.root)
    await publisher.unpublish(UID)
    assert host.left() == []


# In a process that gave up its rights: what it prints is what happened.
UNPRIVILEGED_SCRIPT = """
import asyncio, os, sys
from pathlib import Path
from mooring.node.errors import NotReadOnly
from mooring.node.published import NO_MOUNTS, Publisher
from mooring.node.sources import PathSource

async def main(state, data, uid):
    publisher = Publisher(state)
    await publisher.start()
    published = await publisher.publish(uid, PathSource(data))
    assert published == (uid, data, data, NO_MOUNTS), published
    try:
        await publisher.publish(uid, PathSource(data), read_only=True)
        raise SystemExit("a promise that cannot be kept")
    except NotReadOnly:
        pass
    again = Publisher(state)
    assert await again.start() == [published]
    assert again.published_path(uid) == data
    await again.unpublish(uid)
    await again.unpublish(uid)
    assert await again.published() == []
    assert again.published_path(uid) is None
    assert await again.held_by(uid) == []
    assert await again.visible_to(os.getpid())
    assert os.listdir(state / "mounts") == []
    print("done")

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give up its rights")
def test_without_the_right_to_mount_the_volumes_own_path_is_lent_and_that_is_said(
    host: Host,
) -> None:
    child = ended(
        *("-c", UNPRIVILEGED_SCRIPT, str(host.state), str(host.data), UID),
        before=("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"),
    )
    assert (child.stdout, child.stderr) == ("done\n", "")
    assert (host.data / "file").read_text() == "data"
