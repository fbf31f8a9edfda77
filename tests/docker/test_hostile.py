"""Names, options and bytes that somebody sends to do harm: they are refused, and that is all.

Docker volumes §1, §4 and §14. They come through dockerd, which checks none of them, and straight to
the plugin's socket.
"""

import json
import re
import socket
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER, PLUGIN_SOCKET, Mooring
from tests.docker.refusals import a_claim, applied, creating, running, traces
from tests.docker.testbed import DEADLINE_S, Host, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]

NAMES: Final = [
    *("..", ".", "../../etc", "/etc2", "a/../../b", "default/../x", "a/b/c", "/", "a/", "/a", "//"),
    *("-v", "--help", "-", ".hidden", "_x", "~root", "$(id)", "`id`", "a;b", "a b", "a\\b", "*"),
    *(
        "a\nb",
        "a\0b",
        "\0",
        "\r\n",
        "\x1b[2J",
        "\u202egnp",
        "é",
        "データ",
        "a" * 256,
        "a" * 100_000,
    ),
    *("%2e%2e%2f", "a?b=c", "a#b", "{{.Name}}", "default/data", "closed/data", "kube-system/x"),
]
OPTIONS: Final[list[dict[str, str]]] = [
    {f"label.l{number}": "" for number in range(65)},
    {f"k{number}": "" for number in range(1000)},
    {"size": "1" * 5000},
    {"size": "1" * 4000},
    {"size": "1e999999999"},
    {"size": "-1Gi"},
    {"size": "NaN"},
    {"size": "0x10"},
    {"size": "10\nGi"},
    {"size": "１０Gi"},
    {"class": "../../local"},
    {"class": "local\0"},
    {"class": "-local"},
    {"volume": "../../../etc/passwd"},
    {"volume": "a\nb"},
    {"from": "snapshot:../../x"},
    {"from": "volume:closed/data"},
    {"uid": "0; id"},
    {"uid": "-1"},
    {"uid": "4294967295"},
    {"gid": "٣"},
    {"mode": "010000"},
    {"mode": "0o755"},
    {"mode": "-755"},
    {"reclaim": "retain\n"},
    {"label.a/b/c": "x"},
    {"label.mooring.dev/anonymous": "false"},
    {"label.": "x"},
    {"label.a": "x\ny"},
    {"label.a": "../.."},
    {"\0": "x"},
    {"": ""},
    {"size\n": "1Gi"},
    {"--size": "1Gi"},
    {"o": "bind,rw"},
    {"device": "/etc", "type": "none", "o": "bind"},
    {"mountOptions": "suid,dev"},
    {"k" * 5000: "x"},
]
IDS: Final = ["../../../../tmp/x", "/etc/passwd", "a\0b", "a\nb", "\n", ".", "..", "é" * 1000]
CALLS: Final = ("Create", "Get", "Mount", "Path", "Unmount", "Remove")


@pytest.fixture
def host(moored: Mooring) -> Iterator[Host]:
    """Whatever is sent to it, Mooring lives afterwards, and nothing is left of what was refused."""
    before = traces(moored)
    yield moored.host
    assert moored.lives
    eventually(lambda: traces(moored) == before, "nothing is left of what was refused")


@pytest.fixture(scope="module", autouse=True)
def afterwards(moored: Mooring) -> Iterator[None]:
    """Mooring serves as before, and nothing is where it should not be."""
    host = moored.host
    beside = {path.name for path in host.place.iterdir()}
    yield
    programs = {"client", ".kube"}  # what docker and kubectl keep for themselves
    assert {path.name for path in host.place.iterdir()} - beside <= programs
    assert host.docker(*creating("alive")) == "alive"
    assert host.docker(*running("alive", "ls", "/data")) == ""
    check_places(moored)
    check_log(moored)


def check_places(moored: Mooring) -> None:
    """Each file of the data directory is one that Mooring has for a reason."""
    uid = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    kept = re.compile(
        r"mooring\.db(-wal|-shm)?|tokens\.json|kubeconfig|first-start-done|pki(/[a-z.-]+)?"
        rf"|mooring\.db\.lock|pools(/{uid})?|provisioning|snapshotting|backup(/[a-z.-]+)?|adoptions|mounts(/{uid}(/.*)?)?"
        r"|fence(\.lock)?|watchdog\.log"
        rf"|users(/\.epoch|/{uid}(/[0-9a-f]{{64}})?)?"
        rf"|pool(/\.mooring-pool|/pvc-{uid}(/size|/data)?)?"
    )
    place = moored.data_dir
    found = [str(path.relative_to(place)) for path in place.rglob("*")]
    assert [name for name in found if not kept.fullmatch(name)] == []


