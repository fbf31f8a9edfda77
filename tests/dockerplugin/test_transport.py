"""The volume plugin protocol on its socket. Docker volumes §1 and §14."""

import asyncio
import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from mooring.dockerplugin import transport
from mooring.dockerplugin.errors import BadName
from mooring.dockerplugin.listener import plugin_listener
from mooring.dockerplugin.transport import Request, Transport
from tests.dockerplugin.dockerd import Answer, Answerer, Doc, Dockerd, as_sent, serving

NAMED = ("Create", "Get", "Remove", "Mount", "Unmount", "Path")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mooring.sock"


async def never(_request: Request) -> Doc:
    await asyncio.Event().wait()
    return {}


class Impatient(Transport):
    """Most calls may take no time at all; Create and Mount as long as ever."""

    short_s, grace_s = 0.05, 0.05


class ImpatientAlways(Impatient):
    long_s = 0.05


# What is asked and answered


async def test_a_call_as_dockerd_sends_it_is_answered_as_dockerd_reads_it(path: Path) -> None:
    calls = Answerer()
    async with serving(calls, path) as dockerd:
        answer = await dockerd.send(as_sent("VolumeDriver.Get", {"Name": "data"}))
    assert answer == Answer(
        200,
        {
            "content-type": "application/vnd.docker.plugins.v1.2+json",
            "content-length": "10",
            "connection": "close",
        },
        b'{"Err":""}',
    )
    assert calls.asked == [("Get", Request(name="data"))]


async def test_what_is_answered_comes_beside_an_empty_err(path: Path) -> None:
    async def volume(request: Request) -> Doc:
        return {"Volume": {"Name": request.name, "Status": {"phase": "Bound"}}}

    async with serving(Answerer(volume), path) as dockerd:
        answer = await dockerd.call("Get", {"Name": "data"})
    assert answer.doc == {"Volume": {"Name": "data", "Status": {"phase": "Bound"}}, "Err": ""}


async def test_activate_says_what_this_plugin_is(path: Path) -> None:
    calls = Answerer()
    async with serving(calls, path) as dockerd:
        answer = await dockerd.send(as_sent("Plugin.Activate"))
    assert (answer.status, answer.body) == (200, b'{"Implements":["VolumeDriver"]}')
    assert (calls.asked, calls.pids) == ([], [os.getpid()])


@pytest.mark.parametrize(
    ("call", "doc", "request_"),
    [
        ("Create", {"Name": "a", "Opts": {"size": "1Gi"}}, Request("a", {"size": "1Gi"})),
        ("Create", {"Name": "a", "Opts": None}, Request("a")),
        ("Get", {"Name": "../../etc\n\0"}, Request("../../etc\n\0")),
        ("Get", {"Name": ""}, Request()),
        ("Get", {}, Request()),
        ("Mount", {"Name": "a", "ID": "f00"}, Request("a", id="f00")),
        ("Unmount", {"Name": "a", "ID": "f00", "More": [{}]}, Request("a", id="f00")),
        ("Path", {"Name": "a"}, Request("a")),
        ("Remove", {"Name": "a"}, Request("a")),
        ("List", {}, Request()),
        ("List", None, Request()),
        ("Capabilities", {}, Request()),
        ("Capabilities", None, Request()),
    ],
)
async def test_every_call_is_handed_on_with_what_it_says(
    path: Path, call: str, doc: Doc | None, request_: Request
) -> None:
    calls = Answerer()
    async with serving(calls, path) as dockerd:
        answer = await dockerd.call(call, doc)
    assert (answer.body, calls.asked) == (b'{"Err":""}', [(call, request_)])


