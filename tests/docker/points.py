"""The crash points of Mooring that a story passes."""

from typing import Final

import mooring.daemon.up  # noqa: F401  brings in all that declares points
from mooring.crashpoints import POINTS

# The story does not pass these; the tests that do are named in tests/system/test_crashes.py, and
# those of an Activate are beside the other deaths of dockerd and of hosts.
NOT_PASSED: Final = (
    "adopt.",
    "attach.taken-over",
    "attach.taking-over",
    "btrfs.",
    "directory.expand.",
    "directory.start.",
    "docker.activate.",
    "docker.capabilities.",
    "docker.path.",
    "backup.",
    "fill.",
    "repository.",
    "schedule.",
    "ids.epoch.",
    "ids.start.",
    "loopfile.",
    "modify.",
    "move.",
    "replica.",
    "nfs.",
    "provision.source-protected",
    "provision.taken-back",
    "reclaim.",
    "remote.",
    "resize.",
    "snapshot.",
    "snapshots.",
    "streams.",
)
PASSED: Final = sorted(point for point in POINTS if not point.startswith(NOT_PASSED))