def check_log(moored: Mooring) -> None:
    """Nobody wrote a line of his own into it, and nothing in Mooring broke."""
    text = moored.log.read_bytes().decode()
    assert "Traceback" not in text
    lines = text.split("\n")[:-1]
    starts = ("level=INFO ", "level=WARNING ", "Mooring ", "  ")
    assert [line for line in lines if not line.startswith(starts)] == []
    assert [line for line in lines if not line.isprintable()] == []
    assert [line[:200] for line in lines if len(line) > 10_000] == []


def through_dockerd(host: Host, name: str, options: dict[str, str] | None = None) -> str:
    """What dockerd answers to a Create that the docker command could not even say."""
    asked = {"Name": name, "Driver": DRIVER, "DriverOpts": options or {}}
    status, answer = host.api("POST", "/volumes/create", asked)
    assert status == 500, f"{name!r} {options!r}: {answer}"
    return str(answer["message"])


def sent(host: Host, raw: bytes, *, ends: bool = False) -> bytes:
    """What the plugin itself answers to these bytes. ends: and is told that no more come."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(DEADLINE_S)
        line.connect(str(host.seen(PLUGIN_SOCKET)))
        try:
            line.sendall(raw)
            if ends:
                line.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: line.recv(65536), b""))
        except (BrokenPipeError, ConnectionResetError):
            return b""  # it did not want to read that much


def posted(path: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: \r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def called(host: Host, call: str, **request: object) -> dict[str, Any]:
    """What the plugin answers to a call of dockerd's form."""
    answer = sent(host, posted(f"/VolumeDriver.{call}", json.dumps(request).encode()))
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


def harmless(text: str, *codes: str) -> bool:
    """One short line of printable letters, with one of these codes."""
    return text.isprintable() and len(text) < 2000 and any(f"{one}: " in text for one in codes)


# Through dockerd


def test_names_that_are_none_are_refused_through_docker(host: Host) -> None:
    said = {name: through_dockerd(host, name) for name in NAMES}
    # dockerd puts the name, however long, before what it was told.
    told = {name: text.removeprefix(f"create {name}: ") for name, text in said.items()}
    bad = [
        one for one, text in told.items() if not harmless(text, "BadName", "NamespaceNotAllowed")
    ]
    assert bad == []


def test_names_that_are_none_reach_no_container(host: Host) -> None:
    for name in NAMES:
        volume: dict[str, Any] = {"Type": "volume", "Source": name, "Target": "/data"}
        volume["VolumeOptions"] = {"DriverConfig": {"Name": DRIVER}}
        asked = {"Image": SHELL, "Cmd": ["true"], "HostConfig": {"Mounts": [volume]}}
        status, answer = host.api("POST", "/containers/create", asked)
        assert status >= 400, (name, answer)
    assert host.docker("ps", "--all", "--quiet") == ""


def test_options_that_are_none_are_refused_through_docker(host: Host) -> None:
    said = [through_dockerd(host, "data", options) for options in OPTIONS]
    codes = {re.findall(r"\b[A-Z][A-Za-z]+(?=: )", text)[0] for text in said}
    assert [text for text in said if not text.isprintable() or len(text) > 10_000] == []
    assert codes <= {
        *("TooManyOptions", "OptionTooLong", "UnknownOption", "BadSize", "BadLabel", "BadFlag"),
        *("BadOwner", "BadMode", "BadReclaim", "NoSuchClass", "NoSuchVolume", "NoSuchSource"),
    }


def test_a_volume_that_names_itself_otherwise_is_shown_by_its_claim(
    moored: Mooring, host: Host
) -> None:
    """Anybody who may write claims may write that annotation."""
    names = ["../../etc", "a\nb", "alive", "team/x", "x" * 300, "-v", ""]
    for number, name in enumerate(names):
        doc = a_claim(f"liar-{number}")
        doc["metadata"]["annotations"] = {"mooring.dev/docker-name": name}
        applied(moored, doc)
    claims = {f"liar-{number}" for number in range(len(names))}
    eventually(lambda: claims <= set(host.docker("volume", "ls", "-q").splitlines()), "are listed")
    assert set(host.docker("volume", "ls", "-q").splitlines()) & set(names) <= {"alive"}
    for claim in claims:
        host.docker("volume", "rm", claim)


# Straight to the socket