@pytest.mark.parametrize(
    "head",
    [
        "Host: plugin\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n",
        "Host:\r\nConnection: keep-alive\r\nContent-Length: 12\r\n\r\n",
        "Host: x\r\nExpect: 100-continue\r\nContent-Length: 12\r\n\r\n",
        "Host: x\r\nTransfer-Encoding: chunked\r\n\r\nC\r\n",
    ],
)
async def test_other_clients_may_say_more(path: Path, head: str) -> None:
    calls = Answerer()
    end = "\r\n0\r\n\r\n" if "chunked" in head else ""
    async with serving(calls, path) as dockerd:
        sent = f'POST /VolumeDriver.Get HTTP/1.1\r\n{head}{{"Name":"a"}}{end}'
        answer = await dockerd.send(sent.encode())
    assert (answer.status, calls.asked) == (
        100 if "Expect" in head else 200,
        [("Get", Request("a"))],
    )


async def test_the_caller_is_known_by_its_process(path: Path) -> None:
    calls = Answerer()
    script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
    script += "s.sendall(bytes.fromhex(sys.argv[2])); print(len(s.recv(9)))"
    async with serving(calls, path):
        sent = as_sent("VolumeDriver.List", {}).hex()
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", script, path, sent)
        assert await child.wait() == 0
    assert calls.pids == [child.pid]


# What goes wrong


async def test_an_error_is_answered_as_err_with_status_200(path: Path) -> None:
    async def bad(request: Request) -> Doc:
        raise BadName(request.name)

    async with serving(Answerer(bad), path) as dockerd:
        answer = await dockerd.call("Get", {"Name": "a\nb\0"})
    assert answer.status == 200
    assert answer.err.startswith(
        "BadName: volume 'a\\nb\\x00' on here has a name that none may have; "
    )


async def test_a_fault_of_ours_is_answered_too(path: Path) -> None:
    async def broken(_request: Request) -> Doc:
        raise KeyError("secret")

    calls = Answerer(broken)
    async with serving(calls, path) as dockerd:
        answer = await dockerd.call("Mount", {"Name": "a", "ID": "1"})
    assert answer.status == 200
    assert answer.err.startswith(
        "Internal: Mount of volume a on here failed for a reason that Mooring "
    )
    assert "secret" not in answer.err


async def test_an_activate_that_fails_is_no_success_to_dockerd(path: Path) -> None:
    async def broken() -> None:
        raise BadName("x")

    async with serving(Answerer(activating=broken), path) as dockerd:
        answer = await dockerd.send(as_sent("Plugin.Activate"))
    assert answer.status == 500
    assert answer.err.startswith("BadName: ")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_only_post_is_a_call(path: Path, method: str) -> None:
    async with serving(Answerer(), path) as dockerd:
        answer = await dockerd.send(f"{method} /VolumeDriver.List HTTP/1.1\r\n\r\n".encode())
    assert answer.status == 200
    assert answer.err.startswith(f"NoSuchCall: '{method} /VolumeDriver.List' is no call of a ")


@pytest.mark.parametrize(
    "path_",
    [
        *("/", "/VolumeDriver", "/VolumeDriver.", "/VolumeDriver.Prune", "/VolumeDriver.get"),
        *("/volumedriver.Get", "/Plugin.Deactivate", "/NetworkDriver.GetCapabilities"),
        *("/VolumeDriver.Get/", "//VolumeDriver.Get", "/x/VolumeDriver.Get", "/%00%0a\"'"),
    ],
)
async def test_an_unknown_call_is_answered_so(path: Path, path_: str) -> None:
    calls = Answerer()
    async with serving(calls, path) as dockerd:
        answer = await dockerd.send(as_sent(path_[1:], {"Name": "a"}))
    assert (answer.status, calls.asked) == (200, [])
    assert answer.err.startswith("NoSuchCall: ")
    assert answer.err.isprintable()


@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"[]", b"null", b'"a"', b"{}{}", b"\xff", b"\0", b"Name=a", b"{'Name': 'a'}"),
        *(
            b'{"Name": 1}',
            b'{"Name": null}',
            b'{"Name": ["a"]}',
            b'{"Name": "\xff"}',
            b'{"Name": "\\ud800"}',
        ),
        *(b'{"Opts": []}', b'{"Opts": {"size": 1}}', b'{"Opts": {"size": null}}', b'{"ID": {}}'),
        b'{"x": ' + b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_what_is_no_request_is_told_so(path: Path, body: bytes) -> None:
    calls = Answerer()
    head = f"POST /VolumeDriver.Create HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with serving(calls, path) as dockerd:
        answer = await dockerd.send(head + body)
    assert (answer.status, calls.asked) == (200, [])
    assert answer.err.startswith("BadRequest: the request cannot be read: ")
    assert answer.err.isprintable()


