"""The socket of the volume plugin: made anew, taken over, or systemd's. Docker volumes §1."""

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mooring.dockerplugin.errors import AlreadyServed, SocketUnusable
from mooring.dockerplugin.listener import plugin_listener
from mooring.errors import MooringError
from tests.dockerplugin.dockerd import DEADLINE_S, Dockerd

PLUGIN = Path(__file__).with_name("activated.py")
ROOT = PLUGIN.parent.parent.parent
SYSTEMD = shutil.which("systemd-socket-activate")
# As systemd starts a service: its descriptors begin at 3, and its number is in LISTEN_PID.
AS_SYSTEMD = """
import os, sys
for number, fd in enumerate(sys.argv[1].split(",")):
    os.dup2(int(fd), 3 + number)
fds = str(len(sys.argv[1].split(",")))
os.environ.update(LISTEN_PID=str(os.getpid() + int(sys.argv[2])), LISTEN_FDS=sys.argv[3] or fds)
os.execv(sys.executable, [sys.executable, *sys.argv[4:]])
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plugins" / "mooring.sock"


def left_behind(path: Path) -> None:
    """As by a process that was killed."""
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def served(path: Path, backlog: int = 10) -> socket.socket:
    path.parent.mkdir(exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(backlog)
    return listener


def connected(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.setblocking(False)
    peer.connect(str(path))
    return peer


# One of its own


def test_a_socket_is_made_for_its_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        with plugin_listener(path) as listener:
            mode = path.stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
            assert not listener.get_inheritable()
    finally:
        os.umask(before)


def test_four_thousand_calls_may_wait(path: Path) -> None:
    with plugin_listener(path):
        peers = [connected(path) for _ in range(4000)]
        for peer in peers:
            peer.close()


def test_a_socket_that_nobody_listens_at_is_replaced(path: Path) -> None:
    left_behind(path)
    with plugin_listener(path):
        connected(path).close()


def test_a_socket_that_somebody_serves_is_left_alone(path: Path) -> None:
    with served(path):
        before = path.stat().st_ino
        with pytest.raises(AlreadyServed, match=f"another process serves .* {path}"):
            plugin_listener(path)
        assert path.stat().st_ino == before
        connected(path).close()


def test_a_server_that_is_too_busy_to_answer_is_left_alone_too(path: Path) -> None:
    with served(path, backlog=0):
        waiting = connected(path)
        with pytest.raises(BlockingIOError):
            connected(path)
        with pytest.raises(AlreadyServed):
            plugin_listener(path)
        waiting.close()


def test_of_many_that_start_at_once_one_serves(path: Path) -> None:
    left_behind(path)
    together = threading.Barrier(8)
    listeners: list[socket.socket] = []
    refused: list[MooringError] = []

    def start() -> None:
        together.wait()
        try:
            listeners.append(plugin_listener(path))
        except AlreadyServed as error:
            refused.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(listeners), len(refused)) == (1, 7)
    with listeners[0]:
        connected(path).close()


@pytest.mark.parametrize("what", ["file", "directory", "link"])
def test_what_is_no_socket_is_left_alone(path: Path, what: str) -> None:
    path.parent.mkdir()
    if what == "file":
        path.write_text("precious")
    elif what == "directory":
        path.mkdir()
    else:
        left_behind(path.with_name("other.sock"))
        path.symlink_to("other.sock")
    before = path.lstat().st_ino
    with pytest.raises(SocketUnusable, match="is there and is no socket"):
        plugin_listener(path)
    assert path.lstat().st_ino == before


def test_a_path_that_cannot_be_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "mooring.sock", tmp_path / ("long" * 50), Path("/proc/x/y")):
        with pytest.raises(SocketUnusable, match=f"socket {path} cannot be made: "):
            plugin_listener(path)


# systemd's


@asynccontextmanager
async def started(
    *command: str | Path, keep: tuple[socket.socket, ...] = ()
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A plugin process; killed in the end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=[one.fileno() for one in keep],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def as_systemd(
    path: Path, *sockets: socket.socket, off: int = 0, count: str = ""
) -> tuple[str | Path, ...]:
    """off  by how much LISTEN_PID is another's. count  what LISTEN_FDS says, if not the truth"""
    fds = ",".join(str(one.fileno()) for one in sockets)
    return (sys.executable, "-c", AS_SYSTEMD, fds, str(off), count, PLUGIN, path)


