"""Tests that need what the kernel here has not, in machines. They print what was done there."""

import pytest

from tests.vm.machine import (
    ISCSI_PROGRAMS,
    ISCSI_SERVER,
    NFS_PROGRAMS,
    NFS_SERVER,
    tested,
)

pytestmark = pytest.mark.slow
DEADLINE_S = 1200


def test_the_nfs_driver_keeps_the_contract_of_all_drivers() -> None:
    tests = "tests/conformance/test_drivers.py -k nfs.mooring"
    said = tested(NFS_SERVER, tests, needs=NFS_PROGRAMS, deadline_s=DEADLINE_S)
    assert "needs an NFS server" not in said


def test_exports_are_mounted_and_let_go() -> None:
    tests = "tests/vm/test_nfs.py tests/vm/test_whole.py"
    said = tested(NFS_SERVER, tests, needs=NFS_PROGRAMS, deadline_s=DEADLINE_S)
    assert "skipped" not in said


def test_disks_of_targets_are_mounted_and_let_go() -> None:
    tests = "tests/vm/test_iscsi.py"
    said = tested(ISCSI_SERVER, tests, needs=ISCSI_PROGRAMS, deadline_s=DEADLINE_S)
    assert "skipped" not in said
