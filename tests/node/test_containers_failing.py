"""Containers as Pods where something fails, or no Docker answers. Else it is a real one."""

import asyncio
import signal
from pathlib import Path

import pytest

from mooring.engine.engine import Engine
from mooring.model.pod import MIRROR, Pod
from mooring.node.containers import Mirror
from tests.controllers.plant import a_pod_doc
from tests.docker import images
from tests.docker.testbed import Host, needs_hosts
from tests.engine.test_engine import stopped
from tests.node.test_containers import (
    HERE,
    World,
    a_world,
    create,
    docker,
    fallible,
    key_of,
    run,
    world,
)

__all__ = ["fallible", "world"]

pytestmark = [pytest.mark.system, needs_hosts]


async def test_what_was_told_is_looked_at_until_that_succeeds(
    world: World, plain_host: Host
) -> None:
    failures: list[Exception] = []

    def tell(_claim: str) -> None:
        if failures:
            raise failures.pop()

    engine = Engine(plain_host.socket, "local")
    mirror = Mirror(world.objects, engine, HERE, key_of, None, tell)
    await mirror.start()
    failures.append(RuntimeError("once"))
    try:
        await create(plain_host, "web", "-v=data:/data")
        await world.until_pods(web="Pending")
    finally:
        await mirror.stop()
        await engine.stop()
    assert failures == []


async def test_of_a_container_that_is_gone_no_refusal_is_remembered(
    world: World, plain_host: Host
) -> None:
    await create(plain_host, "web", "-v=none__a:/none")
    await world.mirror.start()
    assert list(world.mirror.refused())
    await docker(plain_host, "rm", "web")
    await world.look_at_all()
    assert not list(world.mirror.refused())


async def test_an_engine_that_is_busy_is_given_time_and_asked_again(
    world: World, plain_host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    await create(plain_host, "web", "-v=data:/data")
    with stopped(plain_host.dockerd_pid()):
        assert not await world.mirror.refresh("data", within_s=0.2)
        asked = asyncio.create_task(world.mirror.refresh("data", tries=100, within_s=0.2))
        while caplog.text.count("does not answer in time") < 3:
            await asyncio.wait((asked,), timeout=0.05)
    assert await asked
    assert world.pods() == {"default/docker-here-web": "Pending"}


# Without an engine that answers


async def test_pods_stay_while_docker_is_away_and_are_put_right_when_it_is_back(
    fallible: Host,
) -> None:
    await asyncio.to_thread(fallible.dockerd)
    await asyncio.to_thread(images.load, fallible)
    async with a_world(Engine(fallible.socket, "local")) as world:
        await world.mirror.start()
        await run(fallible, "web", "-v=data:/data")
        await run(fallible, "gone", "--rm", "-v=data:/data")
        await world.until_pods(web="Running", gone="Running")
        await asyncio.to_thread(fallible.stop_dockerd, signal.SIGKILL)
        await world.look_at_all()
        await world.mirror.refresh("data")
        assert set(world.pods().values()) == {"Running"}
        assert len(world.pods()) == len(world.users("data")) == 2
        await asyncio.to_thread(fallible.dockerd)  # it ends what it finds running
        await world.until_pods(web="Failed")
        assert [one.container for one in world.users("data")] == ["web"]


async def test_an_end_of_which_a_docker_that_is_back_says_nothing_is_told(fallible: Host) -> None:
    await asyncio.to_thread(fallible.dockerd)
    await asyncio.to_thread(images.load, fallible)
    async with a_world(Engine(fallible.socket, "local")) as world:
        await world.mirror.start()
        await run(fallible, "web", "-v=data:/data")
        await world.until_pods(web="Running")
        await asyncio.to_thread(fallible.stop_dockerd, signal.SIGKILL)
        world.told.clear()
        await asyncio.to_thread(fallible.dockerd)
        await world.until_pods(web="Failed")
        assert set(world.told) == {"default/data"}


async def test_while_docker_can_be_seen_an_id_is_no_pod(world: World, plain_host: Host) -> None:
    await create(plain_host, "web", "-v=data:/data")
    await world.mirror.start()
    await world.mirror.given("default/data", "ab" * 32)
    assert world.pods() == {"default/docker-here-web": "Pending"}
    await world.mirror.taken("default/data", "ab" * 32)
    assert world.pods() == {"default/docker-here-web": "Pending"}


async def test_without_docker_each_id_is_a_pod_until_it_is_given_back() -> None:
    async with a_world(None) as world:
        await world.mirror.start()
        for claim, id_ in (("data", "aa" * 32), ("data", "bb" * 32), ("other", "bb" * 32)):
            await world.mirror.given(f"default/{claim}", id_)
        assert len(world.objects.views(Pod)) == 3
        await world.mirror.taken("default/data", "bb" * 32)
        await world.mirror.taken("default/data", "bb" * 32)
        left = {(pod.name.split("-")[2], *pod.claim_names) for pod in world.objects.views(Pod)}
        assert left == {("a" * 12, "data"), ("b" * 12, "other")}


async def test_without_docker_an_id_that_nobody_gave_back_is_a_pod_as_long_as_it_is_noted() -> None:
    noted = {("default/data", "aa" * 32), ("default/data", "bb" * 32)}
    async with a_world(None, lambda: noted) as world:
        stale = a_pod_doc("docker-here-old-1", "data", HERE)
        stale["metadata"]["labels"] = {MIRROR: "docker"}
        await world.make("pods", stale, "default")
        await world.mirror.start()
        assert set(world.pods()) == {f"default/docker-here-{one * 12}" for one in "ab"}
        noted.discard(("default/data", "bb" * 32))
        await world.mirror.given("default/data", "cc" * 32)  # noted in a moment
        await world.look_at_all()
        assert set(world.pods()) == {f"default/docker-here-{one * 12}" for one in "ac"}


async def test_a_docker_that_starts_later_shows_containers_instead_of_ids(fallible: Host) -> None:
    given = [("default/data", "aa" * 32)]
    async with a_world(Engine(fallible.socket, "local"), lambda: given) as world:
        await world.mirror.start()
        await world.mirror.given("default/data", "bb" * 32)
        assert set(world.pods()) == {f"default/docker-here-{one * 12}" for one in "ab"}
        await asyncio.to_thread(fallible.dockerd)
        await world.until_pods()
        await asyncio.to_thread(images.load, fallible)
        await create(fallible, "web", "-v=data:/data")
        await world.until_pods(web="Pending")


async def test_an_engine_that_never_answers_does_not_hold_up_the_start(tmp_path: Path) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(hang, tmp_path / "docker.sock")
    async with a_world(Engine(tmp_path / "docker.sock")) as world:
        await world.mirror.start()
        await world.mirror.given("default/data", "aa" * 32)
        assert len(world.pods()) == 1
    server.close()
