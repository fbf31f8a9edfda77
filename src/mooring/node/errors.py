"""What can go wrong between a claim or a volume and its path on this host."""

from collections.abc import Sequence

from mooring.errors import Effect, MooringError
from mooring.model.claim import Claim
from mooring.model.names import (
    ADOPTED_FROM,
    BLOCK,
    FILESYSTEM,
    SELECTED_NODE,
    VOLUME_LABEL,
    Phase,
)
from mooring.model.volume import Volume


class BadVolumeUid(MooringError):
    code, effect = "BadVolumeUid", Effect.NONE

    def __init__(self, uid: str) -> None:
        self.what = f"{uid!r} cannot be the uid of a PersistentVolume"


class PathMissing(MooringError):
    code, effect = "PathMissing", Effect.NONE

    def __init__(self, path: str) -> None:
        self.path = path
        self.what = f"there is no {path} on this host"
        self.remedy = "create it, or mount the disk that holds it"


class PathWrong(MooringError):
    code, effect = "PathWrong", Effect.NONE

    def __init__(self, path: str, wanted: str) -> None:
        self.what = f"{path} on this host is not {wanted}, as the volume's source says"
        self.remedy = "correct the path, or make a volume of the right type"


class PublishedElsewhere(MooringError):
    """Users of the volume see other data than they would see now: they are not switched over."""

    code, effect = "PublishedElsewhere", Effect.NONE

    def __init__(self, point: str, source: str) -> None:
        self.what = f"{point} shows something else than {source}"
        self.remedy = "stop all that use the volume and unmount it, then mount it anew"


class NotReadOnly(MooringError):
    code, effect = "NotReadOnly", Effect.NONE

    def __init__(self, path: str) -> None:
        self.what = f"{path} cannot be given read-only, because this process may not mount"
        self.remedy = "run the node agent as root, with CAP_SYS_ADMIN"


class PublishFailed(MooringError):
    """The directory where volumes are published, or its disk, said no."""

    code, effect = "PublishFailed", Effect.UNKNOWN

    def __init__(self, reason: str) -> None:
        self.what = f"a volume cannot be published on this host: {reason}"
        self.remedy = "look at the disk that holds the data directory"


class AssetOfAnother(MooringError):
    """Deleting it would take the data of a volume that nobody asked to delete."""

    code, effect = "AssetOfAnother", Effect.NONE

    def __init__(self, asset: str, volume: str) -> None:
        self.what = f"asset {asset} is the data of volume {volume}"
        self.remedy = f"delete {volume} first, or give this volume the policy Retain"


class PoolGone(MooringError):
    code, effect = "PoolGone", Effect.NONE

    def __init__(self, pool: str, asset: str) -> None:
        self.what = f"pool {pool}, which has the data as {asset}, was deleted"
        self.remedy = "remove the data by hand, then delete the volume and its finalizers"


class NotBound(MooringError):
    code, effect = "NotBound", Effect.NONE

    def __init__(self, claim: Claim) -> None:
        self.what = f"claim {claim.key} is {claim.phase or Phase.PENDING} and has no volume yet"
        self.remedy = f"mooring explain pvc {claim.name} -n {claim.namespace} says why"


class BeingDeleted(MooringError):
    code, effect = "BeingDeleted", Effect.NONE

    def __init__(self, claim: Claim) -> None:
        self.what = f"claim {claim.key} is being deleted and gets no new users"
        self.remedy = (
            f"mooring explain pvc {claim.name} -n {claim.namespace} says who holds it; make a new "
            "claim when it is gone"
        )


class ForOneContainer(MooringError):
    """The claim says so, and somebody has it."""

    code, effect = "VolumeInUse", Effect.NONE

    def __init__(self, claim: str, node: str, users: Sequence[str]) -> None:
        self.what = f"claim {claim} is for one container, and {', '.join(users)} on {node} has it"
        self.remedy = "stop what uses it first; mooring umount gives back what is mounted by hand"


