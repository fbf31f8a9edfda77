"""`mooring edge run` before a swarm that is only told of, killed and started again by a test.

The proxy, the servers behind it and the clients are real, on a host of their own.
"""

import asyncio
import json
import os
import shutil
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509

from mooring.edge.haproxy.runtime import worker_of
from mooring.edge.model import Memory
from mooring.edge.place import NEW, STOPGAP, Place
from mooring.edge.remembered import remember, remembered
from testbed.generated import GeneratedSwarm
from tests.docker.testbed import Bed, Host, eventually
from tests.edge.entry import Entry
from tests.edge.masters import masters
from tests.edge.pems import a_pem
from tests.edge.told import NODES, standing

WEB: Final = "web.example.com"
SERVING: Final = {"serves": 2, "leaves": 1}  # of web, by state
TOO_LONG_S: Final = 10**18  # for either proxy's parser; no label can say it


class Mortal:
    """An edge, and a swarm that changes while it is dead.

    The service web is asked all the time. With each change another service comes and the one of
    before goes, one of the two tasks of web is to end, and one of two certificates is renewed, the
    other replaced: so a start has something to do of every kind.
    """

    def __init__(self, host: Host, proxy: str) -> None:
        self.host, self.proxy = host, proxy
        self.swarm = GeneratedSwarm(NODES)
        self.pems = host.place / "pems"
        self.pems.mkdir()
        entries = [{"name": "http", "port": 80}, {"name": "https", "port": 443, "tls": True}]
        self.entry = Entry(host, host, proxy, entryPoints=entries, certificates=str(self.pems))
        self.web = self.swarm.add("web", 2, {"mooring.edge.host": WEB, "mooring.edge.tls": "on"})
        self.number = 0  # of changes so far
        self.leaving = ""  # the task that is to end
        self.spoiled = False  # whether the proxy refuses the service that came last

    @property
    def directory(self) -> Path:
        """Of the edge, also where something is mounted on the host."""
        return self.host.seen(self.entry.directory)

    @contextmanager
    def standing(self) -> Iterator[None]:
        """All but the edge runs meanwhile."""
        with standing(self.host, self.swarm):
            yield

    def change(self, *, spoiled: bool = False) -> None:
        """spoiled: the service that comes is one that the proxy's checker refuses."""
        self.number, self.spoiled = self.number + 1, spoiled
        self._change_services()
        if self.leaving:
            self.swarm.end(self.leaving)
        self.leaving = next(
            id_ for id_, one in self.swarm.tasks.items() if one["ServiceID"] == self.web
        )
        self.swarm.leave(self.leaving)
        (self.pems / f"{self.number - 1}.pem").unlink(missing_ok=True)
        for name, host in (("web", WEB), (str(self.number), self.host_of(self.number))):
            (self.pems / f"{name}.pem").write_text("".join(a_pem(host, serial=self.number)))

    def _change_services(self) -> None:
        if self.number > 1:
            self.swarm.remove(f"sn{self.number - 1}")
        labels = {"mooring.edge.host": self.host_of(self.number), "mooring.edge.tls": "on"}
        if self.spoiled:
            labels["mooring.edge.timeout"] = "for ever"
            self._plant(labels["mooring.edge.host"])
        self.swarm.add(f"n{self.number}", 1, labels)

    def _plant(self, host: str) -> None:
        """A form of the service from before its label went bad, as none could have come to be."""
        place = Place(str(self.directory))
        memory = remembered(place)
        web = next(one for one in memory.routes.values() if one.service == "web")
        name = f"n{self.number}"
        bad = replace(web, service_id=f"s{name}", service=name, hosts=(host,), timeout_s=TOO_LONG_S)
        remember(place, Memory({**memory.routes, bad.key: bad}, memory.ports))

    @staticmethod
    def host_of(number: int) -> str:
        """Of the service that came with a change."""
        return f"n{number}.example.com"

    def start(self, point: str = "") -> None:
        self.entry.start(MOORING_CRASH_AT=point)

    def kill(self) -> None:
        """The edge, if it lives."""
        if self.entry.process is not None and self.entry.process.poll() is None:
            self.entry.kill()

    def died(self) -> bool:
        """Whether it is dead, by kill -9."""
        assert self.entry.process is not None
        return self.entry.process.poll() == -signal.SIGKILL

    def end_proxy(self) -> None:
        """In good order, as by whoever stops it."""
        for pid in self.proxies():
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: not self.proxies(), "the proxy has ended")

    def proxies(self) -> set[int]:
        """Masters of proxies on the host."""
        net = Path(f"/proc/{self.host.init}/ns/net").readlink()
        return masters(
            lambda one: (
                (one / "comm").read_text().strip() == self.proxy
                and (one / "ns/net").readlink() == net
            )
        )

    def reloads(self) -> int:
        """Of HAProxy, since it was started."""
        return asyncio.run(worker_of(self.directory / "master.sock")).reloads

    def status(self) -> Any:
        said = self.entry.mooring("status", "-o", "json").out
        return json.loads(said) if said.startswith("{") else {}

    def settles(self) -> None:
        """Wait until the proxy is as the swarm is, and clients notice."""
        new, gone = self.host_of(self.number), self.host_of(self.number - 1)
        wanted = 404 if self.spoiled else 200
        eventually(lambda: self.entry.get(new)[0] == wanted, f"{new} answers {wanted}")
        eventually(lambda: self.entry.get(gone)[0] == 404, f"{gone} is gone")
        eventually(self.serves, f"of web's servers {SERVING}")
        # nginx shows none for a name that no service has.
        for host in (WEB,) if self.spoiled and self.proxy == "nginx" else (WEB, new):
            what = f"{host} has its certificate of now"
            eventually(lambda host=host: self._shown(host) == (host, self.number), what)  # type: ignore[misc]
        eventually(lambda: self._shown(gone)[0] == "", f"{gone} has no certificate")
        eventually(lambda: self._is_tidy(), "nothing is left behind")

    def addresses(self) -> set[str]:
        """Of the tasks of web that are to go on."""
        tasks = [id_ for id_, one in self.swarm.tasks.items() if one["ServiceID"] == self.web]
        return {self.swarm.place_of(one)[0] for one in tasks if one != self.leaving}

    def answering(self) -> set[str]:
        """Who answers for web, of several requests."""
        return {self.entry.get(WEB)[1] for _ in range(8)}

    def serves(self) -> bool:
        """Whether each server of web is as it is to be."""
        return self._states() == SERVING

    def _states(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for route in self.status().get("routes", ()):
            if route["service"] == "web":
                for one in route["servers"]:
                    found[one["state"]] = found.get(one["state"], 0) + 1
        return found

    def _shown(self, host: str) -> tuple[str, int]:
        """The name and the number of the certificate for a host; no name of the stopgap."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with self.host.connected("127.0.0.1", 443) as plain:
            with context.wrap_socket(plain, server_hostname=host) as secured:
                given = secured.getpeercert(binary_form=True)
        assert given is not None
        made = x509.load_der_x509_certificate(given)
        with suppress(x509.ExtensionNotFound):
            said = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            return said.get_values_for_type(x509.DNSName)[0], made.serial_number
        return "", 0

    def _is_tidy(self) -> bool:
        """No file half written, and no key of a certificate that is not served."""
        keys = {one.name for one in (self.directory / "certificates").iterdir()}
        return len(keys) == 3 and STOPGAP in keys and not [*self.directory.rglob(f"*{NEW}")]


Prepare = Callable[[Mortal], None]


@contextmanager
def mortals_of(bed: Bed, prepare: Prepare = lambda _: None) -> Iterator[Callable[[str], Mortal]]:
    """Gives the edge with the proxy of a name, the same each time, once it is settled.

    prepare  what is done on its host before anything runs there
    """
    with ExitStack() as stack:

        @cache
        def made(proxy: str) -> Mortal:
            if not shutil.which(proxy):
                pytest.skip(f"there is no {proxy}")
            host = bed.host(proxy)
            host.up()
            mortal = Mortal(host, proxy)
            prepare(mortal)
            stack.enter_context(mortal.standing())
            mortal.change()
            mortal.start()
            stack.callback(mortal.kill)
            mortal.settles()
            return mortal

        yield made
