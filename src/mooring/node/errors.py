"""What can go wrong between a claim or a volume and its path on this host."""

from mooring.errors import Effect, MooringError
from mooring.model.claim import Claim
from mooring.model.names import Phase
from mooring.model.volume import Volume


class BadVolumeUid(MooringError):
    code, effect = "BadVolumeUid", Effect.NONE

    def __init__(self, uid: str) -> None:
        self.what = f"{uid!r} cannot be the uid of a PersistentVolume"


class PathMissing(MooringError):
    code, effect = "PathMissing", Effect.NONE

    def __init__(self, path: str) -> None:
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


class OnOtherHost(MooringError):
    code, effect = "OnOtherHost", Effect.NONE

    def __init__(self, volume: Volume, node: str) -> None:
        self.what = f"the data of volume {volume.name} is not on this host, {node}"
        self.remedy = f"kubectl get pv {volume.name} -o yaml shows where it is: spec.nodeAffinity"


class NoWayToMount(MooringError):
    code, effect = "NoWayToMount", Effect.NONE

    def __init__(self, volume: Volume) -> None:
        type_ = volume.source_name or "an unknown type"
        self.what = f"this host cannot mount volume {volume.name}: it is of {type_}"
        self.remedy = "use a volume of a pool, or of the types hostPath and local"
