"""The first steps as a story: `make demo`. With --write FILE the same as a page of the manual.

Everything happens in a temporary directory, with a server of its own on a free port, and is gone
afterwards. Each line after a $ is what a person would type, with $DEMO for the directory.
"""

import argparse
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import yaml

from examples.client import CLAIM, VOLUME, apply, delete, phase, table, until
from examples.docker_engine import PLUGIN, Docker
from mooring.cli.client import Client, Doc
from mooring.errors import MooringError
from mooring.host import files, mounts

HERE: Final = Path(__file__).parent
NODE: Final = "this-host"
UP: Final = f"mooring up --data-dir $DEMO/data --pool $DEMO/pool --node-name {NODE}"
GREETING: Final = "Hello from before the crash"
STOP_S: Final = 10


class Demo:
    """One run: its directory, its server, and what is told about it."""

    def __init__(self, place: Path) -> None:
        self.place, self.port = place, _free_port()
        self.kubeconfig = place / "kubeconfig"
        self.steps, self.on_page = 0, True
        self.page: list[str] = []  # what was told, in Markdown
        self.docker = Docker.here()  # None: no engine runs
        self.server: subprocess.Popen[bytes] | None = None

    # Telling

    def step(self, title: str, text: str, *, on_page: bool = True) -> None:
        """on_page  False from here on: the page is for hosts that lack what this needs, too"""
        self.steps, self.on_page = self.steps + 1, on_page
        print(f"\n{self.steps}. {title}\n\n{textwrap.fill(text, 88)}\n")
        self.write(f"\n## {self.steps}. {title}\n\n{textwrap.fill(text, 100)}\n\n")

    def typed(self, command: str, output: str) -> None:
        shown = textwrap.indent(output.rstrip(), "    ")
        told = f"  $ {command}\n{shown}\n" if shown else f"  $ {command}\n"
        told = told.replace(str(self.place), "$DEMO")
        self.write(textwrap.indent(textwrap.dedent(told), "    "))
        print(told, end="", flush=True)

    def write(self, text: str) -> None:
        if self.on_page:
            self.page.append(text)

    # Doing

    def start(self) -> None:
        command = _mooring("up", "--listen", f"127.0.0.1:{self.port}", "--node-name", NODE)
        command += ["--data-dir", f"{self.place}/data", "--pool", f"{self.place}/pool"]
        command += ["--kubeconfig", str(self.kubeconfig), "--plugin-socket", ""]
        if self.docker is not None:
            command[-1:] = [str(PLUGIN), "--docker-socket", str(self.docker.socket)]
        with (self.place / "log").open("ab") as log:
            self.server = subprocess.Popen(command, stdout=log, stderr=log)
        until(self.is_ready, f"the server is ready; its log is {self.place}/log")

    def is_ready(self) -> bool:
        assert self.server is not None
        if self.server.poll() is not None:
            raise RuntimeError((self.place / "log").read_text())
        try:
            self.api().ask("GET", "/apis")
        except MooringError:
            return False
        return True

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.server is None:
            return
        self.server.send_signal(number)
        try:
            self.server.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
            raise

    def api(self) -> Client:
        return Client(self.kubeconfig)

    def apply(self, name: str) -> None:
        """One of the files beside this one."""
        text = (HERE / name).read_text()
        text = text.replace("${DEMO_DIR}", str(self.place)).replace("${NODE}", NODE)
        (self.place / name).write_text(text)
        docs: list[Doc] = list(yaml.safe_load_all(text))
        said = [apply(self.api(), doc) for doc in docs]
        self.typed(f"kubectl apply --server-side -f {name}", "\n".join(said))

    def bound(self, claim: str) -> None:
        until(lambda: phase(self.api(), CLAIM, claim) == "Bound", f"claim {claim} is Bound")

    def get(self, kind: str, short: str, *names: str) -> None:
        """The table kubectl prints, of these objects or all."""
        head, *rows = table(self.api(), kind)
        rows = [row for row in rows if not names or row[0] in names]
        self.typed(f"kubectl get {' '.join((short, *names))}", _columns([head, *rows]))

    def mooring(self, command: str) -> str:
        """What a command of Mooring's own prints; its notes are told too. Raises RuntimeError."""
        done = subprocess.run(
            _mooring(*command.split()),
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "COLUMNS": "100"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"mooring {command}: {done.stderr}{done.stdout}")
        self.typed(f"mooring {command}", done.stderr + done.stdout)
        return done.stdout.strip()

    def docker_does(self, command: str) -> str:
        """What it prints. Raises RuntimeError."""
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr}{done.stdout}")
        self.typed(command, done.stdout)
        return done.stdout


