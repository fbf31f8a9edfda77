"""The hosts that tests stand on; where a machine cannot have them, the tests are skipped."""

import pytest

from testbed.hosts import (
    BEDS,
    CGROUPS,
    COMMAND_S,
    DEADLINE_S,
    Bed,
    Done,
    Host,
    a_bed,
    checked,
    clean_leftovers,
    done,
    eventually,
    lacking,
)

__all__ = [
    "BEDS",
    "CGROUPS",
    "COMMAND_S",
    "DEADLINE_S",
    "Bed",
    "Done",
    "Host",
    "a_bed",
    "checked",
    "clean_leftovers",
    "done",
    "eventually",
    "needs_hosts",
]

needs_hosts = pytest.mark.skipif(bool(lacking()), reason=lacking())
