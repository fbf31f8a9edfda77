"""Claims, volumes and classes for tests of the rules, in the words of the storage semantics."""

from collections.abc import Mapping, Sequence

from mooring.model.claim import Claim, ClaimSpec, ClaimStatus, ResourceRequests
from mooring.model.metadata import Metadata, ObjectReference
from mooring.model.names import (
    DEFAULT_CLASS,
    IMMEDIATE,
    POOL_ATTRIBUTE,
    WAIT_FOR_FIRST_CONSUMER,
    Phase,
)
from mooring.model.selector import LabelSelector, NodeAffinity, Requirement
from mooring.model.storage_class import StorageClass
from mooring.model.volume import CSISource, Volume, VolumeSpec, VolumeStatus

NOW = "2026-01-02T03:04:05Z"
LONG_AGO = "2020-01-01T00:00:00Z"
MODES = {
    "RWO": "ReadWriteOnce",
    "ROX": "ReadOnlyMany",
    "RWX": "ReadWriteMany",
    "RWOP": "ReadWriteOncePod",
}


def modes_of(short: str) -> tuple[str, ...]:
    """ "RWO,ROX" in full."""
    return tuple(MODES[mode] for mode in short.split(",") if mode)


def labelled(*expressions: tuple[str, str, Sequence[str]], **labels: str) -> LabelSelector:
    """A selector: labelled(("tier", "In", ["a", "b"]), app="db")."""
    requirements = tuple(
        Requirement(key=key, operator=operator, values=tuple(values))
        for key, operator, values in expressions
    )
    return LabelSelector(match_labels=labels, match_expressions=requirements)


def a_claim(
    name: str = "db",
    *,
    uid: str = "",
    size: str = "1Gi",
    modes: str = "RWO",
    class_: str | None = "",
    volume: str = "",
    volume_mode: str | None = "Filesystem",
    attributes_class: str | None = None,
    selector: LabelSelector | None = None,
    annotations: Mapping[str, str] | None = None,
    phase: str = Phase.PENDING,
    deleted: bool = False,
    **status: object,
) -> Claim:
    """The claim default/<name>; its uid is uid-<name> unless said otherwise."""
    return Claim(
        metadata=Metadata(
            name=name,
            namespace="default",
            uid=uid or f"uid-{name}",
            resource_version="7",
            annotations=dict(annotations or {}),
            deletion_timestamp=LONG_AGO if deleted else None,
        ),
        spec=ClaimSpec(
            access_modes=modes_of(modes),
            selector=selector,
            resources=ResourceRequests(requests={"storage": size}),
            storage_class_name=class_,
            volume_name=volume,
            volume_mode=volume_mode,
            volume_attributes_class_name=attributes_class,
        ),
        status=ClaimStatus(phase=str(phase), **status),
    )


def a_volume(
    name: str = "v1",
    *,
    size: str = "1Gi",
    modes: str = "RWO",
    class_: str = "",
    claim: ObjectReference | None = None,
    volume_mode: str | None = "Filesystem",
    attributes_class: str | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    affinity: NodeAffinity | None = None,
    phase: str = Phase.AVAILABLE,
    deleted: bool = False,
    policy: str = "Retain",
    pool: str = "",
) -> Volume:
    """A volume that any claim may have, unless said otherwise."""
    return Volume(
        metadata=Metadata(
            name=name,
            uid=f"uid-{name}",
            resource_version="3",
            labels=dict(labels or {}),
            annotations=dict(annotations or {}),
            deletion_timestamp=LONG_AGO if deleted else None,
        ),
        spec=VolumeSpec(
            capacity={"storage": size},
            access_modes=modes_of(modes),
            persistent_volume_reclaim_policy=policy,
            storage_class_name=class_,
            claim_ref=claim,
            volume_mode=volume_mode,
            volume_attributes_class_name=attributes_class,
            node_affinity=affinity,
            csi=CSISource(volume_attributes={POOL_ATTRIBUTE: pool}) if pool else None,
        ),
        status=VolumeStatus(phase=str(phase), last_phase_transition_time=LONG_AGO),
    )


def pointer(claim: Claim | str = "db", *, uid: str | None = None) -> ObjectReference:
    """A claimRef: with the uid of a claim, or for a name with none unless it is said."""
    if isinstance(claim, Claim):
        whole = claim.reference()
        return whole if uid is None else pointer(claim.name, uid=uid)
    return ObjectReference(
        kind="PersistentVolumeClaim",
        api_version="v1",
        namespace="default",
        name=claim,
        uid=uid or "",
    )


def a_class(
    name: str = "fast",
    *,
    provisioner: str = "directory.mooring.dev",
    waits: bool = False,
    default: bool = False,
) -> StorageClass:
    """A class that binds at once, or waits for the first consumer."""
    return StorageClass(
        metadata=Metadata(
            name=name,
            uid=f"uid-{name}",
            annotations={DEFAULT_CLASS: "true"} if default else {},
        ),
        provisioner=provisioner,
        volume_binding_mode=WAIT_FOR_FIRST_CONSUMER if waits else IMMEDIATE,
    )
