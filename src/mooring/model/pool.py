"""Pool (mooring.dev/v1): a backend's place on one host or shared, and who may take how much."""

from typing import ClassVar, Final

import msgspec

from mooring.model.metadata import Part, View
from mooring.model.names import BTRFS_DRIVER, DIRECTORY_DRIVER, LOOPFILE_DRIVER
from mooring.model.quantity import Quantity, parse_quantity

EVERY_NAMESPACE: Final = "*"
OPTIONS: Final = {
    DIRECTORY_DRIVER: "directory",
    LOOPFILE_DRIVER: "loopfile",
    BTRFS_DRIVER: "btrfs",
}
IMAGE_TYPES: Final = ("xfs", "ext4")
FULL_QUOTAS: Final = "full"
SIMPLE_QUOTAS: Final = "simple"


class PoolNamespace(Part, frozen=True):
    """A namespace that may use the pool ("*": each), and how much of it."""

    name: str = ""
    quota: str | int | float | None = None


class PoolDirectory(Part, frozen=True):
    """How directories of new volumes are made."""

    mode: str = "0755"
    uid: int = 0
    gid: int = 0


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


class PoolSpec(Part, frozen=True):
    driver: str = ""
    node: str = ""  # the host it is on; "" is reachable from every host
    root: str = ""
    capacity: str | int | float | None = None
    namespaces: tuple[PoolNamespace, ...] | None = None  # None: every namespace, without a quota
    directory: PoolDirectory = msgspec.field(default_factory=PoolDirectory)
    loopfile: PoolLoopfile = msgspec.field(default_factory=PoolLoopfile)
    btrfs: PoolBtrfs = msgspec.field(default_factory=PoolBtrfs)


class NamespaceUse(Part, frozen=True):
    allocated: str | int | float = "0"
    volumes: int = 0


class PoolStatus(Part, frozen=True):
    allocated: str | int | float = "0"
    volumes: int = 0
    namespaces: dict[str, NamespaceUse] = msgspec.field(default_factory=dict)


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
