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
    assert annotated("provisioner") == "directory.mooring.dev"
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
        server.kubectl("delete", "pvc", "later", "--wait=false")
        eventually(lambda: server.run("get", "pvc", "later").returncode != 0, "later is gone")
    finally:
        again.process.kill()
        again.process.wait()


def test_an_operator_does_its_work_beside_an_object_and_again_and_again(
    operator: Operator, shared_server: Server
) -> None:
    server = shared_server
    server.apply(operated("tended", "timed", "accompanied"))

    def ticks() -> int:
        return int(metadata(server, "tended").get("annotations", {}).get("example.com/ticks", "0"))

    eventually(lambda: ticks() >= 3, "the timer went three times")
    eventually(lambda: operator.printed("beside tended"), "the daemon is beside it")
    server.kubectl("delete", "pvc", "tended", "--wait=false")
    eventually(lambda: server.run("get", "pvc", "tended").returncode != 0, "the claim is gone")
    eventually(lambda: operator.printed("apart from tended"), "the daemon was stopped")


def test_an_operator_handles_kinds_that_only_mooring_has(
    operator: Operator, shared_server: Server
) -> None:
    server = shared_server
    pool = (
        "apiVersion: mooring.dev/v1\nkind: Pool\nmetadata: {name: noted}\n"
        f"spec: {{driver: directory.mooring.dev, root: {server.place}/noted, node: here}}\n"
    )

    def noted() -> str | None:
        found: str | None = server.get("pool", "noted")["metadata"]["annotations"].get(
            "example.com/capacity"
        )
        return found

    server.apply(pool)
    eventually(lambda: noted() == "all of the disk", "its creation was noted")
    server.kubectl("patch", "pool", "noted", "--type=merge", "-p", '{"spec":{"capacity":"1Gi"}}')
    eventually(lambda: noted() == "1Gi", "its growth was noted")
    server.kubectl("delete", "pool", "noted")
