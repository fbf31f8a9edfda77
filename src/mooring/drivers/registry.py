"""The backends by name. A new one is its module and a line here."""

from collections.abc import Callable
from typing import Final, NamedTuple

from mooring.drivers.btrfs import BtrfsDriver
from mooring.drivers.directory import DirectoryDriver
from mooring.drivers.errors import NoSuchDriver
from mooring.drivers.interface import Driver, Features, Place
from mooring.drivers.loopfile import LoopfileDriver
from mooring.drivers.nfs import NfsDriver
from mooring.model.names import BTRFS_DRIVER, DIRECTORY_DRIVER, LOOPFILE_DRIVER, NFS_DRIVER


class Backend(NamedTuple):
    """A driver before it is one of a pool."""

    at: Callable[[Place], Driver]
    features: Features


DRIVERS: Final[dict[str, Backend]] = {
    DIRECTORY_DRIVER: Backend(DirectoryDriver.at, DirectoryDriver.features),
    LOOPFILE_DRIVER: Backend(LoopfileDriver, LoopfileDriver.FEATURES),
    BTRFS_DRIVER: Backend(BtrfsDriver.at, BtrfsDriver.features),
    NFS_DRIVER: Backend(NfsDriver.at, NfsDriver.features),
}


def driver_for(name: str, place: Place) -> Driver:
    """The driver of a pool, not started yet. Raises NoSuchDriver, BadPoolOption."""
    if name not in DRIVERS:
        raise NoSuchDriver(name, sorted(DRIVERS))
    return DRIVERS[name].at(place)


def features_of(name: str) -> Features | None:
    """What a driver can do, whatever pool it serves; None if it is none of ours."""
    return DRIVERS[name].features if name in DRIVERS else None
