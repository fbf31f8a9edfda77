"""From the version before to this one and back, with containers that write, until it is finalized.

The version before is taken from the history of this repository.
"""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from mooring.model.names import LOOPFILE_DRIVER
from tests.docker import images
from tests.docker.mooring import ADDRESS, DRIVER, PLUGIN_SOCKET, Mooring
from tests.docker.refusals import a_class, a_pool, applied
from tests.docker.testbed import Bed, Done, Host, eventually, needs_hosts

ROOT = Path(__file__).parents[2]
BEFORE = "9abe831b07283c49bdc0cad41af97488a88e8056"
HAS_HISTORY = not subprocess.run(
    ["git", "-C", ROOT, "cat-file", "-e", f"{BEFORE}^{{commit}}"], capture_output=True
).returncode
pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    needs_hosts,
    pytest.mark.skipif(not HAS_HISTORY, reason="the history of the repository is not here"),
]
# Each line once and in order, whatever becomes of Mooring meanwhile.
WRITES = "i=0; while true; do i=$((i+1)); echo $i >>/data/log; sleep 0.05; done"


class Writer:
    """A container that writes without end, and what it has written."""

    def __init__(self, mooring: Mooring, class_: str) -> None:
        self.host, self.name = mooring.host, f"live-{class_}"
        create(self.host, self.name, class_)
        mount = ("--volume", f"{self.name}:/data", "--stop-signal", "KILL", "--name", self.name)
        self.host.docker("run", "--detach", *mount, images.SHELL, "sh", "-c", WRITES)
        eventually(lambda: bool(self.lines()), "it writes")

    def lines(self) -> list[str]:
        return self.host.try_docker("exec", self.name, "cat", "/data/log").out.split()

    def goes_on(self) -> None:
        before = len(self.lines())
        eventually(lambda: len(self.lines()) > before, "the container writes on")
        lines = self.lines()
        assert lines == [str(number + 1) for number in range(len(lines))]


def create(host: Host, name: str, class_: str) -> None:
    options = ("--opt", "size=16Mi", "--opt", f"class={class_}")
    host.docker("volume", "create", "--driver", DRIVER, *options, name)


def run(host: Host, volume: str, command: str) -> str:
    mount = ("--volume", f"{volume}:/data")
    return host.docker("run", "--rm", *mount, images.SHELL, "sh", "-c", command)


def fingerprint(data_dir: Path) -> dict[str, str]:
    """All that lasts there. What SQLite keeps beside its file comes and goes with who looks."""
    passing = ("-wal", "-shm", ".lock")
    return {
        str(path.relative_to(data_dir)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(data_dir.rglob("*"))
        if path.is_file() and not path.name.endswith(passing) and path.name != "log"
    }


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH of the version before."""
    place = tmp_path_factory.mktemp("before")
    archive = subprocess.run(
        ["git", "-C", ROOT, "archive", BEFORE, "src"], capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", place], input=archive.stdout, check=True)
    return str(place / "src")


def refusal_of(before: str, mooring: Mooring) -> Done:
    """What the version before says to the store."""
    host = mooring.host
    return host.run(
        *("env", f"PYTHONPATH={before}", sys.executable, "-m", "mooring.cli.main", "up"),
        *("--data-dir", str(mooring.data_dir), "--listen", ADDRESS),
        *("--plugin-socket", PLUGIN_SOCKET, "--docker-socket", str(host.socket)),
    )


def test_containers_write_on_through_upgrades_and_back_until_it_is_final(
    bed: Bed, before: str
) -> None:
    host = bed.host("here")
    host.up()
    mooring = Mooring(host).start(PYTHONPATH=before)
    host.dockerd()
    images.load(host)
    image = a_class("image", "image") | {"provisioner": LOOPFILE_DRIVER}
    applied(mooring, a_pool("image", str(host.place / "images"), driver=LOOPFILE_DRIVER))
    applied(mooring, image)
    kubeconfig = ("--kubeconfig", str(mooring.data_dir / "kubeconfig"))
    assert "[NotFound]" in mooring.mooring("store", "status", *kubeconfig).err  # it knows no such
    writers = [Writer(mooring, class_) for class_ in ("local", "image")]
    create(host, "kept", "image")
    story = ["before"]
    run(host, "kept", "echo before >>/data/f")

    # Up and back, in good order and by kills. Each version uses what the other made.
    for number, stop in enumerate((Mooring.stop, Mooring.kill9, Mooring.kill9, Mooring.stop)):
        stop(mooring)
        is_new = number % 2 == 0
        mooring.start(**({} if is_new else {"PYTHONPATH": before}))
        for writer in writers:
            writer.goes_on()
        assert run(host, "kept", f"cat /data/f; echo {number} >>/data/f").split() == story
        story.append(str(number))
        create(host, f"made-{number}", "local")
        run(host, f"made-{number}", "echo made >/data/f")
        if number:
            assert run(host, f"made-{number - 1}", "cat /data/f") == "made"
            host.docker("volume", "rm", f"made-{number - 1}")
        if is_new:
            said = mooring.mooring("store", "status", "--output", "json", *kubeconfig)
            assert (json.loads(said.out)["schema"], json.loads(said.out)["latest"]) == (1, 2)
            assert "mooring store finalize" in mooring.mooring("node", "token", *kubeconfig).err

    # Up again, for good.
    mooring.stop()
    mooring.start()
    done = mooring.mooring("store", "finalize", "--yes", *kubeconfig)
    assert "the store has schema 2" in done.out, done.err
    mooring.stop()
    left = fingerprint(mooring.data_dir)
    refused = refusal_of(before, mooring)
    assert refused.code != 0
    assert "[StoreNewer]" in refused.err
    assert "schema version 2, this Mooring knows 1 at most" in refused.err
    assert fingerprint(mooring.data_dir) == left
    mooring.start()
    assert mooring.mooring("node", "token", *kubeconfig).code == 0
    assert run(host, "kept", "cat /data/f").split() == story
    for writer in writers:
        writer.goes_on()
        live = mooring.volume(writer.name)
        host.docker("rm", "--force", writer.name)
        mooring.freed(live)
