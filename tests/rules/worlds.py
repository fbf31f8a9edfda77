"""Random volumes and claims that are near enough to each other to match now and then."""

import random
from fractions import Fraction

from mooring.model.claim import Claim
from mooring.model.metadata import ObjectReference
from mooring.model.names import HOSTNAME, STORAGE_CLASS_BETA, Phase
from mooring.model.selector import LabelSelector, only_node
from mooring.model.volume import Volume
from mooring.rules.waste import WasteLimit
from tests.rules.making import a_claim, a_volume, labelled, pointer

SIZES = ("1500m", "1", "1G", "1Gi", "1024Mi", "2Gi", "2G", "3Gi", "8Gi")
MODE_SETS = ("RWO", "ROX", "RWX", "RWOP", "RWO,ROX", "RWX,RWO", "ROX,RWX", "RWO,ROX,RWX")
CLASSES = ("", "", "", "fast")
VOLUME_MODES = ("Filesystem", "Filesystem", None, None, "Block")
ATTRIBUTES_CLASSES = (None, None, None, None, None, "", "gold")
KEYS, VALUES = ("app", "tier"), ("a", "b", "c")
LIMITS = ("1", "1.5", "2", "4")  # of waste
PHASES = (*[Phase.AVAILABLE] * 9, Phase.PENDING, Phase.BOUND, Phase.RELEASED, Phase.FAILED)
CLAIMS = ("db", "web", "log")
UIDS = ("", "uid-db", "uid-web", "uid-of-old")


class Worlds:
    """What it makes depends on the seed alone."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def often(self, probability: float) -> bool:
        return self._random.random() < probability

    def below(self, limit: int) -> int:
        return self._random.randrange(limit)

    def volume(self, name: str) -> Volume:
        """Of any kind: free, claimed, being deleted, in any phase."""
        choice = self._random.choice
        return a_volume(
            name,
            size=choice(SIZES),
            modes=choice(MODE_SETS),
            class_=choice(CLASSES),
            claim=self._pointer() if self.often(0.3) else None,
            volume_mode=choice(VOLUME_MODES),
            attributes_class=choice(ATTRIBUTES_CLASSES),
            labels=self._labels(),
            annotations={STORAGE_CLASS_BETA: choice(CLASSES)} if self.often(0.1) else {},
            affinity=only_node(HOSTNAME, "n1") if self.often(0.2) else None,
            phase=choice(PHASES),
            deleted=self.often(0.1),
        )

    def free_volume(self, name: str) -> Volume:
        """One that any claim may have."""
        volume = self.volume(name).with_spec(claim_ref=None).with_status(phase="Available")
        return volume.with_metadata(deletion_timestamp=None)

    def claim(self, name: str = "") -> Claim:
        """One that names no volume."""
        choice = self._random.choice
        return a_claim(
            name or choice(CLAIMS),
            size=choice(SIZES[:6]),
            modes=choice(MODE_SETS[:6]),
            class_=choice((*CLASSES, None)),
            volume_mode=choice(VOLUME_MODES),
            attributes_class=choice(ATTRIBUTES_CLASSES),
            selector=self._selector() if self.often(0.3) else None,
            annotations={STORAGE_CLASS_BETA: choice(CLASSES)} if self.often(0.1) else {},
        )

    def limit(self) -> WasteLimit | None:
        """Of waste, or none."""
        if self.often(0.5):
            return None
        return WasteLimit(Fraction(self._random.choice(LIMITS)), "namespace default")

    def _pointer(self) -> ObjectReference:
        return pointer(self._random.choice(CLAIMS), uid=self._random.choice(UIDS))

    def _labels(self) -> dict[str, str]:
        return {key: self._random.choice(VALUES) for key in KEYS if self.often(0.6)}

    def _selector(self) -> LabelSelector:
        choice = self._random.choice
        labels = {key: choice(VALUES) for key in KEYS if self.often(0.3)}
        expressions = []
        for operator in ("In", "NotIn", "Exists", "DoesNotExist"):
            if self.often(0.25):
                values = self._random.sample(VALUES, k=2) if operator.endswith("In") else []
                expressions.append((choice(KEYS), operator, values))
        return labelled(*expressions, **labels)