@pytest.mark.parametrize("call", NAMED)
async def test_a_call_that_lost_its_body_is_answered_at_once(path: Path, call: str) -> None:
    calls = Answerer()
    async with serving(calls, path) as dockerd:
        answer = await dockerd.call(call)
    assert (answer.status, calls.asked) == (200, [])
    assert answer.err.startswith(f"LostRequest: Docker lost what it wanted of {call}, ")


@pytest.mark.parametrize("more", [0, 1, 5_000_000])
async def test_a_body_may_have_one_mebibyte(path: Path, more: int) -> None:
    calls = Answerer()
    empty = len(b'{"Name":""}')
    async with serving(calls, path) as dockerd:
        sent = json.dumps({"Name": "a" * (2**20 - empty + more)}, separators=(",", ":")).encode()
        head = f"POST /VolumeDriver.Get HTTP/1.1\r\nContent-Length: {len(sent)}\r\n\r\n".encode()
        answer = await dockerd.send(head + sent)
    if more:
        assert answer.err.startswith("BadRequest: the request cannot be read: it is longer than 10")
    assert len(calls.asked) == (0 if more else 1)


@pytest.mark.parametrize("sent", [b"\0\1\2", b"GET\r\n\r\n", b"POST /\xff HTTP/1.1\r\n\r\n"])
async def test_what_is_no_http_is_answered_400(path: Path, sent: bytes) -> None:
    async with serving(Answerer(), path) as dockerd:
        assert (await dockerd.send(sent)).status == 400


class Brisk(transport._Connection):
    whole_within_s = 0.05


class BriskTransport(Transport):
    connection = Brisk


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /Vol", b'POST /VolumeDriver.Get HTTP/1.1\r\nContent-Length: 12\r\n\r\n{"Name"'],
)
async def test_a_request_that_does_not_come_to_its_end_is_cut_off(path: Path, sent: bytes) -> None:
    calls = Answerer()
    async with serving(calls, path, BriskTransport) as dockerd:
        assert await dockerd.send(sent) == Answer(0, {}, b"")
    assert (calls.asked, calls.lost) == ([], [])


async def test_a_head_without_end_is_cut_off(path: Path) -> None:
    async with serving(Answerer(), path) as dockerd:
        reader, writer = await dockerd.connect()
        writer.write(b"POST / HTTP/1.1\r\nA: " + b"a" * 500_000)
        with suppress(BrokenPipeError, ConnectionResetError):
            assert (await dockerd.read(reader, writer)).status == 0


# Deadlines, and peers that go


async def test_a_call_that_takes_too_long_is_given_up_and_docker_told_in_time(path: Path) -> None:
    calls = Answerer(never)
    async with serving(calls, path, Impatient) as dockerd:
        answer = await dockerd.call("Unmount", {"Name": "a", "ID": "1"})
        await calls.until(lambda: calls.lost == ["Unmount a"])
    assert answer.status == 200
    assert answer.err.startswith(
        "TookTooLong: Unmount of volume a on here was given up after 0.05 s; "
    )
    assert calls.cut_off == ["Unmount"]


@pytest.mark.parametrize("call", ["Create", "Mount"])
async def test_create_and_mount_may_take_longer(path: Path, call: str) -> None:
    released = asyncio.Event()

    async def how(request: Request) -> Doc:
        await (released if request.name == "slow" else asyncio.Event()).wait()
        return {}

    calls = Answerer(how)
    async with serving(calls, path, Impatient) as dockerd:
        slow = asyncio.create_task(dockerd.call(call, {"Name": "slow"}))
        await calls.until(lambda: len(calls.asked) == 1)
        assert (await dockerd.call("Get", {"Name": "b"})).err.startswith("TookTooLong: ")
        released.set()
        assert (await slow).err == ""
    assert calls.lost == ["Get b"]


