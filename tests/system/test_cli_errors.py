"""What the commands say when they cannot do what was asked: exactly, with code and remedy; and what
the shell completes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mooring.api import issuing
from mooring.api.certificates import kubeconfig
from mooring.cli.kubeconfig import access
from tests.host.privileges import needs_mounts
from tests.system.server import Server, claim, eventually, volume

pytestmark = pytest.mark.system
MOORING = str(Path(sys.executable).with_name("mooring"))


class Commands(Server):
    """A server, and the `mooring` that users have."""

    def mooring(
        self, *arguments: str, config: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MOORING, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "KUBECONFIG": str(config or self.kubeconfig), **environment},
        )

    def refusal(self, *arguments: str, config: Path | None = None) -> tuple[str, str]:
        """(what with its code, remedy) of a command that fails."""
        done = self.mooring(*arguments, config=config)
        assert (done.returncode, done.stdout) == (1, "")
        what, _, remedy = done.stderr.partition("\nremedy: ")
        return what.removeprefix("error: "), remedy.rstrip("\n")

    def completions(self, line: str) -> list[str]:
        """What bash is offered for the last word of a line."""
        words = line.split(" ")
        done = self.mooring(
            _MOORING_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    place = tmp_path_factory.mktemp("errors")
    made = Commands(place)
    made.start()
    try:
        made.apply(claim("data") + claim("dull") + volume("vast", "1Ti", str(place / "vast")))
        for name in ("data", "dull"):
            eventually(lambda one=name: made.phase("pvc", one) == "Bound", f"{name} is Bound")
        yield made
    finally:
        made.stop()


# Wrong questions

SEE_ALL = "see which there are: mooring explain pvc --all, mooring explain pv --all"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("explain", "pvc", "nix"), 'persistentvolumeclaims "nix" not found [NotFound]'),
        (
            ("explain", "pvc", "nix", "--delete"),
            'persistentvolumeclaims "nix" not found [NotFound]',
        ),
        (
            ("explain", "pvc", "data", "-n", "no"),
            'persistentvolumeclaims "data" not found [NotFound]',
        ),
        (("explain", "pv", "nix"), 'persistentvolumes "nix" not found [NotFound]'),
        (("mount", "nix"), 'persistentvolumeclaims "nix" not found [NotFound]'),
        (("umount", "data"), "claim default/data is not mounted on this host [NotFound]"),
    ],
)
def test_what_is_not_there_is_said_to_be_so(
    server: Commands, arguments: tuple[str, ...], what: str
) -> None:
    assert server.refusal(*arguments) == (what, SEE_ALL)


def test_only_some_kinds_can_be_explained(server: Commands) -> None:
    assert server.refusal("explain", "node", "here") == (
        "'node' cannot be explained, only pvc, pv, snapshot and pod [BadQuestion]",
        "mooring explain pvc NAME, mooring explain pv NAME, or pvc --all",
    )


def test_a_volume_without_its_directory_is_not_mounted(server: Commands) -> None:
    server.apply(claim("roomy", "1Ti", ""))
    eventually(lambda: server.phase("pvc", "roomy") == "Bound", "roomy is Bound")
    what, remedy = server.refusal("mount", "roomy")
    assert what == f"there is no {server.place}/vast on this host [PathMissing]"
    assert remedy == "create it, or mount the disk that holds it"


@needs_mounts
def test_a_path_in_use_is_not_taken_away(server: Commands) -> None:
    path = Path(server.mooring("mount", "data").stdout.strip())
    held = "import sys; file = open(sys.argv[1], 'w'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", held, str(path / "file")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == b"open\n"
        assert server.refusal("umount", "data") == (
            f"{path} is still used by a process, it stays mounted [MountBusy]",
            f"`fuser -vm {path}` lists who uses it",
        )
        assert (path / "file").exists()
        user.communicate()
    assert server.mooring("umount", "data").stdout == f"data is no longer at {path}\n"


BROKEN = """
apiVersion: mooring.dev/v1
kind: Pool
metadata: {name: broken}
spec: {driver: directory.mooring.dev, node: here, root: ROOT/file}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: broken}
provisioner: directory.mooring.dev
parameters: {pool: broken}
---
"""


def test_what_keeps_a_volume_from_being_made_is_explained_until_it_is_put_right(
    server: Commands,
) -> None:
    (server.place / "file").write_text("in the way")
    server.apply(BROKEN.replace("ROOT", str(server.place)) + claim("poor", "1Gi", "broken"))

    def lines() -> list[str]:
        return server.mooring("explain", "pvc", "poor").stdout.splitlines()

    eventually(lambda: "failed last with" in lines()[1], "the failure is told")
    head, failure, help_ = lines()
    assert head.endswith("the agent of here could not make its volume yet, in pool broken")
    assert f"{server.place}/file" in failure
    assert help_ == "  would help: put that right, and it is made by itself"
    (server.place / "file").unlink()
    eventually(lambda: server.phase("pvc", "poor") == "Bound", "poor is Bound")


def test_where_a_claim_is_mounted_is_explained_and_what_that_means_for_deleting_it(
    server: Commands,
) -> None:
    path = server.mooring("mount", "data").stdout.strip()
    assert f"  it is mounted at {path}" in server.mooring("explain", "pvc", "data").stdout
    assert (
        f"  it is mounted at {path}, and its data goes once no process has files open there"
        in server.mooring("explain", "pvc", "data", "--delete").stdout
    )
    server.mooring("umount", "data")
    assert "mounted" not in server.mooring("explain", "pvc", "data").stdout


# Wrong servers


def test_a_kubeconfig_that_is_not_there_is_named(server: Commands, tmp_path: Path) -> None:
    assert server.refusal("status", config=tmp_path / "none") == (
        f"{tmp_path}/none cannot be used: No such file or directory [NoKubeconfig]",
        "name the file that `mooring up` wrote: --kubeconfig FILE or KUBECONFIG",
    )


def test_where_no_server_is_the_remedy_is_to_start_one(server: Commands, tmp_path: Path) -> None:
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    assert server.refusal("explain", "pvc", "data", config=tmp_path / "config") == (
        "https://127.0.0.1:1 does not answer: [Errno 111] Connection refused [NoServer]",
        "start it with `mooring up`, or name another with --kubeconfig",
    )


def test_a_server_of_another_authority_is_not_trusted(server: Commands, tmp_path: Path) -> None:
    url, file = access(server.kubeconfig).url, tmp_path / "config"
    file.write_bytes(kubeconfig(url, issuing.authority(days=1)[1], "token"))
    what, remedy = server.refusal("status", config=file)
    assert what.startswith(f"{url} is not the server that {file} is for: ")
    assert what.endswith(" [NotTrusted]")
    assert remedy == "use the kubeconfig that the `mooring up` at this address wrote"


def test_a_token_that_is_not_known_is_refused(server: Commands, tmp_path: Path) -> None:
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["users"][0]["user"]["token"] = "another"
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    what, remedy = server.refusal("status", config=tmp_path / "config")
    assert what.endswith(" [Unauthorized]")
    assert remedy == "use the kubeconfig that `mooring up` wrote last; an older one may not count"


def test_without_docker_no_volume_of_it_is_adopted(server: Commands) -> None:
    what, remedy = server.refusal("adopt", "data")
    assert what == "this Mooring serves no Docker, so it has no volumes to adopt [EngineAway]"
    assert remedy == "start it as root on the host of the volume, see `mooring up -h`"


# Completion


def test_the_shell_is_told_how_to_complete() -> None:
    typed = f"{MOORING} --show-completion && true"  # not the last, or it would replace its shell
    done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_MOORING_COMPLETE=complete_bash" in done.stdout


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mooring mo", ["mount", "move"]),
        ("mooring mou", ["mount"]),
        ("mooring explain p", ["pvc", "pv", "pod"]),
        ("mooring explain pvc d", ["data", "dull"]),
        ("mooring explain pvc du", ["dull"]),
        ("mooring explain pv va", ["vast"]),
        ("mooring explain pvc -n kube-system d", []),
        ("mooring mount da", ["data"]),
        ("mooring umount d", []),
    ],
)
def test_names_are_completed(server: Commands, line: str, offered: list[str]) -> None:
    assert server.completions(line) == offered


def test_claims_that_are_mounted_are_offered_to_umount(server: Commands) -> None:
    server.mooring("mount", "dull")
    assert server.completions("mooring umount d") == ["dull"]
    server.mooring("umount", "dull")
