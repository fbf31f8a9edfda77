"""A virtual machine with a kernel of Debian's own: for what the kernel of this machine has not.

It sees this machine's files as they are when it starts, and writes to none of them: what it writes
is in its memory, and gone with it. Its processor is emulated, so that it boots wherever qemu runs;
what it computes takes some ten times as long as here.
"""

import gzip
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from testbed.hosts import checked

ROOT: Final = Path(__file__).parent.parent
KERNELS: Final = ROOT / ".tools/vm"
MEMORY_MIB: Final = 1280
DISK_BYTES: Final = 8 << 30  # sparse
FETCH_S: Final = 600.0
SAID_AT_MOST: Final = 20_000  # characters that are shown of what a machine said
# Loaded first, each after what it needs; all others by whoever asks for them later.
FIRST_MODULES: Final = (
    *("crc32c_generic", "virtio_pci", "virtio_blk", "9p", "9pnet_virtio", "overlay"),
)
# Process 1 until the machine's own files are there.
INIT: Final = """#!/bin/busybox sh
busybox mkdir -p /proc /sys /dev /lower /upper /new
busybox mount -t proc proc /proc && busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
while read -r module; do busybox insmod "/modules/$module"; done </order
how=trans=virtio,version=9p2000.L,msize=262144
busybox mount -t 9p -o $how,ro,cache=loose root /lower
busybox mount -t tmpfs -o size=80% upper /upper && busybox mkdir /upper/files /upper/work
busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work vm /new
for one in proc sys dev; do busybox mount --move /$one /new/$one; done
busybox mount -t tmpfs run /new/run && busybox mkdir /new/run/vm
busybox mount -t 9p -o $how share /new/run/vm
exec busybox switch_root /new /bin/bash /run/vm/start
"""
# Process 1 then. The exit status is written in any case, and the machine ends.
START: Final = """
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mkdir -p "/lib/modules/$(uname -r)" && mount --bind {modules} "/lib/modules/$(uname -r)"
command -v modprobe >/dev/null || ln -s "$(command -v busybox)" /usr/sbin/modprobe
mkdir -p /dev/shm /dev/pts && mount -t tmpfs shm /dev/shm && mount -t devpts devpts /dev/pts
ip link set lo up
hostname vm
cd {root}
(bash -eu /run/vm/script) >/run/vm/said 2>&1 </dev/null
echo $? >/run/vm/code
echo o >/proc/sysrq-trigger
sleep 60
"""


class Ended(NamedTuple):
    """What came of a script: its exit status, and all that it said."""

    code: int
    said: str


@cache
def lacking() -> str:
    """The first thing that this machine lacks for virtual machines, or empty."""
    if os.geteuid() != 0:
        return "virtual machines that see this machine's files need root"
    if platform.machine() != "x86_64":
        return "virtual machines are made for x86_64 only"
    for program in ("qemu-system-x86_64", "busybox", "dpkg", "apt-get"):
        if shutil.which(program) is None:
            return f"there is no {program} (`make programs` as root brings it on Debian)"
    return "" if _package() else "apt-get knows of no kernel (linux-image-amd64)"


def run(script: str, *, deadline_s: float, memory_mib: int = MEMORY_MIB) -> Ended:
    """Run a script of bash in a machine of its own, as root, with an empty disk /dev/vda.

    raises  AssertionError: it did not end in time, or not by itself; with what it said last
    """
    kernel = _kernel()
    with tempfile.TemporaryDirectory(prefix="vm-") as name:
        place = Path(name)
        share = place / "share"
        share.mkdir()
        (share / "script").write_text(script)
        paths = {"modules": _modules(kernel), "root": ROOT}
        quoted = {key: shlex.quote(str(path)) for key, path in paths.items()}
        (share / "start").write_text(START.format(**quoted))
        with (place / "disk").open("wb") as disk:
            disk.truncate(DISK_BYTES)
        _pack_initramfs(kernel, place)
        try:
            _boot(kernel, place, memory_mib, deadline_s)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
            raise AssertionError(f"the machine did not end well: {error}; {_last(place)}") from None
        if not (share / "code").exists():
            raise AssertionError(f"the machine ended too early; {_last(place)}")
        code = int((share / "code").read_text())
        return Ended(code, (share / "said").read_text(errors="replace"))


