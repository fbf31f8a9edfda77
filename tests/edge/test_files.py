"""HAProxy's files: what stands in them, and that HAProxy's own checker takes them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mooring.edge.haproxy.files import config, map_of, map_text
from mooring.edge.model import Memory, Model, Rule, model_of
from mooring.edge.settings import EntryPoint, Settings
from mooring.edge.words import Unwritable, word
from mooring.engine.swarm import Service
from tests.edge.making import MESHED, a_service, a_swarm, some_settings

EVERY = {"host": "web.example.com,*.example.com", "path": "/a/b", "timeout": "5s"}


def made(*services: Service, settings: Settings | None = None) -> tuple[Model, str]:
    chosen = settings or some_settings()
    model, _ = model_of(a_swarm(*services), chosen, Memory())
    slots = {name: one.slots for name, one in model.backends.items()}
    return model, config(model, chosen, slots, 7)


def backend_of(text: str) -> list[str]:
    return [line.strip() for line in text.partition("\nbackend ")[2].splitlines()]


def test_the_map_has_each_rule_of_an_entry_point_with_a_slash_at_the_end() -> None:
    rules = [
        Rule("http", "a.example", "/", "svc_a_"),
        Rule("http", "*.a.example", "/api", "svc_b_"),
        Rule("other", "a.example", "/", "svc_c_"),
    ]
    assert map_of(rules, "http") == {"a.example/": "svc_a_", "*.a.example/api/": "svc_b_"}
    assert map_text(rules, "http") == "*.a.example/api/ svc_b_\na.example/ svc_a_\n"


@pytest.mark.parametrize(
    "text", ["", "a b", "a\nb", "-f", "a;b", 'a"b', "a\\", "$a", "%[src]", "ä"]
)
def test_what_is_no_word_is_written_nowhere(text: str) -> None:
    with pytest.raises(Unwritable):
        word(text)


def test_the_addresses_of_servers_are_not_in_the_configuration() -> None:
    """So a task that comes or goes is no reason for a reload."""
    _, text = made(a_service())
    assert "    server-template s 1-8 slot.invalid:1 disabled" in text.splitlines()
    assert "10.0.0.1" not in text


@pytest.mark.parametrize(
    ("labels", "line", "stands"),
    [
        ({"retry": "safe"}, "http-request disable-l7-retry unless { method GET HEAD OPTIONS }", 1),
        ({"retry": "all"}, "http-request disable-l7-retry unless { method GET HEAD OPTIONS }", 0),
        ({"retry": "none"}, "retry-on none", 1),
        ({"timeout": "2m"}, "timeout server 120s", 1),
        ({"balance": "source"}, "balance source", 1),
        ({"sticky": "true"}, "cookie mooring insert indirect nocache httponly dynamic", 1),
        ({"check": "/up"}, "http-check send meth GET uri /up hdr host web.example.com", 1),
        ({"check": "/up", "host": "*.x.example"}, "http-check send meth GET uri /up", 1),
        ({}, "option httpchk", 0),
    ],
)
def test_a_label_is_a_line(labels: dict[str, str], line: str, stands: bool) -> None:
    _, text = made(a_service(**{"host": "web.example.com", **labels}))
    assert (line in backend_of(text)) is bool(stands)


@pytest.mark.system
@pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy")
@pytest.mark.parametrize(
    "services",
    [
        (),
        (a_service(**EVERY, sticky="true", retry="all", check="/up", balance="source"),),
        (a_service(**EVERY, protocol="h2c", retry="none"),),
        (a_service("web", MESHED, **EVERY), a_service("b", MESHED, host="b.example", mode="mesh")),
    ],
)
def test_haproxy_takes_it(tmp_path: Path, services: tuple[Service, ...]) -> None:
    entries = (
        EntryPoint("http", 80, "127.0.0.1"),
        EntryPoint(
            *("six", 81, "::1"),
            accept_proxy_from=("10.0.0.0/8", "fd00::/8"),
            trusted_from=("10.0.0.0/8",),
        ),
    )
    settings = some_settings(*entries, directory=str(tmp_path), user="")
    model, text = made(*services, settings=settings)
    for entry in entries:
        (tmp_path / f"{entry.name}.map").write_text(map_text(model.rules, entry.name))
    file = tmp_path / "haproxy.cfg"
    file.write_text(text)
    checked = subprocess.run(
        ["haproxy", "-c", "-f", str(file)], capture_output=True, text=True, timeout=30
    )
    assert checked.returncode == 0, checked.stderr + text
