"""A provisioner as they are written for Kubernetes, with the official Python client alone.

Its volumes are directories below a place of its own. It acts only while it holds its Lease, as one
of several replicas would.
"""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kubernetes import client
from kubernetes.client.exceptions import ApiException

DRIVER: Final = "dirs.example.com"
FINALIZER: Final = "external-provisioner.volume.kubernetes.io/finalizer"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
SELECTED: Final = "volume.kubernetes.io/selected-node"
ASKED: Final = (
    "volume.kubernetes.io/storage-provisioner",
    "volume.beta.kubernetes.io/storage-provisioner",
)
NAMESPACE: Final = "kube-system"  # of its Lease


class Provisioner:
    """place  below which its volumes are   replica  its name among several"""

    def __init__(self, api: client.ApiClient, place: Path, replica: str) -> None:
        self._core, self._storage = client.CoreV1Api(api), client.StorageV1Api(api)
        self._leases = client.CoordinationV1Api(api)
        self._place, self._replica = place, replica

    def install(self) -> None:
        """What its manifest would make."""
        spec = client.V1CSIDriverSpec(attach_required=False)
        meta = client.V1ObjectMeta(name=DRIVER)
        self._storage.create_csi_driver(client.V1CSIDriver(metadata=meta, spec=spec))

    def look(self) -> bool:
        """At all that there is, once. Returns whether it leads; if not, nothing was done."""
        if not self._leads():
            return False
        for claim in self._core.list_persistent_volume_claim_for_all_namespaces().items:
            self._provision(claim)
        for volume in self._core.list_persistent_volume().items:
            if (volume.metadata.annotations or {}).get(PROVISIONED_BY) == DRIVER:
                self._delete(volume)
        return True

    # Leading

    def _leads(self) -> bool:
        now = datetime.now(UTC)
        spec = {"holder_identity": self._replica, "renew_time": now, "lease_duration_seconds": 15}
        try:
            lease = self._leases.read_namespaced_lease(DRIVER, NAMESPACE)
        except ApiException as error:
            if error.status != 404:
                raise
            new = client.V1Lease(
                metadata=client.V1ObjectMeta(name=DRIVER),
                spec=client.V1LeaseSpec(acquire_time=now, lease_transitions=0, **spec),
            )
            return self._wrote(lambda: self._leases.create_namespaced_lease(NAMESPACE, new))
        age_s = (now - lease.spec.renew_time).total_seconds()
        if lease.spec.holder_identity == self._replica:
            lease.spec.renew_time = now
        elif lease.spec.holder_identity and age_s < lease.spec.lease_duration_seconds:
            return False
        else:
            changes = lease.spec.lease_transitions + 1
            lease.spec = client.V1LeaseSpec(acquire_time=now, lease_transitions=changes, **spec)
        # With its resourceVersion: of two that want it at once, one gets a conflict.
        return self._wrote(lambda: self._leases.replace_namespaced_lease(DRIVER, NAMESPACE, lease))

    def resign(self) -> None:
        patch = {"spec": {"holderIdentity": ""}}
        self._leases.patch_namespaced_lease(DRIVER, NAMESPACE, patch)

    def _wrote(self, write: Any) -> bool:
        try:
            write()
        except ApiException as error:
            if error.status != 409:
                raise
            return False
        return True

    # Making

    def _provision(self, claim: Any) -> None:
        annotations = claim.metadata.annotations or {}
        asked = next((annotations[key] for key in ASKED if key in annotations), "")
        if claim.spec.volume_name or asked != DRIVER or claim.metadata.deletion_timestamp:
            return
        class_ = self._storage.read_storage_class(claim.spec.storage_class_name)
        waits = class_.volume_binding_mode == "WaitForFirstConsumer"
        if class_.provisioner != DRIVER or (waits and not annotations.get(SELECTED)):
            return
        name = f"pvc-{claim.metadata.uid}"
        if any(one.metadata.name == name for one in self._core.list_persistent_volume().items):
            return
        self._tell(claim, "PersistentVolumeClaim", "Normal", "Provisioning", f"making {name}")
        self.made(name)
        try:
            self._core.create_persistent_volume(self._volume(claim, class_, name))
        except ApiException as error:
            if error.status != 409:  # it is stored already
                raise
        told = f"Successfully provisioned volume {name}"
        self._tell(claim, "PersistentVolumeClaim", "Normal", "ProvisioningSucceeded", told)

    def made(self, name: str) -> Path:
        """The directory of a volume; as often as wanted, always the same."""
        path = self._place / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _volume(self, claim: Any, class_: Any, name: str) -> client.V1PersistentVolume:
        ref = client.V1ObjectReference(
            kind="PersistentVolumeClaim",
            api_version="v1",
            namespace=claim.metadata.namespace,
            name=claim.metadata.name,
            uid=claim.metadata.uid,
            resource_version=claim.metadata.resource_version,
        )
        return client.V1PersistentVolume(
            metadata=client.V1ObjectMeta(
                name=name, annotations={PROVISIONED_BY: DRIVER}, finalizers=[FINALIZER]
            ),
            spec=client.V1PersistentVolumeSpec(
                access_modes=claim.spec.access_modes,
                capacity={"storage": claim.spec.resources.requests["storage"]},
                volume_mode=claim.spec.volume_mode,
                mount_options=class_.mount_options,
                persistent_volume_reclaim_policy=class_.reclaim_policy,
                storage_class_name=claim.spec.storage_class_name,
                claim_ref=ref,
                csi=client.V1CSIPersistentVolumeSource(driver=DRIVER, volume_handle=name),
            ),
        )

    # Deleting

    def _delete(self, volume: Any) -> None:
        metadata, policy = volume.metadata, volume.spec.persistent_volume_reclaim_policy
        finalizers = metadata.finalizers or []
        if policy != "Delete":
            self._without_finalizer(volume)
            return
        if volume.status.phase != "Released":
            if FINALIZER not in finalizers and not metadata.deletion_timestamp:
                self._finalizers(volume, [*finalizers, FINALIZER])
            return
        if metadata.deletion_timestamp and FINALIZER not in finalizers:
            return
        path = self._place / metadata.name
        try:
            if path.exists():
                shutil.rmtree(path)
        except OSError as error:
            self._tell(volume, "PersistentVolume", "Warning", "VolumeFailedDelete", str(error))
            return
        self._core.delete_persistent_volume(metadata.name)
        if FINALIZER in finalizers:  # by which it is still there
            self._without_finalizer(self._core.read_persistent_volume(metadata.name))

    def _without_finalizer(self, volume: Any) -> None:
        finalizers = volume.metadata.finalizers or []
        if FINALIZER in finalizers:
            self._finalizers(volume, [one for one in finalizers if one != FINALIZER])

    def _finalizers(self, volume: Any, finalizers: list[str]) -> None:
        """As it was read; if it was changed meanwhile, the next look does it."""
        volume.metadata.finalizers = finalizers
        self._wrote(lambda: self._core.replace_persistent_volume(volume.metadata.name, volume))

    # Telling

    def _tell(self, about: Any, kind: str, type_: str, reason: str, message: str) -> None:
        metadata, now = about.metadata, datetime.now(UTC)
        namespace = metadata.namespace or "default"
        event = client.CoreV1Event(
            metadata=client.V1ObjectMeta(generate_name=f"{metadata.name}."),
            involved_object=client.V1ObjectReference(
                api_version="v1",
                kind=kind,
                namespace=metadata.namespace,
                name=metadata.name,
                uid=metadata.uid,
            ),
            type=type_,
            reason=reason,
            message=message,
            source=client.V1EventSource(component=f"{DRIVER}_{self._replica}"),
            first_timestamp=now,
            last_timestamp=now,
            count=1,
        )
        self._core.create_namespaced_event(namespace, event)
