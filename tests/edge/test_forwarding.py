"""Events that an edge sends to a Mooring server."""

import asyncio
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from mooring.edge.edge import beside
from mooring.edge.events import Event
from mooring.edge.forwarding import WAITING_AT_MOST, Forwarder
from mooring.edge.settings import MooringServer
from tests.system.server import Server, eventually

NOW = datetime.now(UTC)


def an_event(reason: str, message: str = "so", count: int = 1, about: str = "service/web") -> Event:
    last = NOW + timedelta(seconds=count)
    return Event("Warning", reason, about, message, count, NOW, last, is_alike=True)


def test_of_those_that_wait_the_newest_are_kept() -> None:
    forwarder = Forwarder(MooringServer("https://127.0.0.1:1", "token"))
    forwarder.take(an_event(f"R{number}") for number in range(WAITING_AT_MOST + 5))
    forwarder.take([an_event("R5", count=2)])
    waiting = list(forwarder.waiting.values())
    assert len(waiting) == WAITING_AT_MOST
    assert (waiting[0].reason, waiting[-1].reason, waiting[-1].count) == ("R6", "R5", 2)


@pytest.mark.parametrize("token", [b"\xff\xfe", b"a\nb", b"", b"a\0b"])
async def test_a_file_with_no_token_is_told_and_read_again(
    token: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_bytes(token)
    forwarder = Forwarder(MooringServer("https://127.0.0.1:1", str(file)))
    forwarder.take([an_event("ServerDown")])
    async with asyncio.timeout(10):
        sending = asyncio.create_task(forwarder.run())
        while "there is no token in" not in caplog.text:
            await asyncio.sleep(0)
            assert not sending.done()
        sending.cancel()


async def test_what_fails_beside_the_keeper_begins_anew() -> None:
    begun = []

    async def run() -> None:
        begun.append(1)
        if len(begun) < 3:
            raise KeyError("a bug")

    await beside("something", run, again_s=0.0)
    assert len(begun) == 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server")).start()
    yield made
    made.stop()


@pytest.mark.system
async def test_a_server_has_them_once_it_can_be_reached(server: Server, tmp_path: Path) -> None:
    kubeconfig = yaml.safe_load(server.kubeconfig.read_text())
    cluster = kubeconfig["clusters"][0]["cluster"]
    (tmp_path / "ca.pem").write_bytes(b64decode(cluster["certificate-authority-data"]))
    token = tmp_path / "token"
    forwarder = Forwarder(MooringServer(cluster["server"], str(token), str(tmp_path / "ca.pem")))
    sending = asyncio.create_task(forwarder.run())

    def found() -> dict[str, Any]:
        items = server.get("events", "-n", "default")["items"]
        return {one["reason"]: one for one in items if one.get("reportingComponent")}

    try:
        forwarder.take([an_event("ServerDown"), an_event("ReloadFailed", about="edge")])
        await asyncio.sleep(0.1)  # there is no token yet
        token.write_text(server.token)
        await asyncio.to_thread(eventually, lambda: len(found()) == 2, "both are there")
        down = found()["ServerDown"]
        assert (down["involvedObject"]["kind"], down["involvedObject"]["name"]) == (
            "Service",
            "web",
        )
        assert (down["type"], down["message"]) == ("Warning", "so")
        assert found()["ReloadFailed"]["involvedObject"]["kind"] == "Node"
        forwarder.take([an_event("ServerDown", "another", count=3)])
        await asyncio.to_thread(
            eventually, lambda: "series" in found()["ServerDown"], "it is a series"
        )
        assert found()["ServerDown"]["series"]["count"] == 3
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
