"""Whether a volume that one host at most may use can pass from one host to another. Pure.

Docker volumes §9: never two writers. A host that cannot be heard of may write on; only its own
agent (or an operator, who says that it is off) makes sure that it does not.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from mooring.model.home import Elsewhere
from mooring.model.names import DRIVERS, FENCING, NFS_DRIVER
from mooring.model.node import Node
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume

# Of the class's parameter `fencing`, and of the promise of an attachment: hosts fence themselves.
BY_LEASE: Final = "lease"
LOOK_S: Final = 0.2  # until it is looked again at a host that may let go
MARGIN_S: Final = 2.0  # after a Lease has run out, for whatever is late
OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"  # a taint: an operator's word
# Between the last renewal and the end of the Lease: as shares of it. No new mounts, then writers
# are killed, and all of it is over well before another host may have the volume.
STOP_SHARE: Final = 10 / 15
RENEW_SHARE: Final = 3 / 15
LATE_SHARE: Final = 8 / 15  # two renewals are missing, and the time that one takes
LEASE_S: Final = 15.0
_FENCED_DRIVERS: Final = DRIVERS - {NFS_DRIVER}


class Holder(Enum):
    """What is known of the host that has a volume."""

    USES = "uses"  # it lives, and has users of it
    LETS_GO = "lets go"  # it lives, and nobody there uses it
    LATE = "late"  # its Lease is valid, and it has missed renewals
    SILENT = "silent"  # its Lease has run out


class Passing(NamedTuple):
    """What another host gets.

    may       it may have the volume now
    wait_s    else look again after so long; None: it is refused
    is_forced by an operator's word
    """

    may: bool = False
    wait_s: float | None = None
    is_forced: bool = False


REFUSED: Final = Passing()


def fences_itself(volume: Volume, class_: StorageClass | None) -> bool:
    """Whether a host that takes a volume now promises that nobody there writes to it once its Lease
    has run out. What it has promised is in its attachment: the class may be another one later.

    It does for a class that says so, and for volumes with replicas. Not by NFS nor iSCSI, where the
    kernel may write later what was written before; nor where nobody else can have the data.
    """
    is_wanted = class_ is not None and class_.parameters.get("fencing") == BY_LEASE
    return (
        (is_wanted or volume.elsewhere is Elsewhere.REPLICA)
        and volume.driver in _FENCED_DRIVERS
        and is_of_one_of_several(volume)
    )


def is_of_one_of_several(volume: Volume) -> bool:
    """Whether several hosts reach a volume, of which one at a time may use it."""
    return volume.is_for_one_host and (volume.home is not None or len(volume.hosts) != 1)


def has_promised(annotations: Mapping[str, str]) -> bool:
    """Whether the host that made an attachment stops by itself once its Lease has run out."""
    return annotations.get(FENCING) == BY_LEASE


def is_out_of_service(node: Node | None) -> bool:
    """Whether an operator vouches that a host is off."""
    return node is not None and any(one.key == OUT_OF_SERVICE for one in node.spec.taints)


def holder_of(unheard_share: float, *, has_users: bool) -> Holder:
    """unheard_share: of the host's Lease that has gone by since it was renewed."""
    if unheard_share >= 1:
        return Holder.SILENT
    if unheard_share >= LATE_SHARE:
        return Holder.LATE
    return Holder.USES if has_users else Holder.LETS_GO


def passing(holder: Holder, late_s: float, *, fences: bool, out_of_service: bool) -> Passing:
    """Whether the volume of a holder may pass to another host.

    fences          the holder has promised to fence itself, see `has_promised`
    out_of_service  of the holder
    """
    if holder is Holder.USES:
        return REFUSED
    if holder in (Holder.LETS_GO, Holder.LATE):  # that ends by itself, one way or the other
        return Passing(wait_s=LOOK_S)
    if out_of_service:
        return Passing(may=True, is_forced=True)
    if not fences:
        return REFUSED
    return Passing(may=late_s >= MARGIN_S, wait_s=max(MARGIN_S - late_s, 0.1))
