"""When a session is ended: not while a disk of it is on its way to be mounted."""

import shutil
from pathlib import Path

import pytest

from mooring.host.iscsi import Target
from mooring.node import iscsi
from mooring.node.iscsi import IscsiSource, end_unused
from mooring.node.remote import RemotePlaces

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("iscsiadm") is None, reason="needs the program iscsiadm"),
]
IQN = "iqn.2026-01.dev.mooring:none"
TARGET = Target("127.0.0.1:3260", IQN)


def noted(places: RemotePlaces) -> Path:
    """A session that we are said to have begun; nothing of it is used."""
    iscsi._note(places, TARGET)
    (note,) = (places.root / iscsi.SESSIONS).iterdir()
    return note


@pytest.mark.parametrize("iqn", ["", IQN])
async def test_a_session_stays_until_nobody_is_about_to_use_it(tmp_path: Path, iqn: str) -> None:
    places = RemotePlaces(tmp_path)
    note = noted(places)
    with places.using(IQN):
        with places.using(IQN):
            await end_unused(places, iqn)
        await end_unused(places, iqn)
        await IscsiSource(places, "another", ("127.0.0.1:3260",), IQN, 1).release()
        assert note.exists()
    await end_unused(places, iqn)
    assert not note.exists()


async def test_one_of_another_target_keeps_none(tmp_path: Path) -> None:
    places = RemotePlaces(tmp_path)
    note = noted(places)
    with places.using(f"{IQN}-other"):
        await end_unused(places)
    assert not note.exists()
