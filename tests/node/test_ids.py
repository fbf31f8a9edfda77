"""Who was given a path: kept on disk, aged, and forgotten with the host. Docker volumes §3."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Set
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.crashpoints import POINTS
from mooring.node.errors import BadVolumeUid, PublishFailed
from mooring.node.ids import BY_HAND, Ids
from tests.controllers.clocked import HandClock

UID = "0a1b2c3d-0000-4000-8000-000000000001"
OTHER = "0a1b2c3d-0000-4000-8000-000000000002"
KEY = "default/db"


class SettableClock(HandClock):
    """Wall time can be set, which monotonic time does not notice."""

    def set_back(self, seconds: float) -> None:
        self._now -= timedelta(seconds=seconds)

    def start_anew(self) -> None:
        self._monotonic_s = 0.0


class Host:
    """A state directory, and what an agent knows of it after its start."""

    def __init__(self, state: Path) -> None:
        self.state, self.clock = state, SettableClock()

    async def ids(self, *, host_is_new: bool = False, lent: Set[str] = frozenset()) -> Ids:
        ids = Ids(self.state, self.clock)
        await ids.start(host_is_new, lent)
        return ids

    def files(self) -> list[str]:
        place = self.state / "users"
        return sorted(str(one.relative_to(place)) for one in place.rglob("*"))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "state")


async def test_a_user_is_there_after_a_restart_with_all_that_was_said_of_him(host: Host) -> None:
    first = await host.ids()
    assert first.of(UID) == []
    await first.new_epoch()
    await first.add(UID, "a1", KEY)
    [user] = first.of(UID)
    assert (user.id, user.volume, user.claim, user.epoch) == ("a1", UID, KEY, 1)
    assert user.since == host.clock.now().timestamp()
    assert (await host.ids()).of(UID) == [user]


async def test_users_come_in_the_order_they_were_given_the_path(host: Host) -> None:
    ids = await host.ids()
    for name in ("c", "a", "b"):
        await ids.add(UID, name, KEY)
        host.clock.move(1)
    for one in (ids, await host.ids()):
        assert [user.id for user in one.of(UID)] == ["c", "a", "b"]


async def test_volumes_are_found_by_their_users_and_by_claim(host: Host) -> None:
    ids = await host.ids()
    await ids.add(UID, "a", KEY)
    await ids.add(OTHER, "a", "team/db")
    for one in (ids, await host.ids()):
        assert sorted(one.uids()) == [UID, OTHER]
        assert one.uids_of("team/db") == [OTHER]
        assert one.uids_of("team/other") == []
        assert sorted(user.claim for user in one.all()) == [KEY, "team/db"]


async def test_a_user_who_is_dropped_is_gone_and_the_last_one_leaves_nothing(host: Host) -> None:
    ids = await host.ids()
    await ids.add(UID, "a", KEY)
    await ids.add(UID, "b", KEY)
    for _ in range(2):
        await ids.drop(UID, "a")
        assert [user.id for user in ids.of(UID)] == ["b"]
    await ids.drop(UID, "b")
    assert (ids.of(UID), ids.uids()) == ([], [])
    assert host.files() == []


async def test_all_users_of_a_volume_are_dropped_at_once(host: Host) -> None:
    ids = await host.ids()
    for name in ("a", "b"):
        await ids.add(UID, name, KEY)
    await ids.add(OTHER, "a", KEY)
    for _ in range(2):
        await ids.drop_all(UID)
        assert ids.uids() == [OTHER]
    assert (await host.ids()).uids() == [OTHER]


async def test_on_a_new_host_nobody_has_anything_but_epochs_go_on(host: Host) -> None:
    ids = await host.ids()
    assert await ids.new_epoch() == 1
    await ids.add(UID, "a", KEY)
    await ids.add(OTHER, BY_HAND, KEY)
    ids = await host.ids(host_is_new=True)
    assert ids.uids() == []
    assert host.files() == [".epoch"]
    assert ids.epoch == 1
    assert await ids.new_epoch() == 2
    assert (await host.ids()).epoch == 2


async def test_users_of_lent_volumes_stay_as_no_mount_could_have_gone(host: Host) -> None:
    ids = await host.ids()
    await ids.add(UID, "a", KEY)
    await ids.add(OTHER, BY_HAND, KEY)
    assert (await host.ids(host_is_new=True, lent={OTHER})).uids() == [OTHER]


async def test_volumes_are_found_by_their_claim_without_a_look_at_the_others(host: Host) -> None:
    ids, looks = await host.ids(), list[object]()

    class Asked(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            looks.append(other)
            return str.__eq__(self, other)

    for number in range(50):
        await ids.add(f"uid-{number}", "a", f"default/{number}")
    for id_ in ("a", "b"):
        await ids.add("uid-anew", id_, "default/7")
    assert ids.uids_of(Asked("default/7")) == ["uid-7", "uid-anew"]
    assert looks == ["default/7"]
    await ids.drop("uid-anew", "a")
    assert ids.uids_of("default/7") == ["uid-7", "uid-anew"]
    await ids.drop_all("uid-anew")
    assert ids.uids_of("default/7") == ["uid-7"]
    assert (await host.ids()).uids_of("default/7") == ["uid-7"]
    await ids.drop("uid-7", "a")
    assert ids.uids_of("default/7") == []


async def test_an_id_that_is_given_a_volume_for_another_claim_has_it_for_that_one(
    host: Host,
) -> None:
    ids = await host.ids()
    await ids.add(UID, "a", "default/before")
    await ids.add(UID, "a", "default/after")
    assert (ids.uids_of("default/before"), ids.uids_of("default/after")) == ([], [UID])


async def test_epochs_that_are_opened_at_once_are_different_ones(host: Host) -> None:
    ids = await host.ids()
    assert sorted(await asyncio.gather(*(ids.new_epoch() for _ in range(5)))) == [1, 2, 3, 4, 5]


async def test_users_age_through_a_restart_and_whatever_the_clock_is_set_to(host: Host) -> None:
    ids = await host.ids()
    await ids.add(UID, "a", KEY)
    host.clock.move(100)
    await ids.add(UID, "b", KEY)
    host.clock.set_back(86_400)
    host.clock.move(20)
    assert ids.ages_s(UID) == [120, 20]
    ids = await host.ids()
    host.clock.move(1)
    assert ids.ages_s(UID) == [121, 21]
    assert ids.ages_s(OTHER) == []


async def test_a_user_from_the_future_ages_from_the_start_of_the_agent(host: Host) -> None:
    await (await host.ids()).add(UID, "a", KEY)
    host.clock.start_anew()
    ids = await host.ids()
    assert ids.ages_s(UID) == [0]
    host.clock.move(150)
    assert ids.ages_s(UID) == [150]


async def test_a_user_who_is_given_the_path_again_is_young_again(host: Host) -> None:
    ids = await host.ids()
    await ids.add(UID, "a", KEY)
    host.clock.move(100)
    await ids.new_epoch()
    await ids.add(UID, "a", KEY)
    for one in (ids, await host.ids()):
        assert one.ages_s(UID) == [0]
        assert [user.epoch for user in one.of(UID)] == [1]


async def test_people_never_age(host: Host) -> None:
    ids = await host.ids()
    await ids.add(UID, BY_HAND, KEY)
    host.clock.move(1e6)
    assert ids.ages_s(UID) == [0]


HOSTILE = ["", ".", "..", "../../x", "/", "a/b", "a\0b", "a\nb", ".epoch", "ü\u202e", "x" * 5000]


@pytest.mark.parametrize("id_", HOSTILE)
async def test_no_id_gets_into_a_path(host: Host, id_: str) -> None:
    ids = await host.ids()
    await ids.add(UID, id_, KEY)
    name = host.files()[-1]
    assert re.fullmatch(f"{UID}/[0-9a-f]{{64}}", name)
    assert host.files() == [UID, name]
    ids = await host.ids()
    assert [user.id for user in ids.of(UID)] == [id_]
    await ids.drop(UID, id_)
    assert host.files() == []


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.text(max_size=400), unique=True, max_size=5))
def test_users_with_any_ids_are_kept_apart(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def told() -> None:
        host = Host(tmp_path_factory.mktemp("ids"))
        ids = await host.ids()
        for text in texts:
            await ids.add(UID, text, KEY)
        assert {user.id for user in (await host.ids()).of(UID)} == set(texts)
        for text in texts[:-1]:
            await ids.drop(UID, text)
        assert [user.id for user in (await host.ids()).of(UID)] == texts[-1:]

    asyncio.run(told())


@pytest.mark.parametrize("uid", ["", ".", "..", "../x", "a/b", ".epoch", "x" * 65])
async def test_a_uid_that_leads_elsewhere_is_refused(host: Host, uid: str) -> None:
    ids = await host.ids()
    for call in (ids.add(uid, "a", KEY), ids.drop(uid, "a"), ids.drop_all(uid)):
        with pytest.raises(BadVolumeUid):
            await call
    assert host.files() == []


async def test_calls_about_one_volume_that_come_at_once_are_all_done(host: Host) -> None:
    ids = await host.ids()
    names = [f"id-{number}" for number in range(20)]
    await asyncio.gather(*(ids.add(UID, name, KEY) for name in names))
    await asyncio.gather(*(ids.drop(UID, name) for name in names[1:]))
    assert [user.id for user in ids.of(UID)] == names[:1]
    assert (await host.ids()).of(UID) == ids.of(UID)


async def test_a_drop_after_an_add_that_was_given_up_leaves_nothing(host: Host) -> None:
    ids = await host.ids()
    adding = asyncio.create_task(ids.add(UID, "a", KEY))
    await asyncio.sleep(0)  # until it has begun
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    await ids.drop(UID, "a")
    assert (ids.of(UID), host.files()) == ([], [])


async def test_a_file_that_is_no_user_is_left_alone_and_said(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    ids = await host.ids()
    await ids.add(UID, "a", KEY)
    (host.state / "users" / UID / "stranger").write_text("{}")
    (host.state / "users" / ".epoch").write_text("many")
    ids = await host.ids()
    assert [user.id for user in ids.of(UID)] == ["a"]
    assert ids.epoch == 0
    assert "stranger is no user of a volume" in caplog.text
    assert "epochs are counted anew" in caplog.text
    await ids.drop(UID, "a")
    assert host.files() == [".epoch", UID, f"{UID}/stranger"]


async def test_a_disk_that_says_no_is_reported_and_the_user_is_not_there(host: Host) -> None:
    ids = await host.ids()
    (host.state / "users" / UID).write_text("in the way")
    with pytest.raises(PublishFailed):
        await ids.add(UID, "a", KEY)
    assert ids.of(UID) == []


def died_at(point: str, *arguments: str) -> bool:
    child = subprocess.run(
        [sys.executable, "-m", "tests.node.ids_child", *arguments],
        env={**os.environ, "MOORING_CRASH_AT": point},
        timeout=60,
        check=False,
    )
    return child.returncode == -signal.SIGKILL


IDS_POINTS = sorted(name for name in POINTS if name.startswith("ids."))


@pytest.mark.system
@pytest.mark.parametrize("point", IDS_POINTS)
async def test_killed_at_any_point_it_is_whole_when_it_is_asked_again(
    host: Host, point: str
) -> None:
    what = {"start": "void"}.get(point.split(".")[1], point.split(".")[1])
    ids = await host.ids()
    if what == "void":
        await ids.add(OTHER, "a", KEY)
    if what != "add":
        await ids.add(UID, "a", KEY)
    assert died_at(point, str(host.state), what, UID, "a")
    ids = await host.ids(host_is_new=what == "void")
    if what == "add":
        assert [user.id for user in ids.of(UID)] == ["a"] * (point == "ids.add.written")
        await ids.add(UID, "a", KEY)
        assert [user.id for user in (await host.ids()).of(UID)] == ["a"]
    elif what == "epoch":
        assert (ids.epoch, ids.uids()) == (1, [UID])
    else:
        assert ids.uids() == []
        await ids.drop(UID, "a")
        assert host.files() == []
