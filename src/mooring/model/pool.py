"""Pool (mooring.dev/v1): a backend's place on one host or shared, and who may take how much."""

from typing import ClassVar, Final

import msgspec

from mooring.model.metadata import Part, View
from mooring.model.names import BTRFS_DRIVER, DIRECTORY_DRIVER, LOOPFILE_DRIVER, NFS_DRIVER
from mooring.model.quantity import ONE, Quantity, parse_quantity

EVERY_NAMESPACE: Final = "*"
OPTIONS: Final = {
    DIRECTORY_DRIVER: "directory",
    LOOPFILE_DRIVER: "loopfile",
    BTRFS_DRIVER: "btrfs",
    NFS_DRIVER: "nfs",
}
IMAGE_TYPES: Final = ("xfs", "ext4")
FULL_QUOTAS: Final = "full"
SIMPLE_QUOTAS: Final = "simple"
READY, CAPACITY_PRESSURE, INODE_PRESSURE = "Ready", "CapacityPressure", "InodePressure"


class PoolNamespace(Part, frozen=True):
    """A namespace that may use the pool ("*": each), and how much of it."""

    name: str = ""
    quota: str | int | float | None = None


class PoolDirectory(Part, frozen=True):
    """How directories of new volumes are made. shared: the root is the same on several hosts."""

    mode: str = "0755"
    uid: int = 0
    gid: int = 0
    shared: bool = False


class PoolLoopfile(Part, frozen=True):
    """How images of new volumes are made."""

    mode: str = "0755"
    uid: int = 0
    gid: int = 0
    fs_type: str = ""  # one of IMAGE_TYPES; "" is the first that the host has
    allocate: bool = False


class PoolBtrfs(Part, frozen=True):
    """How subvolumes of new volumes are made, and how the file system counts what is in them."""

    mode: str = "0755"
    uid: int = 0
    gid: int = 0
    quotas: str = FULL_QUOTAS  # or SIMPLE_QUOTAS; where some are on already, those are used


class PoolThresholds(Part, frozen=True):
    """From which share of the place on, in percent, people are told that it fills."""

    warn: int = 85
    critical: int = 95


class PoolNfs(Part, frozen=True):
    """Which export is to be at the root, and how directories of new volumes are made in it."""

    server: str = ""
    path: str = ""
    version: str = ""  # one of model.nfs.VERSIONS; "": what client and server agree on
    mount_options: tuple[str, ...] = ()
    mode: str = "0755"
    uid: int = 0
    gid: int = 0


class PoolSpec(Part, frozen=True):
    driver: str = ""
    node: str = ""  # the host it is on; "" is reachable from every host
    root: str = ""
    capacity: str | int | float | None = None
    overcommit: str | int | float | None = None  # times its place; None: no limit
    thresholds: PoolThresholds = msgspec.field(default_factory=PoolThresholds)
    namespaces: tuple[PoolNamespace, ...] | None = None  # None: every namespace, without a quota
    directory: PoolDirectory = msgspec.field(default_factory=PoolDirectory)
    loopfile: PoolLoopfile = msgspec.field(default_factory=PoolLoopfile)
    btrfs: PoolBtrfs = msgspec.field(default_factory=PoolBtrfs)
    nfs: PoolNfs = msgspec.field(default_factory=PoolNfs)


class NamespaceUse(Part, frozen=True):
    allocated: str | int | float = "0"
    volumes: int = 0


class PoolCapacity(Part, frozen=True):
    """Of its place, as the backend counted last; what others have there included."""

    total: str | int | float = "0"
    used: str | int | float = "0"
    available: str | int | float = "0"


class PoolInodes(Part, frozen=True):
    total: int = 0
    used: int = 0


class Condition(Part, frozen=True):
    type: str = ""
    status: str = ""  # True, False, Unknown
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None

    @property
    def is_bad(self) -> bool:
        """Ready is good, all others are pressures."""
        return self.status == ("False" if self.type == READY else "True")


class Orphan(Part, frozen=True):
    """Something in the place that no object names.

    kind   "asset" or "snapshot"
    size   that it was promised
    used   of it; None if it was not counted
    """

    name: str = ""
    kind: str = ""
    size: str | int | float = "0"
    used: str | int | float | None = None


