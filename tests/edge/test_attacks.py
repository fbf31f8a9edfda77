"""Every attack in every label, through the whole of `mooring edge run` before real proxies.

The swarm is only told of; whatever its services say, the edge has to serve the good ones, and to
name the others, without a word of theirs where a proxy reads.
"""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from mooring.edge.haproxy.runtime import asked
from mooring.edge.labels import KEYS, PREFIX
from testbed.generated import GeneratedSwarm, on_its_node
from tests.docker.testbed import Bed, eventually, needs_hosts
from tests.edge.entry import Entry
from tests.edge.test_routes import ATTACKS
from tests.edge.told import NODES, standing

pytestmark = [pytest.mark.system, needs_hosts]
MARK = "evil7331"
NAMED = "named7331"
LONG = 3000  # characters, more than any label may have
# What tells of the attacks, or remembers a service by its name; no proxy reads it.
OURS = {"applied.json", "status.json", "events.json", "memory.json"}
GOOD, BANK = "good.example.com", "bank.example.com"
DOC = {
    "entryPoints": [
        {"name": "http", "port": 80},
        {"name": "db", "port": 5432, "protocol": "tcp"},
    ],
    "allowedHosts": [{"host": BANK, "service": "bank"}],
    "accessLog": "udp://127.0.0.1:514",
}


def marked(attack: str) -> str:
    """With a word that is looked for, where the attack is one yet; not longer than it has to be."""
    attack = attack[:LONG]
    return f"{MARK}{attack}" if attack[0].isascii() and attack[0].isalnum() else f"{attack}{MARK}"


def attacked() -> GeneratedSwarm:
    """Good services, and one for each label and attack, called by its number."""
    swarm = GeneratedSwarm(NODES)
    swarm.add("good", 1, {f"{PREFIX}host": GOOD})
    swarm.add("bank", 1, {f"{PREFIX}host": BANK})
    swarm.add("thief", 1, {f"{PREFIX}host": BANK, f"{PREFIX}path": "/account"})
    for number, (key, attack) in enumerate(product(sorted(KEYS), ATTACKS)):
        labels = {f"{PREFIX}host": f"bad{number}.example.com", f"{PREFIX}{key}": marked(attack)}
        swarm.add(f"bad{number}", 1, labels)
    for number, attack in enumerate(ATTACKS):
        # A route may be called -f: its name stands behind the id of its service, never first.
        label = f"{PREFIX}{marked(attack).lstrip('-')}.{MARK}"
        swarm.add(f"odd{number}", 1, {label: "x", f"{PREFIX}{marked(attack)}": "x"})
        labels = {f"{PREFIX}host": f"n{number}.example.com", "com.docker.stack.namespace": attack}
        id_ = swarm.add(f"n{number}", 0, labels, on_its_node(80))
        # No Docker lets a service be called so.
        swarm.services[id_]["Spec"]["Name"] = f"{attack[:LONG]}{NAMED}"
    return swarm


@pytest.fixture(scope="module")
def edges(bed: Bed) -> Iterator[Callable[[str], Entry]]:
    """One before that swarm, with the proxy of that name."""
    with ExitStack() as stack:

        @cache
        def made(proxy: str) -> Entry:
            if not shutil.which(proxy):
                pytest.skip(f"there is no {proxy}")
            host = bed.host(proxy)
            host.up()
            stack.enter_context(standing(host, attacked()))
            entry = Entry(host, host, proxy, **DOC)
            entry.start()
            stack.callback(host.run, "sh", "-c", f"kill $(cat {entry.directory}/{proxy}.pid)")
            stack.callback(entry.kill)
            return entry

        yield made


@pytest.mark.parametrize("proxy", ["haproxy", pytest.param("nginx", marks=pytest.mark.slow)])
def test_no_attack_reaches_a_proxy_and_each_is_told(
    edges: Callable[[str], Entry], proxy: str
) -> None:
    entry = edges(proxy)
    entry.answers(GOOD)
    entry.answers(BANK, "/account")
    eventually((entry.directory / "status.json").exists, "it tells of itself")
    told = problems(entry)
    for number in range(len(KEYS) * len(ATTACKS)):
        assert told.get(f"bad{number}") == {"BadLabel"}, number
    for number in range(len(ATTACKS)):
        assert told.get(f"odd{number}") == {"UnknownLabel"}
    assert told["thief"] == {"HostNotAllowed"}
    assert told.keys() & {"good", "bank"} == set()
    for path, text in written(entry):
        if path.name in OURS:
            json.loads(text)
            continue
        assert MARK not in text or path.name == "edge.log", path
        assert NAMED not in text or path.name == "edge.log", path
        assert "sbad" not in text, path  # an id of theirs
        assert is_tame(text), path
    for command in ("status", "events"):
        assert is_tame(said_by(entry, command))
    metrics = entry.host.run("curl", "-sS", "http://127.0.0.1:9464/metrics").out
    assert is_tame(metrics)
    assert MARK not in metrics
    if proxy == "haproxy":
        assert MARK not in asyncio.run(runtime(entry))


def said_by(entry: Entry, command: str) -> str:
    """What it prints, once it names them."""
    shown: list[str] = []

    def names_them() -> bool:
        shown.append(entry.mooring(command).out)
        return "bad7" in shown[-1]

    eventually(names_them, f"{command} names them")
    return shown[-1]


def problems(entry: Entry) -> dict[str, set[str]]:
    """Reasons by the service's name, each with a message that any terminal may show."""
    status = json.loads(entry.mooring("status", "-o", "json").out)
    assert not status.get("failure")
    found: dict[str, set[str]] = {}
    for one in status["problems"]:
        assert one["message"].isprintable()
        assert one["message"].isascii()
        found.setdefault(one["service"], set()).add(one["reason"])
    return found


def written(entry: Entry) -> list[tuple[Path, str]]:
    """All files of the edge, and its log."""
    files = [one for one in entry.directory.rglob("*") if one.is_file()]
    found = []
    for one in (*files, entry.host.place / "edge.log"):
        with suppress(FileNotFoundError):  # one that was about to take the place of another
            found.append((one, one.read_text()))
    return found


def is_tame(text: str) -> bool:
    """Whether it has nothing that a terminal, or a reader of lines, would do something for."""
    return all(one.isprintable() or one == "\n" for one in text)


async def runtime(entry: Entry) -> str:
    """All that HAProxy has at runtime of what we tell it."""
    socket = entry.directory / "admin.sock"
    maps = [f"show map {one}" for one in entry.directory.glob("*.map")]
    commands = (*maps, "show map", "show servers state", "show stat", "show backend")
    return "".join([await asked(socket, one) for one in commands])
