"""What a command says when it cannot ask, and how it asks."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mooring.cli.client import Client, NoServer, NotMooring, NotTrusted, Refused, path_of
from mooring.cli.kubeconfig import DEFAULT, NoKubeconfig, access
from tests.cli.https import CA, OTHER_CA, Answering, answering, config_for

Doc = dict[str, Any]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Answering]:
    with answering(tmp_path) as says:
        yield says


@pytest.fixture
def client(server: Answering, tmp_path: Path) -> Client:
    return Client(config_for(server.url, tmp_path / "kubeconfig"))


@pytest.fixture
def config(tmp_path: Path) -> Doc:
    """Of a kubeconfig that is right."""
    found: Doc = yaml.safe_load(config_for("https://[::1]:6443", tmp_path / "right").read_bytes())
    return found


# Asking


def test_a_request_carries_the_token_and_the_answer_is_decoded(
    client: Client, server: Answering
) -> None:
    server.body = b'{"a": 1}'
    assert client.ask("POST", "/path?x=1", b"body", content_type="text/plain") == {"a": 1}
    assert server.seen == [("POST", "/path?x=1", "Bearer the-token", b"body")]


def test_the_items_of_a_collection_are_its_objects(client: Client, server: Answering) -> None:
    server.body = b'{"kind": "List", "items": [{"a": 1}]}'
    assert client.items("/path") == [{"a": 1}]


def test_names_cannot_lead_to_another_path() -> None:
    assert path_of("mounts", "a/..", "../b?c#d") == "/mooring/v1/mounts/a%2F../..%2Fb%3Fc%23d"


# Refusals


def status_of(reason: str, code: int, message: str, **details: str) -> bytes:
    return json.dumps(
        {"kind": "Status", "reason": reason, "code": code, "message": message, "details": details}
    ).encode()


def refusal(client: Client) -> tuple[str, str, str]:
    with pytest.raises(Refused) as caught:
        client.ask("GET", "/")
    return caught.value.code, caught.value.what, caught.value.remedy


def test_a_refusal_is_told_in_the_servers_words(client: Client, server: Answering) -> None:
    server.status = 409
    server.body = status_of("MountBusy", 409, "it is in use", remedy="stop its users")
    assert refusal(client) == ("MountBusy", "it is in use", "stop its users")


@pytest.mark.parametrize(
    ("reason", "code", "remedy"),
    [
        ("NotFound", 404, "see which there are: mooring explain pvc --all"),
        ("Unauthorized", 401, "use the kubeconfig that `mooring up` wrote last"),
        ("ServiceUnavailable", 503, "ask again in a moment"),
        ("InternalError", 500, "see the log of `mooring up`"),
        ("Gone", 410, ""),
    ],
)
def test_a_refusal_without_remedy_gets_one_if_there_is_any(
    client: Client, server: Answering, reason: str, code: int, remedy: str
) -> None:
    server.status, server.body = code, status_of(reason, code, "no")
    found = refusal(client)
    assert found[:2] == (reason, "no")
    assert found[2].startswith(remedy)
    assert bool(found[2]) == bool(remedy)


def test_a_refusal_without_a_reason_is_known_by_its_number(
    client: Client, server: Answering
) -> None:
    server.status = 429
    assert refusal(client)[:2] == ("429", "the server refused without a reason")


# No server, or another


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff", b""])
@pytest.mark.parametrize("status", [200, 502])
def test_an_answer_that_is_no_document_is_not_of_mooring(
    client: Client, server: Answering, status: int, body: bytes
) -> None:
    server.status, server.body = status, body
    with pytest.raises(NotMooring, match="answers, but not as Mooring does"):
        client.ask("GET", "/")


def test_the_token_is_carried_nowhere_else(client: Client, server: Answering) -> None:
    server.status, server.body = 302, b""
    server.headers = {"location": server.url + "/elsewhere"}
    with pytest.raises(NotMooring):
        client.ask("GET", "/")
    assert [seen.path for seen in server.seen] == ["/"]


@pytest.mark.parametrize(
    "raw", [b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"]
)
def test_what_is_not_http_or_breaks_off_is_no_answer(
    client: Client, server: Answering, raw: bytes
) -> None:
    server.raw = raw
    with pytest.raises(NoServer, match=f"{server.url} does not answer"):
        client.ask("GET", "/")


def test_where_nobody_listens_the_remedy_is_to_start_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"https://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(NoServer) as caught:
        Client(config_for(url, tmp_path / "kubeconfig")).ask("GET", "/")
    assert caught.value.what == f"{url} does not answer: [Errno 111] Connection refused"
    assert caught.value.remedy == "start it with `mooring up`, or name another with --kubeconfig"


def test_the_server_of_another_authority_is_not_trusted(server: Answering, tmp_path: Path) -> None:
    file = config_for(server.url, tmp_path / "kubeconfig", OTHER_CA)
    with pytest.raises(NotTrusted) as caught:
        Client(file).ask("GET", "/")
    assert caught.value.code == "NotTrusted"
    assert f"{server.url} is not the server that {file} is for" in caught.value.what
    assert server.seen == []


# Kubeconfigs


def test_a_kubeconfig_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoKubeconfig) as caught:
        Client(tmp_path / "none")
    assert caught.value.what == f"{tmp_path}/none cannot be used: No such file or directory"
    assert "--kubeconfig FILE or KUBECONFIG" in caught.value.remedy


def without(*path: str | int) -> Callable[[Any], None]:
    """What takes one field away."""

    def take(doc: Any) -> None:
        for part in path[:-1]:
            doc = doc[part]
        del doc[path[-1]]

    return take


def having(value: Any, *path: str | int) -> Callable[[Any], None]:
    """What gives one field another value."""

    def put(doc: Any) -> None:
        for part in path[:-1]:
            doc = doc[part]
        doc[path[-1]] = value

    return put


DATA = "certificate-authority-data"
WRONG = {
    "no context": (without("current-context"), "no current-context"),
    "unknown context": (having("x", "current-context"), "it has no context 'x'"),
    "unknown cluster": (having("x", "contexts", 0, "context", "cluster"), "has no cluster 'x'"),
    "unknown user": (having("x", "contexts", 0, "context", "user"), "it has no user 'x'"),
    "no token": (without("users", 0, "user", "token"), "its user 'admin' has no token"),
    "no server": (without("clusters", 0, "cluster", "server"), "is not of the form https://"),
    "http": (having("http://a:1", "clusters", 0, "cluster", "server"), "not of the form https://"),
    "no authority": (without("clusters", 0, "cluster", DATA), f"has no {DATA}"),
    "no base64": (having("%", "clusters", 0, "cluster", DATA), "base64"),
    "no certificate": (having("QUJD", "clusters", 0, "cluster", DATA), "is no certificate"),
    "another type": (having([1], "contexts", 0, "context", "cluster"), "Expected `str`"),
}


@pytest.mark.parametrize(("spoil", "why"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_kubeconfig_is_said(
    config: Doc, tmp_path: Path, spoil: Callable[[Doc], None], why: str
) -> None:
    spoil(config)
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    with pytest.raises(NoKubeconfig) as caught:
        access(file)
    assert why in caught.value.what


@pytest.mark.parametrize("text", ["{", "a: b: c", "[]", "", "\x00", "just words"])
def test_a_file_that_is_no_kubeconfig_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "kubeconfig").write_text(text)
    with pytest.raises(NoKubeconfig) as caught:
        access(tmp_path / "kubeconfig")
    assert "\n" not in caught.value.what


def test_the_authority_may_be_a_file_beside_the_kubeconfig(config: Doc, tmp_path: Path) -> None:
    cluster = config["clusters"][0]["cluster"]
    del cluster[DATA]
    cluster["certificate-authority"] = "ca.crt"
    (tmp_path / "ca.crt").write_bytes(CA)
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    assert access(tmp_path / "kubeconfig").trust.get_ca_certs()


def test_the_environment_names_the_kubeconfig_and_an_option_goes_before_it(
    config: Doc, tmp_path: Path
) -> None:
    listed = {"KUBECONFIG": f"{tmp_path}/none:{tmp_path}/right:{tmp_path}/other"}
    assert access(None, listed).file == tmp_path / "right"
    other = config_for("https://other:1/", tmp_path / "other")
    assert access(other, listed).url == "https://other:1"


def test_a_kubeconfig_of_the_environment_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoKubeconfig, match=f"{tmp_path}/none cannot be used"):
        access(None, {"KUBECONFIG": f"{tmp_path}/none"})


def test_the_context_may_say_a_namespace(config: Doc, tmp_path: Path) -> None:
    assert access(tmp_path / "right").namespace == "default"
    config["contexts"][0]["context"]["namespace"] = "prod"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    assert access(tmp_path / "kubeconfig").namespace == "prod"


def test_without_any_the_one_that_mooring_up_writes_is_used(config: Doc, tmp_path: Path) -> None:
    assert access(None, {}, tmp_path / "right").file == tmp_path / "right"
    assert Path("/var/lib/mooring/kubeconfig") == DEFAULT
