"""The hosts that tests stand on; where a machine cannot have them, the tests are skipped."""

import pytest

from testbed.hosts import (
    CGROUPS,
    COMMAND_S,
    DEADLINE_S,
    RUNS,
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
    "CGROUPS",
    "COMMAND_S",
    "DEADLINE_S",
    "RUNS",
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
