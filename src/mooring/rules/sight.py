"""What an explanation of a claim looks at, and what it finds there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from mooring.model.claim import Claim
from mooring.model.names import BLOCK
from mooring.model.namespace import Namespace
from mooring.model.node import Node
from mooring.model.pod import Pod
from mooring.model.pool import Pool
from mooring.model.populator import VolumePopulator
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.rules.default_class import default_of
from mooring.rules.matching import VolumeIndex, fits
from mooring.rules.outlook import outlook
from mooring.rules.waste import WasteLimit, waste_limit


@dataclass(frozen=True)
class Sight:
    """All that there is to judge a claim by. Answers rules.claims.World.

    namespace   of the claim
    nodes       with an agent if they are Ready
    pods        that use the claim
    populators  all that are registered
    index       of all volumes; without it they are looked at one by one
    told        the last failure that whoever makes its volume told of, "" if none
    path        where it is mounted on the host of the server, "" if it is not
    """

    volumes: Mapping[str, Volume] = field(default_factory=dict)
    classes: Mapping[str, StorageClass] = field(default_factory=dict)
    namespace: Namespace | None = None
    pools: Sequence[Pool] = ()
    nodes: Sequence[Node] = ()
    pods: Sequence[Pod] = ()
    populators: Sequence[VolumePopulator] = ()
    index: VolumeIndex | None = None
    told: str = ""
    path: str = ""

    def volume(self, name: str) -> Volume | None:
        return self.volumes.get(name)

    def storage_class(self, name: str) -> StorageClass | None:
        return self.classes.get(name)

    def default_class(self) -> StorageClass | None:
        return default_of(self.classes.values())

    def best_volume(self, claim: Claim, *, delay: bool) -> Volume | None:
        """By §6: the fewest modes, then one that points at the claim, then the smallest."""
        limit = self.limit(claim)
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
        unlimited = replace(self, namespace=None, classes={})
        return unlimited.best_volume(claim, delay=False)

    def has_waiting_pod(self, claim: Claim) -> bool:
        return any(not pod.node_name and not pod.has_ended for pod in self.pods)

    def maker(self, claim: Claim) -> str:
        """The name of a class that would make a volume for a new claim like this one, the default
        first; "" if none would."""
        default = self.default_class()
        classes = [*([default] if default else []), *self.classes.values()]
        fit = (one.name for one in classes if not outlook(claim, one, self.pools, self.nodes).why)
        return next(fit, "")

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
        maker = self.maker(msgspec.structs.replace(claim, spec=least))
        if not maker or (maker == claim.class_name and not without):
            return ""
        lacking = f" without {' and '.join(without)}" if without else ""
        return f"a new claim of class {maker}{lacking}"