def tell(demo: Demo) -> None:
    """The story."""
    _starts(demo)
    _a_volume_by_hand(demo)
    _waste(demo)
    _a_pool_and_a_class(demo)
    _a_size_alone(demo)
    _a_claim_that_waits(demo)
    _the_power_fails(demo)
    _what_goes(demo)
    if demo.docker is not None:
        _a_container(demo, demo.docker)


def _starts(demo: Demo) -> None:
    demo.step(
        "Mooring starts",
        "One process: the API, the controllers and this host's agent, on an embedded database. "
        "It makes a certificate, a kubeconfig for kubectl, and a first pool and class, `local`.",
    )
    demo.start()
    demo.typed(UP, "ready")


def _a_volume_by_hand(demo: Demo) -> None:
    demo.step(
        "A volume made by hand meets its claim",
        "An administrator describes a directory as a volume of 5Gi. A user claims 5Gi and does "
        "not say which volume: the smallest that fits is bound.",
    )
    demo.apply("01-static.yaml")
    demo.bound("archive")
    demo.get(CLAIM, "pvc")


def _waste(demo: Demo) -> None:
    demo.step(
        "1Gi is asked, 1Ti is given",
        "A volume goes to one claim, whole. A claim of 1Gi that meets only a volume of 1Ti takes "
        "all of it: as in Kubernetes, and as wasteful.",
    )
    demo.apply("02-waste.yaml")
    demo.bound("tiny")
    demo.get(CLAIM, "pvc", "tiny")


def _a_pool_and_a_class(demo: Demo) -> None:
    demo.step(
        "A pool and a class avoid it",
        "Here the administrator grants a place and a quota instead of volumes. A claim of the "
        "class gets a volume of its own size, carved from the pool.",
    )
    demo.apply("03-pool-and-class.yaml")
    demo.bound("fitting")
    demo.get(CLAIM, "pvc", "fitting")
    demo.get("Pool", "pools", "team")


def _a_size_alone(demo: Demo) -> None:
    demo.step(
        "A claim that names nothing but a size",
        "The default class makes its volume. `mooring mount` says where this host finds it, and "
        "we write a file there.",
    )
    demo.apply("04-dynamic.yaml")
    demo.bound("data")
    path = Path(demo.mooring("mount data"))
    (path / "greeting").write_text(GREETING + "\n")
    demo.typed(f"echo {GREETING} > $(mooring mount data)/greeting", "")


def _a_claim_that_waits(demo: Demo) -> None:
    demo.step(
        "A claim that waits, and why",
        "5Gi for many writers: no volume is both. It stays pending, and Mooring says why and what "
        "would help.",
    )
    demo.apply("05-pending.yaml")
    until(lambda: phase(demo.api(), VOLUME, "spare") == "Available", "volume spare is Available")
    demo.mooring("explain pvc shared")
    demo.mooring("status")


def _the_power_fails(demo: Demo) -> None:
    demo.step(
        "The power fails",
        "kill -9, in the middle of everything, and a new start on the same directory.",
    )
    before = table(demo.api(), CLAIM)
    demo.stop(signal.SIGKILL)
    demo.typed(f'kill -9 $(pgrep -f "mooring up --data-dir {demo.place}")', "")
    demo.start()
    demo.typed(UP, "ready")
    demo.get(CLAIM, "pvc")
    _same(before, table(demo.api(), CLAIM))
    path = Path(demo.mooring("mount data"))
    found = (path / "greeting").read_text()
    demo.typed("cat $(mooring mount data)/greeting", found)
    if found.strip() != GREETING:
        raise RuntimeError("the file is not what was written")


