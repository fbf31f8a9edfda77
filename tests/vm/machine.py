"""What runs in a virtual machine: this project's own tests, with servers beside them."""

import shutil
from collections.abc import Sequence

import pytest

from testbed import vms

# An NFS server on what is empty, and tests that have their places there. The root of the machine
# cannot be exported, so the disk is the root of all exports.
NFS_SERVER = """
modprobe loop
modprobe nfsd
modprobe nfsv4
mkdir -p /srv/nfs /run/rpc_pipefs /var/lib/nfs/v4recovery
mkfs.ext4 -q /dev/vda && mount /dev/vda /srv/nfs
mount -t nfsd nfsd /proc/fs/nfsd
touch /var/lib/nfs/etab /var/lib/nfs/rmtab
echo "/srv/nfs 127.0.0.1(rw,no_root_squash,no_subtree_check,fsid=0,crossmnt)" >/etc/exports
exportfs -ra
rpc.nfsd --no-nfs-version 3 4
rpc.mountd --no-nfs-version 3
export MOORING_TEST_NFS_ROOT=/srv/nfs PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=$PWD/src:$PWD
"""
# A target daemon and the daemon of this host, each with no target yet.
ISCSI_SERVER = """
for module in loop iscsi_tcp sd_mod xfs; do modprobe $module; done
mkdir -p /run/lock/iscsi /srv/nfs
mkfs.ext4 -q /dev/vda && mount /dev/vda /srv/nfs
echo InitiatorName=iqn.2026-01.dev.mooring:host >/etc/iscsi/initiatorname.iscsi
rm -rf /etc/iscsi/nodes /etc/iscsi/send_targets
iscsid
tgtd
until tgtadm --lld iscsi --mode sys --op show >/dev/null 2>&1; do :; done
export MOORING_TEST_ISCSI=1 PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=$PWD/src:$PWD
"""
# A kernel in which the mesh of a swarm works, and a disk for what Docker keeps. A network that
# Docker makes forwards if the first one of the machine does.
MESH = """
for module in overlay br_netfilter veth vxlan ip_vs ip_vs_rr xt_ipvs xt_mark xt_nat xt_MASQUERADE \\
    xt_REDIRECT xt_addrtype xt_conntrack xt_tcpudp nft_compat nft_chain_nat nft_ct nft_masq; do
    modprobe $module
done
echo 1 >/proc/sys/net/ipv4/ip_forward
mkdir -p /srv/nfs && mkfs.ext4 -q /dev/vda && mount /dev/vda /srv/nfs
mount -t tmpfs groups /sys/fs/cgroup
for group in cpu,cpuacct cpuset memory pids blkio devices freezer net_cls,net_prio; do
    mkdir /sys/fs/cgroup/$group && mount -t cgroup -o $group group /sys/fs/cgroup/$group
done
mkdir /sys/fs/cgroup/systemd && mount -t cgroup -o none,name=systemd group /sys/fs/cgroup/systemd
export MOORING_TEST_MESH=1 MOORING_TEST_SLOWNESS=5 TMPDIR=/srv/nfs PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=$PWD/src:$PWD
"""
TESTS = """
.venv/bin/pytest -p no:cacheprovider -o faulthandler_timeout=0 -n0 -rs --durations=5 \\
    --basetemp=/srv/nfs/tests {}
"""


ISCSI_PROGRAMS = ("iscsiadm", "iscsid", "tgtd", "tgtadm")
MESH_PROGRAMS = ("dockerd", "docker", "haproxy", "nginx", "curl")
NFS_PROGRAMS = ("mount.nfs", "rpc.nfsd", "rpc.mountd", "exportfs")


def _lacking(programs: Sequence[str]) -> str:
    """The first thing that this machine lacks, or empty."""
    for program in programs:
        if shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
            return f"there is no {program} (`make programs` as root brings it on Debian)"
    return vms.lacking()


def tested(
    servers: str, tests: str, *, needs: Sequence[str], deadline_s: float, memory_mib: int
) -> str:
    """Run tests in a machine; all of them must pass. Returns what was said, and prints it.

    servers  a script that starts what they need; needs  its programs, else the test is skipped
    """
    if why := _lacking(needs):
        pytest.skip(why)
    ended = vms.run(servers + TESTS.format(tests), deadline_s=deadline_s, memory_mib=memory_mib)
    print(ended.said[-vms.SAID_AT_MOST :])
    if ended.code:
        pytest.fail(f"in the machine it ended with {ended.code}; what it said is above")
    return ended.said
