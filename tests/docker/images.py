"""The images that tests run, as `testbed` makes them."""

from testbed.images import DATA, IN_DATA, SHELL, Owned, load

__all__ = ["DATA", "IN_DATA", "SHELL", "Owned", "load"]