def _what_goes(demo: Demo) -> None:
    demo.step(
        "What is no longer wanted goes",
        "The class of `data` says Delete: with the claim goes its volume, its directory, and what "
        "the pool had promised. The volume `archive` says Retain, and keeps what is in it.",
    )
    demo.mooring("umount data")
    demo.typed("kubectl delete pvc data archive", _deleted(demo))
    demo.get(VOLUME, "pv")


def _a_container(demo: Demo, docker: Docker) -> None:
    demo.step(
        "A container writes, another reads",
        "A Docker engine runs here, and has the volume driver of this server. A Docker volume is a "
        "claim: with a size, and for kubectl to see.",
        on_page=False,
    )
    with docker.image() as image:
        if not image:
            print("  Docker has no image busybox, and cannot get it: left out.")
            return
        run = f"docker run --rm -v scratch:/data {image}"
        try:
            demo.docker_does(f"docker volume create -d {PLUGIN.stem} -o size=1Gi scratch")
            demo.docker_does(f"{run} sh -c 'echo {GREETING} > /data/greeting'")
            if demo.docker_does(f"{run} cat /data/greeting").strip() != GREETING:
                raise RuntimeError("the file is not what the first container wrote")
            demo.get(CLAIM, "pvc", "scratch")
        finally:
            demo.docker_does("docker volume rm scratch")


def _deleted(demo: Demo) -> str:
    api = demo.api()
    said = [delete(api, CLAIM, name) for name in ("data", "archive")]
    until(lambda: phase(api, VOLUME, "archive") == "Released", "volume archive is Released")
    until(lambda: all("default/data" not in row for row in table(api, VOLUME)), "data is gone")
    return "\n".join(said)


def _same(before: list[list[str]], after: list[list[str]]) -> None:
    """All columns but the age."""
    if [row[:-1] for row in before] != [row[:-1] for row in after]:
        raise RuntimeError(f"the restart changed claims: {before} became {after}")


def _columns(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("   ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _mooring(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mooring.cli.main", *arguments]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mooring-demo-", ignore_cleanup_errors=True) as name:
        try:
            yield Path(name)
        finally:  # a step that failed may have left some
            for point in reversed(mounts.mounts_below(name)):
                mounts.unmount(Path(point))
            for bare in Path(name).glob("data/mounts/*"):
                for directory in (bare / "fs", bare):
                    _writable(directory)


def _writable(directory: Path) -> None:
    """What Mooring made immutable while nothing was mounted there."""
    with suppress(OSError), files.directory(directory) as fd:
        files.set_immutable(fd, False)


def _written(demo: Demo) -> str:
    """The page, with what differs from run to run made alike."""
    numbers: dict[str, int] = {}

    def alike(found: re.Match[str]) -> str:
        number = numbers.setdefault(found[0], len(numbers) + 1)
        return f"{number:08x}-0000-4000-8000-{number:012x}"

    story = re.sub(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", alike, "".join(demo.page))
    story = re.sub(r"(?m) \d+s$", " 1s", story)
    return (HERE / "first-steps.md.in").read_text().rstrip() + "\n" + story


def main() -> None:
    """Run it all; any step that does not hold ends it with an error."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=tell.__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="the story as Markdown")
    file = parser.parse_args().write
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that this too cleans up
    with _place() as place:
        demo = Demo(place)
        print(f"Mooring from nothing to a claim with data, in {place}, called $DEMO below.")
        try:
            tell(demo)
        finally:
            demo.stop()
    if file is not None:
        file.write_text(_written(demo))
    print("\nAll of it is gone again. The same by hand: docs/first-steps.md")


if __name__ == "__main__":
    main()
