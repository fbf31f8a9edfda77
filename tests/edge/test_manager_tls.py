"""Managers over the network: both sides prove who they are, or nothing is believed."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mooring.edge.edge import managers_of
from mooring.edge.settings import ManagerTls
from mooring.engine.errors import EngineAway
from tests.edge.clients import free_port
from tests.edge.making import some_settings
from tests.edge.test_follower import Engine

NOW = datetime.now(UTC)


class Authority:
    """A CA, which writes what it issues as files."""

    def __init__(self, place: Path, name: str) -> None:
        self.place, self.name = place, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = str(place / f"{name}.pem")
        made = self._sign(self.name, self.key, days=1, is_ca=True)
        Path(self.file).write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, days: int = 1) -> tuple[str, str]:
        """Files of a certificate for 127.0.0.1, and of its key. days: until it expires."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._sign(subject, key, days=days, is_ca=False)
        files = self.place / f"{name}.crt", self.place / f"{name}.key"
        files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return str(files[0]), str(files[1])

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int, is_ca: bool
    ) -> x509.Certificate:
        alternative = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=9))
            .not_valid_after(NOW + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(alternative, critical=False)
            .sign(self.key, hashes.SHA256())
        )


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
