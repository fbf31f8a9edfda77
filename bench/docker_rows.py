"""The rows about Docker volumes: what Mooring takes beside Docker's own driver, in turn with it."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Final

from bench.docker_api import LOCAL, MOORING, Docker
from bench.docker_host import DockerHost
from bench.measure import Measure, percentiles_ms
from bench.report import number
from testbed.hangs import Hangs
from testbed.hosts import eventually
from testbed.images import SHELL

AT_ONCE: Final = 8  # calls, where it is not their time that is measured
COMMAND: Final = "true"  # of a container, which ends by itself
RANDOM_SEED: Final = 1  # so that two runs ask for the same volumes


@dataclass(frozen=True)
class Scale:
    """How much is done. The defaults are those of the table; tests take less."""

    creates: int = 100
    starts: int = 40
    volumes: int = 1000
    lists: int = 100
    gets: int = 500
    restarts: int = 3
    hangs: int = 4  # times that a backend hangs
    starts_beside: int = 10  # containers during each, and as many before


@dataclass(frozen=True)
class DockerBench:
    """What is measured, and how often."""

    on: DockerHost
    scale: Scale


Row = Callable[[DockerBench], list[Measure]]


def create(bench: DockerBench) -> list[Measure]:
    """Volumes one after another, of each driver in turn; an answer means that it is there."""
    docker, times_s = bench.on.docker, _by_driver()
    for number_ in range(bench.scale.creates):
        for driver, found_s in times_s.items():
            with _timed(found_s):
                docker.create_volume(f"create-{driver}-{number_}", driver)
    for number_ in range(bench.scale.creates):
        for driver in times_s:
            docker.remove_volume(f"create-{driver}-{number_}")
    name, local = "volume create", _shown(percentiles_ms(times_s[LOCAL]))
    found = percentiles_ms(times_s[MOORING])
    return [Measure(name, "ms", found, {"p50": 25}, note=f"driver local: {local}")]


def start(bench: DockerBench) -> list[Measure]:
    """A container with a volume that nobody has used yet, and again when somebody has."""
    docker, found = bench.on.docker, []
    first, again = _by_driver(), _by_driver()
    volumes = [
        (f"start-{driver}-{n}", driver) for n in range(bench.scale.starts) for driver in first
    ]
    for volume, driver in volumes:
        docker.create_volume(volume, driver)
    for volume, driver in volumes:
        for times_s in (first, again):
            with _timed(times_s[driver]):
                container = docker.run(SHELL, volume, COMMAND)
            docker.end(container)
    for volume, _ in volumes:
        docker.remove_volume(volume)
    for times_s, which in ((first, "first"), (again, "second")):
        values = {driver: 1000 * median(one) for driver, one in times_s.items()}
        pairs = zip(times_s[MOORING], times_s[LOCAL], strict=True)  # of one moment each
        values["difference"] = 1000 * median(ours - theirs for ours, theirs in pairs)
        name = f"create and start a container, {which} use of its volume, p50"
        found.append(Measure(name, "ms", values, {"difference": 40}))
    return found


def many(bench: DockerBench) -> list[Measure]:
    """List, Get and a restart of dockerd while there are a lot of volumes that it knows."""
    count, docker = bench.scale.volumes, bench.on.docker
    names = [f"many-{number_}" for number_ in range(count)]
    present = f"{count:,} volumes"
    with _present(bench, names):
        asked = random.Random(RANDOM_SEED).choices(names, k=bench.scale.gets)
        plugin = bench.on.plugin
        lists = _each(bench.scale.lists, lambda _: plugin.call("List"))
        gets = _each(len(asked), lambda number_: plugin.call("Get", Name=asked[number_]))
        through = _each(bench.scale.lists, lambda _: docker.ask("GET", "/volumes"))
        restarts = _restarts(bench, present)
    return [
        Measure(f"List of {present}, asked by us", "ms", percentiles_ms(lists), {"p95": 50}),
        Measure(f"Get of one of {present}, asked by us", "ms", percentiles_ms(gets), {"p95": 20}),
        Measure(f"GET /volumes of dockerd, {present}", "ms", percentiles_ms(through)),
        *restarts,
    ]


def _restarts(bench: DockerBench, present: str) -> list[Measure]:
    """dockerd asks for every volume it knows before it answers anybody."""
    before, times_s = bench.on.retries(), []
    for _ in range(bench.scale.restarts):
        bench.on.stop_docker()
        times_s.append(bench.on.start_docker())
    retries = float(bench.on.retries() - before)
    note = f"worst of {len(times_s)}; with none {number(bench.on.first_start_s)} s"
    return [
        Measure(
            f"start of dockerd, {present}", "s", {"time": max(times_s)}, {"time": 2}, note=note
        ),
        Measure("calls that dockerd had to repeat then", "calls", {"n": retries}, {"n": 0}),
    ]


def hang(bench: DockerBench) -> list[Measure]:
    """A container with another volume, while the backend hangs in a Mount and while it does not."""
    stuck, other, docker = "stuck", "beside", bench.on.docker
    bench.on.stop_mooring()
    hangs = bench.on.start_hanging()
    for volume in (stuck, other):
        docker.create_volume(volume, MOORING)
    asset = docker.volume_status(stuck)["volume"]
    alone, beside = list[float](), list[float]()
    for _ in range(bench.scale.hangs):
        _starts(bench, other, alone)
        with _hanging(bench, hangs, asset, stuck):
            _starts(bench, other, beside)
    before, then = 1000 * median(alone), 1000 * median(beside)
    more = {"more": 100 * (then / before - 1)}
    note = f"p50 {number(before)} ms, beside it {number(then)} ms"
    name = "create and start a container while another's Mount hangs"
    return [Measure(name, "%", more, {"more": 20}, note=note)]


def _starts(bench: DockerBench, volume: str, times_s: list[float]) -> None:
    docker = bench.on.docker
    for _ in range(bench.scale.starts_beside):
        with _timed(times_s):
            container = docker.run(SHELL, volume, COMMAND)
        docker.end(container)


@contextmanager
def _hanging(bench: DockerBench, hangs: Hangs, asset: str, volume: str) -> Iterator[None]:
    """A container of this volume is being started, and that hangs."""
    docker = Docker(bench.on.host.socket)
    hangs.begin("publish", asset)
    with ThreadPoolExecutor(1) as thread:
        starting = thread.submit(docker.run, SHELL, volume, COMMAND)
        try:
            eventually(lambda: hangs.held("publish", asset) == 1, "a Mount hangs")
            yield
        finally:
            hangs.end("publish", asset)
        docker.end(starting.result())
    docker.close()


@contextmanager
def _present(bench: DockerBench, names: list[str]) -> Iterator[None]:
    """These volumes of Mooring; gone after the block."""
    _at_once(bench, names, lambda docker, name: docker.create_volume(name, MOORING))
    yield
    _at_once(bench, names, lambda docker, name: docker.remove_volume(name))


def _at_once(bench: DockerBench, names: list[str], call: Callable[[Docker, str], None]) -> None:
    def do(some: list[str]) -> None:
        docker = Docker(bench.on.host.socket)
        for name in some:
            call(docker, name)
        docker.close()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(do, (names[first::AT_ONCE] for first in range(AT_ONCE))))


def _by_driver() -> dict[str, list[float]]:
    return {LOCAL: [], MOORING: []}


def _each(count: int, call: Callable[[int], object]) -> list[float]:
    """How long each of so many calls took, in seconds."""
    times_s: list[float] = []
    for number_ in range(count):
        with _timed(times_s):
            call(number_)
    return times_s


@contextmanager
def _timed(times_s: list[float]) -> Iterator[None]:
    started_s = perf_counter()
    yield
    times_s.append(perf_counter() - started_s)


def _shown(values: dict[str, float]) -> str:
    return ", ".join(f"{label} {number(value)}" for label, value in values.items()) + " ms"


ROWS: Final[dict[str, Row]] = {"create": create, "start": start, "many": many, "hang": hang}
