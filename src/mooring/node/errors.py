"""What can go wrong between a volume and its path on this host."""

from mooring.errors import Effect, MooringError


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
