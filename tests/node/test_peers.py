"""The channel between agents: who each of them is, and what they say, over real TLS."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from mooring.api.certificates import Authority
from mooring.api.certifying import Certifying
from mooring.api.status import ApiError
from mooring.daemon.peers import RETRY_S, Certificate
from mooring.errors import Effect, MooringError
from mooring.host import keys
from mooring.model.node import Node
from mooring.model.peer import ADDRESS, LINE_BYTES, Answer, identity, server_name
from mooring.node.peers import (
    OF_ONE_AT_MOST,
    STRANGERS_AT_MOST,
    Listening,
    PeerRefuses,
    Peers,
    PeerUnreachable,
    Stream,
)
from mooring.objects.objects import Objects
from tests.api.client import Client


class Asked(msgspec.Struct):
    text: str = ""


class Sorry(MooringError):
    code, effect = "Sorry", Effect.NONE
    what, remedy = "it is not here", "ask another"


async def echo(stream: Stream, about: msgspec.Raw) -> None:
    await stream.send(Answer(told=about))
    while content := await stream.read():
        await stream.write(content.upper())


async def refuse(stream: Stream, about: msgspec.Raw) -> None:
    raise Sorry


class World:
    """Agents of several hosts at one server, in one process."""

    def __init__(self, objects: Objects, place: Path) -> None:
        self.objects, self.place = objects, place
        self.authority = Authority(place / "pki")
        self.authority.ensure(["localhost"])
        self.peers: dict[str, Peers] = {}

    async def node(self, name: str) -> None:
        doc: dict[str, Any] = {"metadata": {"name": name}}
        await self.objects.create(self.objects.kinds[Node.resource], "", doc)

    async def agent(self, name: str, authority: Authority | None = None) -> Peers:
        certifying = Certifying(self.objects, authority or self.authority)
        certificate = Certificate(
            *(self.objects, name, self.place / name, (self.authority.ca).read_text),
            lambda request: certifying.signed(name, request),
        )
        peers = Peers(self.objects, name, Listening("127.0.0.1", 0), certificate)
        peers.serve("echo", echo)
        peers.serve("refuse", refuse)
        await peers.start()
        self.peers[name] = peers
        return peers

    async def told(self, name: str) -> tuple[str, int]:
        """Where the agent of a node listens, once it has said so."""
        while True:
            node = self.objects.view(Node, name)
            if node is not None and (text := node.annotations.get(ADDRESS)):
                host, _, port = text.rpartition(":")
                return host, int(port)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def a_world(place: Path) -> AsyncIterator[World]:
    async with Client() as client:
        world = World(client.objects, place)
        for name in ("a", "b"):
            await world.node(name)
            await world.agent(name)
            await world.told(name)
        try:
            yield world
        finally:
            for one in world.peers.values():
                await one.stop()


async def test_one_calls_another_and_each_knows_who_the_other_is(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        seen: list[str] = []

        async def who(stream: Stream, about: msgspec.Raw) -> None:
            seen.append(stream.peer)
            await stream.send(Answer())

        world.peers["b"].serve("who", who)
        async with world.peers["a"].call("b", "echo", Asked("hello")) as (stream, told):
            assert json.loads(bytes(told)) == {"text": "hello"}
            await stream.write(b"more")
            assert await stream.read() == b"MORE"
        async with world.peers["a"].call("b", "who", Asked()):
            assert seen == ["a"]


async def test_a_refusal_has_the_words_of_the_other(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        with pytest.raises(PeerRefuses, match="b says: it is not here; ask another") as refused:
            async with world.peers["a"].call("b", "refuse", Asked()):
                pass
        assert refused.value.code == "Sorry"
        with pytest.raises(PeerRefuses, match="does not know the call 'shutdown'"):
            async with world.peers["a"].call("b", "shutdown", Asked()):
                pass


async def test_of_a_node_that_was_removed_and_made_anew_the_old_certificate_is_none(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world:
        kind = world.objects.kinds[Node.resource]
        await world.objects.delete(kind, "a")
        with pytest.raises(PeerUnreachable):
            async with world.peers["a"].call("b", "echo", Asked()):
                pass
        await world.node("a")
        with pytest.raises(PeerUnreachable):
            async with world.peers["a"].call("b", "echo", Asked()):
                pass
        await world.told("a")  # it says again where it is
        with pytest.raises(PeerUnreachable, match="an earlier Node of that name"):
            async with world.peers["b"].call("a", "echo", Asked()):
                pass


async def test_an_agent_of_another_authority_is_nobody(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        other = Authority(tmp_path / "other")
        other.ensure(["localhost"])
        await world.node("c")
        await world.agent("c", other)
        await world.told("c")
        for caller, called in (("c", "b"), ("b", "c")):
            with pytest.raises(PeerUnreachable):
                async with world.peers[caller].call(called, "echo", Asked()):
                    pass


async def test_an_agent_that_answers_in_anothers_place_is_found_out(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        host, port = await world.told("a")

        def lies(doc: dict[str, Any]) -> dict[str, Any]:
            doc["metadata"]["annotations"][ADDRESS] = f"{host}:{port}"
            return doc

        await world.node("c")
        await world.objects.update(
            world.objects.kinds[Node.resource],
            "c",
            lambda doc: lies({**doc, "metadata": {**doc["metadata"], "annotations": {}}}),
        )
        with pytest.raises(PeerUnreachable, match=r"not valid for 'c\.node\.mooring'"):
            async with world.peers["b"].call("c", "echo", Asked()):
                pass


async def connected(
    world: World, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = await world.told("b")
    return await asyncio.open_connection(
        host, port, ssl=context, server_hostname=server_name("b"), limit=1 << 20
    )


def a_context(world: World, *pair: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(world.authority.ca)
    if pair:
        context.load_cert_chain(*pair)
    return context


async def test_who_has_no_certificate_or_that_of_a_server_gets_no_answer(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        server = (world.authority.certificate, world.authority.key)
        for pair in ((), server):
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await _answer_to(world, a_context(world, *pair))


async def _answer_to(world: World, context: ssl.SSLContext) -> bytes:
    reader, writer = await connected(world, context)
    writer.write(b'{"call":"echo"}\n')
    return await reader.readuntil(b"\n")


@pytest.mark.parametrize(
    "line",
    [b"\n", b"[]\n", b'{"call":1}\n', b"\xff\n", b'{"call":"' + b"x" * LINE_BYTES + b'"}\n'],
)
async def test_what_is_no_call_is_answered_or_hung_up_on(line: bytes, tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        pair = (tmp_path / "a" / "agent.crt", tmp_path / "a" / "agent.key")
        reader, writer = await connected(world, a_context(world, *pair))
        writer.write(line)
        answer = await reader.read()
        assert not answer or json.loads(answer)["code"] == "NotServed"
        async with world.peers["a"].call("b", "echo", Asked("still there")) as (_, told):
            assert json.loads(bytes(told)) == {"text": "still there"}


async def test_a_certificate_is_for_the_node_that_asks_whatever_its_request_says(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world:
        certifying = Certifying(world.objects, world.authority)
        made = await keys.made()
        signed = await certifying.signed("a", made.request)
        ends = datetime.fromisoformat(signed.expires) - datetime.now(UTC)
        assert timedelta(hours=23) < ends <= timedelta(hours=24)
        node = world.objects.view(Node, "a")
        assert node is not None
        from cryptography import x509

        found = x509.load_pem_x509_certificate(signed.certificate.encode())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [one.value for one in names] == ["a.node.mooring", identity("a", node.uid)]
        for request in ("", "x", made.key, "x" * 20_000):
            with pytest.raises(ApiError, match="certificate"):
                await certifying.signed("a", request)
        with pytest.raises(ApiError, match="no Node"):
            await certifying.signed("nobody", made.request)


async def test_who_says_nothing_is_counted_and_takes_no_place_for_long(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        host, port = await world.told("b")
        silent = [await asyncio.open_connection(host, port) for _ in range(STRANGERS_AT_MOST + 20)]
        held = world.peers["b"]._connections
        while len(held) != STRANGERS_AT_MOST:  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0.01)
        assert all(not writer.is_closing() for _, writer in silent)
        while True:
            with suppress(PeerUnreachable):
                async with world.peers["a"].call("b", "echo", Asked("in time")) as (_, told):
                    assert json.loads(bytes(told)) == {"text": "in time"}
                    break
        for _, writer in silent:
            writer.transport.abort()


async def test_one_host_does_not_take_all_places(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, AsyncExitStack() as held:
        for _ in range(OF_ONE_AT_MOST):
            await held.enter_async_context(world.peers["a"].call("b", "echo", Asked()))
        with pytest.raises(PeerRefuses, match=f"{OF_ONE_AT_MOST} calls of a host") as refused:
            async with world.peers["a"].call("b", "echo", Asked()):
                pass
        assert refused.value.code == "TooManyCalls"
        await world.node("c")
        await world.agent("c")
        await world.told("c")
        async with world.peers["c"].call("b", "echo", Asked("c")) as (_, told):
            assert json.loads(bytes(told)) == {"text": "c"}


@pytest.mark.parametrize("removed", ["a", "b"])
async def test_with_a_host_that_is_removed_nothing_goes_on(removed: str, tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        async with world.peers["a"].call("b", "echo", Asked()) as (stream, _):
            await stream.write(b"one")
            assert await stream.read() == b"ONE"
            await world.objects.delete(world.objects.kinds[Node.resource], removed)
            with suppress(PeerUnreachable):
                await stream.write(b"two")
                assert not await stream.read()


async def test_a_node_may_be_called_by_any_name_that_nodes_have(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        for name in ("x" * 64, ".".join(["y" * 60] * 4), "z.example.com"):
            await world.node(name)
            await world.agent(name)
            await world.told(name)
            async with world.peers["a"].call(name, "echo", Asked(name)) as (_, told):
                assert json.loads(bytes(told)) == {"text": name}


async def test_an_agent_starts_while_no_certificate_is_to_be_had(tmp_path: Path) -> None:
    async with Client() as client:
        world = World(client.objects, tmp_path)
        await world.node("a")
        key = world.authority._ca_key
        content = key.read_bytes()
        for broken in (None, b"no key"):
            key.unlink() if broken is None else key.write_bytes(broken)
            peers = await world.agent("a")
            certificate = peers._credentials
            assert isinstance(certificate, Certificate)
            assert await certificate._renewed() == RETRY_S
            await peers.stop()
            key.write_bytes(content)


def test_agents_speak_on_the_loop_that_they_run_on(tmp_path: Path) -> None:
    """It reads sooner than that of Python: what came first must not be lost."""

    async def spoken() -> None:
        async with a_world(tmp_path) as world:
            for text in ("one", "two"):
                async with world.peers["a"].call("b", "echo", Asked(text)) as (stream, told):
                    assert json.loads(bytes(told)) == {"text": text}
                    await stream.write(b"more")
                    assert await stream.read() == b"MORE"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(spoken())
