"""Tests that need what the kernel here has not, in machines. They print what was done there."""

import pytest

from testbed import vms
from tests.vm.machine import (
    ISCSI_PROGRAMS,
    ISCSI_SERVER,
    MESH,
    MESH_PROGRAMS,
    NFS_PROGRAMS,
    NFS_SERVER,
    tested,
)

pytestmark = pytest.mark.slow
USUAL = {"deadline_s": 1200, "memory_mib": vms.MEMORY_MIB}
LARGE = {"deadline_s": 3600, "memory_mib": 4096}


def test_the_nfs_driver_keeps_the_contract_of_all_drivers() -> None:
    tests = "tests/conformance/test_drivers.py -k nfs.mooring"
    said = tested(NFS_SERVER, tests, needs=NFS_PROGRAMS, **USUAL)
    assert "needs an NFS server" not in said


def test_exports_are_mounted_and_let_go() -> None:
    tests = "tests/vm/test_nfs.py tests/vm/test_whole.py"
    said = tested(NFS_SERVER, tests, needs=NFS_PROGRAMS, **USUAL)
    assert "skipped" not in said


def test_disks_of_targets_are_mounted_and_let_go() -> None:
    tests = "tests/vm/test_iscsi.py"
    said = tested(ISCSI_SERVER, tests, needs=ISCSI_PROGRAMS, **USUAL)
    assert "skipped" not in said


def test_entries_before_the_mesh_of_a_swarm_lose_nothing() -> None:
    tests = "-s tests/edge/test_mesh.py"
    said = tested(MESH, tests, needs=MESH_PROGRAMS, **LARGE)
    assert "skipped" not in said
