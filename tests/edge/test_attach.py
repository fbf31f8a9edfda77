"""A proxy that a service of the machine runs: the units of examples/edge, and what they do."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from msgspec import structs

from mooring.edge.settings import ProxyName
from tests.edge.clients import settings_in
from tests.edge.kept import Kept
from tests.edge.making import a_service, a_swarm

pytestmark = pytest.mark.system
UNITS = Path(__file__).parents[2] / "examples/edge"
OF_DEBIAN = Path("/lib/systemd/system")
ANALYZE = shutil.which("systemd-analyze")
# As the units have it, but in the foreground.
STARTS = {
    "haproxy": "haproxy -Ws -f {0}/haproxy.cfg -p {0}/haproxy.pid -S {0}/master.sock,mode,600",
    "nginx": "nginx -p {0} -e {0}/nginx.log -c {0}/nginx.conf -g 'daemon off;'",
}


class Attached(Kept):
    service: subprocess.Popen[bytes]

    def start_service(self, output: int | None = None) -> None:
        """As soon as there is a configuration: systemd tries until then."""
        place, name = self.settings.directory, self.settings.proxy
        config = {"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}[name]
        wait = f"while [ ! -e {place}/{config} ]; do sleep 0.05; done"
        command = f"{wait}; exec {STARTS[name].format(place)}"
        self.service = subprocess.Popen(
            ["sh", "-c", command], stdout=output, stderr=subprocess.DEVNULL
        )

    def master(self) -> int:
        return int((Path(self.settings.directory) / f"{self.settings.proxy}.pid").read_text())


@pytest.fixture(params=["haproxy", "nginx"])
async def attached(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Attached]:
    name = cast("ProxyName", request.param)
    if not shutil.which(name):
        pytest.skip(f"there is no {name}")
    made = Attached(structs.replace(settings_in(tmp_path, name), attach=True))
    made.start_service()
    yield made
    made.service.terminate()
    made.service.wait(10)


async def test_a_service_runs_it_and_is_reloaded(attached: Attached) -> None:
    attached.swarm = a_swarm(a_service("one"))
    async with attached.keeping():
        await attached.gets((503, ""), "one.example.com")
        attached.swarm = a_swarm(a_service("one"), a_service("two"))
        await attached.gets((503, ""), "two.example.com")
    assert attached.master() == attached.service.pid


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", ["mooring-edge", "haproxy", "nginx"])
def test_systemd_finds_nothing_wrong(unit: str, tmp_path: Path) -> None:
    """But that our program is not where the example has it: any other is put there."""
    service = f"{unit}.service"
    source = UNITS if unit == "mooring-edge" else OF_DEBIAN
    if not (source / service).exists():
        pytest.skip(f"there is no {service}")
    text = (source / service).read_text()
    (tmp_path / service).write_text(text.replace("/usr/local/bin/mooring", "/bin/true"))
    if unit != "mooring-edge":
        shutil.copytree(UNITS / f"{service}.d", tmp_path / f"{service}.d")
    found = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", tmp_path / service],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
