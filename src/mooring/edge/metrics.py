"""What Prometheus scrapes of an edge, at an address of its own: GET /metrics, text format 0.0.4."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mooring import __version__
from mooring.edge.addresses import Address
from mooring.edge.status import Status
from mooring.edge.times import Took

log = logging.getLogger(__name__)

TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
AGAIN_S: Final = 5.0  # after which an address that was taken is tried again
CERTIFICATES_AT_MOST: Final = 1000  # those that expire first
STATES: Final = ("serves", "checking", "leaves", "down", "waits")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)


class Metrics(Collector):
    """Of one edge: what is timed, and on a scrape what its status says."""

    def __init__(self) -> None:
        self.status: Status | None = None  # as of the last pass
        self._registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self._registry)
        self._passes = Histogram(
            "mooring_edge_pass_seconds",
            "How long it took to bring the proxy to the swarm as it is, once.",
            registry=self._registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        self._times = {
            "task_to_traffic": Histogram(
                "mooring_edge_task_to_traffic_seconds",
                "From the state running of a task, by its node's clock, until it gets requests.",
                registry=self._registry,
                buckets=(0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60),
            ),
            "drain_before_sigterm": Histogram(
                "mooring_edge_drain_before_sigterm_seconds",
                "From the drain of a task's server to the task's end, less its grace period if it"
                " took all of that: the swarm tells of no SIGTERM.",
                registry=self._registry,
                buckets=(0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60),
            ),
        }
        self._registry.register(self)

    def passed(self, took_s: float) -> None:
        """One pass was made."""
        self._passes.observe(took_s)

    def measured(self, times: Iterable[Took]) -> None:
        for one in times:
            self._times[one.what].observe(one.seconds)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing of before: names are of this module alone."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Of the last status."""
        status = self.status
        yield _gauge("build_info", "Which Mooring this is.", ("version",), [((__version__,), 1)])
        if status is None:
            return
        yield _counter(
            "reloads",
            "Reloads of the proxy since the start, by how they ended.",
            ("result",),
            [(("success",), status.reloads), (("failure",), status.failed_reloads)],
        )
        yield _counter(
            "proxy_starts",
            "How often the proxy did not run and was started.",
            (),
            [((), status.proxy.starts)],
        )
        yield from _of_routes(status)
        yield from _of_proxy(status)
        yield _certificates(status)


def _of_routes(status: Status) -> Iterator[Metric]:
    serving = sum(one.serving > 0 for one in status.routes)
    yield _gauge(
        "routes",
        "Routes of services, by whether a server of theirs gets requests.",
        ("state",),
        [(("serves",), serving), (("no_server",), len(status.routes) - serving)],
    )
    states = Counter(one.state for route in status.routes for one in route.servers)
    yield _gauge(
        "servers",
        "Servers of routes, by their state.",
        ("state",),
        [((one,), states[one]) for one in STATES],
    )
    reasons = Counter(one.reason for one in status.problems)
    yield _gauge(
        "problems",
        "What is wrong with labels, nodes, servers and certificates, by reason.",
        ("reason",),
        [((one,), reasons[one]) for one in sorted(reasons)],
    )


def _of_proxy(status: Status) -> Iterator[Metric]:
    facts = status.proxy.facts
    if status.swarm_seen is not None:
        age_s = (datetime.now(UTC) - status.swarm_seen).total_seconds()
        about = "How old the newest look at the swarm is."
        yield _gauge("swarm_age_seconds", about, (), [((), age_s)])
    yield _gauge("proxy_up", "1 if the proxy runs.", (), [((), int(facts is not None))])
    if facts is not None:
        about = "Workers of the proxy from before a reload, which end what clients began."
        yield _gauge("old_workers", about, (), [((), facts.old_workers)])


def _certificates(status: Status) -> Metric:
    now = datetime.now(UTC)
    soonest = sorted(status.certificates, key=lambda one: one.expires)[:CERTIFICATES_AT_MOST]
    return _gauge(
        "certificate_expiry_seconds",
        "How long a certificate is good yet, by its file; below zero: it has expired.",
        ("certificate",),
        [
            ((one.source if _NAME.fullmatch(one.source) else one.file,), left.total_seconds())
            for one in soonest
            for left in (one.expires - now,)
        ],
    )


_Samples = list[tuple[tuple[str, ...], float]]


def _gauge(name: str, about: str, labels: tuple[str, ...], samples: _Samples) -> Metric:
    family = GaugeMetricFamily(f"mooring_edge_{name}", about, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, about: str, labels: tuple[str, ...], samples: _Samples) -> Metric:
    family = CounterMetricFamily(f"mooring_edge_{name}", about, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


async def serve(metrics: Metrics, address: Address, again_s: float = AGAIN_S) -> None:
    """Answer scrapes until it is cancelled. While others listen there, it waits for them to end."""
    app = web.Application()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": TYPE})

    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        told = ""
        while True:
            try:
                await web.TCPSite(runner, address.host, address.port).start()
                break
            except OSError as error:
                if told != str(error):
                    log.error("metrics cannot be had at %s: %s", address, error)
                told = str(error)
                await asyncio.sleep(again_s)
        await asyncio.Event().wait()
    finally:
        with suppress(asyncio.CancelledError):
            await runner.cleanup()
