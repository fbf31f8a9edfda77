"""What can go wrong with what a pool has of a snapshot."""

from mooring.errors import Effect, MooringError


class NoSnapshots(MooringError):
    code, effect = "NotSupported", Effect.NONE

    def __init__(self, pool: str, driver: str) -> None:
        self.what = f"pool {pool} of {driver} offers no snapshots"
        self.remedy = (
            "use a StorageClass of a pool that does: btrfs.mooring.dev, or loopfile.mooring.dev on "
            "a disk whose files can share blocks (xfs, btrfs)"
        )


class BadSnapshotHandle(MooringError):
    code, effect = "BadSnapshotHandle", Effect.NONE

    def __init__(self, handle: str) -> None:
        self.what = f"snapshot handle {handle!r} is not of the form POOL/NAME"
        self.remedy = "make a content whose spec.source.snapshotHandle names pool and snapshot"


class SnapshotGone(MooringError):
    code, effect = "NoSuchSnapshot", Effect.NONE

    def __init__(self, handle: str, pool: str) -> None:
        self.what = f"pool {pool} has no snapshot of the handle {handle}"
        self.remedy = "correct spec.source.snapshotHandle in a new content, or put the data back"


class SnapshotOfAnother(MooringError):
    """Deleting it would take what a snapshot is that nobody asked to delete."""

    code, effect = "SnapshotOfAnother", Effect.NONE

    def __init__(self, handle: str, content: str) -> None:
        self.what = f"what {handle} names is what content {content} has, too"
        self.remedy = f"delete {content} first, or give this content the deletionPolicy Retain"


class SnapshotPoolGone(MooringError):
    code, effect = "PoolGone", Effect.NONE

    def __init__(self, pool: str, driver: str) -> None:
        self.what = f"there is no pool {pool} of {driver}"
        self.remedy = "create that pool again at its root; or remove the content's finalizers"