class BeingAdopted(MooringError):
    """Whoever used it now would take half a copy for the whole."""

    code, effect = "BeingAdopted", Effect.NONE

    def __init__(self, claim: Claim) -> None:
        node, _, volume = claim.annotations.get(ADOPTED_FROM, "").partition("/")
        of = f"Docker volume {volume} of {node}" if volume else "another volume"
        self.what = f"claim {claim.key} is a copy of {of} that is not whole yet"
        self.remedy = (
            "mooring adopt, run again as before, says how far it is and goes on with it; to give "
            f"it up: kubectl delete pvc {claim.name} -n {claim.namespace}"
        )


class NoWayToMount(MooringError):
    code, effect = "NoWayToMount", Effect.NONE

    def __init__(self, volume: Volume) -> None:
        is_block = volume.volume_mode == BLOCK
        type_ = volume.source_name or "an unknown type"
        self.what = f"this host cannot mount volume {volume.name}: it is of "
        self.what += f"volumeMode {BLOCK}" if is_block else type_
        self.remedy = (
            f"use a claim and a volume of volumeMode {FILESYSTEM}"
            if is_block
            else "use a volume of a pool, or of the types hostPath, local, nfs and iscsi"
        )


class BadSource(MooringError):
    """A field of a PV's source that cannot be passed on to a program."""

    code, effect = "BadSource", Effect.NONE

    def __init__(self, field: str, why: str) -> None:
        self.what = f"spec.{field} {why}"
        self.remedy = "make the volume anew with a right one: a source cannot be changed"


class BadMountOption(MooringError):
    code, effect = "BadMountOption", Effect.NONE

    def __init__(self, option: str, why: str) -> None:
        self.what = f"mount option {option!r} {why}"
        self.remedy = "take it out of the volume's spec.mountOptions"


class SecretMissing(MooringError):
    code, effect = "SecretMissing", Effect.NONE

    def __init__(self, volume: str, secret: str) -> None:
        self.what = f"volume {volume} names secret {secret}, which does not exist"
        self.remedy = f"create the secret {secret}"


class NoDisk(MooringError):
    code, effect = "NoDisk", Effect.UNKNOWN

    def __init__(self, iqn: str, lun: int) -> None:
        self.what = f"target {iqn} shows this host no disk with number {lun}"
        self.remedy = "see what the target gives this host: `iscsiadm -m session -P 3`"


class NoFileSystemOnDisk(MooringError):
    """None is made: that would hide a loss, or be on a disk that is only to be read."""

    code, effect = "DataMissing", Effect.NONE

    def __init__(self, iqn: str, lun: int) -> None:
        self.what = f"there is no file system on disk {lun} of target {iqn}, which was used before"
        self.remedy = "restore it; or make one by hand, or a volume anew, if it is to be empty"


class OtherFileSystem(MooringError):
    code, effect = "OtherFileSystem", Effect.NONE

    def __init__(self, disk: str, found: str, wanted: Sequence[str]) -> None:
        self.what = f"on {disk} there is {found}, and not {' or '.join(wanted)}"
        self.remedy = "correct fsType; a disk with something else on it is left alone"


class DiskUnreadable(MooringError):
    """Nothing is made on it: what cannot be read may have everything on it."""

    code, effect = "DiskUnreadable", Effect.NONE

    def __init__(self, disk: str, said: str) -> None:
        self.what = f"{disk} cannot be read: {said}"
        self.remedy = "see that the target and its disk are well; nothing was written to it"


class DiskNeedsRepair(MooringError):
    """It is mounted nowhere, and nothing is deleted."""

    code, effect = "NeedsRepair", Effect.NONE

    def __init__(self, disk: str, said: str) -> None:
        self.what = f"the file system of {disk} is damaged: {said}"
        self.remedy = f"make a copy of the disk, then repair it by hand: e2fsck -f {disk}"


class ClaimLost(MooringError):
    """It is never given another volume: whoever uses it would find it silently empty."""

    code, effect = "ClaimLost", Effect.NONE

    def __init__(self, claim: Claim) -> None:
        self.what = (
            f"claim {claim.key} is {Phase.LOST}: its volume {claim.volume_name} is gone, "
            "or another claim's"
        )
        self.remedy = (
            f"kubectl apply the PersistentVolume {claim.volume_name} as it was; or delete the "
            "claim and restore the data into a new one"
        )


