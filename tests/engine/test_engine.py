"""What is asked of a real dockerd, and told by it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from mooring.engine.engine import Engine
from mooring.engine.errors import EngineAway
from tests.docker import images
from tests.docker.images import SHELL
from tests.docker.testbed import Bed, Host, eventually, needs_hosts
from tests.engine.heard import Heard, followed

pytestmark = [pytest.mark.system, needs_hosts]


@pytest.fixture
async def engine(plain_host: Host) -> AsyncIterator[Engine]:
    """Sees the volumes that dockerd itself keeps."""
    made = Engine(plain_host.socket, "local")
    yield made
    await made.stop()


@pytest.fixture
def fallible(bed: Bed) -> Iterator[Host]:
    """A host whose dockerd a test may end."""
    host = bed.host("fallible")
    host.up()
    host.dockerd()
    images.load(host)
    yield host
    host.crash()


async def docker(host: Host, *arguments: str) -> str:
    return await asyncio.to_thread(host.docker, *arguments)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing for a while."""

    def stat() -> list[str]:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()

    parent = int(stat()[1])  # nsenter: it stops with its child
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: stat()[0] == "T", "it has stopped")
        yield
    finally:
        for one in (parent, pid):
            os.kill(one, signal.SIGCONT)


async def create(host: Host, *options: str) -> str:
    """The id of a new container."""
    return await docker(host, "create", "--network", "none", *options, SHELL, "sleep", "1000")


def is_told(heard: Heard, container_id: str, action: str) -> bool:
    return action in heard.of(container_id)


async def test_a_container_is_seen_with_its_volumes(engine: Engine, plain_host: Host) -> None:
    id_ = await create(plain_host, "--name=seen", "-v=one:/one", "-v=two:/two:ro", "-v=/srv:/x")
    (found,) = await engine.containers(ids=[id_])
    assert (found.name, found.image, found.state, found.exit_code) == (
        *("seen", SHELL, "created"),
        None,
    )
    assert [(m.volume, m.driver, m.target, m.read_only) for m in found.mounts] == [
        ("one", "local", "/one", False),
        ("two", "local", "/two", True),
    ]


async def test_an_ended_container_is_seen_with_its_exit_status(
    engine: Engine, plain_host: Host
) -> None:
    await docker(plain_host, "run", "--name=ended", "-v=ended:/d", SHELL, "sh", "-c", "exit 0")
    (found,) = await engine.containers("ended")
    assert (found.state, found.exit_code) == ("exited", 0)


async def test_containers_are_found_by_their_volume_and_by_nothing_else(
    engine: Engine, plain_host: Host
) -> None:
    id_ = await create(plain_host, "-v=wanted:/d")
    await create(plain_host, "-v=other:/wanted")  # at a path of that name
    assert [one.id for one in await engine.containers("wanted")] == [id_]
    assert await engine.containers("/wanted") == await engine.containers("unknown") == []


async def test_a_volume_is_seen_with_its_driver_its_place_and_its_options(
    engine: Engine, plain_host: Host
) -> None:
    await docker(plain_host, "volume", "create", "plain")
    where = ("--opt", "type=tmpfs", "--opt", "device=tmpfs")
    await docker(plain_host, "volume", "create", *where, "elsewhere")
    found = await engine.volume("plain")
    assert found is not None
    assert (found.name, found.driver, found.options) == ("plain", "local", {})
    assert found.path == f"{plain_host.place}/docker/volumes/plain/_data"
    assert found.created.startswith("20")
    other = await engine.volume("elsewhere")
    assert other is not None
    assert other.options == {"type": "tmpfs", "device": "tmpfs"}


@pytest.mark.parametrize("name", ["unknown", "../containers/json", "..", "a b?c#d"])
async def test_a_volume_that_no_driver_has_is_none(engine: Engine, name: str) -> None:
    assert await engine.volume(name) is None


async def test_containers_of_another_driver_are_seen_if_asked_for(plain_host: Host) -> None:
    engine = Engine(plain_host.socket)
    id_ = await create(plain_host, "-v=foreign:/d")
    assert await engine.containers("foreign") == []
    assert [one.id for one in await engine.containers("foreign", driver="local")] == [id_]
    await engine.stop()


async def test_a_container_that_is_gone_is_not_found(engine: Engine, plain_host: Host) -> None:
    id_ = await create(plain_host, "-v=going:/d")
    await docker(plain_host, "rm", id_)
    assert await engine.containers(ids=[id_]) == await engine.containers("going") == []


