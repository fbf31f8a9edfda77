"""A certificate of a CA that speaks ACME, by certbot through a real proxy: issued and renewed."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from msgspec import structs

from mooring.edge.settings import ProxyName
from tests.docker.testbed import eventually
from tests.edge.clients import HOST, free_port, settings_in
from tests.edge.kept import Kept
from tests.edge.making import a_service, a_swarm
from tests.edge.pems import a_pem

PROGRAMS = ("pebble", "pebble-challtestsrv", "certbot")
LACKING = [one for one in PROGRAMS if not shutil.which(one)]
pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.skipif(bool(LACKING), reason=f"there is no {', '.join(LACKING)}"),
]


class Authority:
    """Pebble, for which every name is this machine."""

    def __init__(self, place: Path, http_port: int, responder_port: int) -> None:
        self.place, self.http_port, self.responder_port = place, http_port, responder_port
        self.port, self.dns = free_port(), free_port()
        place.mkdir()

    @contextmanager
    def running(self) -> Iterator[None]:
        certificate, key = a_pem("localhost")
        (self.place / "cert.pem").write_text(certificate)
        (self.place / "key.pem").write_text(key)
        said = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": "",
            "certificate": str(self.place / "cert.pem"),
            "privateKey": str(self.place / "key.pem"),
            "httpPort": self.http_port,
            "tlsPort": free_port(),
        }
        (self.place / "pebble.json").write_text(json.dumps({"pebble": said}))
        dns = ("-dns01", f"127.0.0.1:{self.dns}", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "")
        others = ("-http01", "", "-https01", "", "-tlsalpn01", "", "-management", "127.0.0.1:0")
        commands = (
            ("pebble-challtestsrv", *dns, *others),
            ("pebble", "-config", f"{self.place}/pebble.json", "-dnsserver", dns[1]),
        )
        quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        with (self.place / "log").open("wb") as log:
            started = [
                subprocess.Popen(one, stdout=log, stderr=log, env={**os.environ, **quick})
                for one in commands
            ]
            try:
                yield
            finally:
                for one in started:
                    one.terminate()
                    one.wait(10)

    def certbot(self, *words: str) -> None:
        """As docs/edge.md has it, but for where its files and the CA are."""
        place = self.place / "certbot"
        files = ("--config-dir", place, "--work-dir", place, "--logs-dir", place)
        server = ("--server", f"https://localhost:{self.port}/dir", "--non-interactive")
        responder = ("--http-01-address", "127.0.0.1", "--http-01-port", str(self.responder_port))
        trusted = {**os.environ, "REQUESTS_CA_BUNDLE": str(self.place / "cert.pem")}
        command = ("certbot", *words, *files, *server, "--standalone", *responder)
        done = subprocess.run(command, env=trusted, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(params=["haproxy", "nginx"])
async def kept(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    name = cast("ProxyName", request.param)
    if not shutil.which(name):
        pytest.skip(f"there is no {name}")
    settings = structs.replace(
        settings_in(tmp_path, name),
        acme=f"127.0.0.1:{free_port()}",
        certificates=str(tmp_path / "acme/certbot/live"),
    )
    made = Kept(settings)
    # What the labels say does not take challenges away.
    thief = a_service("thief", host=HOST, path="/.well-known/acme-challenge")
    made.swarm = a_swarm(a_service(), thief)
    yield made
    await made.keeper.proxy.stop()


async def test_a_certificate_is_issued_served_and_renewed(kept: Kept, tmp_path: Path) -> None:
    _, _, port = kept.settings.acme.rpartition(":")
    authority = Authority(tmp_path / "acme", kept.port("http"), int(port))
    live = Path(kept.settings.certificates) / HOST / "fullchain.pem"
    with authority.running():
        async with kept.keeping():
            await kept.gets((503, ""))
            reloads = kept.keeper.proxy.reloads
            once = ("--agree-tos", "--register-unsafely-without-email", "--domain", HOST)
            await asyncio.to_thread(authority.certbot, "certonly", *once)
            await kept.is_shown({HOST})
            moved = f"https://{HOST}:{kept.port('https')}/x"
            await kept.gets((308, moved))
            now = ("--force-renewal", "--no-random-sleep-on-renew")
            first = kept.shown()
            await asyncio.to_thread(authority.certbot, "renew", *now)
            renewed = x509.load_pem_x509_certificate(live.read_bytes())
            assert renewed != first
            what = "the renewed one is served"
            await asyncio.to_thread(eventually, lambda: kept.shown() == renewed, what)
            if kept.settings.proxy == "haproxy":
                assert kept.keeper.proxy.reloads == reloads
