"""Disks of iSCSI targets on this host, by the programs of open-iscsi and what the kernel shows."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from mooring.host import mounts
from mooring.host.errors import HostStuck, LoginFailed, ProgramFailed
from mooring.host.processes import checked, run

_CALL_DEADLINE_S: Final = 10.0  # of what asks nobody but the daemon of this host
_LOGIN_DEADLINE_S: Final = 20.0
_LOGIN_TRIES: Final = {  # by itself it would try for two minutes; whoever asked tries again
    "node.session.initial_login_retry_max": "1",
    "node.conn[0].timeo.login_timeout": "8",
    "node.startup": "manual",
}
# Exit statuses, iscsiadm(8).
_EXISTS: Final = 15
_NOTHING_FOUND: Final = 21
_SESSIONS: Final = Path("/sys/class/iscsi_session")


class Target(NamedTuple):
    """A target at one portal, by one interface of this host.

    portal  "address:port"
    """

    portal: str
    iqn: str
    interface: str = "default"

    @property
    def words(self) -> tuple[str, ...]:
        """Of iscsiadm, which names it."""
        return ("-m", "node", "-T", self.iqn, "-p", self.portal, "-I", self.interface)


class Disk(NamedTuple):
    """A block device.  name: as in /sys/block, device: as mountinfo has it"""

    name: str
    device: str

    @property
    def node(self) -> str:
        return f"/dev/{self.name}"


def has_session(iqn: str) -> bool:
    """Whether this host is logged in to a target, by whatever portal."""
    return any(_sessions(iqn))


def disks(iqn: str, lun: int | None = None) -> list[Disk]:
    """What the target shows this host: those of a number, or all."""
    found = []
    for session in _sessions(iqn):
        for block in session.glob("device/target*/*/block/*"):
            number = block.parent.parent.name.rpartition(":")[2]
            with suppress(OSError):  # it goes at this moment
                is_wanted = lun is None or number == str(lun)
                if is_wanted and os.path.exists(f"/dev/{block.name}"):
                    device = (block / "dev").read_text().strip()
                    found.append(Disk(block.name, device))
    return found


def is_held(disk: Disk) -> bool:
    """Whether something has it for itself, as a mount does. False if it is gone."""
    if any(one.device == disk.device for one in mounts.mount_table()):
        return True
    try:
        os.close(os.open(disk.node, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


async def login(target: Target, settings: Mapping[str, str]) -> None:
    """Be logged in to a target.

    settings  of the session, beside our own: for CHAP
    raises    LoginFailed, HostStuck, ProgramMissing
    """
    try:
        await checked("iscsiadm", *target.words, "-o", "new", deadline_s=_CALL_DEADLINE_S)
        for name, value in {**_LOGIN_TRIES, **settings}.items():
            update = ("-o", "update", "-n", name, "-v", value)
            await checked("iscsiadm", *target.words, *update, deadline_s=_CALL_DEADLINE_S)
        done = await run("iscsiadm", *target.words, "--login", deadline_s=_LOGIN_DEADLINE_S)
        if done.status not in (0, _EXISTS):
            raise LoginFailed(target.iqn, target.portal, done.message)
    except ProgramFailed as error:
        raise LoginFailed(target.iqn, target.portal, error.message) from error
    except HostStuck as error:
        raise LoginFailed(target.iqn, target.portal, "it does not answer") from error


async def logout(target: Target) -> None:
    """End the session and forget the target; not logged in is success. Raises ProgramFailed."""
    for words in (("--logout",), ("-o", "delete")):
        done = await run("iscsiadm", *target.words, *words, deadline_s=_LOGIN_DEADLINE_S)
        if done.status not in (0, _NOTHING_FOUND):
            raise ProgramFailed("iscsiadm", done.status, done.message)


def _sessions(iqn: str) -> Iterator[Path]:
    for session in _SESSIONS.glob("session*"):
        with suppress(OSError):
            if (session / "targetname").read_text().strip() == iqn:
                yield session