def test_our_deadlines_are_before_those_of_docker() -> None:
    assert (Transport.long_s, Transport.short_s) == (100, 45)  # of 120 and 60


async def test_work_for_a_peer_that_hung_up_is_given_up_and_told(path: Path) -> None:
    calls = Answerer(never)
    async with serving(calls, path) as dockerd:
        _, writer = await dockerd.connect()
        writer.write(as_sent("VolumeDriver.Mount", {"Name": "a", "ID": "1"}))
        await calls.until(lambda: len(calls.asked) == 1)
        writer.close()
        await calls.until(lambda: calls.lost == ["Mount a"])
    assert calls.cut_off == ["Mount"]


async def test_an_answer_to_a_peer_that_is_just_gone_is_undelivered(path: Path) -> None:
    peer = socket.socket(socket.AF_UNIX)

    async def how(_request: Request) -> Doc:
        peer.close()  # seen by the loop only after this has been answered
        return {"Mountpoint": "/x"}

    calls = Answerer(how)
    async with serving(calls, path):
        peer.connect(str(path))
        peer.sendall(as_sent("VolumeDriver.Mount", {"Name": "a", "ID": "1"}))
        await calls.until(lambda: calls.lost == ["Mount a"])
    assert calls.cut_off == []


async def test_an_answer_that_is_not_read_is_undelivered(path: Path) -> None:
    async def much(_request: Request) -> Doc:
        return {"Volumes": ["x" * 1000] * 3000}  # more than the kernel keeps for a socket

    calls = Answerer(much)
    async with serving(calls, path, Impatient) as dockerd:
        _, writer = await dockerd.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(as_sent("VolumeDriver.List", {}))
        await calls.until(lambda: calls.lost == ["List "])
        writer.transport.abort()