class DataOnOtherNode(MooringError):
    """Docker volumes §10. The volume is not made anew here, though there might be room for it."""

    code, effect = "DataOnOtherNode", Effect.NONE

    def __init__(self, key: str, volume: Volume, node: str, *, is_gone: bool = False) -> None:
        """key      of the claim, "namespace/name"
        node     this host
        is_gone  whether the host that has the data is no Node any more
        """
        where = " or ".join(volume.hosts)
        name = key.rpartition("/")[2]
        self.what = f"{key} is on {where}" if where else f"{key} is not on {node}"
        label = f"{VOLUME_LABEL}{key.replace('/', '.')}"
        self.remedy = f"constrain the service: --constraint node.labels.{label}==true"
        if is_gone:
            self.remedy += (
                f"; if {where or 'its node'} is gone for good, restore a snapshot into a new "
                f"claim, or begin anew: kubectl delete pvc {name} -n {key.partition('/')[0]}"
            )


class DataMissing(MooringError):
    """Something was there before, so an empty place is a loss and no beginning."""

    code, effect = "DataMissing", Effect.NONE

    def __init__(self, volume: Volume, node: str, path: str = "") -> None:
        """path  where the data was, "" for a place in a pool"""
        of = f" of claim {volume.claim_ref.key}" if volume.claim_ref else ""
        self.what = (
            f"volume {volume.name}{of} was used before, and its data is not in "
            f"{path or 'its place'} on {node}"
        )
        self.remedy = (
            "nothing is made anew there: put the data back, or delete the claim if it is not needed"
        )
        if path:
            self.remedy = f"mount the disk that holds it; {self.remedy}"


class ProvisioningElsewhere(MooringError):
    code, effect = "ProvisioningElsewhere", Effect.NONE

    def __init__(self, claim: Claim, other: str, node: str) -> None:
        self.what = f"the volume of claim {claim.key} is to be made on {other}, not on {node}"
        self.remedy = (
            f"run the container on {other}, or take that choice back: kubectl annotate pvc "
            f"{claim.name} -n {claim.namespace} {SELECTED_NODE}-"
        )


class NoCapacityHere(MooringError):
    code, effect = "NoCapacityHere", Effect.NONE

    def __init__(self, claim: Claim, node: str, why: str) -> None:
        self.what = f"no volume for claim {claim.key} can be made on {node}: {why}"
        self.remedy = (
            "run the container on another node, or make room here; "
            f"mooring explain pvc {claim.name} -n {claim.namespace} says more"
        )


class MountsNotVisible(MooringError):
    """A container would be given the bare directory below, and write to the root disk."""

    code, effect = "MountsNotVisible", Effect.NONE

    def __init__(self, key: str, root: str, node: str, process: int) -> None:
        """key  of the claim. root  of all mounts. process  dockerd's"""
        self.what = (
            f"{key} cannot be mounted on {node}: dockerd, process {process}, does not see what "
            f"Mooring mounts below {root}"
        )
        self.remedy = (
            "run both in one mount namespace, so without PrivateMounts=, PrivateTmp= or "
            "ProtectSystem= in either unit, and restart both"
        )


class NoRoomToGrow(MooringError):
    code, effect = "PoolFull", Effect.NONE

    def __init__(self, volume: Volume, why: str) -> None:
        self.what = why
        self.remedy = (
            f"ask for less, but more than the {volume.capacity} that there are; or raise the "
            f"capacity of pool {volume.pool} or what the namespace may take of it"
        )


class NoSuchAttributesClass(MooringError):
    code, effect = "NoSuchAttributesClass", Effect.NONE

    def __init__(self, name: str) -> None:
        self.what = f"VolumeAttributesClass {name} does not exist"
        self.remedy = "create it, or name another one in spec.volumeAttributesClassName"


class AttributesClassUnfit(MooringError):
    """Nothing was changed."""

    code, effect = "InvalidArgument", Effect.NONE

    def __init__(self, what: str, remedy: str) -> None:
        self.what, self.remedy = what, remedy