class PoolOrphans(Part, frozen=True):
    """count of all, size and used of those that are known; a few by name."""

    count: int = 0
    size: str | int | float = "0"
    used: str | int | float | None = None
    items: tuple[Orphan, ...] = ()


class PoolStatus(Part, frozen=True):
    allocated: str | int | float = "0"
    volumes: int = 0
    namespaces: dict[str, NamespaceUse] = msgspec.field(default_factory=dict)
    capacity: PoolCapacity | None = None
    inodes: PoolInodes | None = None  # None: its place has no fixed number of them
    overcommit_ratio: str = ""  # allocated / capacity.total, "" while that is not known
    conditions: tuple[Condition, ...] = ()
    orphans: PoolOrphans | None = None


class Pool(View, frozen=True):
    kind_name: ClassVar[str] = "Pool"
    api_version_name: ClassVar[str] = "mooring.dev/v1"
    resource: ClassVar[str] = "pools.mooring.dev"

    spec: PoolSpec = msgspec.field(default_factory=PoolSpec)
    status: PoolStatus = msgspec.field(default_factory=PoolStatus)

    @property
    def driver(self) -> str:
        return self.spec.driver

    @property
    def options(self) -> Part | None:
        """What it says to its driver: the field of the spec that is called as that."""
        field = OPTIONS.get(self.driver)
        return None if field is None else getattr(self.spec, field)

    @property
    def node(self) -> str:
        """The host it is on, "" if shared."""
        return self.spec.node

    @property
    def root(self) -> str:
        return self.spec.root

    @property
    def capacity(self) -> Quantity | None:
        """None: no limit but the disk's."""
        return None if self.spec.capacity is None else parse_quantity(self.spec.capacity)

    @property
    def allocated(self) -> Quantity:
        """The sum of the capacities of its volumes."""
        return parse_quantity(self.status.allocated)

    @property
    def place_total(self) -> Quantity | None:
        """What its place has, as far as somebody looked."""
        found = self.status.capacity
        return None if found is None else parse_quantity(found.total)

    @property
    def waits_for_a_look(self) -> bool:
        """Whether nobody has looked at its place yet, and what may be taken depends on that."""
        return self.spec.overcommit is not None and not self.status.conditions

    @property
    def overcommit(self) -> float | None:
        """How many times its place it may promise, for people; None: as often as it likes."""
        ratio = self.spec.overcommit
        return None if ratio is None else parse_quantity(ratio).nanos / ONE

    @property
    def overcommit_limit(self) -> Quantity | None:
        """What its volumes may promise together for the place it has; None: as much as they like.

        Nothing, while a ratio is wanted and nobody has seen the place yet.
        """
        if self.spec.overcommit is None:
            return None
        total = self.place_total or Quantity(0)
        return Quantity(total.nanos * parse_quantity(self.spec.overcommit).nanos // ONE)

    def condition(self, type_: str) -> Condition | None:
        return next((one for one in self.status.conditions if one.type == type_), None)

    @property
    def is_ready(self) -> bool:
        """Whether its place could be used when it was last looked at."""
        found = self.condition(READY)
        return found is not None and found.status == "True"

    @property
    def is_known_bad(self) -> bool:
        """Whether somebody looked at its place, and could not use it."""
        found = self.condition(READY)
        return found is not None and found.is_bad

    def grant(self, namespace: str) -> PoolNamespace | None:
        """What a namespace may take: its own entry before that of "*"; None if nothing."""
        if self.spec.namespaces is None:
            return PoolNamespace(name=EVERY_NAMESPACE)
        by_name = {one.name: one for one in self.spec.namespaces}
        return by_name.get(namespace) or by_name.get(EVERY_NAMESPACE)

    def allows(self, namespace: str) -> bool:
        return self.grant(namespace) is not None

    def quota(self, namespace: str) -> Quantity | None:
        """How much a namespace may take; None if its grant has no limit, or there is no grant."""
        grant = self.grant(namespace)
        return None if grant is None or grant.quota is None else parse_quantity(grant.quota)

    def allocated_to(self, namespace: str) -> Quantity:
        """The sum of the capacities of the volumes that claims of this namespace have."""
        use = self.status.namespaces.get(namespace)
        return Quantity(0) if use is None else parse_quantity(use.allocated)