@pytest.mark.parametrize("call", CALLS)
def test_names_that_are_none_are_refused_by_every_call(host: Host, call: str) -> None:
    said = {name: called(host, call, Name=name, ID="id") for name in (*NAMES, "")}
    codes = ("BadName", "NamespaceNotAllowed")
    assert [name for name, answer in said.items() if not harmless(answer["Err"], *codes)] == []
    assert [name for name, answer in said.items() if answer.keys() != {"Err"}] == []


@pytest.mark.parametrize("call", ["Mount", "Unmount"])
@pytest.mark.parametrize("id_", ["", "i" * 10_000, "/" * 4097], ids=lambda id_: len(id_))
def test_an_id_that_is_none_or_endless_is_refused(
    moored: Mooring, host: Host, call: str, id_: str
) -> None:
    applied(moored, a_claim("with-id"))
    assert harmless(called(host, call, Name="with-id", ID=id_)["Err"], "BadRequest")
    moored.kubectl("delete", "persistentvolumeclaim", "with-id")


def test_an_id_is_a_name_of_nothing(moored: Mooring, host: Host) -> None:
    """It may be any text, and no path is made of it."""
    applied(moored, a_claim("any-id"))
    eventually(lambda: called(host, "Get", Name="any-id")["Err"] == "", "it is known")
    for id_ in IDS:
        mounted = called(host, "Mount", Name="any-id", ID=id_)
        assert mounted["Err"] == ""
        assert (mounted["Err"], mounted["Mountpoint"].startswith(str(moored.data_dir))) == (
            "",
            True,
        )
    check_places(moored)
    volume = moored.volume("any-id")
    for id_ in IDS:
        assert called(host, "Unmount", Name="any-id", ID=id_) == {"Err": ""}
    moored.freed(volume)
    assert called(host, "Remove", Name="any-id") == {"Err": ""}


BODIES: Final = [
    *(b"x", b"[]", b"null", b'"x"', b"{", b'{"Name":7}', b'{"Name":null}', b'{"Opts":[]}'),
    *(b'{"Name":"a","Opts":{"a":1}}', b'{"Name":"a","Opts":{"a":{"b":"c"}}}', b"\xff\xfe", b"\0"),
    *(
        b'{"Name":"\xff"}',
        b'{"Name":"\\ud800"}',
        b'{"Name":"' + b"a" * 1_100_000 + b'"}',
        b"[" * 100_000,
        b"1" * 100_000,
    ),
    b'{"Name":"a","Opts":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
]


@pytest.mark.parametrize("call", ["Create", "Mount", "Get"])
def test_a_body_that_is_no_request_is_refused(host: Host, call: str) -> None:
    for body in BODIES:
        answer = sent(host, posted(f"/VolumeDriver.{call}", body))
        assert answer.startswith(b"HTTP/1.1 200 "), (body[:40], answer[:200])
        err = json.loads(answer.partition(b"\r\n\r\n")[2])["Err"]
        assert harmless(err, "BadRequest", "BadName", "LostRequest"), (body[:40], err)


REQUESTS: Final = [
    *(b"", b"\r\n\r\n", b"\0" * 1000, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"),
    *(posted("/../../etc/passwd", b"{}"), posted("/VolumeDriver.Get/../x", b"{}")),
    *(posted("/VolumeDriver.", b"{}"), posted("/VolumeDriver.__init__", b"{}"), posted("*", b"")),
    b"POST /VolumeDriver.Get HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    b"POST /VolumeDriver.Get HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}",
    b"POST /VolumeDriver.Get HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    b"POST /VolumeDriver.Get HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    b"POST /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"POST /VolumeDriver.Get HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
]


def test_bytes_that_are_no_request_break_nothing(host: Host) -> None:
    for raw in REQUESTS:
        answer = sent(host, raw, ends=True)
        assert b'"Volume"' not in answer
        assert answer[:13] in (b"", b"HTTP/1.1 200 ", b"HTTP/1.1 400 "), (raw[:60], answer[:200])


def test_lines_that_say_nothing_keep_nobody_from_being_answered(host: Host) -> None:
    lines = [socket.socket(socket.AF_UNIX) for _ in range(500)]
    try:
        for line in lines:
            line.connect(str(host.seen(PLUGIN_SOCKET)))
            line.send(b"POST /Volume")
        assert called(host, "List")["Err"] == ""
    finally:
        for line in lines:
            line.close()


def test_only_root_may_talk_to_the_plugin(host: Host) -> None:
    assert host.run("stat", "-c", "%a %U", PLUGIN_SOCKET).out == "600 root"
