"""What goes wrong, by a seed: the same seed has the same faults in the same order."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple

from tests.chaos.machine import LEADER_LEASE_S, NODE_LEASE_S, Machine
from tests.chaos.world import NAMES, World

LONGEST_S: Final = max(LEADER_LEASE_S, NODE_LEASE_S) + 2.0  # longer than any lease
PROGRAMS: Final = ("etcd", "server", "agent", "dockerd", "watchdog")
LEADER: Final = "leader"  # whichever leads the controllers then


class Fault(NamedTuple):
    """kind of it, the program for some, on which machine, and for how long in seconds."""

    kind: str
    program: str
    where: str
    for_s: float

    def __str__(self) -> str:
        program = f" {self.program}" if self.program else ""
        return f"{self.kind}{program} on {self.where} for {self.for_s:.1f} s"


def planned(seed: str, number: int) -> list[Fault]:
    """As many faults, each of a kind by chance."""
    chance = random.Random(seed)
    return [_any(chance) for _ in range(number)]


def in_turn() -> list[Fault]:
    """Each program of one machine killed and stopped, and each fault of a whole one; all on another
    machine than the one before."""
    found = [
        *(("kill", one) for one in PROGRAMS),
        *(("stop", one) for one in PROGRAMS),
        *((one, "") for one in ("cut", "deaf", "mute", "crash")),
    ]
    faults = [
        Fault(kind, program, NAMES[number % 3], 1.0 if kind in ("kill", "crash") else LONGEST_S)
        for number, (kind, program) in enumerate(found)
    ]
    return [
        *faults,
        Fault("kill", "server", LEADER, 1.0),
        Fault("stop", "server", LEADER, LONGEST_S),
    ]


def _any(chance: random.Random) -> Fault:
    kind = chance.choices(("kill", "stop", "cut", "deaf", "mute", "crash"), (5, 4, 2, 1, 1, 2))[0]
    program = chance.choice(PROGRAMS) if kind in ("kill", "stop") else ""
    where = chance.choice(NAMES)
    if program == "server" and chance.random() < 0.5:
        where = LEADER
    least = _shortest(kind)
    return Fault(kind, program, where, round(chance.uniform(least, least + LONGEST_S - 2), 1))


def _shortest(kind: str) -> float:
    """Something that stands still is to do so for longer than a lease now and then."""
    return 2.0 if kind == "stop" else 0.0


class Striking:
    """Has faults happen to a world, one after the other."""

    def __init__(self, world: World, tell: Callable[[str], None]) -> None:
        self._world, self._tell = world, tell

    def strike(self, fault: Fault) -> None:
        """It lasts as long as it is to, and is over when this returns."""
        machine = self._machine(fault.where)
        self._tell(f"{fault}{f' ({machine.name})' if fault.where == LEADER else ''}")
        with self._acts(fault, machine):
            time.sleep(fault.for_s)  # that long is what the fault is

    def _machine(self, where: str) -> Machine:
        if where == LEADER:
            return self._world.leader()
        return next(one for one in self._world.machines if one.name == where)

    def _acts(self, fault: Fault, machine: Machine) -> AbstractContextManager[None]:
        match fault.kind:
            case "kill":
                return killed(machine, fault.program)
            case "stop":
                return stopped(machine, fault.program)
            case "cut":
                return cut(machine)
            case "deaf":
                return one_way(machine, "input", 'iifname "eth0"')
            case "mute":
                return one_way(machine, "output", 'oifname "eth0"')
        return crashed(machine)


@contextmanager
def killed(machine: Machine, name: str) -> Iterator[None]:
    program = machine.programs()[name]
    program.kill()
    yield
    program.start()


@contextmanager
def stopped(machine: Machine, name: str) -> Iterator[None]:
    program = machine.programs()[name]
    program.freeze()
    try:
        yield
    finally:
        program.thaw()


@contextmanager
def cut(machine: Machine) -> Iterator[None]:
    machine.host.cut()
    try:
        yield
    finally:
        machine.host.heal()


@contextmanager
def one_way(machine: Machine, hook: str, which: str) -> Iterator[None]:
    rule = f"type filter hook {hook} priority -300; {which} drop\n"
    table = f"table ip chaos {{\nchain lost {{\n{rule}}}\n}}\n"
    done = machine.host.run("nft", "-f", "-", stdin=table.encode())
    assert done.code == 0, done.err
    try:
        yield
    finally:
        machine.host.run("nft", "delete", "table", "ip", "chaos")


@contextmanager
def crashed(machine: Machine) -> Iterator[None]:
    machine.host.crash()
    yield
    machine.reboot()
