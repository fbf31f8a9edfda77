"""Managers over the network: both sides prove who they are, or nothing is believed."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from mooring.edge.edge import managers_of
from mooring.edge.follower import Follower
from mooring.edge.settings import ManagerTls
from mooring.engine.errors import EngineAway
from tests.edge.authority import Authority
from tests.edge.clients import free_port
from tests.edge.making import some_settings
from tests.edge.test_follower import Engine, following


@asynccontextmanager
async def serving(certificate: tuple[str, str], ca: str) -> AsyncIterator[int]:
    """A manager with one service, that asks for certificates of a CA. Its port."""
    engine = Engine()
    engine.service("web")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.load_cert_chain(*certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    runner = web.AppRunner(engine.app(), shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    try:
        yield port
    finally:
        await runner.cleanup()


async def services(port: int, ca: str, own: tuple[str, str]) -> set[str]:
    """What an edge file with these finds. Raises EngineAway."""
    tls = ManagerTls(ca, *own)
    (manager,) = managers_of(some_settings(managers=(f"tcp://127.0.0.1:{port}",), manager_tls=tls))
    try:
        async with asyncio.timeout(10):
            return set((await manager.swarm()).services)
    finally:
        await manager.stop()


async def test_one_that_proves_who_it_is_is_believed(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    async with serving(ca.issue("manager"), ca.file) as port:
        assert await services(port, ca.file, ca.issue("edge")) == {"web"}


async def test_a_certificate_that_is_renewed_is_used_without_a_restart(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    async with serving(ca.issue("manager"), ca.file) as port:
        tls = ManagerTls(ca.file, *ca.issue("edge", -1))
        settings = some_settings(managers=(f"tcp://127.0.0.1:{port}",), manager_tls=tls)
        follower = Follower(managers_of(settings))
        async with following(follower), asyncio.timeout(30):
            assert await follower.swarm_within(0.05) is None
            ca.issue("edge")
            swarm = None
            while swarm is None:
                swarm = await follower.swarm_within(1)
            assert set(swarm.services) == {"web"}


async def test_one_of_ours_that_has_expired_is_named(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    async with serving(ca.issue("manager"), ca.file) as port:
        own = ca.issue("edge", -1)
        with pytest.raises(EngineAway, match=f"of this edge has expired: {own[0]}"):
            await services(port, ca.file, own)


@pytest.mark.parametrize("what", ["expired", "of another CA", "expired of ours", "not ours"])
async def test_whatever_is_wrong_with_a_certificate_nothing_is_believed(
    tmp_path: Path, what: str
) -> None:
    ca, other = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
    theirs = {"expired": ca.issue("old", -1), "of another CA": other.issue("stranger")}
    ours = {"expired of ours": ca.issue("stale", -1), "not ours": other.issue("guest")}
    good = ca.issue("good")
    async with serving(theirs.get(what, good), ca.file) as port:
        with pytest.raises(EngineAway):
            await services(port, ca.file, ours.get(what, good))
