"""What the tests of clients share: one server, each kubectl there is, a namespace for each test."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.system.server import OLD_KUBECTL, SOME_KUBECTL, Server

CURRENT = shutil.which("kubectl")
# Some packages bring several versions beside it.
OTHERS = sorted(Path(CURRENT).resolve().parent.glob("kubectl.*")) if CURRENT else []
KUBECTLS = [
    *(
        pytest.param(path, id=name, marks=[] if found else pytest.mark.skip(reason=f"no {name}"))
        for name, path, found in (
            ("current", "kubectl", CURRENT),
            ("debian-1.20", str(OLD_KUBECTL), OLD_KUBECTL.exists()),
        )
    ),
    *(pytest.param(str(path), id=path.name, marks=pytest.mark.slow) for path in OTHERS),
]

# kubectl says this whenever -n comes with the name of an object that has no namespace.
OF_ITS_OWN: Final = "deleting cluster-scoped resources"


class Space:
    """A namespace, and a kubectl that means it. Objects of no namespace: names begin with its."""

    def __init__(self, server: Server, kubectl: str, name: str) -> None:
        self.server, self.name, self.path = server, name, kubectl
        self.is_old = kubectl == str(OLD_KUBECTL)

    def run(
        self, *arguments: str, stdin: str = "", editor: str = ""
    ) -> subprocess.CompletedProcess[str]:
        self.server.kubectl_path = self.path
        return self.server.run("-n", self.name, *arguments, stdin=stdin, editor=editor)

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """What kubectl prints. It must succeed, and say nothing else."""
        done = self.run(*arguments, stdin=stdin)
        said = [line for line in done.stderr.splitlines() if OF_ITS_OWN not in line]
        assert (done.returncode, said) == (0, []), done.stderr
        return done.stdout

    def refused(self, *arguments: str, stdin: str = "") -> str:
        """What kubectl says when it fails."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def get(self, *which: str) -> Any:
        self.server.kubectl_path = self.path
        return self.server.get("-n", self.name, *which)

    def phase(self, *which: str) -> str:
        found: str = self.get(*which)["status"]["phase"]
        return found

    def background(self, *arguments: str) -> subprocess.Popen[str]:
        """A kubectl that goes on, for at most a minute, its output in a pipe."""
        common = ("--kubeconfig", str(self.server.kubeconfig), "-n", self.name)
        common = (*common, "--request-timeout=60s")
        return subprocess.Popen(
            [self.path, *common, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HOME": str(self.server.place)},
        )


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("shared")).start()
    yield server
    assert server.process is not None
    server.process.kill()
    server.process.wait()


def _space_of(test: str, server: Server, kubectl: str) -> Space:
    name = re.sub("[^a-z0-9]+", "-", test.removeprefix("test_").lower())
    space = Space(server, kubectl, name[-60:].strip("-"))
    space("create", "namespace", space.name)
    return space


@pytest.fixture(params=KUBECTLS)
def kubectl(request: pytest.FixtureRequest, shared_server: Server) -> Space:
    return _space_of(request.node.name, shared_server, request.param)


@pytest.fixture
def space(request: pytest.FixtureRequest, shared_server: Server) -> Space:
    """For what any kubectl will do for."""
    return _space_of(request.node.name, shared_server, SOME_KUBECTL)
