"""`mooring up`: how it starts, what keeps it from starting, and how it ends."""

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mooring.cli.kubeconfig import access
from tests.system.server import Server, eventually

pytestmark = pytest.mark.system
COMMAND = (sys.executable, "-m", "mooring.cli.main", "up", "--plugin-socket", "")
STOP_S = 5.0


def started(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What became of a start that fails; on a free port unless said otherwise."""
    listen = () if "--listen" in options else ("--listen", "127.0.0.1:0")
    return subprocess.run(
        [*COMMAND, "--data-dir", str(data), *listen, *options],
        capture_output=True,
        text=True,
        timeout=30,
    )


def refusal(data: Path, *options: str) -> tuple[str, str]:
    """The two lines of the error: what with its code, and the remedy."""
    done = started(data, *options)
    assert (done.returncode, done.stdout) == (1, "")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("level=INFO")]
    assert len(lines) == 2, done.stderr
    what, remedy = lines
    assert what.startswith("error: ")
    assert remedy.startswith("remedy: ")
    return what.removeprefix("error: "), remedy.removeprefix("remedy: ")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path).start()
    yield found
    if found.process is not None and found.process.poll() is None:
        found.stop()


# What keeps it from starting


@pytest.mark.parametrize(
    "listen", ["6443", ":6443", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:6443", "[]:1"]
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, listen: str) -> None:
    assert refusal(tmp_path / "data", "--listen", listen) == (
        f"--listen {listen!r} is not ADDRESS:PORT [BadAddress]",
        "write it like 127.0.0.1:6443 or [::1]:6443",
    )
    assert not (tmp_path / "data").exists()


def test_an_address_of_another_host_is_refused(tmp_path: Path) -> None:
    what, remedy = refusal(tmp_path / "data", "--listen", "192.0.2.1:6443")
    assert what == "cannot listen on 192.0.2.1:6443: Cannot assign requested address [CannotListen]"
    assert remedy == "stop what listens there, or choose another address with --listen"


def test_a_port_in_use_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        what, _ = refusal(tmp_path / "data", "--listen", f"127.0.0.1:{port}")
    assert what == f"cannot listen on 127.0.0.1:{port}: Address already in use [CannotListen]"
    assert not (tmp_path / "data").exists()


def test_a_second_process_on_the_same_directory_is_refused(server: Server) -> None:
    assert server.process is not None
    store = server.place / "data" / "mooring.db"
    assert refusal(server.place / "data") == (
        f"{store} is in use by process {server.process.pid} [StoreInUse]",
        "stop that process first, or use another data directory",
    )
    assert server.is_ready()


PLACE_REMEDY = "name a place on a local disk that this user may write to, see mooring up -h"


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    what = f"{tmp_path}/data cannot be used: File exists [NotUsable]"
    assert refusal(tmp_path / "data") == (what, PLACE_REMEDY)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_data_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    # Without this capability root is like anybody.
    unprivileged = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    os.chown(tmp_path / "closed", 1, 1)
    done = subprocess.run(
        [*unprivileged, *COMMAND, "--data-dir", tmp_path / "closed/data", "--listen=127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    what = f"{tmp_path}/closed/data cannot be used: Permission denied [NotUsable]"
    assert done.stderr == f"error: {what}\nremedy: {PLACE_REMEDY}\n"
    assert done.returncode == 1


def test_a_data_directory_of_another_node_is_refused(server: Server) -> None:
    server.stop()
    data = server.place / "data"
    what, remedy = refusal(data, "--node-name", "there")
    assert what == f"{data} is of node here, this host is now called there [NodeRenamed]"
    assert remedy == "start with --node-name here, or with another --data-dir"
    server.start()


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("mooring.db", "StoreDamaged"),
        ("pki/ca.crt", "NotUsable"),
        ("pki/server.crt", "NotUsable"),
        ("tokens.json", "NotUsable"),
    ],
)
def test_a_damaged_file_is_named_and_left_as_it_is(server: Server, file: str, code: str) -> None:
    server.stop()
    path = server.place / "data" / file
    if file == "pki/ca.crt":  # it is read when there is no certificate of the server
        (server.place / "data/pki/server.crt").unlink()
    path.write_bytes(b"not what was written " * 200)
    what, _ = refusal(server.place / "data")
    assert str(path if file == "mooring.db" else path.parent) in what
    assert what.endswith(f"[{code}]")
    assert path.read_bytes() == b"not what was written " * 200


def test_a_kubeconfig_of_other_clusters_is_not_overwritten(tmp_path: Path) -> None:
    precious = "clusters: [{name: prod, cluster: {server: 'https://prod:6443'}}]\n"
    (tmp_path / "config").write_text(precious)
    assert refusal(tmp_path / "data", "--kubeconfig", str(tmp_path / "config")) == (
        f"{tmp_path}/config exists and is not one that Mooring wrote, so it is not overwritten "
        "[KubeconfigOfOthers]",
        "name another file with --kubeconfig",
    )
    assert (tmp_path / "config").read_text() == precious


def test_a_kubeconfig_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "kubeconfig"
    what, remedy = refusal(tmp_path / "data", "--kubeconfig", str(path))
    assert what == f"{path} cannot be used: File exists [NotUsable]"
    assert remedy == PLACE_REMEDY


def test_a_node_name_that_is_none_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    assert refusal(tmp_path / "data", "--node-name", "My Host") == (
        "'My Host' cannot be the name of a Node [BadNodeName]",
        "choose one of lower case letters, digits, - and . with --node-name",
    )
    assert not (tmp_path / "data").exists()


def test_a_plugin_socket_that_another_process_serves_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        what, remedy = refusal(tmp_path / "data", "--plugin-socket", str(path))
    assert what == f"another process serves Docker's plugin socket {path} [AlreadyServed]"
    assert remedy == 'stop it, or choose another with --plugin-socket; "" serves none'


# What it writes and says


def test_it_says_what_to_try_next_and_at_which_port_it_serves(tmp_path: Path) -> None:
    command = [*COMMAND, "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        first, second = (process.stdout.readline().decode() for _ in range(2))
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)
    file = tmp_path / "data" / "kubeconfig"
    assert f"serves {access(file).url}. Try next:" in first
    assert second == f"  export KUBECONFIG={file}\n"


def test_the_kubeconfig_is_for_its_owner_alone_and_works_after_a_restart(server: Server) -> None:
    assert stat.S_IMODE(server.kubeconfig.stat().st_mode) == 0o600
    before = access(server.kubeconfig)
    server.stop()
    server.start()
    assert access(server.kubeconfig).token == before.token
    names = yaml.safe_load(server.kubeconfig.read_text())
    assert [cluster["name"] for cluster in names["clusters"]] == ["mooring"]


def test_a_lost_kubeconfig_is_written_anew_with_another_token(server: Server) -> None:
    before = access(server.kubeconfig)
    server.stop()
    server.kubeconfig.unlink()
    server.start()
    after = access(server.kubeconfig)
    assert after.token != before.token
    assert _answer_to(after.url, after.token, after.trust) == 200
    assert _answer_to(after.url, before.token, after.trust) == 401


def _answer_to(url: str, token: str, trust: ssl.SSLContext) -> int:
    request = urllib.request.Request(url + "/api", headers={"authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, context=trust, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


# How it ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order_while_watches_are_open(
    server: Server, number: signal.Signals
) -> None:
    found = access(server.kubeconfig)
    path = "/api/v1/persistentvolumes?watch=1"
    watches = []
    for _ in range(5):
        request = urllib.request.Request(
            found.url + path, headers={"authorization": f"Bearer {found.token}"}
        )
        watches.append(urllib.request.urlopen(request, context=found.trust, timeout=10))
    assert server.process is not None
    server.process.send_signal(number)
    assert server.process.wait(STOP_S) == 0
    for watch in watches:
        watch.read()  # raises if the stream was cut off instead of ended
        watch.close()
    assert "Traceback" not in (server.place / "log").read_text()


def test_after_it_ended_all_is_as_before(server: Server) -> None:
    def classes() -> list[str]:
        found = access(server.kubeconfig)
        request = urllib.request.Request(
            found.url + "/apis/storage.k8s.io/v1/storageclasses",
            headers={"authorization": f"Bearer {found.token}"},
        )
        with urllib.request.urlopen(request, context=found.trust, timeout=10) as answer:
            return [json.dumps(item) for item in json.load(answer)["items"]]

    before = classes()
    assert len(before) == 1
    server.stop()
    server.start()
    eventually(lambda: classes() == before, "the classes are those of before")
