"""What a new volume may be filled from: another claim, or a snapshot. Storage semantics §18."""

from typing import NamedTuple

from mooring.model.claim import Claim, DataSource
from mooring.model.names import ALLOW_MODE_CHANGE, FILESYSTEM, Phase
from mooring.model.pool import Pool
from mooring.model.snapshot import GROUP, Snapshot, SnapshotContent
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume


class Origin(NamedTuple):
    """Where the content is: an asset of a pool, or a snapshot's. One of the two is "".

    Text from outside: volumes and contents may be written by hand.
    """

    pool: str
    asset: str = ""
    snapshot: str = ""


def source_of(claim: Claim) -> DataSource | None:
    """What a claim is to be filled from."""
    return claim.spec.data_source_ref or claim.spec.data_source


def is_clone(source: DataSource) -> bool:
    return not source.api_group and source.kind == Claim.kind_name


def is_restore(source: DataSource) -> bool:
    return source.api_group == GROUP and source.kind == Snapshot.kind_name


def source_mark(claim: Claim) -> str:
    """By what claims of one source are found: "Kind namespace/name"; "" without one of ours."""
    source = source_of(claim)
    if source is None or not (is_clone(source) or is_restore(source)):
        return ""
    return mark(source.kind, f"{claim.namespace}/{source.name}")


def mark(kind: str, key: str) -> str:
    """As `source_mark` of the claims that are to be filled from this object."""
    return f"{kind} {key}"


def cloned(
    claim: Claim,
    class_: StorageClass,
    source: Claim | None,
    volume: Volume | None,
) -> Origin | str:
    """What a claim is cloned from, or why it cannot be.

    source  the claim that it names   volume  of that claim
    """
    wanted = source_of(claim)
    name = f"{claim.namespace}/{wanted.name if wanted is not None else ''}"
    if source is None:
        return f"source claim {name} does not exist"
    if source.uid == claim.uid:
        return f"claim {name} cannot be cloned from itself"
    if source.being_deleted:
        return f"source claim {name} is being deleted"
    if source.phase != Phase.BOUND:
        return f"source claim {name} is not Bound"
    if not (claim.has_class and source.has_class):
        which = name if claim.has_class else claim.key
        return f"claim {which} has no storage class, and a clone needs one on both sides"
    if volume is None or volume.claim_ref is None or volume.claim_ref.uid != source.uid:
        return f"source claim {name} is Bound, but volume {source.volume_name} is not its own"
    if volume.driver != class_.provisioner:
        driver = volume.driver or f"no driver ({volume.source_name})"
        return (
            f"source claim {name} is of {driver}, and class {class_.name} of {class_.provisioner}"
        )
    if source.volume_mode != claim.volume_mode:
        modes = f"{source.volume_mode}, asked for {claim.volume_mode}"
        return f"source claim {name} is of volumeMode {modes}"
    if claim.request < source.request:
        return (
            f"source claim {name} asks for {source.request}, and spec.resources.requests.storage "
            f"is {claim.request}: a clone is at least as large"
        )
    return Origin(volume.pool, asset=volume.handle)


def restored(
    claim: Claim,
    class_: StorageClass,
    snapshot: Snapshot | None,
    content: SnapshotContent | None,
) -> Origin | str:
    """What a claim is restored from, or why it cannot be.

    snapshot  that it names   content  that the snapshot is bound to
    """
    wanted = source_of(claim)
    name = f"{claim.namespace}/{wanted.name if wanted is not None else ''}"
    if snapshot is None:
        return f"snapshot {name} does not exist"
    if snapshot.being_deleted:
        return f"snapshot {name} is being deleted"
    if not snapshot.content_name:
        return f"snapshot {name} is not bound to a content yet"
    if not snapshot.is_ready:
        error = snapshot.status.error
        return f"snapshot {name} is not ready to use" + (f": {error.message}" if error else "")
    if content is None:
        return f"snapshot {name} is bound to content {snapshot.content_name}, which does not exist"
    if not content.is_of(snapshot):
        return f"content {content.name} is not of snapshot {name}"
    if content.driver != class_.provisioner:
        drivers = f"{content.driver}, and class {class_.name} of {class_.provisioner}"
        return f"snapshot {name} is of {drivers}"
    size = snapshot.restore_size
    if size is not None and claim.request < size:
        return (
            f"snapshot {name} needs {size}, and spec.resources.requests.storage is {claim.request}"
        )
    mode = content.spec.source_volume_mode or FILESYSTEM
    if mode != claim.volume_mode and content.annotations.get(ALLOW_MODE_CHANGE) != "true":
        return (
            f"snapshot {name} is of volumeMode {mode}, asked for {claim.volume_mode}: content "
            f"{content.name} has not annotation {ALLOW_MODE_CHANGE}=true"
        )
    return Origin(content.pool, snapshot=content.asset)


def elsewhere(origin: Origin, pool: Pool, home: Pool | None) -> str:
    """Why a pool cannot fill a volume from what lies in another, "" if it lies in this one.

    home  the pool that the origin names
    """
    if origin.pool == pool.name:
        return ""
    if not origin.pool or home is None:
        return f"the source is in pool {origin.pool!r}, which does not exist"
    on = f" on {home.node}" if home.node != pool.node and home.node else ""
    return (
        f"the source is in pool {home.name}{on}, and pool {pool.name} cannot be filled from there: "
        f"use a StorageClass with parameter pool={home.name}"
    )
