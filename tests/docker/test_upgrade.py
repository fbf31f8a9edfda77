"""From the version before to this one and back, with containers that write, until it is finalized.

The version before is taken from the history of this repository.
"""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.docker import images
from tests.docker.mooring import ADDRESS, DRIVER, PLUGIN_SOCKET, Mooring
from tests.docker.testbed import Bed, eventually, needs_hosts

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

    def __init__(self, mooring: Mooring) -> None:
        self.host = mooring.host
        self.create("live")
        mount = ("--volume", "live:/data", "--stop-signal", "KILL", "--name", "writer")
        self.host.docker("run", "--detach", *mount, images.SHELL, "sh", "-c", WRITES)
        asset = mooring.pool / mooring.volume("live")["metadata"]["name"]
        eventually(lambda: any(asset.rglob("log")), "it writes")
        self.log = next(asset.rglob("log"))

    def create(self, name: str) -> None:
        self.host.docker("volume", "create", "--driver", DRIVER, "--opt", "size=1Mi", name)

    def run(self, volume: str, command: str) -> str:
        mount = ("--volume", f"{volume}:/data")
        return self.host.docker("run", "--rm", *mount, images.SHELL, "sh", "-c", command)

    def goes_on(self) -> None:
        size = self.log.stat().st_size
        eventually(lambda: self.log.stat().st_size > size, "the container writes on")
        lines = self.log.read_text().splitlines()
        assert lines == [str(number + 1) for number in range(len(lines))]


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


def test_containers_write_on_through_an_upgrade_and_back_until_it_is_final(
    bed: Bed, before: str
) -> None:
    host = bed.host("here")
    host.up()
    mooring = Mooring(host).start(PYTHONPATH=before)
    host.dockerd()
    images.load(host)
    writer = Writer(mooring)
    writer.create("kept")
    writer.run("kept", "echo before >/data/f")
    kubeconfig = ("--kubeconfig", str(mooring.data_dir / "kubeconfig"))
    assert "[NotFound]" in mooring.mooring("store", "status", *kubeconfig).err  # it knows no such

    # Up: what was there is there, and more can be made.
    mooring.stop()
    mooring.start()
    writer.goes_on()
    assert writer.run("kept", "cat /data/f; echo this >>/data/f") == "before"
    writer.create("new")
    writer.run("new", "echo new >/data/f")
    state = json.loads(mooring.mooring("store", "status", "--output", "json", *kubeconfig).out)
    assert (state["schema"], state["latest"]) == (1, 2)
    assert "mooring store finalize" in mooring.mooring("node", "token", *kubeconfig).err

    # Back: also after a kill, and with what this version made.
    mooring.kill9()
    mooring.start(PYTHONPATH=before)
    writer.goes_on()
    assert writer.run("kept", "cat /data/f; echo before again >>/data/f").split() == [
        *("before", "this")
    ]
    assert writer.run("new", "cat /data/f") == "new"
    host.docker("volume", "rm", "new")
    eventually(lambda: "new" not in mooring.names("persistentvolumeclaims"), "it is deleted")

    # Up again, for good.
    mooring.stop()
    mooring.start()
    writer.goes_on()
    done = mooring.mooring("store", "finalize", "--yes", *kubeconfig)
    assert "the store has schema 2" in done.out, done.err
    mooring.stop()
    left = fingerprint(mooring.data_dir)
    refused = host.run(
        *("env", f"PYTHONPATH={before}", sys.executable, "-m", "mooring.cli.main", "up"),
        *("--data-dir", str(mooring.data_dir), "--listen", ADDRESS),
        *("--plugin-socket", PLUGIN_SOCKET, "--docker-socket", str(host.socket)),
    )
    assert refused.code != 0
    assert "[StoreNewer]" in refused.err
    assert "schema version 2, this Mooring knows 1 at most" in refused.err
    assert fingerprint(mooring.data_dir) == left
    mooring.start()
    writer.goes_on()
    assert mooring.mooring("node", "token", *kubeconfig).code == 0
    assert writer.run("kept", "tail -n 1 /data/f") == "before again"
    live = mooring.volume("live")
    host.docker("rm", "--force", "writer")
    mooring.freed(live)
