"""Makes and deletes the assets of this host's pools, by the external path. Semantics §9, §10."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec

from mooring.crashpoints import crash_point, passing
from mooring.drivers.errors import PoolFull
from mooring.drivers.interface import Asset, AssetName, Driver, Source, asset_name
from mooring.errors import MooringError
from mooring.host.blocking import Blocking
from mooring.host.errors import HostStuck
from mooring.measures import operation, plugin_of
from mooring.model.claim import Claim
from mooring.model.home import Elsewhere, Home
from mooring.model.names import (
    DELETE,
    ELSEWHERE,
    EXTERNAL_PROVISIONER_FINALIZER,
    HOME,
    HOME_LABEL,
    HOSTNAME,
    MAKER,
    POOL_ATTRIBUTE,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE,
)
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity
from mooring.model.selector import only_node
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.node.errors import AssetOfAnother, PoolGone
from mooring.node.filling import Filling, Place
from mooring.node.intents import Intent, Intents
from mooring.node.modifying import Modifier
from mooring.node.origins import Origins
from mooring.node.ownership import Ownership
from mooring.node.pools import Pools
from mooring.node.rescheduling import Rescheduler
from mooring.node.waiting import Failures, Unmade
from mooring.objects.errors import AlreadyExists, Forbidden, NotFound
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects, Preconditions
from mooring.reconcile.backoff import Backoff
from mooring.reconcile.queue import Again, Done, Outcome
from mooring.rules.events import NORMAL, WARNING, EventNote
from mooring.rules.filling import own_source, source_for_others
from mooring.rules.placing import has_to_be_placed
from mooring.rules.pool_room import is_full
from mooring.rules.provisioning import unmakeable
from mooring.rules.sources import source_of
from mooring.rules.volumes import may_delete_externally
from mooring.store.interface import Conflict

log = logging.getLogger(__name__)

MAKER_LOOK_S: Final = 5.0  # whether another host that is to make it lives
COPIES_LOOK_S: Final = 2.0  # until other hosts have deleted what they have of it
FIRST_LOOK_S: Final = 1.0  # the look itself wakes the claims of its pool
INTENT_NOTED: Final = crash_point("provision.intent-noted")
ASSET_MADE: Final = crash_point("provision.asset-made")
VOLUME_STORED: Final = crash_point("provision.volume-stored")
TAKEN_BACK: Final = crash_point("provision.taken-back")
ASSET_DELETED: Final = crash_point("delete.asset-deleted")
VOLUME_DELETED: Final = crash_point("delete.volume-deleted")
Release = Callable[[Volume], Awaitable[None]]  # takes its path on this host away


class Provisioner:
    """For the claims whose provisioner is a driver of this host's pools."""

    def __init__(
        self,
        objects: Objects,
        pools: Pools,
        intents: Intents,
        node: str,
        release: Release,
        failures: Failures,
        filling: Filling,
        modifier: Modifier,
        origins: Origins,
    ) -> None:
        self._modifier = modifier
        self._objects, self._pools, self._node = objects, pools, node
        self._filling = filling
        self.again: Callable[[str], None] = lambda _: None  # has a claim looked at once more
        self._intents, self._release, self._failures = intents, release, failures
        self._origins = origins
        self._rescheduler = Rescheduler(objects)
        self._giving = Blocking("new volumes")  # to their owners
        self._from: dict[str, str] = {}  # claim → the pool that it is to be of, "" any
        self._classless: dict[str, str] = {}  # claim → its class, which is gone
        self._making, self._deleting = Backoff(objects.clock), Backoff(objects.clock)
        self._unsure: set[str] = set()  # assets whose making may go on in a thread that hangs

    def hurry(self, pool: str | None = None) -> None:
        """What failed to be made is not left alone any longer: a class is another, or something
        else that many claims may have waited for; or only this pool, by its name."""
        if pool is None:
            self._making.hurry()
            return
        for key in [key for key, of in self._from.items() if of in ("", pool)]:
            self._making.forget(key)
            self.again(key)

    def class_came(self, name: str) -> None:
        """Claims that were asked for before a class was deleted and made anew may be made now."""
        for key in [key for key, of in self._classless.items() if of == name]:
            self.again(key)

    def retry(self, key: str) -> None:
        """The same for one claim: somebody waits for it."""
        self._making.forget(key)
        self._failures.forget(key)
        self._from.pop(key, None)
        self._classless.pop(key, None)

    async def provision(self, key: str) -> Outcome:
        """Make the volume of one claim, if it is ours to make."""
        claim = self._objects.view(Claim, key)
        if claim is None or claim.volume_name or claim.was_bound or claim.being_deleted:
            self.retry(key)
            await self._give_up(key)
            return Done("nothing to make")
        await self._give_up(key, but=f"pvc-{claim.uid}")
        wanted = claim.provisioner
        class_ = self._objects.view(StorageClass, claim.class_name)
        self._classless.pop(key, None)
        if wanted and class_ is None:
            self._classless[key] = claim.class_name
        if not wanted or class_ is None or class_.provisioner != wanted:
            return Done("not ours")
        if class_.waits_for_consumer and claim.annotations.get(SELECTED_NODE) != self._node:
            return Done("its consumer is not on this node")
        if why := self._elsewhere(claim, class_):
            await self._give_up(key)
            return Done(why)
        name = f"pvc-{claim.uid}"
        if self._objects.entry(Volume.resource, name) is not None:
            await self._give_up(key)
            return Done("made already")
        if self._filling.runs(name):
            return Done("it is being filled")
        if source_for_others(claim) is not None:
            told = "Assuming an external populator will provision the volume"
            self._tell(claim, NORMAL, "Provisioning", wanted, told)
            return Done("another populator's")
        if (left_s := self._making.left_s(key, claim.uid)) > 0:
            return Again(left_s, "it failed, and is tried again later")
        found = self._pools.for_class(class_)
        if found and isinstance(found, str):  # the class names none: where the source is, perhaps
            origin = self._origins.pool(claim, class_)
            found = origin if origin is not None and self._pools.mine(origin) else found
        self._from[key] = class_.pool
        if isinstance(found, str):
            return Done(found) if not found else await self._refused(claim, Unmade(claim, found))
        return await self._make(claim, class_, found, name)

    def _elsewhere(self, claim: Claim, class_: StorageClass) -> str:
        """Why another host makes what several could, "" if this one does."""
        if not has_to_be_placed(class_, self._objects.views(Pool)):
            return ""
        if source_of(claim) is not None and own_source(claim) is None:
            origin = self._origins.pool(claim, class_)
            here = origin is None or self._pools.mine(origin)
            return "" if here else "it is made where its source is"
        maker = claim.annotations.get(MAKER, "")
        return (
            "" if maker == self._node else f"{maker or 'a host that is yet to be chosen'} makes it"
        )

    async def _make(self, claim: Claim, class_: StorageClass, pool: Pool, name: str) -> Outcome:
        if pool.waits_for_a_look:
            return Again(FIRST_LOOK_S, f"pool {pool.name} was made at this moment")
        if why := unmakeable(claim, pool):
            full = is_full(pool, claim.request)
            return await self._refused(claim, Unmade(claim, why, full=full))
        begun = f'External provisioner is provisioning volume for claim "{claim.key}"'
        self._tell(claim, NORMAL, "Provisioning", class_.provisioner, begun)
        made = asset_name(name)
        try:
            source = await self._origins.source(claim, class_, pool)
            driver = await self._pools.driver(pool)
            if not (pool.node or class_.waits_for_consumer) and (why := await self._maker(claim)):
                return Again(MAKER_LOOK_S, why)
            attributes = await self._modifier.attributes(claim, pool)
            intent = Intent(name, claim.key, pool.name, pool.uid)
            if (other := self._intents.elsewhere(intent)) is not None:
                await self._take_back(other)
            await self._intents.begin(intent)
            passing(INTENT_NOTED)
            asset = await self._asset(claim, driver, made, class_.provisioner, source)
            passing(ASSET_MADE)
            if asset is None:
                return Done("it is being filled")
            if attributes:
                await driver.modify(made, attributes)
            if (ownership := Ownership.of(claim)) is not None:  # nobody has seen it yet
                await ownership.give(await driver.publish(made), self._giving)
                await driver.unpublish(made)  # its first use may be long after
            if not self._pools.has(pool):  # it had no volume yet, so nothing kept it
                await driver.delete(made)
                await self._intents.end(name)
                why = f"pool {pool.name} was deleted meanwhile"
                return self._failed(claim, class_.provisioner, Unmade(claim, why))
            doc = _volume(claim, class_, pool, name, asset.size_bytes)
            await self._objects.create(self._objects.kinds[Volume.resource], "", doc)
        except AlreadyExists:
            await self._give_up(claim.key)
            return Done("made already")
        except Conflict:
            raise  # its source was changed meanwhile: it is looked at anew
        except Forbidden as error:  # somebody else took the room meanwhile
            await self._take_back(Intent(name, claim.key, pool.name, pool.uid))
            return await self._refused(claim, error)
        except (OSError, MooringError) as error:
            if isinstance(error, HostStuck):
                self._unsure.add(name)
            if isinstance(error, PoolFull) and own_source(claim) is None:
                await self._take_back(Intent(name, claim.key, pool.name, pool.uid))
                return await self._refused(claim, error)
            why = str(error)
            told = error if isinstance(error, MooringError) else Unmade(claim, why)
            return self._failed(claim, class_.provisioner, told)
        passing(VOLUME_STORED)
        self._unsure.discard(name)
        await self._intents.end(name)
        self.retry(claim.key)
        done = f"Successfully provisioned volume {name}"
        self._tell(claim, NORMAL, "ProvisioningSucceeded", class_.provisioner, done)
        return Done(f"made {name} in pool {pool.name}")

    async def _maker(self, claim: Claim) -> str:
        """Of several hosts that could make a volume one does: who writes its name to the claim
        first, as long as it lives. Returns why this one does not now, "" if it does.

        raises  Conflict: another was first, or the claim is another by now
        """
        if len(self._objects.cache.shelves[Node.resource]) <= 1:
            return ""
        name = claim.annotations.get(MAKER, "")
        if name == self._node:
            return ""
        maker = self._objects.view(Node, name) if name else None
        if maker is not None and maker.is_ready:
            return f"{name} makes it"
        await self._objects.commit([(claim, claim.annotated(**{MAKER: self._node}))])
        return "it was given to this host, and is looked at anew"

    async def _asset(
        self, claim: Claim, driver: Driver, name: AssetName, component: str, origin: Source | None
    ) -> Asset | None:
        """Made, and filled if its claim has a source; None while that goes on."""
        size_bytes = max(claim.request.bytes(), driver.features.min_size_bytes)
        if (source := own_source(claim)) is not None:
            place = Place(driver, name, size_bytes, component)
            return await self._filling.asset(claim, source, place, self.again)
        with operation(plugin_of(component), "volume_provision"):
            return await driver.create(name, size_bytes, origin)

    async def _refused(self, claim: Claim, error: MooringError) -> Outcome:
        """It failed, and nothing of it is here: another node may be chosen."""
        failed = self._failed(claim, claim.provisioner, error)
        class_ = self._objects.view(StorageClass, claim.class_name)
        if class_ is not None and has_to_be_placed(class_, self._objects.views(Pool)):
            if claim.annotations.get(MAKER) == self._node:  # then another host is chosen
                await self._objects.commit([(claim, claim.without_annotations(MAKER))])
        else:
            await self._rescheduler.give_back(claim)
        return failed

    async def _give_up(self, key: str, but: str = "") -> None:
        """Take back what was begun for claims of this name that do not want it any longer.

        Raises MooringError; then it is tried again.
        """
        for intent in self._intents.of_claim(key):
            if intent.asset == but:
                continue
            volume = self._objects.view(Volume, intent.asset)
            if volume is not None and volume.pool == intent.pool:
                await self._intents.end(intent.asset)
            else:
                await self._take_back(intent)

    async def _take_back(self, intent: Intent) -> None:
        """Delete an asset that got no volume."""
        await self._filling.stop(intent.asset)
        pool = self._objects.view(Pool, intent.pool)
        if pool is None or pool.uid != intent.pool_uid:
            log.warning("asset=%s left behind: pool %s is gone", intent.asset, intent.pool)
        else:
            await (await self._pools.driver(pool)).delete(asset_name(intent.asset))
        passing(TAKEN_BACK)
        if intent.asset in self._unsure:
            # The thread may finish it even now; the intent stays for the next start, which knows.
            self._intents.leave(intent.asset)
            self._unsure.discard(intent.asset)
        else:
            await self._intents.end(intent.asset)

    async def delete(self, name: str) -> Outcome:
        """Delete the asset of one released volume, then the volume, if it is ours to delete."""
        volume = self._objects.view(Volume, name)
        if volume is None or not volume.driver:
            self._deleting.forget(name)
            return Done("not ours")
        pool = self._pools.of_volume(volume)
        gone = self._pools.is_of_none(volume)
        if not gone and (pool is None or pool.driver != volume.driver):
            return Done("of another host")
        if not may_delete_externally(volume, volume.driver):
            self._deleting.forget(name)
            return await self._finalizer(volume)
        if (left_s := self._deleting.left_s(name, volume.uid)) > 0:
            return Again(left_s, "it failed, and is tried again later")
        if volume.copies:  # each host deletes its own first, and says so
            return Again(COPIES_LOOK_S, "other hosts have copies of it yet")
        try:
            if pool is None:
                raise PoolGone(volume.pool, volume.handle)
            self._refuse_anothers(volume)
            driver = await self._pools.driver(pool)
            await self._release(volume)  # data that somebody has open is not deleted
            with operation(plugin_of(pool.driver), "volume_delete"):
                await driver.delete(asset_name(volume.handle))
        except MooringError as error:
            about, why = volume.reference(), str(error)
            self._pools.tell(EventNote(about, WARNING, "VolumeFailedDelete", why, volume.driver))
            return Again(self._deleting.failed(name, volume.uid), why)
        self._deleting.forget(name)
        passing(ASSET_DELETED)
        await self._let_go(volume)
        return Done("deleted with its data")

    def _refuse_anothers(self, volume: Volume) -> None:
        """Raises AssetOfAnother: an admin's volume may name an asset that has a volume already."""
        other = self._objects.view(Volume, volume.handle) if volume.handle != volume.name else None
        if other is not None and (other.pool, other.handle) == (volume.pool, volume.handle):
            raise AssetOfAnother(volume.handle, other.name)

    async def _let_go(self, volume: Volume) -> None:
        """Its asset is gone: first the object is deleted, then our finalizer (§9)."""
        if not volume.being_deleted:
            kind, same = self._objects.kinds[Volume.resource], Preconditions(uid=volume.uid)
            with suppress(NotFound):
                await self._objects.delete(kind, volume.name, preconditions=same)
        passing(VOLUME_DELETED)
        left = self._objects.view(Volume, volume.name)
        if left is not None and left.uid == volume.uid:
            freed = left.without_finalizer(EXTERNAL_PROVISIONER_FINALIZER)
            if freed is not left:
                await self._objects.commit([(left, freed)])

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

    def _failed(self, claim: Claim, component: str, error: MooringError) -> Outcome:
        why = str(error)
        self._failures.note(claim, error)
        self._tell(claim, WARNING, "ProvisioningFailed", component, why)
        return Again(self._making.failed(claim.key, claim.uid), why)

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
    if claim.attributes_class:
        spec["volumeAttributesClassName"] = claim.attributes_class
    if class_.mount_options:
        spec["mountOptions"] = list(class_.mount_options)
    annotations = {PROVISIONED_BY: class_.provisioner}
    if pool.node and class_.elsewhere is not Elsewhere.REFUSE:
        # The affinity stays, and the label moves with the data. Decision 0033.
        spec["nodeAffinity"] = msgspec.to_builtins(only_node(HOME_LABEL + name, "true"))
        annotations |= {ELSEWHERE: class_.elsewhere, HOME: str(Home(pool.node, pool.name))}
    elif pool.node:
        spec["nodeAffinity"] = msgspec.to_builtins(only_node(HOSTNAME, pool.node))
    metadata = {
        "name": name,
        "annotations": annotations,
        "finalizers": [EXTERNAL_PROVISIONER_FINALIZER],
    }
    return {"metadata": metadata, "spec": spec}