async def test_volumes_of_other_drivers_are_not_seen(plain_host: Host) -> None:
    await create(plain_host, "-v=local:/d")
    engine = Engine(plain_host.socket)
    assert await engine.containers() == []
    await engine.stop()


async def test_plugins_are_loaded_by_asking_for_volumes(engine: Engine, plain_host: Host) -> None:
    """A plugin that is there is asked who it is, before anything is asked of it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(plain_host.seen("/run/docker/plugins/probe.sock")))
    listener.listen()
    listener.setblocking(False)
    loading = asyncio.create_task(engine.load_plugins())
    connection, _ = await asyncio.get_running_loop().sock_accept(listener)
    asked = await asyncio.get_running_loop().sock_recv(connection, 4096)
    assert asked.startswith(b"POST /Plugin.Activate")
    loading.cancel()
    for one in (connection, listener):
        one.close()
    plain_host.seen("/run/docker/plugins/probe.sock").unlink()
    await asyncio.gather(loading, return_exceptions=True)


async def test_each_change_of_a_container_is_told(engine: Engine, plain_host: Host) -> None:
    async with followed(engine) as heard:
        await heard.until(lambda: heard.connections == 1, "connected")
        id_ = await create(plain_host, "-v=told:/d", "--stop-signal=KILL")
        for step in ("create", "start", "pause", "unpause", "rename", "stop", "destroy"):
            if step == "rename":
                await docker(plain_host, "rename", id_, "renamed")
            elif step != "create":
                await docker(plain_host, "rm" if step == "destroy" else step, id_)
            await heard.until(partial(is_told, heard, id_, step), f"told of {step}")
        assert "die" in heard.of(id_)


async def test_checks_of_health_are_not_told(engine: Engine, plain_host: Host) -> None:
    async with followed(engine) as heard:
        await heard.until(lambda: heard.connections == 1, "connected")
        id_ = await create(plain_host, "-v=well:/d")
        await docker(plain_host, "start", id_)
        await docker(plain_host, "exec", id_, "true")
        await docker(plain_host, "pause", id_)
        await heard.until(lambda: "pause" in heard.of(id_), "paused")
        assert heard.of(id_) == ["create", "start", "pause"]
        await docker(plain_host, "rm", "-f", id_)


async def test_what_changes_once_connected_is_told_however_fast_it_is(
    engine: Engine, plain_host: Host
) -> None:
    """dockerd answers before it listens; a change between the two must be told as well."""
    for _ in range(20):
        async with followed(engine) as heard:
            await heard.until(lambda: heard.connections == 1, "connected")
            status, made = plain_host.api("POST", "/containers/create", {"Image": SHELL})
            assert status == 201
            await heard.until(partial(is_told, heard, made["Id"], "create"), "told")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_an_engine_that_was_away_is_found_again(
    fallible: Host, number: signal.Signals
) -> None:
    engine = Engine(fallible.socket, "local")
    async with followed(engine) as heard:
        await heard.until(lambda: heard.connections == 1, "connected")
        await asyncio.to_thread(fallible.stop_dockerd, number)
        await heard.until(lambda: heard.losses == 1, "lost")
        with pytest.raises(EngineAway, match=str(fallible.socket)):
            await engine.containers()
        await asyncio.to_thread(fallible.dockerd)
        await heard.until(lambda: heard.connections == 2, "connected again")
        id_ = await create(fallible, f"-v=after{number}:/d")
        assert [one.id for one in await engine.containers(f"after{number}")] == [id_]
        await heard.until(lambda: is_told(heard, id_, "create"), "told again")
    await engine.stop()


async def test_an_engine_that_hangs_is_away_after_its_deadline(fallible: Host) -> None:
    engine = Engine(fallible.socket)
    with stopped(fallible.dockerd_pid()):
        with pytest.raises(EngineAway, match="does not answer in time"):
            await engine.containers()
    assert await engine.containers() == []
    await engine.stop()


async def test_an_engine_that_is_not_there_is_away_at_once(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "none.sock")
    with pytest.raises(EngineAway, match=r"none\.sock cannot be asked: No such file"):
        await engine.containers()
    await engine.stop()


async def test_something_else_at_the_socket_is_away_as_well(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "other.sock")
    engine = Engine(tmp_path / "other.sock")
    with pytest.raises(EngineAway, match="no Docker engine"):
        await engine.containers()
    await engine.stop()
    server.close()


def test_nothing_of_http_is_loaded_before_an_engine_is_asked() -> None:
    code = "import sys, mooring.engine.engine; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
