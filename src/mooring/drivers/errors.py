"""What a backend can answer instead of doing what it was asked."""

from collections.abc import Mapping, Sequence

from mooring.errors import Effect, MooringError


class BadAssetName(MooringError):
    code, effect = "BadAssetName", Effect.NONE

    def __init__(self, name: str) -> None:
        self.what = f"{name!r} cannot be the name of an asset"
        self.remedy = "use 1 to 200 of a-z, 0-9 and -, with a letter or digit at both ends"


class NoSuchDriver(MooringError):
    code, effect = "NoSuchDriver", Effect.NONE

    def __init__(self, name: str, known: list[str]) -> None:
        self.what = f"there is no driver {name!r}"
        self.remedy = f"known are {', '.join(known)}"


class BadPoolOption(MooringError):
    code, effect = "BadPoolOption", Effect.NONE

    def __init__(self, pool: str, option: str, value: object, wanted: str) -> None:
        self.what = f"pool {pool}: {option} is {value!r}, not {wanted}"
        self.remedy = f"correct {option} in the Pool's spec"


class PoolFull(MooringError):
    code, effect = "PoolFull", Effect.NONE  # UNKNOWN: it may exist, so ask again by the same name

    def __init__(self, pool: str, need_bytes: int, free_bytes: int) -> None:
        self.what = f"pool {pool} has {free_bytes} bytes free, {need_bytes} are needed"
        self.remedy = f"delete released volumes in {pool}, or use a StorageClass of another pool"


class PoolMissing(MooringError):
    """The root is not there, or not the one that was marked: its disk is not mounted."""

    code, effect = "PoolMissing", Effect.NONE

    def __init__(self, pool: str, root: str) -> None:
        self.what = f"pool {pool} is not at {root}: the mark it was given there is missing"
        self.remedy = f"mount the pool's disk at {root}; its volumes are not lost, only away"


class PoolUnreachable(MooringError):
    """Its server does not give it, or does not answer."""

    code, effect = "PoolUnreachable", Effect.NONE

    def __init__(self, pool: str, source: str, why: str) -> None:
        self.what = f"pool {pool} cannot be had from {source}: {why}"
        self.remedy = "see that the server is there and exports it to this host; it is tried again"


class WrongFileSystem(MooringError):
    """The root is on a file system that cannot do what the driver is made of."""

    code, effect = "WrongFileSystem", Effect.NONE

    def __init__(self, pool: str, root: str, wanted: str) -> None:
        self.what = f"pool {pool} cannot be at {root}: that is not on a {wanted} file system"
        self.remedy = (
            f"mount one there, or make a pool with a root on one (`mkfs.{wanted} DEVICE`), "
            "or one of another driver"
        )


class PoolTaken(MooringError):
    code, effect = "PoolTaken", Effect.NONE

    def __init__(self, pool: str, root: str, owner_uid: str) -> None:
        self.what = f"{root} belongs to the pool with uid {owner_uid}, not to pool {pool}"
        self.remedy = (
            "give each pool a root of its own; a deleted pool leaves its root once it is empty"
        )


class PoolServed(PoolTaken):
    """The root is marked as this pool's, and another process that lives serves it."""

    def __init__(self, pool: str, root: str, holder: str) -> None:
        super().__init__(pool, root, "")
        self.what = f"{root} of pool {pool} is served by {holder} already"
        self.remedy = (
            "stop that one: its place is free as soon as it has ended; "
            "or give each pool a root of its own"
        )


class PoolFailed(MooringError):
    """Its disk, or the rights of this process there, said no."""

    code, effect = "PoolFailed", Effect.UNKNOWN

    def __init__(self, pool: str, reason: str) -> None:
        self.what = f"pool {pool} failed: {reason}"
        self.remedy = "look at the disk of the pool; it is tried again"


class SizeMismatch(MooringError):
    code, effect = "SizeMismatch", Effect.NONE

    def __init__(self, name: str, has_bytes: int, asked_bytes: int) -> None:
        self.what = f"asset {name} exists with {has_bytes} bytes, {asked_bytes} were asked"
        self.remedy = "delete it, or expand it"


class NoSuchAsset(MooringError):
    code, effect = "NoSuchAsset", Effect.NONE

    def __init__(self, name: str, pool: str) -> None:
        self.what = f"there is no asset {name} in pool {pool}"
        self.remedy = "its data was removed outside of Mooring, or it never was in this pool"


class NoFileSystem(NoSuchAsset):
    """Its place is there, and empty: none is made anew, as that would hide the loss."""

    def __init__(self, name: str, pool: str) -> None:
        super().__init__(name, pool)
        self.what = f"asset {name} in pool {pool} has no file system any more"


class AssetDamaged(MooringError):
    """Something of that name is there that is not as this driver makes it."""

    code, effect = "AssetDamaged", Effect.NONE

    def __init__(self, name: str, pool: str, found: str) -> None:
        self.what = f"{name} in pool {pool} is not an asset as Mooring makes it: {found}"
        self.remedy = "somebody changed it by hand: put it back as it was, or move it away"


class InUse(MooringError):
    code, effect = "InUse", Effect.NONE

    def __init__(self, name: str, where: str) -> None:
        self.what = f"asset {name} is mounted at {where}"
        self.remedy = "stop what uses it, then it is deleted"


class NoSuchSnapshot(MooringError):
    code, effect = "NoSuchSnapshot", Effect.NONE

    def __init__(self, name: str, pool: str) -> None:
        self.what = f"there is no snapshot {name} in pool {pool}"
        self.remedy = "it was deleted, or never was in this pool"


class CannotDo(MooringError):
    """Asked of a driver that has not the feature; whoever asks looks at `features` first."""

    code, effect = "NotSupported", Effect.NONE

    def __init__(self, what: str, pool: str) -> None:
        self.what = f"pool {pool} offers no {what}"
        self.remedy = "use a StorageClass of another pool"


class GrowsLater(MooringError):
    """It has its larger size when it is published next; until then the old one."""

    code, effect = "GrowsLater", Effect.UNKNOWN

    def __init__(self, name: str, why: str) -> None:
        self.what = f"the file system of asset {name} cannot grow while it is mounted: {why}"
        self.remedy = "stop what uses it; it grows before it is mounted next"


class BadAttribute(MooringError):
    """Nothing was changed, and nothing will be however often it is asked."""

    code, effect = "InvalidArgument", Effect.NONE

    def __init__(self, said: str, offered: Mapping[str, Sequence[str]], whose: str) -> None:
        self.what = f"{whose} does not know {said}"
        known = "; ".join(f"{name}: {' or '.join(values)}" for name, values in offered.items())
        self.remedy = f"what can be said is {known}" if known else "nothing of it can be changed"


class NeedsRepair(MooringError):
    """The file system of an asset is damaged. It is not mounted, and nothing is deleted."""

    code, effect = "NeedsRepair", Effect.NONE

    def __init__(self, name: str, pool: str, said: str, command: str) -> None:
        self.what = f"the file system of asset {name} in pool {pool} is damaged: {said}"
        self.remedy = f"make a copy of it, then repair it by hand: {command}"
