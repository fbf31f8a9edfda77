"""Brings volumes of this host's pools to what their VolumeAttributesClass says. §15."""

from typing import Final

from mooring.crashpoints import crash_point, passing
from mooring.drivers.errors import BadAttribute
from mooring.drivers.interface import asset_name
from mooring.errors import MooringError
from mooring.model.attributes_class import AttributesClass
from mooring.model.claim import Claim
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.node.errors import AttributesClassUnfit, NoSuchAttributesClass
from mooring.node.pools import Pools
from mooring.node.steps import Steps
from mooring.objects.cache import Entry, Event
from mooring.objects.index import Index
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.backoff import Backoff
from mooring.reconcile.queue import Again, Done, Outcome, Queue
from mooring.rules import modifying as rules
from mooring.rules.events import NORMAL, WARNING
from mooring.rules.resizing import owner_of
from mooring.store.interface import Conflict

MARKED: Final = crash_point("modify.marked")
APPLIED: Final = crash_point("modify.applied")
VOLUME_STORED: Final = crash_point("modify.volume-stored")
CLAIM_STORED: Final = crash_point("modify.claim-stored")


class Modifier:
    """For the volumes whose pool is of this host. Its keys are names of volumes."""

    def __init__(self, objects: Objects, pools: Pools) -> None:
        self._objects, self._pools = objects, pools
        self._steps = Steps(objects, pools.tell)
        self._backoff = Backoff(objects.clock)
        self.queue = Queue("modify", self.reconcile)
        self._naming = Index(objects.cache.shelves[Claim.resource], _names_of)

    def class_changed(self, event: Event) -> None:
        """Claims that wait for a class may go on."""
        if event.after is not None and event.before is None:
            for key in self._naming.keys(event.key):
                if (claim := self._objects.view(Claim, key)) and claim.volume_name:
                    self._backoff.forget(claim.volume_name)
                    self.queue.add(claim.volume_name)

    async def stop(self) -> None:
        self._naming.stop()
        await self.queue.stop()

    async def attributes(self, claim: Claim, pool: Pool) -> dict[str, str]:
        """What a new volume for a claim is to be like, by its class.

        raises  NoSuchAttributesClass, AttributesClassUnfit; what starting the driver raises
        """
        if not claim.attributes_class:
            return {}
        return (await self._class(claim.attributes_class, pool)).parameters

    async def reconcile(self, name: str) -> Outcome:
        """Bring one volume to the class that its claim names."""
        volume = self._objects.view(Volume, name)
        pool = self._pools.of_volume(volume) if volume is not None else None
        ref = volume.claim_ref if volume is not None else None
        if volume is None or ref is None or pool is None or pool.driver != volume.driver:
            self._backoff.forget(name)
            return Done("not ours")
        claim = owner_of(volume, self._objects.view(Claim, ref.key))
        if claim is None or not rules.is_modifying(claim):
            self._backoff.forget(name)
            return Done("as it should be")
        wanted = rules.target(claim)
        attempt = f"{volume.uid} {wanted}"
        if (left_s := self._backoff.left_s(name, attempt)) > 0:
            return Again(left_s, "it failed, and is tried again later")
        try:
            outcome = await self._modified(claim, volume, pool, wanted)
        except Conflict:
            raise
        except MooringError as error:
            delay_s = self._backoff.failed(name, attempt)
            await self._failed(volume, ref.key, wanted, error)
            return Again(delay_s, str(error))
        self._backoff.forget(name)
        return outcome

    async def _modified(self, claim: Claim, volume: Volume, pool: Pool, wanted: str) -> Outcome:
        if not wanted:  # it names the class again that it is of, and nothing was changed
            await self._steps.stored(claim, rules.modified(claim, rules.current(claim)))
            return Done("taken back")
        class_ = await self._class(wanted, pool)
        marked = rules.begun(claim, wanted, self._steps.now())
        if marked is not claim:
            claim = await self._steps.stored(claim, marked)
            told = f"external resizer is modifying volume {claim.name} with vac {wanted}"
            self._steps.tell(claim, NORMAL, "VolumeModify", told, pool.driver)
        passing(MARKED)
        driver = await self._pools.driver(pool)
        await driver.modify(asset_name(volume.handle), class_.parameters)
        passing(APPLIED)
        await self._steps.stored(volume, volume.with_spec(volume_attributes_class_name=wanted))
        passing(VOLUME_STORED)
        claim = await self._steps.stored(claim, rules.modified(claim, wanted))
        passing(CLAIM_STORED)
        told = f"external resizer modified volume {claim.name} with vac {wanted} successfully"
        self._steps.tell(claim, NORMAL, "VolumeModifySuccessful", told, pool.driver)
        return Again(0, "it names another class by now") if rules.target(claim) else Done(told)

    async def _class(self, name: str, pool: Pool) -> AttributesClass:
        """Raises NoSuchAttributesClass, AttributesClassUnfit; what starting the driver raises."""
        class_ = self._objects.view(AttributesClass, name)
        if class_ is None:
            raise NoSuchAttributesClass(name)
        offered = (await self._pools.driver(pool)).features.attributes
        what, remedy = rules.unfit(class_, pool.driver, offered)
        if what:
            raise AttributesClassUnfit(what, remedy)
        return class_

    async def _failed(self, volume: Volume, key: str, wanted: str, error: MooringError) -> None:
        claim = owner_of(volume, self._objects.view(Claim, key))
        if claim is None:
            return
        if isinstance(error, NoSuchAttributesClass):
            claim = await self._steps.stored(claim, rules.pending(claim, wanted))
        elif isinstance(error, BadAttribute | AttributesClassUnfit):
            marked = rules.infeasible(claim, wanted, str(error), self._steps.now())
            claim = await self._steps.stored(claim, marked)
        self._steps.tell(claim, WARNING, "VolumeModifyFailed", str(error), volume.driver)


def _names_of(claim: Entry) -> set[str]:
    return rules.names_of_claim(view(Claim, claim))