def _boot(kernel: Path, place: Path, memory_mib: int, deadline_s: float) -> None:
    how = "console=ttyS0 panic=-1 quiet mitigations=off net.ifnames=0"
    share = "security_model=none,multidevs=remap"
    subprocess.run(
        [
            *("qemu-system-x86_64", "-accel", "tcg,tb-size=256", "-cpu", "max", "-smp", "2"),
            *("-m", str(memory_mib), "-display", "none", "-no-reboot", "-nic", "none"),
            *("-serial", f"file:{place / 'console'}"),
            *("-kernel", str(next((kernel / "boot").glob("vmlinuz-*")))),
            *("-initrd", str(place / "initramfs"), "-append", how),
            *("-virtfs", f"local,path=/,mount_tag=root,readonly=on,{share}"),
            *("-virtfs", f"local,path={place / 'share'},mount_tag=share,{share}"),
            *("-drive", f"file={place / 'disk'},if=virtio,format=raw,cache=unsafe"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=deadline_s,
        check=True,
    )


def _last(place: Path) -> str:
    """What the machine said before it ended, and what its kernel did."""
    found = []
    for file in (place / "share/said", place / "console"):
        if file.exists():
            found.append(f"{file.name}:\n{file.read_text(errors='replace')[-SAID_AT_MOST:]}")
    return "\n".join(found) or "it said nothing"


@cache
def _package() -> str:
    """The package of the kernel that Debian has now, "" if none is known."""
    listed = subprocess.run(
        ["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True
    )
    found = re.search(r"Depends: (linux-image-\S+)", listed.stdout)
    return found[1] if found else ""


def _kernel() -> Path:
    """Its files, downloaded once: whole or not at all."""
    made = KERNELS / _package()
    if not made.exists():
        KERNELS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=KERNELS) as name:
            part = Path(name)
            part.chmod(0o755)
            subprocess.run(
                ["apt-get", "download", "-qq", _package()],
                cwd=part, capture_output=True, timeout=FETCH_S, check=True,
            )  # fmt: skip
            (package,) = part.glob("*.deb")
            checked(["dpkg", "-x", str(package), str(part / "files")])
            release = _modules(part / "files").name
            checked(["busybox", "depmod", "-b", str(part / "files"), release])
            if not made.exists():
                (part / "files").rename(made)
    return made.resolve()


def _modules(kernel: Path) -> Path:
    (found,) = (kernel / "lib/modules").iterdir()
    return found


def _pack_initramfs(kernel: Path, place: Path) -> None:
    """What the machine needs until it sees the files of this one."""
    files, modules = place / "files", _modules(kernel)
    (files / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "", files / "bin/busybox")
    (files / "bin/sh").symlink_to("busybox")
    (files / "init").write_text(INIT)
    (files / "init").chmod(0o755)
    order = _in_order(modules)
    (files / "order").write_text("".join(f"{one}\n" for one in order))
    for one in order:
        (files / "modules" / one).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(modules / one, files / "modules" / one)
    packed = subprocess.run(
        ["busybox", "cpio", "-o", "-H", "newc"],
        input="\n".join(str(one.relative_to(files)) for one in sorted(files.rglob("*"))).encode(),
        cwd=files, capture_output=True, check=True,
    )  # fmt: skip
    (place / "initramfs").write_bytes(gzip.compress(packed.stdout, 1))


def _in_order(modules: Path) -> list[str]:
    """The first modules, each after what it needs, as files below the directory of modules."""
    needs, files = {}, {}
    for line in (modules / "modules.dep").read_text().splitlines():
        file, _, others = line.partition(":")
        needs[file] = others.split()
        files[Path(file).name.partition(".")[0].replace("-", "_")] = file
    found: list[str] = []
    for name in FIRST_MODULES:
        # Each after all that it needs: these are named with the nearest first.
        for one in (*reversed(needs[files[name]]), files[name]):
            if one not in found:
                found.append(one)
    return found
