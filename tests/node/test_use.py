"""Who uses a volume of this host, and when it is let go. Docker volumes §3, §7, without Docker."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.errors import MooringError
from mooring.host import mounts
from mooring.model.attachment import Attachment
from mooring.model.names import MODE, OWNER, USED
from mooring.node.attachments import HolderUnreachable, attachment_name
from mooring.node.errors import BeingDeleted, ForOneContainer
from mooring.node.ids import BY_HAND
from mooring.node.use import StillUsed
from mooring.rules.use import KEPT_S
from tests.controllers.clocked import a_claim_doc
from tests.controllers.plant import CLAIMS, VOLUMES, a_pod_doc
from tests.host.privileges import needs_mounts
from tests.node.host_plant import HERE
from tests.node.test_mounting import KEY, MountPlant, a_directory
from tests.node.test_published import ended

ATTACHMENTS = Attachment.resource


class UsePlant(MountPlant):
    """Gives claims to users as Docker has them, by IDs."""

    def give(self, user: str = "one", key: str = KEY) -> Path:
        path = self._run(self.agent.users.give(key, user)).path
        self.settle()
        return path

    def take(self, user: str = "one", key: str = KEY) -> None:
        self._run(self.agent.users.take(key, user))
        self.settle()

    def sweep(self, after_s: float) -> None:
        """What is done each minute, so long after now."""
        self.clock.move(after_s)
        self._run(self.agent.users.sweep())
        self.settle()

    def users(self) -> list[str]:
        return sorted(one.id for one in self.agent.users.ids.all())

    def attachments(self) -> list[tuple[str, str, bool]]:
        found = self.objects.views(Attachment)
        return [(one.volume, one.node, one.is_attached) for one in found]

    def is_at_hand(self) -> bool:
        return bool(self.mounts())


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[UsePlant]:
    made = UsePlant(tmp_path)
    made.put(CLAIMS, a_claim_doc(class_="local"))
    yield made
    made.sweep(KEPT_S + 1)
    made.close()


def test_a_volume_that_is_given_is_attached_and_noted_as_used(plant: UsePlant) -> None:
    path = plant.give()
    assert plant.attachments() == [(plant.made().name, HERE, True)]
    assert plant.made().annotations[USED] == "true"
    assert plant.users() == ["one"]
    assert plant.give() == path
    assert plant.users() == ["one"]


def test_the_volume_stays_for_the_other_user_until_he_is_done_too(plant: UsePlant) -> None:
    plant.give("one")
    plant.give("two")
    plant.take("one")
    assert (plant.users(), plant.is_at_hand()) == (["two"], True)
    plant.take("two")
    assert (plant.users(), plant.is_at_hand(), plant.attachments()) == ([], False, [])


def test_what_is_given_back_by_nobody_is_let_go_once_its_id_is_old(plant: UsePlant) -> None:
    plant.give()
    plant.sweep(KEPT_S - 1)
    assert plant.is_at_hand()
    plant.sweep(2)
    assert (plant.users(), plant.is_at_hand(), plant.attachments()) == ([], False, [])


def test_a_mount_by_hand_stays_until_it_is_taken_away(plant: UsePlant) -> None:
    plant.mount()
    plant.sweep(10 * KEPT_S)
    assert plant.is_at_hand()
    assert plant.unmount() is not None
    assert (plant.is_at_hand(), plant.attachments()) == (False, [])


def test_a_mount_by_hand_is_not_taken_from_under_a_user(plant: UsePlant) -> None:
    plant.mount()
    plant.give()
    with pytest.raises(StillUsed, match="claim default/db is still used on here: ID one"):
        plant.unmount()
    assert plant.is_at_hand()
    plant.take()
    assert not plant.is_at_hand()


def test_data_is_not_deleted_under_a_container_that_is_being_started(plant: UsePlant) -> None:
    plant.give()
    plant.drop()
    assert (plant.users(), plant.is_at_hand(), len(plant.assets())) == (["one"], True, 1)
    plant.take()
    plant.pass_time(60)
    assert (plant.is_at_hand(), plant.assets(), plant.attachments()) == (False, [], [])


def test_a_user_of_a_claim_that_is_being_deleted_gets_it_again_and_nobody_else(
    plant: UsePlant,
) -> None:
    plant.put("pods", a_pod_doc("holder", "db", HERE))
    path = plant.give()
    plant.drop()
    assert plant.give() == path
    with pytest.raises(BeingDeleted):
        plant.give("another")
    plant.delete("pods", "default/holder")
    plant.take()


def test_a_claim_for_one_container_is_not_for_people_beside_it(plant: UsePlant) -> None:
    claim = a_claim_doc("single", class_="local")
    claim["spec"]["accessModes"] = ["ReadWriteOncePod"]
    plant.put(CLAIMS, claim)
    key = "default/single"
    for first, second, said in (("one", BY_HAND, "ID one"), (BY_HAND, "one", BY_HAND)):
        path = plant.give(first, key)
        with pytest.raises(
            ForOneContainer, match=f"{key} is for one container, and {said} on here"
        ):
            plant.give(second, key)
        assert (plant.users(), plant.give(first, key)) == ([first], path)
        plant.take(first, key)
        assert not plant.is_at_hand()


def test_an_unmount_that_nobody_asked_for_is_success(plant: UsePlant) -> None:
    plant.take("never seen")
    plant.take("never seen", "default/nor-this")


def test_an_id_is_any_text(plant: UsePlant) -> None:
    hostile = "../../" + "x" * 1000 + "\0\n"
    plant.give(hostile)
    plant.restart()
    assert plant.users() == [hostile]
    plant.take(hostile)
    assert not plant.is_at_hand()


@needs_mounts
def test_after_a_restart_users_have_what_they_had(plant: UsePlant) -> None:
    path = plant.give()
    (path / "file").write_text("kept")
    plant.restart()
    assert (plant.users(), plant.is_at_hand()) == (["one"], True)
    assert plant.attachments() == [(plant.made().name, HERE, True)]
    assert (path / "file").read_text() == "kept"
    plant.take()
    assert (plant.is_at_hand(), plant.attachments()) == (False, [])


@needs_mounts
def test_after_a_reboot_nobody_has_anything(plant: UsePlant) -> None:
    plant.give("one")
    plant.mount()

    def unmounted() -> None:
        for path in reversed(plant.paths()):
            mounts.unmount(path)

    plant.restart(unmounted)
    assert (plant.users(), plant.is_at_hand(), plant.attachments()) == ([], False, [])


# In a process that gave up its rights, so that a volume's own path is lent.
LENT_SCRIPT = """
import sys
from pathlib import Path
from tests.controllers.clocked import a_claim_doc
from tests.controllers.plant import CLAIMS
from tests.node.test_use import UsePlant