async def first_line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        return (await process.stdout.readline()).decode()


async def answering(path: Path) -> str:
    """The number of the process that answers a call."""
    answer = await Dockerd(path).call("Path", {"Name": "a"})
    return str(answer.doc["Mountpoint"])


def listens(path: Path) -> bool:
    """Whether somebody listens there, seen without a call: a socket is bound before it listens."""
    rows = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    accepts = "00010000"  # __SO_ACCEPTCON among the flags
    return any(row[3] == accepts and row[-1] == str(path) for row in rows)


async def test_a_socket_that_was_handed_over_is_used(path: Path) -> None:
    with served(path) as mine:
        async with started(*as_systemd(path, mine), keep=(mine,)) as plugin:
            assert json.loads(await first_line(plugin)) == {"fd": 3, "left": []}
            assert await answering(path) == str(plugin.pid)


async def test_calls_wait_in_it_while_the_plugin_is_restarted(path: Path) -> None:
    with served(path) as mine:
        async with started(*as_systemd(path, mine), keep=(mine,)) as first:
            assert await answering(path) == str(first.pid)
            first.send_signal(signal.SIGTERM)
            await first.wait()
        waiting = asyncio.create_task(answering(path))
        async with started(*as_systemd(path, mine), keep=(mine,)) as killed:
            assert await waiting == str(killed.pid)
        waiting = asyncio.create_task(answering(path))
        async with started(*as_systemd(path, mine), keep=(mine,)) as last:
            assert await waiting == str(last.pid)


async def test_of_several_sockets_the_one_of_the_path_is_used(path: Path, tmp_path: Path) -> None:
    with served(path) as mine, served(tmp_path / "other") as other, socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        command = as_systemd(path, tcp, other, mine)
        async with started(*command, keep=(tcp, other, mine)) as plugin:
            assert json.loads(await first_line(plugin)) == {"fd": 5, "left": []}
            assert await answering(path) == str(plugin.pid)


async def test_a_path_may_be_said_in_another_way(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    (tmp_path / "run").symlink_to(path.parent)
    alias = tmp_path / "run" / path.name
    with served(path) as mine:
        async with started(*as_systemd(alias, mine), keep=(mine,)) as plugin:
            assert json.loads(await first_line(plugin))["fd"] == 3


@pytest.mark.parametrize(("off", "count"), [(1, ""), (0, "x"), (0, "0"), (0, "-1"), (0, "²")])
async def test_what_was_handed_to_another_process_is_not_taken(
    path: Path, tmp_path: Path, off: int, count: str
) -> None:
    with served(tmp_path / "other") as other:
        command = as_systemd(path, other, off=off, count=count)
        async with started(*command, keep=(other,)) as plugin:
            assert json.loads(await first_line(plugin))["left"] == []
            assert await answering(path) == str(plugin.pid)


async def test_without_the_right_socket_one_is_made(path: Path, tmp_path: Path) -> None:
    with served(tmp_path / "other") as other, socket.socketpair()[0] as no_listener:
        command = as_systemd(path, other, no_listener)
        async with started(*command, keep=(other, no_listener)) as plugin:
            assert json.loads(await first_line(plugin))["fd"] > 4
            assert await answering(path) == str(plugin.pid)


async def test_a_second_plugin_beside_the_one_of_systemd_is_refused(path: Path) -> None:
    with served(path) as mine:
        async with started(*as_systemd(path, mine), keep=(mine,)) as first:
            assert json.loads(await first_line(first))["fd"] == 3
            async with started(sys.executable, PLUGIN, path) as second:
                assert (await first_line(second)).startswith("AlreadyServed: another process ")
            assert await answering(path) == str(first.pid)


@pytest.mark.system
@pytest.mark.skipif(SYSTEMD is None, reason="systemd-socket-activate is not installed")
async def test_systemd_itself_hands_its_socket_over(path: Path) -> None:
    path.parent.mkdir()
    command = (str(SYSTEMD), "--listen", path, sys.executable, PLUGIN, path)
    async with started(*command) as plugin:
        async with asyncio.timeout(DEADLINE_S):
            while not listens(path):  # noqa: ASYNC110  (there is nothing to be told by)
                await asyncio.sleep(0.01)
        assert await answering(path) == str(plugin.pid)  # it starts the plugin at the first call
        assert json.loads(await first_line(plugin)) == {"fd": 3, "left": []}
