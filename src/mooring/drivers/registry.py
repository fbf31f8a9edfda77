"""The backends by name. A new one is its module and a line here."""

from collections.abc import Callable, Mapping
from typing import Final

from mooring.drivers.directory import DirectoryDriver
from mooring.drivers.errors import NoSuchDriver
from mooring.drivers.interface import Driver, Place

DRIVERS: Final[Mapping[str, Callable[[Place], Driver]]] = {
    "directory.mooring.dev": DirectoryDriver.at,
}


def driver_for(name: str, place: Place) -> Driver:
    """The driver of a pool, not started yet. Raises NoSuchDriver, BadPoolOption."""
    if name not in DRIVERS:
        raise NoSuchDriver(name, sorted(DRIVERS))
    return DRIVERS[name](place)