plant = UsePlant(Path(sys.argv[1]))
plant.put(CLAIMS, a_claim_doc(class_="local"))
mounted = plant.mount()
assert mounted.note, mounted
plant.give("one")
plant.restart()
assert plant.mounts() == [mounted], plant.mounts()
assert plant.users() == ["mooring mount", "one"], plant.users()
plant.take("one")
assert plant.unmount() == mounted
assert (plant.users(), plant.attachments()) == ([], [])
plant.close()
print("done")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give up its rights")
def test_users_of_a_lent_volume_have_it_after_a_restart(tmp_path: Path) -> None:
    child = ended(
        *("-c", LENT_SCRIPT, str(tmp_path)),
        before=("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"),
    )
    assert (child.stdout, child.stderr) == ("done\n", "")


def an_attachment(volume: str, node: str, *, one_host: bool) -> dict[str, Any]:
    return {
        "metadata": {"name": attachment_name(volume, "" if one_host else node)},
        "spec": {
            "attacher": "directory.mooring.dev",
            "nodeName": node,
            "source": {"persistentVolumeName": volume},
        },
    }


def test_a_volume_that_another_host_has_is_refused_and_left_alone(plant: UsePlant) -> None:
    plant.settle()
    volume = plant.made().name
    plant.put(ATTACHMENTS, an_attachment(volume, "elsewhere", one_host=True))
    # Nobody has ever heard of that host, so nobody knows whether it writes.
    with pytest.raises(HolderUnreachable, match=f"volume {volume} of default/db is held by elsewh"):
        plant.give()
    plant.settle()
    assert plant.attachments() == [(volume, "elsewhere", False)]
    assert (plant.users(), plant.is_at_hand()) == ([], False)


def test_a_volume_of_many_hosts_is_attached_to_each(plant: UsePlant, tmp_path: Path) -> None:
    shared = a_directory("v1", tmp_path / "v1", accessModes=["ReadWriteMany"])
    plant.put(VOLUMES, shared)
    claim = a_claim_doc("many", class_="")
    claim["spec"]["accessModes"] = ["ReadWriteMany"]
    plant.put(CLAIMS, claim)
    plant.put(ATTACHMENTS, an_attachment("v1", "elsewhere", one_host=False))
    plant.give(key="default/many")
    assert sorted(plant.attachments()) == [("v1", "elsewhere", False), ("v1", HERE, True)]
    plant.take(key="default/many")
    assert plant.attachments() == [("v1", "elsewhere", False)]


def test_a_mount_that_fails_leaves_nothing(plant: UsePlant, tmp_path: Path) -> None:
    plant.put(VOLUMES, a_directory("v1", tmp_path / "v1"))
    plant.put(CLAIMS, a_claim_doc("gone", class_=""))
    (tmp_path / "v1").rmdir()
    with pytest.raises(MooringError, match="there is no"):
        plant.give(key="default/gone")
    plant.settle()
    assert (plant.users(), plant.is_at_hand(), plant.attachments()) == ([], False, [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_new_volume_belongs_to_whom_its_claim_says(plant: UsePlant) -> None:
    claim = a_claim_doc("owned", class_="local")
    claim["metadata"]["annotations"] = {OWNER: "1000:2000", MODE: "2750"}
    plant.put(CLAIMS, claim)
    found = plant.give(key="default/owned").stat()
    assert (found.st_uid, found.st_gid, oct(found.st_mode & 0o7777)) == (1000, 2000, "0o2750")
    plant.take(key="default/owned")


@pytest.mark.parametrize("owner", ["", "root:root", "1:", "-1:0", "99999999999:0", "4294967295:0"])
def test_an_owner_that_is_none_is_not_asked_for(plant: UsePlant, owner: str) -> None:
    claim = a_claim_doc("owned", class_="local")
    claim["metadata"]["annotations"] = {OWNER: owner}
    plant.put(CLAIMS, claim)
    assert plant.give(key="default/owned").stat().st_uid == os.geteuid()
    plant.take(key="default/owned")


def test_what_is_in_use_here_is_found_without_a_look_at_other_hosts(plant: UsePlant) -> None:
    for number in range(3):
        there = an_attachment(f"v{number}", "elsewhere", one_host=True)
        plant.put(ATTACHMENTS, there)
    plant.give()
    attachments = plant.agent.users.attachments
    assert [one.volume for one in attachments.here()] == [plant.made().name]
    shelf = plant.objects.cache.shelves[ATTACHMENTS]
    for entry in shelf.entries():
        entry.seen = None
    assert [one.volume for one in attachments.here()] == [plant.made().name]
    assert sum(one.seen is None for one in shelf.entries()) == 3
    plant.take()
    assert attachments.here() == []
