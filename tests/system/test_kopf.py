"""An operator of the kopf framework watches claims: it labels, tells, delays deletion, follows."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.server import Server, claim, eventually

pytestmark = pytest.mark.system

OPERATOR = Path(__file__).with_name("kopf_operator.py")
HOLD = "example.com/operator"  # its finalizer


class Operator:
    """`kopf run` in a process of its own, and what it has printed."""

    def __init__(self, server: Server) -> None:
        self.log = server.place / "operator.log"
        command = ["-m", "kopf", "run", "--standalone", "--all-namespaces", str(OPERATOR)]
        environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command], stdout=log, stderr=log, env=environment
            )

    def printed(self, line: str) -> bool:
        return line in self.log.read_text().splitlines()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def operator(shared_server: Server) -> Iterator[Operator]:
    operator = Operator(shared_server)
    yield operator
    operator.process.kill()
    operator.process.wait()


def operated(name: str, *labels: str) -> str:
    texts = ", ".join(f"{label}: 'yes'" for label in ("operated", *labels))
    return claim(name).replace("metadata: {", f"metadata: {{labels: {{{texts}}}, ")


def metadata(server: Server, name: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = server.get("pvc", name)["metadata"]
    return found


def test_an_operator_follows_a_claim_from_creation_to_its_end(
    operator: Operator, shared_server: Server
) -> None:
    server = shared_server
    server.apply(operated("followed", "stay"))

    def annotated(key: str) -> str | None:
        return metadata(server, "followed")["annotations"].get(f"example.com/{key}")

    eventually(lambda: annotated("greeting") == "hello followed", "it was greeted")
    assert metadata(server, "followed")["labels"]["greeted"] == "yes"
    assert HOLD in metadata(server, "followed")["finalizers"]
    eventually(lambda: "Greeted" in server.kubectl("get", "events"), "the event was posted")
    eventually(lambda: operator.printed("seen MODIFIED followed Bound"), "it saw the binding")

    server.kubectl("label", "pvc", "followed", "tier=db")
    eventually(lambda: annotated("tier") == "None to db", "it saw the change of one label")

    server.kubectl("delete", "pvc", "followed", "--wait=false")
    retried = "Handler 'part' failed temporarily"
    eventually(lambda: retried in operator.log.read_text(), "it held the claim")
    assert HOLD in metadata(server, "followed")["finalizers"]
    assert not operator.printed("goodbye default/followed")

    server.kubectl("label", "pvc", "followed", "stay-")
    eventually(lambda: server.run("get", "pvc", "followed").returncode != 0, "the claim is gone")
    assert operator.printed("goodbye default/followed")
    eventually(lambda: operator.printed("seen DELETED followed Bound"), "it saw the end")


def test_an_operator_that_comes_back_goes_on_with_what_it_missed(
    operator: Operator, shared_server: Server
) -> None:
    server = shared_server
    server.apply(operated("missed"))
    eventually(lambda: "greeted" in metadata(server, "missed")["labels"], "it was greeted")
    operator.stop()
    server.kubectl("label", "pvc", "missed", "tier=db")
    server.apply(operated("later"))
    server.kubectl("delete", "pvc", "missed", "--wait=false")
    assert HOLD in metadata(server, "missed")["finalizers"]
    again = Operator(server)
    try:
        eventually(lambda: server.run("get", "pvc", "missed").returncode != 0, "missed is gone")
        eventually(lambda: "greeted" in metadata(server, "later")["labels"], "later was greeted")
    finally:
        again.process.kill()
        again.process.wait()
