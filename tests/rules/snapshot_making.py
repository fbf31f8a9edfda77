"""Snapshots, contents and their classes for tests of the rules; claims are in making.py."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from mooring.model.claim import Claim, DataSource
from mooring.model.metadata import Metadata, ObjectReference
from mooring.model.names import (
    BOUND_BY_CONTROLLER,
    CONTENT_BOUND,
    DEFAULT_SNAPSHOT_CLASS,
    POOL_ATTRIBUTE,
    SNAPSHOT_AS_SOURCE,
    SNAPSHOT_BOUND,
    Phase,
)
from mooring.model.pool import Pool, PoolSpec
from mooring.model.snapshot import (
    GROUP,
    Snapshot,
    SnapshotClass,
    SnapshotContent,
    SnapshotContentSource,
    SnapshotContentSpec,
    SnapshotContentStatus,
    SnapshotSource,
    SnapshotSpec,
    SnapshotStatus,
)
from mooring.model.volume import CSISource, Volume
from tests.rules.making import LONG_AGO, a_claim, a_volume

DRIVER = "btrfs.mooring.dev"
CREATED_NS = 1_767_323_045 * 10**9
CREATED = "2026-01-02T03:04:05Z"
BOTH = (SNAPSHOT_AS_SOURCE, SNAPSHOT_BOUND)


def metadata(name: str, namespace: str = "", *, deleted: bool = False, **fields: Any) -> Metadata:
    return Metadata(
        name=name,
        namespace=namespace,
        uid=f"uid-{name}",
        resource_version="5",
        deletion_timestamp=LONG_AGO if deleted else None,
        **fields,
    )


def a_snapshot(
    name: str = "monday",
    *,
    of: str = "db",
    content: str = "",
    class_: str | None = None,
    finalizers: Sequence[str] = (),
    deleted: bool = False,
    **status: Any,
) -> Snapshot:
    """default/<name> of claim `of`; or of the content that was there before, if `of` is ""."""
    source = SnapshotSource(
        persistent_volume_claim_name=of, volume_snapshot_content_name="" if of else content
    )
    return Snapshot(
        metadata=metadata(name, "default", deleted=deleted, finalizers=tuple(finalizers)),
        spec=SnapshotSpec(source=source, volume_snapshot_class_name=class_),
        status=SnapshotStatus(
            bound_volume_snapshot_content_name=content if of else "",
            **status,
        ),
    )


def ready(snapshot: Snapshot, content: SnapshotContent, size: str = "1Gi") -> Snapshot:
    """Bound and ready to use."""
    return snapshot.with_metadata(finalizers=BOTH).with_status(
        bound_volume_snapshot_content_name=content.name,
        ready_to_use=True,
        creation_time=CREATED,
        restore_size=size,
    )


def a_content(
    snapshot: Snapshot,
    *,
    name: str = "",
    uid: str | None = None,
    handle: str = "",
    policy: str = "Delete",
    driver: str = DRIVER,
    mode: str | None = "Filesystem",
    annotations: dict[str, str] | None = None,
    finalizers: Sequence[str] = (CONTENT_BOUND,),
    deleted: bool = False,
    **status: Any,
) -> SnapshotContent:
    """For a snapshot; one that was there before if it has a handle."""
    ref = snapshot.reference()
    ref = ref if uid is None else replace(ref, uid=uid)
    source = SnapshotContentSource(snapshot_handle=handle, volume_handle="" if handle else "pvc-db")
    return SnapshotContent(
        metadata=metadata(
            name or snapshot.made_content_name,
            deleted=deleted,
            finalizers=tuple(finalizers),
            annotations={POOL_ATTRIBUTE: "fast"} if annotations is None else annotations,
        ),
        spec=SnapshotContentSpec(
            volume_snapshot_ref=ref,
            deletion_policy=policy,
            driver=driver,
            source=source,
            source_volume_mode=mode,
        ),
        status=SnapshotContentStatus(**status),
    )


def a_snapshot_class(
    name: str = "snaps", *, default: bool = False, driver: str = DRIVER, policy: str = "Delete"
) -> SnapshotClass:
    annotations = {DEFAULT_SNAPSHOT_CLASS: "true"} if default else {}
    return SnapshotClass(
        metadata=metadata(name, annotations=annotations), driver=driver, deletion_policy=policy
    )


def a_pair(**claim: Any) -> tuple[Claim, Volume]:
    """The Bound claim default/db and its volume pvc-db, in pool `fast`."""
    fixed: dict[str, Any] = {"volume": "pvc-db", "phase": Phase.BOUND, "class_": "fast"}
    bound = a_claim("db", **(fixed | claim))
    return bound, in_pool(a_volume("pvc-db", claim=bound.reference()))


def in_pool(volume: Volume, driver: str = DRIVER, pool: str = "fast") -> Volume:
    attributes = {POOL_ATTRIBUTE: pool}
    return volume.with_spec(
        csi=CSISource(driver=driver, volume_handle=volume.name, volume_attributes=attributes)
    )


def from_snapshot(name: str = "monday", **claim: Any) -> Claim:
    """A claim "new" that is to be filled from a snapshot."""
    return _from(DataSource(api_group=GROUP, kind="VolumeSnapshot", name=name), claim)


def from_claim(name: str = "db", **claim: Any) -> Claim:
    return _from(DataSource(kind="PersistentVolumeClaim", name=name), claim)


def from_other(**claim: Any) -> Claim:
    return _from(DataSource(api_group="example.com", kind="Archive", name="a"), claim)


def _from(source: DataSource, claim: dict[str, Any]) -> Claim:
    made = a_claim("new", **({"class_": "fast"} | claim))
    spec = replace(made.spec, data_source=source, data_source_ref=source)
    return replace(made, spec=spec)


def a_pool(name: str = "fast", *, node: str = "here", deleted: bool = False) -> Pool:
    return Pool(metadata=metadata(name, deleted=deleted), spec=PoolSpec(driver=DRIVER, node=node))


def pointing_elsewhere(volume: Volume) -> Volume:
    other = ObjectReference(namespace="default", name="db", uid="another")
    return volume.with_spec(claim_ref=other).annotated(**{BOUND_BY_CONTROLLER: "yes"})
