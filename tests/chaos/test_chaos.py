"""Three machines, each with all there is, and whatever may go wrong with one at a time.

MOORING_CHAOS_SEED has the faults of an earlier run happen again, in the same order.
"""

import os
import secrets
import time

import pytest

from testbed import etcd
from testbed.hosts import eventually
from testbed.linearizable import violations
from tests.chaos import leaks
from tests.chaos.faults import Fault, Striking, in_turn, planned
from tests.chaos.jobs import Jobs
from tests.chaos.stamps import disorder
from tests.chaos.workers import Claimer, Histories, Swapper, Worker
from tests.chaos.world import CLAIMS, SETTLED, VOLUMES, WANDERING, WELL_S, World
from tests.docker.order import age_ids
from tests.docker.testbed import needs_hosts

pytestmark = [
    pytest.mark.system,
    needs_hosts,
    pytest.mark.skipif(bool(etcd.lacking()), reason=etcd.lacking()),
]
SWAPPERS = 3
AGED_S = 300.0  # so old are IDs that Docker gave back to nobody, or never will


class Run:
    """Clients at a world while faults happen, and what all of them were told."""

    def __init__(self, world: World, seed: str) -> None:
        self.world = world
        self.seed = seed
        self.began_s = time.monotonic()
        self.baseline = leaks.documents(world)
        world.services()
        servers = [one.host.ip for one in world.machines]
        how = (servers, world.client, seed)
        self.histories = Histories()
        self.swappers = [Swapper(self.histories, f"s{n}", *how) for n in range(SWAPPERS)]
        self.claimer = Claimer("claimer", *how)
        self.jobs = Jobs([one.host for one in world.machines], "jobs", *how)
        self.workers: list[Worker] = [*self.swappers, self.claimer, self.jobs]
        self.seen: dict[str, str] = {}
        for one in self.workers:
            one.start()

    def tell(self, what: str) -> None:
        print(f"{time.monotonic() - self.began_s:7.1f} {what}", flush=True)

    def strike(self, faults: list[Fault], *, every: int) -> None:
        """every: after how many faults the swarm and its services are waited for; it has a leader
        again after up to 20 s, and other faults may find it without."""
        striking = Striking(self.world, self.tell)
        for number, fault in enumerate(faults, start=1):
            striking.strike(fault)
            when = f"after fault {number} of seed {self.seed}: {fault}"
            self.world.is_controlled(when)
            if number % every == 0:
                self.world.is_well(when)
                self.world.writes_on(when)
            self.look(when)

    def look(self, when: str) -> None:
        """Nothing that was there before is another now, and nobody wrote beside another."""
        now = self.world.logs()
        wrong = []
        for claim, text in now.items():
            whole = text[: text.rfind("\n") + 1]  # the last may be half written at this moment
            wrong += [f"{claim}: {one}" for one in disorder(whole)]
            if not text.startswith(self.seen.get(claim, "")):
                wrong.append(f"{claim} has lost records")
            self.seen[claim] = whole
        wrong += self.claimer.wrong + self.jobs.wrong + self.histories.wrong
        assert wrong == [], when

    def end(self) -> None:
        for one in self.workers:
            one.end()
        for one in self.workers:
            one.join()
        self.world.is_well("at the end")
        self.world.writes_on("at the end")
        self.look("at the end")
        self._claims()
        found = violations(self.histories.of)
        assert not found, "\n".join(f"{key}: {one}" for key, one in found.items())
        assert self.histories.of_no_moment() == []
        self.tell(self.figures())

    def _claims(self) -> None:
        """Every claim that was said to be made is there and bound to a volume of its own."""
        world, kept = self.world, self.claimer.kept

        def bound() -> bool:
            there = {one["metadata"]["name"]: one for one in world.items(CLAIMS)}
            return all(there[one]["status"]["phase"] == "Bound" for one in kept)

        eventually(bound, "all claims are bound", WELL_S)
        there = {one["metadata"]["name"]: one for one in world.items(CLAIMS)}
        notes = {
            name: there[name]["metadata"].get("annotations", {}).get("note", "") for name in kept
        }
        assert notes == kept
        eventually(
            lambda: not self.claimer.deleted & {n["metadata"]["name"] for n in world.items(CLAIMS)},
            "what was deleted is gone",
            WELL_S,
        )
        volumes = {one["metadata"]["name"]: one for one in world.items(VOLUMES)}
        taken = [one["spec"]["volumeName"] for one in there.values() if "volumeName" in one["spec"]]
        assert len(taken) == len(set(taken))
        for one in there.values():
            if "volumeName" in one["spec"]:
                ref = volumes[one["spec"]["volumeName"]]["spec"]["claimRef"]
                assert ref["uid"] == one["metadata"]["uid"]

    def figures(self) -> str:
        operations = [one for history in self.histories.of.values() for one in history]
        unsure = sum(1 for one in operations if one.outcome.value == "unknown")
        records = sum(text.count("\n") for text in self.seen.values())
        moved = {claim: len({line.split()[2] for line in text.splitlines()})
                 for claim, text in self.seen.items()}  # fmt: skip
        return (
            f"seed {self.seed}: {len(operations)} operations, {unsure} without an answer; "
            f"{len(self.claimer.kept)} claims kept, {len(self.claimer.deleted)} deleted; "
            f"{self.jobs.done} jobs done, {self.jobs.given_up} given up; "
            f"{records} records by containers {moved}"
        )

    def clear(self) -> None:
        """Takes all away that was made, and waits until nothing is left of it.

        What Docker has not told the end of, as it was killed, is kept for minutes: these pass here.
        """
        world = self.world
        first = world.machines[0].host
        first.docker("service", "rm", WANDERING, SETTLED)
        for machine in world.machines:
            jobs = machine.host.docker("ps", "-aq", "--filter", "label=job").split()
            if jobs:
                machine.host.try_docker("rm", "--force", *jobs)

        eventually(lambda: not leaks.containers(world), "all containers are gone", WELL_S)
        for machine in world.machines:
            machine.agent.kill()
            age_ids(machine, AGED_S)
            machine.agent.start()

        def cleared() -> bool:
            for one in world.items(CLAIMS):
                name = one["metadata"]["name"]
                world.client.ask(first.ip, "DELETE", f"{CLAIMS}/{name}")
            return not leaks.left(world)

        try:
            eventually(cleared, "all is taken away", WELL_S)
        except AssertionError as error:
            raise AssertionError(f"{error}: {leaks.left(world)}") from error


def test_ten_faults(world: World) -> None:
    a_run(world, planned(seed := a_seed(), 10), seed, every=10)


@pytest.mark.slow
def test_each_process_and_host_in_turn(world: World) -> None:
    a_run(world, in_turn(), "in turn", every=1)


@pytest.mark.slow
def test_two_hundred_faults(world: World) -> None:
    a_run(world, planned(seed := a_seed(), 200), seed, every=5)


def a_seed() -> str:
    return os.environ.get("MOORING_CHAOS_SEED") or secrets.token_hex(4)


def a_run(world: World, faults: list[Fault], seed: str, every: int) -> None:
    print(f"seed {seed}")
    run = Run(world, seed)
    run.strike(faults, every=every)
    run.end()
    run.clear()
    run.tell("nothing is left")
    assert leaks.processes(world) == {one.name: 2 for one in world.machines}
    assert leaks.more_documents(world, run.baseline) == {}
