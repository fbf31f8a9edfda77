"""Mooring is restarted again and again under containers that write and a Docker that asks."""

import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.docker import images
from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER, Mooring
from tests.docker.order import RUNNING, State, users
from tests.docker.testbed import Bed, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]
ROOT: Final = Path(__file__).parents[2]
WRITERS: Final = 20
# It ends at the first write that fails. Not synced, as in writer.py.
WRITE: Final = "while echo $i >>/data/log; do i=$((i+1)); sleep 0.2; done"
PAUSE_S: Final = 0.02  # between two commands of the same kind
BETWEEN: Final = 3  # commands of each kind from one restart to the next


class KeptMooring(Mooring):
    """Started again whenever it ends, with a plugin socket that is always there."""

    program = "tests.docker.keeper"

    def start(self, **environment: str) -> Mooring:
        places = (str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")]))
        return super().start(PYTHONPATH=os.pathsep.join(places), **environment)

    def end(self, number: int) -> None:
        """End it by a signal, and wait until the next one serves."""
        served = self._times_served()
        assert self._process is not None
        keeper = self.host.pid_of(self._process)
        (mooring,) = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
        os.kill(int(mooring), number)
        eventually(lambda: self._times_served() > served, "it serves again")


class Asked(NamedTuple):
    """A command that was given while Mooring came and went; failure is "" if there was none."""

    began_s: float
    ended_s: float
    failure: str

    @property
    def took_s(self) -> float:
        return self.ended_s - self.began_s


class Asking:
    """Gives one command again and again."""

    def __init__(self, ask: Callable[[], str]) -> None:
        """ask  returns why it failed, "" if it did not"""
        self.asked: list[Asked] = []
        self._ask, self._is_over = ask, threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    def go_on(self) -> None:
        """Wait for some answers."""
        before = len(self.asked)
        eventually(lambda: len(self.asked) >= before + BETWEEN, "it is answered")

    def end(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._is_over.wait(PAUSE_S):
            began_s = time.monotonic()
            failure = self._ask()
            self.asked.append(Asked(began_s, time.monotonic(), failure))


class Seen(NamedTuple):
    """All that was asked, by command, and when Mooring was killed (by SIGKILL) or stopped."""

    asked: dict[str, list[Asked]]
    killed_s: list[float]
    stopped_s: list[float]

    def failures(self) -> list[str]:
        """Of commands that were not under way when Mooring was killed.

        Dockerd repeats a call whose connection broke without saying what it wanted (§1), so what
        Mooring had taken when it was killed is lost. What waits in the socket is not.
        """
        return [
            f"{command}: {one.failure}"
            for command, all_ in self.asked.items()
            for one in all_
            if one.failure
            and not any(one.began_s <= killed_s <= one.ended_s for killed_s in self.killed_s)
        ]

    def report(self) -> str:
        """How long commands took that began before Mooring was back."""
        lines = []
        for command, all_ in self.asked.items():
            ends_s = sorted(self.killed_s + self.stopped_s)
            waited_s = [
                max(one.took_s for one in all_ if one.ended_s >= end_s and one.began_s < next_s)
                for end_s, next_s in zip(ends_s, [*ends_s[1:], float("inf")], strict=True)
            ]
            usual_s = statistics.median(one.took_s for one in all_)
            cut_off = sum(1 for one in all_ if one.failure)
            lines.append(
                f"{command}: {len(all_)} times, usually {usual_s:.3f} s; the longest of each "
                f"restart: median {statistics.median(waited_s):.2f} s, at most "
                f"{max(waited_s):.2f} s; {cut_off} cut off"
            )
        return "\n".join(lines)


@pytest.fixture(scope="module")
def kept(bed: Bed) -> Iterator[KeptMooring]:
    host = bed.host("here")
    host.up()
    mooring = KeptMooring(host)
    mooring.start()
    host.dockerd()
    images.load(host)
    yield mooring
    mooring.stop()


def writing(mooring: Mooring, number: int) -> str:
    """Start a container that writes 1, 2, 3 … to a volume of its own."""
    name = f"writer-{number}"
    volume = ("--volume-driver", DRIVER, "-v", f"{name}:/data")
    mooring.host.docker("run", "-d", "--name", name, "--stop-signal", "KILL", "-e", "i=1",
                        *volume, SHELL, "sh", "-c", WRITE)  # fmt: skip
    return name


def restarted(mooring: KeptMooring, times: int) -> Seen:
    """Killed and stopped in turn, while Docker is asked all the time."""
    host = mooring.host

    def inspect() -> str:
        status, said = host.api("GET", "/volumes/writer-0")
        return "" if status == 200 else str(said)

    def run() -> str:
        volume = ("-v", "writer-1:/data")
        done = host.try_docker("run", "--rm", *volume, SHELL, "test", "-s", "/data/log")
        return "" if done.code == 0 else done.err

    asking = {"volume inspect": Asking(inspect), "run --rm": Asking(run)}
    seen = Seen({name: one.asked for name, one in asking.items()}, [], [])
    try:
        for number in range(times):
            for one in asking.values():
                one.go_on()
            is_stopped = bool(number % 2)
            (seen.stopped_s if is_stopped else seen.killed_s).append(time.monotonic())
            mooring.end(signal.SIGTERM if is_stopped else signal.SIGKILL)
        for one in asking.values():
            one.go_on()
    finally:
        for one in asking.values():
            one.end()
    return seen


def is_empty(state: State) -> bool:
    return not state.claims and not state.volumes and not state.disorder(set())


@pytest.mark.parametrize("times", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_writers_see_no_error_and_calls_wait_for_the_next(kept: KeptMooring, times: int) -> None:
    host = kept.host
    with ThreadPoolExecutor(2) as pool:
        names = list(pool.map(lambda number: writing(kept, number), range(WRITERS)))
    seen = restarted(kept, times)
    print(seen.report())
    assert seen.failures() == []
    assert sorted(user.name for user in users(kept) if user.state in RUNNING) == sorted(names)
    for name in names:
        lines = host.docker("exec", name, "cat", "/data/log").splitlines()
        assert lines == [str(number) for number in range(1, len(lines) + 1)]
    host.docker("rm", "--force", *names)
    host.docker("volume", "rm", *names)
    eventually(lambda: is_empty(State(kept)), "nothing is left")
