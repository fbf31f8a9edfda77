"""`mooring edge run` on a host of its own, and clients there that count every request."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from testbed.images import SHELL
from tests.docker.testbed import Done, Host, eventually

WORKERS = 8  # of a load: so many requests may be under way
ECHO = 7000  # the port of an entry point for TCP
ROOT = Path(__file__).parents[2]
# It answers with its own name.
WEB = ("sh", "-c", "mkdir /www; hostname >/www/index.html; exec httpd -f -p 80 -h /www")


def lacking() -> str:
    return "" if shutil.which("haproxy") else "there is no haproxy"


class Counted:
    """What became of the requests of a load, once it has ended."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}
        self.began = time.time()

    @property
    def failures(self) -> list[Any]:
        found: list[Any] = self.said["failures"]
        return found

    @property
    def slowest_s(self) -> float:
        found: float = self.said["slowest_s"]
        return found

    @property
    def answered(self) -> set[str]:
        return set(self.said["answers"])

    @property
    def done(self) -> int:
        found: int = self.said["done"]
        return found

    def seen(self, answer: str) -> tuple[float, float]:
        """When it came first and last, in seconds since the epoch."""
        first, last = self.said["times"][answer]
        return first, last


class Entry:
    """The edge of one swarm."""

    def __init__(self, host: Host, manager: Host, proxy: str = "haproxy", **more: object) -> None:
        """more: of the edge file."""
        self.host, self.manager = host, manager
        self.directory = host.place / "edge"
        self.file = host.place / "edge.yaml"
        doc = {
            "directory": str(self.directory),
            "managers": [str(manager.socket)],
            "entryPoints": [
                {"name": "http", "port": 80},
                {"name": "echo", "port": ECHO, "protocol": "tcp"},
            ],
            "user": "",
            "proxy": proxy,
            "metrics": "127.0.0.1:9464",
            **more,
        }
        self.file.write_text(yaml.safe_dump(doc))
        self.process: subprocess.Popen[bytes] | None = None
        self.before: tuple[str, ...] = ()  # a program that starts it

    def start(self, **environment: str) -> None:
        run = ("-m", "mooring.cli.main", "edge", "run", "-f", str(self.file))
        command = (*self.before, sys.executable, *run)
        environment["PYTHONPATH"] = str(ROOT / "src")
        self.process = self.host.popen(*command, log="edge.log", **environment)

    def kill(self) -> None:
        assert self.process is not None
        os.kill(self.host.pid_of(self.process), signal.SIGKILL)
        self.process.wait(10)

    def proxy_pid(self) -> int:
        """As seen from outside of the host."""
        found = self.find_proxy()
        assert found, "HAProxy does not run"
        return found

    def find_proxy(self) -> int:
        """Likewise; 0 if it does not run."""
        inner = (self.directory / "haproxy.pid").read_text().split()[0]
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError, IndexError):
                text = status.read_text()
                is_it = (
                    text.startswith("Name:\thaproxy\n")
                    and status.parent.joinpath("ns/net").readlink() == self._net()
                )
                if is_it and text.split("NSpid:")[1].splitlines()[0].split()[-1] == inner:
                    return int(status.parent.name)
        return 0

    def _net(self) -> Path:
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/ns/net").readlink()

    def mooring(self, *words: str) -> Done:
        command = (sys.executable, "-m", "mooring.cli.main", "edge", *words, "-f", str(self.file))
        return self.host.run("env", f"PYTHONPATH={ROOT / 'src'}", *command)

    def get(self, host: str, path: str = "/", *words: str) -> tuple[int, str]:
        """The status and the body of one answer; 0 if there is none."""
        url = f"http://127.0.0.1{path}"
        done = self.host.run(
            "curl", "-sS", "-m", "10", "-w", "\n%{http_code}", "-H", f"Host: {host}", *words, url
        )
        body, _, code = done.out.rpartition("\n")
        return int(code or 0), body.strip()

    def answers(self, host: str, path: str = "/") -> None:
        eventually(lambda: self.get(host, path)[0] == 200, f"{host}{path} answers")

    @contextmanager
    def load(
        self, host: str, *words: str, address: str = "127.0.0.1", port: int = 80
    ) -> Iterator[Counted]:
        """Requests without a pause for as long as this is entered.

        address, port  of the entry point, or of another entry to the same swarm
        """
        counted = Counted()
        command = (
            *(sys.executable, "-m", "testbed.load", address, str(port), host),
            *("--workers", str(WORKERS), "--pause", "0.004", *words),
        )
        process = subprocess.Popen(
            self.host.inside(command),
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield counted
        finally:
            os.kill(self.host.pid_of(process), signal.SIGTERM)
            counted.said = json.loads(process.stdout.read())
            process.wait(10)

    def create(
        self,
        name: str,
        replicas: int,
        *words: str,
        publish: str = "",
        command: tuple[str, ...] = WEB,
    ) -> None:
        """A service of which each task is published on its own node."""
        self.manager.docker(
            *("service", "create", "--name", name, "--detach", "--replicas", str(replicas)),
            *("--no-resolve-image", "--endpoint-mode", "dnsrr", "--restart-delay", "0s"),
            *("--stop-signal", "KILL", "--publish", publish or "mode=host,target=80"),
            *("--label", f"mooring.edge.host={name}.example.com", *words),
            *(SHELL, *command),
        )

    def greeting(self) -> str:
        """The first line of whoever has the entry point for TCP; empty if nobody does."""
        with self.host.connected("127.0.0.1", ECHO) as connection, suppress(OSError):
            return connection.makefile("r").readline().strip()
        return ""

    def runs(self, name: str, replicas: int) -> None:
        """Wait until so many tasks of a service run, and no other does."""
        form = ("--format", "{{.CurrentState}}")

        def look() -> bool:
            states = self.manager.docker("service", "ps", name, *form).splitlines()
            return sum(one.startswith("Running") for one in states) == replicas

        eventually(look, f"{replicas} of {name} run")

    def serving(self, name: str) -> int:
        """How many servers of a service take requests."""
        said = self.mooring("status", "-o", "json").out
        routes = json.loads(said)["routes"] if said.startswith("{") else []
        servers = [one for route in routes if route["service"] == name for one in route["servers"]]
        return sum(one["state"] == "serves" for one in servers)

    def metric(self, name: str) -> float:
        """The value of a metric of ours; 0 if it has none yet."""
        text = self.host.run("curl", "-sS", "http://127.0.0.1:9464/metrics").out
        found = [line for line in text.splitlines() if line.startswith(f"mooring_edge_{name} ")]
        return float(found[0].split()[1]) if found else 0.0

    def serves(self, name: str, servers: int) -> None:
        eventually(lambda: self.serving(name) == servers, f"{servers} of {name} serve")
