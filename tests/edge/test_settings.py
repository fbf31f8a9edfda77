"""The edge file: what it says, and what is refused with its field and a remedy."""

from pathlib import Path

import pytest

from mooring.edge.settings import BadEdgeFile, EntryPoint, Settings, settings_of

WHOLE = """
directory: /run/edge
managers: [/var/run/docker.sock, "tcp://10.0.0.1:2376"]
managerTls: {ca: ca.pem, certificate: cert.pem, key: key.pem}
mode: nodes
user: ""
entryPoints:
  - {name: http, port: 80, address: "::", trustedFrom: [10.0.0.0/8], acceptProxyFrom: [10.1.0.1]}
allowedHosts:
  - {host: "*.shop.example", stack: shop}
"""


def read(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "edge.yaml"
    file.write_text(text)
    return settings_of(file)


def test_one_entry_point_is_enough(tmp_path: Path) -> None:
    settings = read(tmp_path, "entryPoints: [{name: http, port: 80}]")
    assert settings == Settings(entry_points=(EntryPoint("http", 80),))


def test_a_whole_file(tmp_path: Path) -> None:
    settings = read(tmp_path, WHOLE)
    assert settings.managers[1] == "tcp://10.0.0.1:2376"
    assert settings.entry_points[0].trusted_from == ("10.0.0.0/8",)
    assert settings.allowed_hosts[0].stack == "shop"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "Expected `object`"),
        ("a: [", "not YAML"),
        ("{}", "entryPoints"),
        ("entryPoints: []", "entryPoints"),
        ("entryPoints: [{name: http}]", "port"),
        ("entryPoints: [{name: http, port: 0}]", "entryPoints[0].port"),
        ("entryPoints: [{name: 'a b', port: 1}]", "entryPoints[0].name"),
        ("entryPoints: [{name: a, port: 1}, {name: a, port: 2}]", "2 are called a"),
        ("entryPoints: [{name: a, port: 1, address: localhost}]", "entryPoints[0].address"),
        ("entryPoints: [{name: a, port: 1, trustedFrom: [x]}]", "entryPoints[0].trustedFrom[0]"),
        ("entryPoints: [{name: a, port: 1, colour: red}]", "colour"),
        ("entryPoints: [{name: a, port: 1, protocol: udp}]", "protocol"),
        ("{entryPoints: [{name: a, port: 1}], metrics: '9464'}", "metrics"),
        ("{entryPoints: [{name: a, port: 1}], acme: 'localhost:80'}", "acme"),
        ("{entryPoints: [{name: a, port: 1}], metrics: 'localhost:9464'}", "metrics"),
        ("{entryPoints: [{name: a, port: 1}], metrics: '::1:9464'}", "metrics"),
        ("{entryPoints: [{name: a, port: 1}], proxyMetrics: '127.0.0.1:99999'}", "proxyMetrics"),
        (
            "{entryPoints: [{name: a, port: 1}], server: {url: 'http://a', tokenFile: t}}",
            "server.url",
        ),
        (
            "{entryPoints: [{name: a, port: 1}], agents: {urls: ['http://a'], tokenFile: t}}",
            "agents.urls[0]",
        ),
        ("{entryPoints: [{name: a, port: 1}], agents: {urls: [], tokenFile: t}}", "agents.urls"),
        (
            "{entryPoints: [{name: a, port: 80}], metrics: '127.0.0.1:80'}",
            "metrics: 127.0.0.1:80 is entry point a",
        ),
        (
            "{entryPoints: [{name: a, port: 80, address: 10.0.0.1}], proxyMetrics: '0.0.0.0:80'}",
            "proxyMetrics: 0.0.0.0:80 is entry point a",
        ),
        (
            "{entryPoints: [{name: a, port: 80}], metrics: '[::1]:90', proxyMetrics: '[::1]:90'}",
            "is also metrics",
        ),
        ("entryPoints: [{name: a, port: 1, stack: b, service: c}]", "entryPoints[0]"),
        (
            "entryPoints: [{name: a, port: 1, protocol: tcp, trustedFrom: [10.0.0.0/8]}]",
            "entryPoints[0].trustedFrom",
        ),
        (
            "entryPoints: [{name: a, port: 1, protocol: tcp, tls: true}]\nproxy: nginx",
            "entryPoints[0].tls",
        ),
        ("entryPoints: [{name: a, port: 1}]\naccessLog: syslog", "accessLog"),
        ("entryPoints: [{name: a, port: 1}]\naccessLog: 'udp://a:514'", "accessLog"),
        ("entryPoints: [{name: a, port: 1}]\naccessLog: 'unixgram:///a b'", "accessLog"),
        ("entryPoints: [{name: a, port: 1}]\naccessLog: 'unixgram://dev/log'", "accessLog"),
        ("entryPoints: [{name: a, port: 1}]\naccessLog: /var/log/a", "HAProxy writes no files"),
        ("entryPoints: [{name: a, port: 1}]\naccessLog: stdout", "with attach"),
        ("{entryPoints: [{name: a, port: 1}], proxy: nginx, accessLog: stdout}", "accessLog"),
        ("{entryPoints: [{name: a, port: 1}], proxy: nginx, accessLog: /none/a}", "/none"),
        ("{entryPoints: [{name: a, port: 1}], proxy: nginx, accessLog: /dev/null}", "no file"),
        ("entryPoints: [{name: a, port: 1}]\ndirectory: run", "directory"),
        ("entryPoints: [{name: a, port: 1}]\ndirectory: '/a b'", "directory"),
        ("entryPoints: [{name: a, port: 1}]\nuser: 'a b'", "user"),
        ("entryPoints: [{name: a, port: 1}]\nmanagers: []", "managers"),
        ("entryPoints: [{name: a, port: 1}]\nproxy: apache", "proxy"),
        ("entryPoints: [{name: a, port: 1}]\nmode: fast", "mode"),
        ("entryPoints: [{name: a, port: 1}]\nallowedHosts: [{host: x.y}]", "allowedHosts[0]"),
        (
            "entryPoints: [{name: a, port: 1}]\nallowedHosts: [{host: '*', stack: s}]",
            "allowedHosts[0].host",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_its_field(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(BadEdgeFile) as caught:
        read(tmp_path, text)
    assert field in caught.value.what
    assert caught.value.remedy


def test_the_command_line_says_who_runs_the_proxy_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "edge.yaml"
    file.write_text("{entryPoints: [{name: a, port: 1}], accessLog: stdout}")
    assert settings_of(file, attach=True).attach
    with pytest.raises(BadEdgeFile):
        settings_of(file, attach=False)


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(BadEdgeFile, match="--file"):
        settings_of(tmp_path / "none.yaml")


def test_the_example_is_a_whole_one() -> None:
    settings_of(Path(__file__).parents[2] / "examples/edge/edge.yaml")
