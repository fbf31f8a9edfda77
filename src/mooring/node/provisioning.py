"""Makes and deletes the assets of this host's pools, by the external path. Semantics §9, §10."""

from collections.abc import Awaitable, Callable
from typing import Final

from mooring.crashpoints import crash_point, passing
from mooring.drivers.interface import asset_name
from mooring.errors import MooringError
from mooring.model.claim import Claim
from mooring.model.names import (
    DELETE,
    EXTERNAL_PROVISIONER_FINALIZER,
    POOL_ATTRIBUTE,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE,
    STORAGE_PROVISIONER,
    STORAGE_PROVISIONER_BETA,
)
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.node.pools import Pools
from mooring.objects.errors import AlreadyExists
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects, Preconditions
from mooring.reconcile.queue import Again, Done, Outcome
from mooring.rules.events import NORMAL, WARNING, EventNote
from mooring.rules.provisioning import unmakeable
from mooring.rules.volumes import may_delete_externally

ASSET_MADE: Final = crash_point("provision.asset-made")
VOLUME_STORED: Final = crash_point("provision.volume-stored")
ASSET_DELETED: Final = crash_point("delete.asset-deleted")
VOLUME_DELETED: Final = crash_point("delete.volume-deleted")
Release = Callable[[Volume], Awaitable[None]]  # takes its path on this host away
RETRY_S: Final = 15.0  # of what an administrator must put right


class Provisioner:
    """For the claims whose provisioner is a driver of this host's pools."""

    def __init__(self, objects: Objects, pools: Pools, node: str, release: Release) -> None:
        self._objects, self._pools, self._node = objects, pools, node
        self._release = release

    async def provision(self, key: str) -> Outcome:
        """Make the volume of one claim, if it is ours to make."""
        claim = self._objects.view(Claim, key)
        if claim is None or claim.volume_name or claim.was_bound or claim.being_deleted:
            return Done("nothing to make")
        annotations = claim.annotations
        wanted = annotations.get(STORAGE_PROVISIONER) or annotations.get(STORAGE_PROVISIONER_BETA)
        class_ = self._objects.view(StorageClass, claim.class_name)
        if not wanted or class_ is None or class_.provisioner != wanted:
            return Done("not ours")
        if class_.waits_for_consumer and annotations.get(SELECTED_NODE) != self._node:
            return Done("its consumer is not on this node")
        name = f"pvc-{claim.uid}"
        if self._objects.entry(Volume.resource, name) is not None:
            return Done("made already")
        found = self._pools.for_class(class_)
        if isinstance(found, str):
            return Done(found) if not found else self._failed(claim, wanted, found)
        return await self._make(claim, class_, found, name)

    async def _make(self, claim: Claim, class_: StorageClass, pool: Pool, name: str) -> Outcome:
        if why := unmakeable(claim, pool):
            return self._failed(claim, class_.provisioner, why)
        begun = f'External provisioner is provisioning volume for claim "{claim.key}"'
        self._tell(claim, NORMAL, "Provisioning", class_.provisioner, begun)
        made = asset_name(name)
        try:
            driver = await self._pools.driver(pool)
            asset = await driver.create(made, claim.request.bytes())
            passing(ASSET_MADE)
            doc = _volume(claim, class_, pool, name, asset.size_bytes)
            await self._objects.create(self._objects.kinds[Volume.resource], "", doc)
        except AlreadyExists:
            return Done("made already")
        except MooringError as error:
            if self._objects.entry(Volume.resource, name) is None and error.code == "Forbidden":
                await (await self._pools.driver(pool)).delete(made)
            return self._failed(claim, class_.provisioner, str(error))
        passing(VOLUME_STORED)
        done = f"Successfully provisioned volume {name}"
        self._tell(claim, NORMAL, "ProvisioningSucceeded", class_.provisioner, done)
        return Done(f"made {name} in pool {pool.name}")

    async def delete(self, name: str) -> Outcome:
        """Delete the asset of one released volume, then the volume, if it is ours to delete."""
        volume = self._objects.view(Volume, name)
        if volume is None or not volume.driver:
            return Done("not ours")
        pool = self._pools.of_volume(volume)
        if pool is None:
            return Done("of another host")
        if not may_delete_externally(volume, volume.driver):
            return await self._finalizer(volume)
        try:
            driver = await self._pools.driver(pool)
            await self._release(volume)  # data that somebody has open is not deleted
            await driver.delete(asset_name(volume.handle))
        except MooringError as error:
            note = EventNote(
                volume.reference(), WARNING, "VolumeFailedDelete", str(error), volume.driver
            )
            self._pools.tell(note)
            return Again(RETRY_S, str(error))
        passing(ASSET_DELETED)
        kind = self._objects.kinds[Volume.resource]
        if not volume.being_deleted:
            await self._objects.delete(kind, name, preconditions=Preconditions(uid=volume.uid))
        passing(VOLUME_DELETED)
        if (left := self._objects.view(Volume, name)) is not None:
            await self._objects.commit(
                [(left, left.without_finalizer(EXTERNAL_PROVISIONER_FINALIZER))]
            )
        return Done("deleted with its data")

    async def _finalizer(self, volume: Volume) -> Outcome:
        """Ours stays on volumes that are to be deleted with their data, and on no others."""
        if volume.provisioned_by != volume.driver:
            return Done("not made by us")
        wanted = volume
        if volume.reclaim_policy != DELETE:
            wanted = volume.without_finalizer(EXTERNAL_PROVISIONER_FINALIZER)
        elif not volume.being_deleted:
            wanted = volume.with_finalizer(EXTERNAL_PROVISIONER_FINALIZER)
        if wanted is not volume:
            await self._objects.commit([(volume, wanted)])
        return Done("kept")

    def _failed(self, claim: Claim, component: str, why: str) -> Outcome:
        self._tell(claim, WARNING, "ProvisioningFailed", component, why)
        return Again(RETRY_S, why)

    def _tell(self, claim: Claim, type_: str, reason: str, component: str, message: str) -> None:
        self._pools.tell(EventNote(claim.reference(), type_, reason, message, component))


def _volume(claim: Claim, class_: StorageClass, pool: Pool, name: str, size_bytes: int) -> Doc:
    size = max(Quantity.of_bytes(size_bytes), claim.request)
    csi = {
        "driver": pool.driver,
        "volumeHandle": name,
        "volumeAttributes": {POOL_ATTRIBUTE: pool.name},
    }
    spec: Doc = {
        "capacity": {STORAGE: size.canonical()},
        "accessModes": list(claim.spec.access_modes),
        "persistentVolumeReclaimPolicy": class_.reclaim_policy,
        "volumeMode": claim.volume_mode,
        "storageClassName": claim.class_name,
        "claimRef": {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "namespace": claim.namespace,
            "name": claim.name,
            "uid": claim.uid,
            "resourceVersion": claim.metadata.resource_version,
        },
        "csi": csi,
    }
    if class_.mount_options:
        spec["mountOptions"] = list(class_.mount_options)
    if pool.node:
        expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [pool.node]}
        terms = [{"matchExpressions": [expression]}]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    metadata = {
        "name": name,
        "annotations": {PROVISIONED_BY: class_.provisioner},
        "finalizers": [EXTERNAL_PROVISIONER_FINALIZER],
    }
    return {"metadata": metadata, "spec": spec}
