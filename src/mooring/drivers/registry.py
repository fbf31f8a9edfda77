"""The backends by name. A new one is its module and a line here."""

from collections.abc import Callable
from typing import Final, NamedTuple

from mooring.drivers.btrfs import BtrfsDriver
from mooring.drivers.directory import DirectoryDriver
from mooring.drivers.errors import NoSuchDriver
from mooring.drivers.interface import Driver, Features, Place
from mooring.drivers.loopfile import LoopfileDriver


class Backend(NamedTuple):
    """A driver before it is one of a pool."""

    at: Callable[[Place], Driver]
    features: Features


DRIVERS: Final[dict[str, Backend]] = {
    "directory.mooring.dev": Backend(DirectoryDriver.at, DirectoryDriver.features),
    "loopfile.mooring.dev": Backend(LoopfileDriver, LoopfileDriver.FEATURES),
    "btrfs.mooring.dev": Backend(BtrfsDriver.at, BtrfsDriver.features),
}


def driver_for(name: str, place: Place) -> Driver:
    """The driver of a pool, not started yet. Raises NoSuchDriver, BadPoolOption."""
    if name not in DRIVERS:
        raise NoSuchDriver(name, sorted(DRIVERS))
    return DRIVERS[name].at(place)


def features_of(name: str) -> Features | None:
    """What a driver can do, whatever pool it serves; None if it is none of ours."""
    return DRIVERS[name].features if name in DRIVERS else None
