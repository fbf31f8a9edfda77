"""What Prometheus is told."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from mooring.edge.addresses import Address
from mooring.edge.interface import Facts
from mooring.edge.metrics import TYPE, Metrics, serve
from mooring.edge.status import (
    CertificateStatus,
    ProblemStatus,
    ProxyStatus,
    RouteStatus,
    ServerStatus,
    Status,
)
from mooring.edge.times import Took
from tests.edge.clients import free_port

NOW = datetime.now(UTC)
EVIL = 'x"\n{}= 1'
OF_STATUS = ("reloads", "routes", "servers", "problems", "old_workers", "proxy_up", "proxy_starts")


def a_server(state: str) -> ServerStatus:
    return ServerStatus("10.0.0.1", 1, "h1", state, "t1")


STATUS = Status(
    pid=1,
    manager="/docker.sock",
    reloads=3,
    failed_reloads=1,
    rules=(),
    routes=(
        RouteStatus(EVIL, "", "svc_a_", "direct", (a_server("serves"), a_server("down"))),
        RouteStatus("b", "", "svc_b_", "direct", ()),
    ),
    problems=(ProblemStatus("BadLabel", EVIL, "", EVIL),),
    proxy=ProxyStatus("haproxy", Facts("2.6.12", 641, "5", "5", old_workers=2), starts=1),
    swarm_seen=NOW - timedelta(seconds=5),
    certificates=(
        CertificateStatus("shop.pem", "1.pem", ("x.example",), NOW + timedelta(days=1)),
        CertificateStatus(EVIL, "2.pem", ("y.example",), NOW - timedelta(days=1)),
    ),
)


def some_metrics() -> Metrics:
    metrics = Metrics()
    metrics.status = STATUS
    metrics.passed(0.004)
    metrics.measured([Took("task_to_traffic", 0.4), Took("drain_before_sigterm", 2.5)])
    return metrics


def samples(metrics: Metrics) -> dict[str, float]:
    """Values by name and labels."""
    return {
        f"{one.name.removeprefix('mooring_edge_')}{sorted(one.labels.values()) or ''}": one.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for one in family.samples
    }


def test_counts_are_those_of_the_status() -> None:
    found = samples(some_metrics())
    assert {key: value for key, value in found.items() if key.startswith(OF_STATUS)} == {
        "reloads_total['success']": 3,
        "reloads_total['failure']": 1,
        "proxy_starts_total": 1,
        "proxy_up": 1,
        "old_workers": 2,
        "routes['serves']": 1,
        "routes['no_server']": 1,
        "servers['serves']": 1,
        "servers['checking']": 0,
        "servers['leaves']": 0,
        "servers['down']": 1,
        "servers['waits']": 0,
        "problems['BadLabel']": 1,
    }


def test_ages_are_as_of_the_scrape() -> None:
    found = samples(some_metrics())
    assert found["swarm_age_seconds"] >= 5
    assert 0 < found["certificate_expiry_seconds['shop.pem']"] <= 86400
    assert found["certificate_expiry_seconds['2.pem']"] < 0


def test_what_is_timed_is_a_histogram() -> None:
    found = samples(some_metrics())
    assert found["pass_seconds_count"] == 1
    assert found["task_to_traffic_seconds_sum"] == 0.4
    assert found["drain_before_sigterm_seconds_bucket['3.0']"] == 1
    assert found["drain_before_sigterm_seconds_bucket['2.0']"] == 0


def test_every_family_says_what_it_is_and_no_text_of_users_is_in_it() -> None:
    text = some_metrics().text().decode()
    families = list(text_string_to_metric_families(text))
    assert [one.name for one in families if not one.documentation or one.type == "unknown"] == []
    assert "svc_" not in text
    assert EVIL[:2] not in text


def test_before_the_first_pass_there_is_what_is_known() -> None:
    found = samples(Metrics())
    assert found["pass_seconds_count"] == 0
    assert not any(one.startswith("routes") for one in found)


async def test_it_is_served_at_its_path_alone_and_once_the_address_is_free() -> None:
    port = free_port()
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    async with taken:
        serving = asyncio.create_task(serve(some_metrics(), Address("127.0.0.1", port), 0.01))
        await asyncio.sleep(0.03)
        assert not serving.done()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            while True:
                with suppress(aiohttp.ClientError):
                    async with client.get("/metrics") as answer:
                        assert answer.status == 200
                        assert answer.headers["content-type"] == TYPE
                        assert b"mooring_edge_routes" in await answer.read()
                        break
                await asyncio.sleep(0.01)
            async with client.get("/") as answer:
                assert answer.status == 404
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
