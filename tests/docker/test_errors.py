"""Each refusal as the docker command prints it: which volume, where, and what would help.

Docker volumes §4 to §10 and §13. A refusal leaves nothing behind.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Final

import pytest

import mooring.dockerplugin.errors
import mooring.drivers.errors
import mooring.node.attachments
import mooring.node.errors
import mooring.node.snapshot_errors
from mooring.errors import MooringError
from mooring.node.attachments import attachment_name
from tests.docker import images
from tests.docker.images import SHELL
from tests.docker.mooring import Mooring
from tests.docker.refusals import (
    REACHED,
    a_claim,
    a_class,
    a_pool,
    a_volume,
    applied,
    creating,
    reaches,
    refused,
    running,
    told,
)
from tests.docker.testbed import Bed, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]
CLAIM: Final = "persistentvolumeclaim"

# What is wrong with a name or an option alone: the name, the options, words that the text has.
ASKED_WRONGLY: Final[dict[str, tuple[str, list[str], list[str]]]] = {
    "BadName": ("../../etc", [], ["volume ../../etc", "a letter or digit first"]),
    "NamespaceNotAllowed": ("closed/data", [], ["volume closed/data", "it may default, ghost"]),
    "UnknownOption": (
        "data",
        ["Size=1Gi"],
        ["volume data", "did you mean size?", "label.KEY, fresh"],
    ),
    "BadSize": ("data", ["size=10GB"], ["volume data", "say 10Gi or 10G"]),
    "BadAccess": ("data", ["access=rw"], ["volume data", "rwo, rox, rwx, rwop"]),
    "BadReclaim": ("data", ["reclaim=keep"], ["volume data", "neither retain nor delete"]),
    "BadOwner": ("data", ["uid=root"], ["volume data", "names are not looked up"]),
    "BadMode": ("data", ["mode=0999"], ["volume data", "such as 0755"]),
    "BadLabel": ("data", ["label.-=x"], ["volume data", "label.app=db"]),
    "BadFlag": ("data", ["fresh=yes"], ["volume data", "fresh=true"]),
    "BadOptions": ("data", ["size=1", "mode=9"], ["volume data", "BadSize: ", "BadMode: "]),
    "TooManyOptions": (
        "data",
        [f"label.l{n}=" for n in range(65)],
        ["volume data", "64 are allowed"],
    ),
    "OptionTooLong": (
        "data",
        [f"class={'c' * 4097}"],
        ["volume data", "option class is longer than"],
    ),
    "NoSuchClass": ("data", ["class=none"], ["volume data", "there are local"]),
    "NotSupported": ("data", ["access=rwx"], ["volume data", "class local; say one of rwo, rwop"]),
    "NoSuchSource": ("data", ["from=monday"], ["volume data", "snapshot:NAME or volume:NAME"]),
    "NoSuchVolume": ("data", ["volume=none"], ["volume data", "kubectl get pv"]),
}
REACHED.update(ASKED_WRONGLY)

# Codes of these rooms that no docker command on one host is answered with.
NOT_DOCKERS: Final = {
    "OptionsConflict": "dockerd asks whether the volume exists, and then says yes by itself",
    "UnknownVolume": "dockerd takes it as no, and says so in its own words",
    "BadRequest": "dockerd sends what can be read: test_hostile.py",
    "NoSuchCall": "likewise",
    "TookTooLong": "needs a backend that hangs",
    "Internal": "a fault of ours",
    "AlreadyServed": "said when Mooring starts",
    "SocketUnusable": "likewise",
    "BadVolumeUid": "uids are made by the API",
    "PoolUnreachable": "needs an NFS server: tests/vm/test_nfs.py",
    "BadSource": "of static volumes of servers: tests/vm/test_nfs.py, test_iscsi.py",
    "BadMountOption": "likewise",
    "SecretMissing": "needs a host with iSCSI",
    "NoDisk": "needs an iSCSI target: tests/vm/test_iscsi.py",
    "OtherFileSystem": "likewise",
    "DiskUnreadable": "needs a disk with errors: tests/node/test_iscsi_disks.py",
    "NotReadOnly": "only without root's rights",
    "PublishFailed": "needs a broken disk",
    "PoolFailed": "likewise",
    "AssetOfAnother": "an event of the volume, when it is deleted",
    "PoolGone": "likewise",
    "InUse": "likewise",
    "BadPoolOption": "the reason in a ProvisioningFailed",
    "NoSuchDriver": "likewise",
    "SizeMismatch": "likewise",
    "NoSuchSnapshot": "the reason in a ProvisioningFailed",
    "BadSnapshotHandle": "an event of the content, and in status.error",
    "SnapshotOfAnother": "likewise",
    "InvalidArgument": "Docker names no VolumeAttributesClass",
    "NoSuchAttributesClass": "likewise",
    "GrowsLater": "Docker grows no volume",
}


@pytest.fixture(scope="module")
def moored(bed: Bed) -> Mooring:
    """Docker reaches a namespace that is not there."""
    host = bed.host("here")
    host.up()
    mooring = Mooring(host, "--docker-namespaces", "ghost").start()
    host.dockerd()
    images.load(host)
    return mooring


@pytest.fixture(scope="module")
def removing(moored: Mooring) -> Popen[bytes]:
    """`docker volume rm held`, which waits for as long as such a call may. It begins early."""
    moored.host.docker(*creating("held"))
    finalizers = '{"metadata": {"finalizers": ["example.com/hold"]}}'
    moored.kubectl("patch", CLAIM, "held", "--patch", finalizers)
    host = moored.host
    return host.popen("docker", "volume", "rm", "held", log="removing.log", **host.environment)


def bound(moored: Mooring, name: str, *options: str) -> str:
    """A volume that Docker created. Returns the name of its PersistentVolume."""
    moored.host.docker(*creating(name, *options))
    found: str = moored.volume(name)["metadata"]["name"]
    return found


@contextmanager
def away(path: Path) -> Iterator[None]:
    """Something is not where it was."""
    hidden = path.with_name(f".{path.name}-away")
    path.rename(hidden)
    try:
        yield
    finally:
        hidden.rename(path)


def test_every_code_is_reached_or_it_is_said_why_not() -> None:
    rooms = (
        mooring.dockerplugin.errors,
        mooring.drivers.errors,
        mooring.node.attachments,
        mooring.node.errors,
        mooring.node.snapshot_errors,
    )
    codes = {
        one.code
        for room in rooms
        for _, one in inspect.getmembers(room, inspect.isclass)
        if issubclass(one, MooringError) and one.__module__ == room.__name__
    }
    assert sorted(REACHED & NOT_DOCKERS.keys()) == []
    assert sorted(codes) == sorted(REACHED | NOT_DOCKERS.keys())


def test_the_manual_tells_what_every_code_means() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "docker.md").read_text()
    assert sorted(code for code in REACHED if f"`{code}`" not in manual) == []


# Creating a volume


@reaches("SourceNotReady", "SizeTooSmall")
def test_a_source_that_has_no_data_yet_or_more_than_fits_is_told(
    moored: Mooring, removing: Popen[bytes]
) -> None:
    """Of a driver that can clone; its pool is never reached."""
    driver = "loopfile.mooring.dev"
    class_ = a_class("cloning", "nowhere") | {"provisioner": driver}
    csi = {"driver": driver, "volumeHandle": "large"}
    volume = a_volume("large", capacity={"storage": "2Gi"}, storageClassName="cloning", csi=csi)
    more, asked = ({"requests": {"storage": size}} for size in ("5Gi", "2Gi"))
    waiting = a_claim("waiting", storageClassName="cloning", resources=more)
    large = a_claim("large", storageClassName="cloning", volumeName="large", resources=asked)
    applied(moored, class_, volume, waiting, large)
    eventually(
        lambda: moored.get(CLAIM, "large")["status"].get("phase") == "Bound", "large is Bound"
    )
    early = creating("data", "from=volume:waiting")
    refused(moored, "SourceNotReady", early, "source claim default/waiting is not Bound")
    small = creating("data", "from=volume:large", "size=1Gi")
    refused(moored, "SizeTooSmall", small, "does not fit into 1Gi, it needs 2Gi", "size=2Gi")
    moored.kubectl("delete", CLAIM, "waiting", "large")
    moored.kubectl("delete", "persistentvolume/large", "storageclass/cloning")


@pytest.mark.parametrize("code", ASKED_WRONGLY)
def test_what_is_asked_wrongly_is_told_and_nothing_is_made(
    moored: Mooring, removing: Popen[bytes], code: str
) -> None:
    name, options, words = ASKED_WRONGLY[code]
    refused(moored, code, creating(name, *options), *words)


@reaches("NameTaken")
def test_two_names_of_one_claim(moored: Mooring) -> None:
    moored.host.docker(*creating("My_Data"))
    (claim,) = (one for one in moored.names("persistentvolumeclaims") if one.startswith("my-data-"))
    refused(moored, "NameTaken", creating(claim), f"default/{claim}", "use My_Data")


@reaches("NoDefaultClass")
def test_no_default_class(moored: Mooring) -> None:
    default = "storageclass.kubernetes.io/is-default-class"
    annotate = ("annotate", "storageclass", "local", "--overwrite")
    moored.kubectl(*annotate, f"{default}=false")
    try:
        refused(moored, "NoDefaultClass", creating("data"), "volume data", "say class= (local")
    finally:
        moored.kubectl(*annotate, f"{default}=true")


@reaches("VolumeMismatch")
def test_a_volume_that_does_not_fit(moored: Mooring) -> None:
    applied(moored, a_volume("narrow"))
    command = creating("wide", "volume=narrow", "size=2Gi")
    refused(moored, "VolumeMismatch", command, "narrow", "volume wide", "it has 1Gi, asked for 2Gi")


@reaches("VolumeInUse")
def test_a_volume_of_another_claim(moored: Mooring) -> None:
    volume = bound(moored, "owner")
    command = creating("thief", f"volume={volume}")
    refused(
        moored, "VolumeInUse", command, "volume thief", volume, "claim default/owner", "; stop and"
    )


@reaches("RetainedVolumeExists")
def test_data_of_an_earlier_volume(moored: Mooring) -> None:
    volume = bound(moored, "kept", "reclaim=retain")
    moored.host.docker("volume", "rm", "kept")
    words = (
        "volume kept",
        f"PV {volume}",
        f"volume={volume} to use it",
        "fresh=true for an empty one",
    )
    refused(moored, "RetainedVolumeExists", creating("kept"), *words)


@reaches("Refused")
def test_what_the_api_refuses(moored: Mooring) -> None:
    refused(
        moored,
        "Refused",
        creating("ghost/data"),
        "volume ghost/data",
        'namespaces "ghost" not found',
    )


@reaches("ProvisioningFailed")
def test_a_class_whose_pool_is_not_there(moored: Mooring) -> None:
    applied(moored, a_class("poolless", "gone"))
    command = creating("data", "class=poolless")
    words = ("volume data cannot be made on here", "names pool gone", "; mend that")
    refused(moored, "ProvisioningFailed", command, *words)


@reaches("PoolFull")
def test_a_pool_that_is_full(moored: Mooring) -> None:
    root = str(moored.host.place / "small")
    applied(moored, a_pool("small", root, capacity="1Gi"), a_class("small", "small"))
    command = creating("data", "class=small", "size=2Gi")
    refused(
        moored, "PoolFull", command, "volume data on here", "pool small has 1Gi", "ask for less"
    )


@reaches("PoolMissing")
def test_a_pool_that_is_missing(moored: Mooring) -> None:
    bound(moored, "kept-away")
    with away(moored.pool / ".mooring-pool"):
        words = (str(moored.pool), "; mount the pool's disk")
        done = moored.host.try_docker(*creating("data"))
        told(done, "PoolMissing", "volume data on here", *words)
        refused(moored, "PoolMissing", running("kept-away"), "volume kept-away on here", *words)
    assert "data" not in moored.names("persistentvolumeclaims")


@reaches("PoolTaken")
def test_a_pool_whose_root_is_another_pools(moored: Mooring) -> None:
    applied(moored, a_pool("twin", str(moored.pool)), a_class("twin", "twin"))
    command = creating("data", "class=twin")
    refused(moored, "PoolTaken", command, "volume data on here", "not to pool twin", "; give each")


@reaches("WrongFileSystem")
def test_a_pool_whose_root_is_on_a_file_system_that_cannot_be_one(moored: Mooring) -> None:
    root, driver = moored.host.place / "elsewhere", "btrfs.mooring.dev"
    class_ = a_class("wrong", "wrong") | {"provisioner": driver}
    applied(moored, a_pool("wrong", str(root), driver=driver), class_)
    words = ("volume data on here", str(root), "not on a btrfs", "mkfs.btrfs DEVICE")
    refused(moored, "WrongFileSystem", creating("data", "class=wrong"), *words)
    assert not root.exists()


# Mounting it


@reaches("NeedsRepair")
def test_a_volume_whose_file_system_is_damaged(moored: Mooring) -> None:
    root, driver = moored.host.place / "images", "loopfile.mooring.dev"
    class_ = a_class("images", "images") | {"provisioner": driver}
    applied(moored, a_pool("images", str(root), driver=driver, loopfile={"fsType": "ext4"}), class_)
    volume = bound(moored, "damaged", "class=images", "size=16Mi")
    image = root / volume / "image"
    with image.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 400_000)  # its tables
    words = ("volume damaged on here", volume, "make a copy of it", f"e2fsck -f {image}")
    refused(moored, "NeedsRepair", running("damaged"), *words)
    assert image.exists()


@reaches("NotBound")
def test_a_claim_without_a_volume(moored: Mooring) -> None:
    applied(moored, a_claim("unbound", storageClassName="nowhere"))
    words = ("volume unbound on here", "Pending", "mooring explain pvc unbound -n default")
    refused(moored, "NotBound", running("unbound"), *words)


@reaches("BeingDeleted")
def test_a_claim_that_is_being_deleted(moored: Mooring, removing: Popen[bytes]) -> None:
    path = ("get", CLAIM, "held", "--output", "jsonpath={.metadata.deletionTimestamp}")
    eventually(lambda: moored.kubectl(*path) != "", "the claim is being deleted")
    words = ("volume held on here", "mooring explain pvc held -n default")
    refused(moored, "BeingDeleted", running("held"), *words)


@reaches("BeingAdopted")
def test_a_copy_that_is_not_whole(moored: Mooring) -> None:
    bound(moored, "copy")
    marks = ("mooring.dev/adopting=x", "mooring.dev/adopted-from=here/old")
    moored.kubectl("annotate", CLAIM, "copy", *marks)
    words = ("volume copy on here", "a copy of Docker volume old of here", "; mooring adopt")
    refused(moored, "BeingAdopted", running("copy"), *words)


@reaches("ClaimLost")
def test_a_claim_whose_volume_is_gone(moored: Mooring) -> None:
    volume = bound(moored, "lost")
    moored.kubectl("delete", "pv", volume, "--wait=false")
    moored.kubectl(
        "patch", "pv", volume, "--type=merge", "--patch", '{"metadata":{"finalizers":null}}'
    )
    path = ("get", CLAIM, "lost", "--output", "jsonpath={.status.phase}")
    eventually(lambda: moored.kubectl(*path) == "Lost", "the claim is lost")
    words = ("volume lost on here", volume, "kubectl apply the PersistentVolume")
    refused(moored, "ClaimLost", running("lost"), *words)


@reaches("DataOnOtherNode")
def test_data_of_another_host(moored: Mooring) -> None:
    there = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["there"]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [there]}]}}
    applied(moored, a_volume("far", nodeAffinity=affinity))
    moored.host.docker(*creating("distant", "volume=far"))
    words = (
        "volume distant on here",
        "default/distant is on there",
        "mooring.vol.default.distant==true",
    )
    refused(moored, "DataOnOtherNode", running("distant"), *words)


@reaches("DataMissing")
def test_data_that_is_gone_is_not_made_anew(moored: Mooring) -> None:
    volume = bound(moored, "robbed")
    moored.host.docker(*running("robbed", "touch", "/data/file"))
    moored.freed(moored.volume("robbed"))
    with away(moored.pool / volume):
        words = ("volume robbed on here", volume, "put the data back")
        refused(moored, "DataMissing", running("robbed"), *words)
        assert not (moored.pool / volume).exists()
    assert moored.host.docker(*running("robbed", "ls", "/data")) == "file"


@reaches("NoSuchAsset")
def test_a_place_that_is_gone_before_anybody_used_it(moored: Mooring) -> None:
    volume = bound(moored, "untouched")
    with away(moored.pool / volume):
        words = ("volume untouched on here", volume, "; its data was removed")
        refused(moored, "NoSuchAsset", running("untouched"), *words)


@reaches("AssetDamaged")
def test_a_place_that_was_exchanged_for_a_link(moored: Mooring) -> None:
    volume = bound(moored, "swapped")
    data = moored.pool / volume / "data"
    with away(data):
        data.symlink_to("/etc")
        words = ("volume swapped on here", volume, "; somebody changed it by hand")
        refused(moored, "AssetDamaged", running("swapped", "ls", "/data"), *words)
        data.unlink()


@reaches("NoWayToMount")
def test_a_volume_of_a_type_that_is_not_mounted(moored: Mooring) -> None:
    applied(moored, a_volume("remote", rbd={"monitors": ["ceph.example"], "image": "x"}))
    moored.host.docker(*creating("exported", "volume=remote"))
    words = (
        "volume exported on here",
        "volume remote: it is of an unknown type",
        "; use a volume of a pool",
    )
    refused(moored, "NoWayToMount", running("exported"), *words)


@reaches("BadAssetName")
def test_a_volume_whose_handle_leads_out_of_its_pool(moored: Mooring) -> None:
    pool = {"volumeAttributes": {"mooring.dev/pool": "local"}}
    csi = {"driver": "directory.mooring.dev", "volumeHandle": "../../../etc", **pool}
    applied(moored, a_volume("escaping", csi=csi))
    moored.host.docker(*creating("escaped", "volume=escaping"))
    words = (
        "volume escaped on here",
        "'../../../etc' cannot be the name of an asset",
        "; use 1 to",
    )
    refused(moored, "BadAssetName", running("escaped", "ls", "/data"), *words)


@reaches("PathMissing", "PathWrong", "PublishedElsewhere")
def test_a_path_of_the_host_that_is_not_as_it_should_be(moored: Mooring) -> None:
    place = moored.host.place / "static"
    applied(moored, a_volume("static", str(place)))
    moored.host.docker(*creating("at-path", "volume=static"))
    words = ("volume at-path on here", str(place))
    refused(moored, "PathMissing", running("at-path"), *words, "; create it")
    place.touch()
    refused(
        moored, "PathWrong", running("at-path"), *words, "not a directory", "; correct the path"
    )
    place.unlink()
    place.mkdir()
    moored.host.docker(
        "run", "-d", "--name", "holder", "-v", "at-path:/data", SHELL, "sleep", "999"
    )
    with away(place):
        place.mkdir()
        refused(moored, "PublishedElsewhere", running("at-path"), *words, "; stop all that use")
        place.rmdir()
    moored.host.docker("rm", "--force", "holder")


@reaches("ProvisioningElsewhere", "NoCapacityHere")
def test_a_first_consumer_on_a_host_that_cannot_have_the_volume(moored: Mooring) -> None:
    root = str(moored.host.place / "scarce")
    late = a_class("scarce", "scarce", "WaitForFirstConsumer")
    applied(moored, a_pool("scarce", root, capacity="1Gi"), late)
    moored.host.docker(*creating("late", "class=scarce", "size=2Gi"))
    words = ("volume late on here", "default/late")
    refused(
        moored, "NoCapacityHere", running("late"), *words, "pool scarce has 1Gi", "on another node"
    )
    moored.kubectl("annotate", CLAIM, "late", "volume.kubernetes.io/selected-node=there")
    refused(moored, "ProvisioningElsewhere", running("late"), *words, "run the container on there")


def attached(moored: Mooring, name: str, node: str) -> None:
    """A volume of Docker that another node has by the word of its attachment."""
    volume = bound(moored, name)
    spec = {
        "attacher": "directory.mooring.dev",
        "nodeName": node,
        "source": {"persistentVolumeName": volume},
    }
    named = {"metadata": {"name": attachment_name(volume)}, "spec": spec}
    applied(moored, {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", **named})


@reaches("AttachedElsewhere")
def test_a_volume_that_another_host_uses(moored: Mooring) -> None:
    attached(moored, "shared", "there")
    lease = {"metadata": {"name": "there", "namespace": "kube-node-lease"}}
    spec: dict[str, object] = {"holderIdentity": "there", "leaseDurationSeconds": 600}
    kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    applied(moored, {**kind, **lease, "spec": spec})
    spec = {
        "nodeName": "there",
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "shared"}}],
    }
    applied(moored, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": spec})
    words = ("volume shared on here", "is in use on there", "stop what uses it on there")
    refused(moored, "AttachedElsewhere", running("shared"), *words)


@reaches("HolderUnreachable")
def test_a_volume_of_a_host_that_nobody_hears_of(moored: Mooring) -> None:
    attached(moored, "silent", "nowhere")
    words = ("volume silent on here", "is held by nowhere", "kubectl taint node nowhere")
    refused(moored, "HolderUnreachable", running("silent"), *words)


@reaches("MountsNotVisible")
def test_a_docker_that_does_not_see_mounts(bed: Bed) -> None:
    host = bed.host("blind")
    host.up()
    mooring = Mooring(host).start()
    host.dockerd(within=("unshare", "--mount", "--propagation", "private"))
    images.load(host)
    host.docker(*creating("data"))
    words = ("data cannot be mounted on blind", "PrivateMounts=")
    refused(mooring, "MountsNotVisible", running("data"), *words)


# Removing it, and in between


@reaches("VolumeInUse")
def test_removing_what_a_pod_uses(moored: Mooring) -> None:
    bound(moored, "busy")
    use = {"name": "data", "persistentVolumeClaim": {"claimName": "busy"}}
    containers = [{"name": "c", "image": "i"}]
    spec = {"nodeName": "there", "containers": containers, "volumes": [use]}
    applied(moored, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": spec})
    words = ("volume busy", "pod user on there", "; stop and remove")
    refused(moored, "VolumeInUse", ("volume", "rm", "busy"), *words)


@reaches("LostRequest")
def test_a_call_that_a_crash_of_mooring_cut_off(moored: Mooring) -> None:
    moored.kill9()
    moored.start(MOORING_CRASH_AT="docker.create.asked")
    host = moored.host
    command = ("docker", *creating("torn"))
    client = host.popen(*command, log="torn.log", **host.environment)
    eventually(lambda: not moored.lives, "Mooring has died")
    moored.start()
    assert client.wait(60) == 1
    said = (host.place / "torn.log").read_text()
    assert "create torn: LostRequest: " in said
    assert "; run the docker command again" in said
    assert host.docker(*creating("torn")) == "torn"


@reaches("Stopping")
def test_a_call_that_goes_on_when_mooring_is_stopped(moored: Mooring) -> None:
    """What it has begun is undone."""
    applied(moored, a_class("outside", "") | {"provisioner": "example.com"})
    host = moored.host
    command = ("docker", *creating("half-way", "class=outside"))
    client = host.popen(*command, log="half-way.log", **host.environment)
    eventually(lambda: "half-way" in moored.names("persistentvolumeclaims"), "it has begun")
    moored.stop()
    moored.start()
    assert client.wait(60) == 1
    said = (host.place / "half-way.log").read_text()
    assert "create half-way: Stopping: Create of volume half-way on here was cut short" in said
    assert "; try again when it runs" in said
    assert "half-way" not in moored.names("persistentvolumeclaims")
    assert host.docker(*creating("half-way", "class=outside")) == "half-way"


@reaches("StillDeleting")
def test_removing_what_a_finalizer_holds(moored: Mooring, removing: Popen[bytes]) -> None:
    """Last, as it takes 40 s."""
    assert removing.wait(90) == 1
    said = (moored.host.place / "removing.log").read_text()
    assert "StillDeleting: volume held on here is still being deleted after 40 s: " in said
    assert "finalizer example.com/hold; mooring explain pvc held -n default" in said
