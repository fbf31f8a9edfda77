"""Two machines with one address: what is written for keepalived, and that it does as it should."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.edge.haproxy import files, parts
from mooring.edge.keepalived import BadPair, keepalived
from mooring.edge.settings import EntryPoint
from tests.docker.testbed import Bed, Host, eventually, needs_hosts
from tests.edge.entry import lacking
from tests.edge.making import HTTP, some_settings

ADDRESS = "10.77.0.200"
PROXIED = EntryPoint("first", 81, accept_proxy_from=("10.0.0.0/8",))
SECURE = EntryPoint("https", 443, "::", tls=True)


@pytest.mark.parametrize(
    ("entries", "url"),
    [
        ([PROXIED, HTTP], "http://127.0.0.1:80/"),
        ([SECURE], "https://[::1]:443/"),
        ([EntryPoint("http", 80, "10.0.0.1")], "http://10.0.0.1:80/"),
    ],
)
def test_the_proxy_is_asked_at_an_entry_point_that_takes_any_client(
    entries: list[EntryPoint], url: str
) -> None:
    said = keepalived(some_settings(*entries), "10.0.0.9/24", "eth0", ["10.0.0.2"])
    assert f' {url}"' in said


@pytest.mark.parametrize(
    ("address", "interface", "peers", "number"),
    [
        ("x", "eth0", ["10.0.0.2"], 51),
        ("10.0.0.9/24\n}", "eth0", ["10.0.0.2"], 51),
        ("10.0.0.9/24", "eth0 }", ["10.0.0.2"], 51),
        ("10.0.0.9/24", "eth0", ["10.0.0.2 }"], 51),
        ("10.0.0.9/24", "eth0", ["10.0.0.2"], 256),
    ],
)
def test_what_would_be_no_word_of_its_file_is_refused(
    address: str, interface: str, peers: list[str], number: int
) -> None:
    with pytest.raises(BadPair):
        keepalived(some_settings(), address, interface, peers, number)


def test_without_an_entry_point_that_can_be_asked_nothing_is_written() -> None:
    with pytest.raises(BadPair, match="no entry point"):
        keepalived(some_settings(PROXIED), "10.0.0.9/24", "eth0", ["10.0.0.2"])


class Machine:
    """One of the two, with a HAProxy as an edge has it before there is a service."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.settings = some_settings(directory=str(host.place), user="")
        config = files.config({}, self.settings, {}, 1)
        (host.place / "haproxy.cfg").write_text(config)
        (host.place / "servers.state").touch()
        Path(parts.map_file(self.settings, HTTP)).touch()
        self.proxy: subprocess.Popen[bytes] | None = None

    def start_proxy(self) -> None:
        file = f"{self.host.place}/haproxy.cfg"
        self.proxy = self.host.popen("haproxy", "-db", "-f", file, log="haproxy.log")

    def kill_proxy(self) -> None:
        assert self.proxy is not None
        self.host.run("kill", "-9", "--", *self.pids())
        self.proxy.wait(10)

    def pids(self) -> list[str]:
        return self.host.run("pidof", "haproxy").out.split()

    def start_keepalived(self, other: Host) -> None:
        place = self.host.place
        said = keepalived(self.settings, f"{ADDRESS}/24", "eth0", [other.ip])
        (place / "keepalived.conf").write_text(said)
        (place / "keepalived.conf").chmod(0o600)
        pids = ("-p", f"{place}/keepalived.pid", "-r", f"{place}/vrrp.pid")
        words = ("--dont-fork", "--log-console", "--vrrp", "-f", f"{place}/keepalived.conf")
        self.host.popen("keepalived", *words, *pids, log="keepalived.log")

    def has_address(self) -> bool:
        return f" {ADDRESS}/" in self.host.run("ip", "-4", "addr", "show", "dev", "eth0").out


@pytest.fixture
def machines(bed: Bed) -> Iterator[list[Machine]]:
    if why := lacking():
        pytest.skip(why)
    made = []
    for name in ("one", "two"):
        host = bed.host(name)
        host.up()
        made.append(Machine(host))
    for machine, other in zip(made, reversed(made), strict=True):
        machine.start_proxy()
        machine.start_keepalived(other.host)
    yield made
    for machine in made:
        machine.host.crash()


@pytest.mark.system
@pytest.mark.slow
@needs_hosts
@pytest.mark.skipif(not shutil.which("keepalived"), reason="there is no keepalived")
def test_the_address_moves_when_the_proxy_of_the_machine_that_has_it_dies(
    bed: Bed, machines: list[Machine]
) -> None:
    eventually(lambda: sum(one.has_address() for one in machines) == 1, "one has the address")
    has, other = sorted(machines, key=Machine.has_address, reverse=True)
    client = bed.host("client")
    client.up()
    ask = f"curl -s -m 1 -o /dev/null -w '%{{http_code}}\\n' http://{ADDRESS}/"
    client.popen("sh", "-c", f"while :; do {ask}; sleep 0.05; done", log="codes")

    def codes() -> list[str]:
        return (client.place / "codes").read_text().split()

    eventually(lambda: codes()[-20:] == ["404"] * 20, "requests are answered")
    has.kill_proxy()
    eventually(other.has_address, "the other has the address")
    eventually(lambda: not has.has_address(), "the first has it no more")
    eventually(lambda: codes()[-20:] == ["404"] * 20, "requests are answered again")
    has.start_proxy()
    answered = len(codes()) + 100  # some five seconds: it would have moved back
    eventually(lambda: len(codes()) > answered, "more requests were sent")
    assert other.has_address()
    assert "000" not in codes()[answered - 100 :]
