"""Clients of an entry on this machine, one request each."""

import asyncio
import http.client
import random
import socket
import ssl
from contextlib import suppress
from pathlib import Path

from cryptography import x509

from mooring.edge.settings import EntryPoint, ProxyName, Settings
from tests.docker.testbed import eventually

HOST = "web.example.com"


_given: set[int] = set()  # ports, to tests of this process


def free_port() -> int:
    """Below those that the kernel gives to connections, which may take one before it is used."""
    while True:
        port = random.randint(10_000, 30_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def settings_in(directory: Path, proxy: ProxyName = "haproxy") -> Settings:
    """An edge with entry points http and https on this machine, all its files in a directory."""
    (directory / "pems").mkdir()
    return Settings(
        entry_points=(
            EntryPoint("http", free_port(), "127.0.0.1"),
            EntryPoint("https", free_port(), "127.0.0.1", tls=True),
        ),
        directory=str(directory / "edge"),
        proxy=proxy,
        user="",
        certificates=str(directory / "pems"),
    )


class Client:
    """Of the entry points http and https."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def get(self, host: str = HOST) -> tuple[int, str]:
        """The status, and where it is sent on to."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port("http"), timeout=10)
        connection.request("GET", "/x", headers={"Host": host})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.getheader("location", "")

    async def gets(self, answer: tuple[int, str], host: str = HOST) -> None:
        """Wait for an answer: a proxy that was just told may go on as before for a moment."""
        what = f"{host} gets {answer}"
        await asyncio.to_thread(eventually, lambda: self.get(host) == answer, what)

    async def is_shown(self, names: set[str], host: str = HOST) -> None:
        """Wait for a certificate of these names."""
        what = f"{host} has a certificate of {names}"
        await asyncio.to_thread(eventually, lambda: self.certificate_for(host) == names, what)

    def certificate_for(self, host: str) -> set[str]:
        """The names of the certificate that a client gets who asks for this one."""
        made = self.shown(host)
        with suppress(x509.ExtensionNotFound):
            said = made.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            return set(said.value.get_values_for_type(x509.DNSName))
        return set()

    def shown(self, host: str = HOST) -> x509.Certificate:
        """The certificate that a client gets who asks for this name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port("https")), 10) as plain:
            with context.wrap_socket(plain, server_hostname=host) as secured:
                given = secured.getpeercert(binary_form=True)
        assert given is not None
        return x509.load_der_x509_certificate(given)

    def port(self, entry: str) -> int:
        return next(one.port for one in self.settings.entry_points if one.name == entry)
