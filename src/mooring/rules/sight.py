"""What an explanation of a claim looks at, and what it finds there."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from mooring.model.attributes_class import AttributesClass
from mooring.model.claim import Claim
from mooring.model.names import BLOCK
from mooring.model.namespace import Namespace
from mooring.model.pod import Pod
from mooring.model.populator import VolumePopulator
from mooring.model.snapshot import Snapshot
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.rules.matching import VolumeIndex, fits
from mooring.rules.outlook import Supply
from mooring.rules.waste import WasteLimit, waste_limit


@dataclass(frozen=True)
class Sight:
    """All that there is to judge a claim by. Answers rules.claims.World.

    namespace   of the claim
    pods        that use the claim
    populators  all that are registered
    index       of all volumes; without it they are looked at one by one
    holder      the claim that the volume it names points at, if that exists
    source      what its volume is to be filled from, if that exists
    attributes  its VolumeAttributesClass, if that exists
    told        the last failure that whoever makes its volume told of, "" if none
    path        where it is mounted on the host of the server, "" if it is not
    """

    volumes: Mapping[str, Volume] = field(default_factory=dict)
    supply: Supply = field(default_factory=lambda: Supply({}))
    namespace: Namespace | None = None
    pods: Sequence[Pod] = ()
    populators: Collection[VolumePopulator] = ()
    index: VolumeIndex | None = None
    holder: Claim | None = None
    source: Claim | Snapshot | None = None
    attributes: AttributesClass | None = None
    told: str = ""
    path: str = ""

    def volume(self, name: str) -> Volume | None:
        return self.volumes.get(name)

    def storage_class(self, name: str) -> StorageClass | None:
        return self.supply.classes.get(name)

    def default_class(self) -> StorageClass | None:
        return self.supply.default

    def best_volume(self, claim: Claim, *, delay: bool) -> Volume | None:
        """By §6: the fewest modes, then one that points at the claim, then the smallest."""
        return self._best(claim, self.limit(claim), delay=delay)

    def _best(self, claim: Claim, limit: WasteLimit | None, *, delay: bool) -> Volume | None:
        if self.index is not None:
            name = self.index.best(claim, delay=delay, limit=limit)
            return self.volumes[name] if name else None
        volumes = self.volumes.values()
        fitting = [one for one in volumes if fits(claim, one, delay=delay, limit=limit)]
        return min(
            fitting,
            key=lambda one: (
                len(one.modes),
                sorted(one.modes),
                not one.points_at(claim),
                one.capacity.nanos,
                one.name,
            ),
            default=None,
        )

    def limit(self, claim: Claim) -> WasteLimit | None:
        return waste_limit(claim, self.namespace, self.storage_class(claim.class_name))

    def wasteful(self, claim: Claim) -> Volume | None:
        """The volume that it would get if there were no limit of waste, None if none."""
        if self.limit(claim) is None:
            return None
        return self._best(claim, None, delay=False)

    def has_waiting_pod(self, claim: Claim) -> bool:
        return any(not pod.node_name and not pod.has_ended for pod in self.pods)

    def offer(self, claim: Claim) -> str:
        """A new claim, as near to this one as can be, for which a volume would be made; "" if for
        none."""
        spec, without = claim.spec, []
        if spec.selector is not None:
            without.append("spec.selector")
        if spec.volume_attributes_class_name:
            without.append("spec.volumeAttributesClassName")
        if spec.volume_mode == BLOCK:
            without.append("volumeMode Block")
        least = msgspec.structs.replace(
            spec, selector=None, volume_attributes_class_name=None, volume_mode=None
        )
        maker = self.supply.maker(msgspec.structs.replace(claim, spec=least))
        if not maker or (maker == claim.class_name and not without):
            return ""
        lacking = f" without {' and '.join(without)}" if without else ""
        return f"a new claim of class {maker}{lacking}"
