"""Whatever clients do in whatever order: the rules that always hold, and those that hold at rest.

Steps do not wait for the controllers, so binds are under way while volumes and claims are edited,
deleted and restarted over.
"""

from itertools import chain

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mooring.model.claim import Claim
from mooring.model.names import (
    BOUND_BY_CONTROLLER,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    Phase,
)
from mooring.model.pod import Pod
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.cache import Event
from mooring.objects.views import view
from mooring.objects.waste import limit_for
from tests.controllers.clients import Clients
from tests.controllers.plant import CLAIMS, VOLUMES, Plant
from tests.rules.plain_scan import acceptable

SEEDS = st.integers(0, 2**32)


class Machine(RuleBasedStateMachine):
    """Clients of all kinds, and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.plant = Plant()
        self.faults: list[str] = []
        self.clients = Clients(self.plant)
        self.calm = False
        self._watch()

    def _watch(self) -> None:
        self.volume_was: dict[str, tuple[int, Volume | None]] = {}
        shelves = self.plant.objects.cache.shelves
        shelves[VOLUMES].follow(self._volume_event)
        shelves[CLAIMS].follow(self._claim_event)

    def _volume_event(self, event: Event) -> None:
        before = view(Volume, event.before) if event.before else None
        self.volume_was[event.key] = event.revision, before

    def _claim_event(self, event: Event) -> None:
        """Each bind, at the moment it happens: was the volume one that the claim may have?"""
        if event.before is None or event.after is None:
            return
        claim, after = view(Claim, event.before), view(Claim, event.after)
        if claim.was_bound or not (after.was_bound and after.phase == Phase.BOUND):
            return
        revision, volume = self.volume_was.get(after.volume_name, (0, None))
        if revision != event.revision:  # the volume's half of the commit comes after this one
            volume = self.plant.view(Volume, after.volume_name)
        if volume is None:
            self.faults.append(f"{claim.key} bound to {after.volume_name}, which is not there")
        elif not claim.volume_name and not acceptable([volume], claim):
            self.faults.append(f"{claim.key} must not choose {volume}")
        elif claim.volume_name and not volume.points_at(claim) and not _named_fits(claim, volume):
            self.faults.append(f"{claim.key} names {volume}, which does not fit")

    # What happens

    @initialize(calm=st.booleans(), seed=SEEDS)
    def begin(self, calm, seed) -> None:
        """A calm machine comes to rest after each step; in another one things overtake."""
        self.calm = calm
        self.plant.dawdle(seed)

    @rule(seed=SEEDS)
    def something_happens(self, seed) -> None:
        self.clients.act(seed)

    @rule(seeds=st.lists(SEEDS, min_size=5, max_size=5))
    def much_happens(self, seeds) -> None:
        for seed in seeds:
            self.clients.act(seed)

    @rule()
    def restart(self) -> None:
        self.plant.restart()
        self._watch()

    # What must hold

    @invariant()
    def every_bind_was_right(self) -> None:
        assert self.faults == []

    @invariant()
    def no_volume_has_two_claims(self) -> None:
        """At any moment, for two claims may name one volume, but one of them has its pointer."""
        holders = [
            (claim.volume_name, claim.uid)
            for claim in self.plant.claims()
            if claim.was_bound
            and (volume := self.plant.view(Volume, claim.volume_name)) is not None
            and volume.claim_ref is not None
            and volume.claim_ref.uid == claim.uid
        ]
        assert len({name for name, _ in holders}) == len(holders)

    @invariant()
    def a_calm_machine_is_settled(self) -> None:
        if self.calm:
            self.all_is_settled()

    @rule()
    def all_is_settled(self) -> None:
        self.plant.settle()
        assert self.plant.controllers.claims.delayed == frozenset()
        for claim in self.plant.claims():
            self._claim_is_settled(claim)
        for volume in self.plant.volumes():
            self._volume_is_settled(volume)

    def teardown(self) -> None:
        """At the end, come to rest; then a restart changes nothing."""
        try:
            self.all_is_settled()
            before = self.plant.stored()
            self.restart()
            self.plant.settle()
            assert self.plant.stored() == before, "a restart changed something"
        finally:
            self.plant.close()

    def _claim_is_settled(self, claim: Claim) -> None:
        volume = self.plant.view(Volume, claim.volume_name) if claim.volume_name else None
        has_it = volume is not None and volume.claim_ref is not None
        has_it = has_it and volume.claim_ref.uid == claim.uid
        if claim.was_bound:
            assert claim.phase == (Phase.BOUND if has_it else Phase.LOST)
        elif claim.volume_name:
            assert not has_it
            assert claim.phase == Phase.PENDING or BOUND_BY_CONTROLLER in claim.annotations
        else:
            self._nothing_fits(claim)
        if claim.being_deleted:
            pods = (pod for pod in self.plant.objects.views(Pod) if pod.node_name)
            assert claim.name in chain.from_iterable(pod.claim_names for pod in pods)

    def _nothing_fits(self, claim: Claim) -> None:
        classes = {one.name: one for one in self.plant.objects.views(StorageClass)}
        class_ = classes.get(claim.class_name)
        delay = class_ is not None and class_.waits_for_consumer
        limit = limit_for(self.plant.objects, claim)
        assert acceptable(self.plant.volumes(), claim, delay=delay, limit=limit) == set(), claim
        assert claim.has_class or not any(one.is_default for one in classes.values())
        wanted = class_ is not None and (not delay or SELECTED_NODE in claim.annotations)
        assert STORAGE_PROVISIONER in claim.annotations or not wanted
        assert claim.phase in (Phase.PENDING, Phase.LOST) or claim.class_name, claim

    def _volume_is_settled(self, volume: Volume) -> None:
        ref = volume.claim_ref
        claim = self.plant.view(Claim, ref.key) if ref else None
        if ref is None or not ref.uid:
            assert volume.phase == Phase.AVAILABLE
        elif claim is None or claim.uid != ref.uid:
            assert volume.phase in (Phase.RELEASED, Phase.FAILED)
        elif claim.volume_name == volume.name:
            assert volume.phase == Phase.BOUND
        elif claim.volume_name:
            assert volume.phase in (Phase.RELEASED, Phase.FAILED)
            assert volume.provisioned_by
        assert not volume.being_deleted or volume.phase == Phase.BOUND


def _named_fits(claim: Claim, volume: Volume) -> bool:
    """§4 B, a volume that the claim names and that points nowhere."""
    return (
        volume.claim_ref is None
        and not volume.being_deleted
        and volume.capacity >= claim.request
        and volume.class_name == claim.class_name
        and claim.modes <= volume.modes
    )


def _run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_whatever_clients_do_claims_and_volumes_come_to_rest_where_they_belong() -> None:
    _run(examples=20, steps=25)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_whatever_clients_do_for_long_claims_and_volumes_come_to_rest(part: int) -> None:
    _run(examples=125, steps=60)