@pytest.mark.parametrize("error", [BadName("a"), KeyError("a")])
async def test_what_cannot_be_taken_back_is_logged(
    path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def unable(_request: Request) -> None:
        raise error

    calls = Answerer(never, taking_back=unable)
    async with serving(calls, path, ImpatientAlways) as dockerd:
        await dockerd.call("Mount", {"Name": "a\n"})
        await calls.until(lambda: len(calls.lost) == 1)
    assert "Mount of 'a\\n' cannot be taken back" in caplog.text


async def test_an_answer_that_was_read_is_delivered(path: Path) -> None:
    calls = Answerer()
    async with serving(calls, path) as dockerd:
        await dockerd.call("Mount", {"Name": "a", "ID": "1"})
    assert (calls.lost, calls.cut_off) == ([], [])


async def test_work_that_does_not_end_when_it_is_cancelled_is_not_waited_for(path: Path) -> None:
    released = asyncio.Event()

    async def stubborn(_request: Request) -> Doc:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        return {}

    calls = Answerer(stubborn)
    async with serving(calls, path, ImpatientAlways) as dockerd:
        assert (await dockerd.call("Mount", {"Name": "a"})).err.startswith("TookTooLong: ")
        released.set()
        await calls.until(lambda: calls.lost == ["Mount a"])


async def test_it_is_told_what_docker_was_told_and_did_not_fail(path: Path) -> None:
    async def how(request: Request) -> Doc:
        if request.name == "bad":
            raise BadName("x")
        return {}

    calls = Answerer(how)
    async with serving(calls, path) as dockerd:
        for name in ("good", "bad"):
            await dockerd.call("Create", {"Name": name})
        await dockerd.send(as_sent("Plugin.Activate"))
    assert (calls.told, calls.lost) == (["Create good"], [])


# Many at once


async def test_calls_for_one_volume_are_under_way_at_the_same_time(path: Path) -> None:
    all_there = asyncio.Event()

    async def how(_request: Request) -> Doc:
        if len(calls.asked) == 6:
            all_there.set()
        await all_there.wait()
        return {}

    calls = Answerer(how)
    async with serving(calls, path) as dockerd:
        mounts = (dockerd.call("Mount", {"Name": "a", "ID": str(number)}) for number in range(6))
        answers = await asyncio.gather(*mounts)
    assert [answer.err for answer in answers] == [""] * 6


async def test_a_thousand_calls_wait_for_a_plugin_that_starts(path: Path) -> None:
    calls = Answerer()
    served = Transport(calls, plugin_listener(path), "here")
    peers = []
    for number in range(1000):  # all of them connect, though nobody accepts
        peer = socket.socket(socket.AF_UNIX)
        peer.setblocking(False)
        peer.connect(str(path))
        peer.sendall(as_sent("VolumeDriver.Get", {"Name": f"v{number}"}))
        peers.append(peer)
    await served.start()
    loop = asyncio.get_running_loop()
    first = [await loop.sock_recv(peer, 12) for peer in peers]
    await served.stop()
    for peer in peers:
        peer.close()
    assert set(first) == {b"HTTP/1.1 200"}
    assert {request.name for _, request in calls.asked} == {f"v{n}" for n in range(1000)}


async def test_a_thousand_calls_are_under_way_at_once(path: Path) -> None:
    all_there = asyncio.Event()

    async def how(_request: Request) -> Doc:
        if len(calls.asked) == 1000:
            all_there.set()
        await all_there.wait()
        return {}

    calls = Answerer(how)
    async with serving(calls, path) as dockerd:
        gets = (dockerd.call("Get", {"Name": f"v{number}"}) for number in range(1000))
        answers = await asyncio.gather(*gets)
    assert {answer.err for answer in answers} == {""}
    assert calls.lost == []


# The end


async def test_calls_under_way_are_answered_before_the_end(path: Path) -> None:
    released = asyncio.Event()

    async def how(_request: Request) -> Doc:
        await released.wait()
        return {}

    calls = Answerer(how)
    served = Transport(calls, plugin_listener(path), "here")
    await served.start()
    dockerd = Dockerd(path)
    under_way = asyncio.create_task(dockerd.call("Get", {"Name": "a"}))
    await calls.until(lambda: len(calls.asked) == 1)
    stopping = asyncio.create_task(served.stop())
    await dockerd.until_refused()
    released.set()
    assert (await under_way).err == ""
    await stopping
    assert calls.lost == []


async def test_a_call_that_was_just_accepted_is_answered_before_the_end(path: Path) -> None:
    calls = Answerer()
    served = Transport(calls, plugin_listener(path), "here")
    await served.start()
    dockerd = Dockerd(path)
    reader, writer = await dockerd.connect()
    assert (await dockerd.call("Get", {"Name": "a"})).err == ""  # so the one before is accepted
    stopping = asyncio.create_task(served.stop())
    await dockerd.until_refused()
    writer.write(as_sent("VolumeDriver.Get", {"Name": "b"}))
    assert (await dockerd.read(reader, writer)).err == ""
    await stopping


async def test_a_call_that_goes_on_at_the_end_is_cut_off_with_an_answer(path: Path) -> None:
    calls = Answerer(never)
    served = ImpatientAlways(calls, plugin_listener(path), "here")
    served.long_s = 100
    await served.start()
    dockerd = Dockerd(path)
    under_way = asyncio.create_task(dockerd.call("Mount", {"Name": "a"}))
    await calls.until(lambda: len(calls.asked) == 1)
    silent, silent_writer = await dockerd.connect()
    half, half_writer = await dockerd.connect()
    half_writer.write(as_sent("VolumeDriver.Get", {"Name": "b"})[:-3])
    await served.stop()
    assert (await under_way).err == (
        "Stopping: Mount of volume a on here was cut short: Mooring is being stopped; try again "
        "when it runs"
    )
    assert (calls.cut_off, calls.lost) == (["Mount"], ["Mount a"])
    assert (await dockerd.read(silent, silent_writer)).status == 0
    assert (await dockerd.read(half, half_writer)).status == 0


async def test_a_transport_that_was_never_started_can_be_stopped(path: Path) -> None:
    served = Transport(Answerer(), plugin_listener(path), "here")
    await served.stop()
    with pytest.raises(ConnectionRefusedError):
        await Dockerd(path).connect()
