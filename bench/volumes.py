"""Volumes of a server, mounted on this host: a pool, a class and a claim for each."""

import http.client
import os
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from bench.client import ANSWER_S, BenchError, Target, message_of

BOUND_S: Final = 60.0
POLL_S: Final = 0.05
NAMESPACE: Final = "default"
CLAIMS: Final = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
POOLS: Final = "/apis/mooring.dev/v1/pools"
VOLUMES: Final = "/api/v1/persistentvolumes"
CLASSES: Final = "/apis/storage.k8s.io/v1/storageclasses"
MOUNTS: Final = f"/mooring/v1/mounts/{NAMESPACE}"


class Volumes:
    """Made one after another by one client."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def mounted(
        self, name: str, driver: str, root: Path, size: str, **options: dict[str, Any]
    ) -> Path:
        """A claim of this size in a pool of its own, by its path on this host.

        options  {field of the pool's spec: its content}
        raises   BenchError
        """
        spec = {"driver": driver, "root": str(root), "node": os.uname().nodename, **options}
        self.ask("POST", POOLS, _object("mooring.dev/v1", "Pool", name, spec=spec))
        class_ = {"provisioner": driver, "parameters": {"pool": name}}
        self.ask("POST", CLASSES, _object("storage.k8s.io/v1", "StorageClass", name, **class_))
        wanted = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": name,
            "resources": {"requests": {"storage": size}},
        }
        self.ask("POST", CLAIMS, _object("v1", "PersistentVolumeClaim", name, spec=wanted))
        self.wait_until_bound(name)
        return Path(self.ask("POST", f"{MOUNTS}/{quote(name)}")["path"])

    def unmount(self, name: str) -> None:
        self.ask("DELETE", f"{MOUNTS}/{quote(name)}")

    def wait_until_bound(self, name: str) -> None:
        end_s = time.monotonic() + BOUND_S
        while self.ask("GET", f"{CLAIMS}/{quote(name)}")["status"].get("phase") != "Bound":
            if time.monotonic() > end_s:
                raise BenchError(f"claim {name} got no volume within {BOUND_S:.0f} s")
            time.sleep(POLL_S)

    def wait_until_gone(self, name: str) -> None:
        """Its volume, with the data of it."""
        end_s = time.monotonic() + BOUND_S
        while any(
            one["spec"].get("claimRef", {}).get("name") == name
            for one in self.ask("GET", VOLUMES)["items"]
        ):
            if time.monotonic() > end_s:
                raise BenchError(f"the volume of {name} was not gone within {BOUND_S:.0f} s")
            time.sleep(POLL_S)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        target = self._target
        connection = http.client.HTTPSConnection(
            target.host, target.port, context=target.context, timeout=ANSWER_S
        )
        headers = {"Authorization": f"Bearer {target.token}", "Content-Type": "application/json"}
        try:
            content = None if body is None else msgspec.json.encode(body)
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchError(f"{method} {path}: {error}") from None
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise BenchError(f"{method} {path} was refused: {message_of(said)}")
        return msgspec.json.decode(said)


def _object(version: str, kind: str, name: str, **rest: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **rest}
