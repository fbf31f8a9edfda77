"""Volumes of Docker from snapshots and from other volumes, while containers write to them."""

import json
import shutil
from typing import Any, Final, NamedTuple

import pytest

from tests.docker import images
from tests.docker.images import SHELL
from tests.docker.mooring import Mooring
from tests.docker.refusals import a_class, a_pool, applied, creating, running, told
from tests.docker.testbed import Bed, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]
SNAPSHOTS: Final = "snapshot.storage.k8s.io/v1"
SUM: Final = "cd /data && sha256sum fixed | cut -d' ' -f1"
# Each line is one write; a file that is cut at one moment has whole lines alone, in order.
WRITE: Final = "n=0; while true; do n=$((n+1)); echo $n >>/data/log; done"
IN_ORDER: Final = (
    "n=0; while read -r x; do n=$((n+1)); test $x = $n || exit 1; done </data/log; echo $n"
)


class Backing(NamedTuple):
    driver: str
    make: str
    options: dict[str, Any]


BACKINGS: Final = {
    "btrfs": Backing("btrfs.mooring.dev", "mkfs.btrfs", {}),
    "loopfile": Backing("loopfile.mooring.dev", "mkfs.xfs", {"loopfile": {"fsType": "ext4"}}),
}


@pytest.fixture(scope="module")
def moored(bed: Bed) -> Mooring:
    """With a pool of each kind, on a disk of its own, a class and a snapshot class of its name."""
    host = bed.host("here")
    host.up()
    for kind, backing in BACKINGS.items():
        if shutil.which(backing.make) is None:
            pytest.skip(f"needs the program {backing.make}")
        disk, image = host.place / kind, host.place / f"{kind}.image"
        disk.mkdir()
        with image.open("wb") as file:
            file.truncate(2 << 30)
        make = (backing.make, "-q", str(image))
        for command in (make, ("mount", "-o", "loop", str(image), str(disk))):
            done = host.run(*command)
            if done.code:
                pytest.skip(f"this host has no disk for {kind}: {done.err}")
    mooring = Mooring(host).start()
    host.dockerd()
    images.load(host)
    for kind, (driver, _, options) in BACKINGS.items():
        root = str(host.place / kind / "pool")
        applied(
            mooring,
            a_pool(kind, root, driver=driver, **options),
            a_class(kind, kind) | {"provisioner": driver},
            a_snapshot_class(kind, driver),
        )
    return mooring


@pytest.fixture(params=BACKINGS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def a_snapshot_class(name: str, driver: str) -> dict[str, Any]:
    return {
        "apiVersion": SNAPSHOTS,
        "kind": "VolumeSnapshotClass",
        "metadata": {"name": name},
        "driver": driver,
        "deletionPolicy": "Delete",
    }


def snapshot(mooring: Mooring, name: str, claim: str, class_: str) -> None:
    """Cut, and ready to use."""
    source = {"persistentVolumeClaimName": claim}
    spec = {"volumeSnapshotClassName": class_, "source": source}
    head = {"apiVersion": SNAPSHOTS, "kind": "VolumeSnapshot", "metadata": {"name": name}}
    applied(mooring, {**head, "spec": spec})

    def is_ready() -> bool:
        status = mooring.get("volumesnapshot", name).get("status") or {}
        return status.get("readyToUse") is True

    eventually(is_ready, f"snapshot {name} is ready")


def inside(mooring: Mooring, volume: str, command: str) -> str:
    """What a container says that has the volume."""
    return mooring.host.docker(*running(volume, "sh", "-c", command))


def test_a_volume_is_kept_while_a_container_writes_and_made_anew_twice(
    moored: Mooring, kind: str
) -> None:
    host, data = moored.host, f"data-{kind}"
    host.docker(*creating(data, f"class={kind}", "size=64Mi"))
    inside(moored, data, "head -c 8000000 /dev/urandom >/data/fixed && sync")
    fixed = inside(moored, data, SUM)
    host.docker("run", "-d", "--name", "writer", "-v", f"{data}:/data", SHELL, "sh", "-c", WRITE)
    eventually(lambda: "1" in host.docker("exec", "writer", "head", "-1", "/data/log"), "it writes")
    cut = f"cut-{kind}"
    snapshot(moored, cut, data, kind)
    restored, cloned = f"restored-{kind}", f"cloned-{kind}"
    host.docker(*creating(restored, f"from=snapshot:{cut}"))
    host.docker(*creating(cloned, f"from=volume:{data}", "size=100Mi"))
    host.docker("rm", "--force", "writer")
    counts = [int(inside(moored, one, IN_ORDER)) for one in (restored, cloned, data)]
    assert 0 < counts[0] <= counts[1] <= counts[2]
    for one in (restored, cloned):
        assert inside(moored, one, SUM) == fixed
    sizes = {
        one: moored.get("persistentvolumeclaim", one)["spec"]["resources"]["requests"]["storage"]
        for one in (restored, cloned)
    }
    assert sizes == {restored: "64Mi", cloned: "100Mi"}
    shown = host.docker("volume", "inspect", "--format", "{{json .Status}}", data)
    status = json.loads(shown)
    assert (status["snapshots"]["count"], status["snapshots"]["newest"] != "") == (1, True)
    # The volume first, then its snapshot; what was made from them lives on.
    host.docker("volume", "rm", data)
    host.docker(*creating(f"late-{kind}", f"from=snapshot:{cut}"))
    assert inside(moored, f"late-{kind}", SUM) == fixed
    moored.kubectl("delete", "volumesnapshot", cut)
    assert inside(moored, restored, SUM) == fixed
    host.docker("volume", "rm", restored, cloned, f"late-{kind}")
    root = moored.host.seen(str(moored.host.place / kind / "pool"))

    def left() -> list[str]:
        return [one.name for one in root.iterdir() if one.name != ".mooring-pool"]

    eventually(lambda: not left(), f"all is gone, not {left()}")


def test_what_a_pool_cannot_do_is_told_by_docker_and_by_the_snapshot(moored: Mooring) -> None:
    host = moored.host
    host.docker(*creating("plain"))
    done = host.try_docker(*creating("copy", "from=volume:plain"))
    told(done, "NotSupported", "from=volume:plain is not offered by class local")
    applied(moored, a_snapshot_class("plain", "directory.mooring.dev"))
    spec = {"volumeSnapshotClassName": "plain", "source": {"persistentVolumeClaimName": "plain"}}
    head = {"apiVersion": SNAPSHOTS, "kind": "VolumeSnapshot", "metadata": {"name": "plain"}}
    applied(moored, {**head, "spec": spec})

    def error() -> str:
        status = moored.get("volumesnapshot", "plain").get("status") or {}
        message: str = (status.get("error") or {}).get("message", "")
        return message

    eventually(lambda: "pool local of directory.mooring.dev offers no snapshots" in error(), "told")
    done = host.try_docker(*creating("copy", "from=snapshot:plain", "class=btrfs"))
    told(done, "NotSupported", "from=snapshot:plain is not offered by class btrfs")
    host.docker("volume", "rm", "plain")  # a snapshot that fails keeps no claim
    moored.kubectl("delete", "volumesnapshot", "plain")
