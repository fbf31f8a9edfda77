"""What the demo asks of Mooring over its API, as kubectl would, with Python's own library alone."""

import json
import ssl
import time
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

Doc = dict[str, Any]

TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
APPLY: Final = "application/apply-patch+yaml"
DEADLINE_S: Final = 30.0
CORE: Final = "/api/v1"
PATHS: Final = {  # of the kinds that the examples use
    "PersistentVolume": f"{CORE}/persistentvolumes",
    "PersistentVolumeClaim": f"{CORE}/namespaces/default/persistentvolumeclaims",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
    "Pool": "/apis/mooring.dev/v1/pools",
}


class Api:
    """The server that a kubeconfig names."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._url, self._token = cluster["server"], user["token"]
        authority = b64decode(cluster["certificate-authority-data"]).decode()
        self._trust = ssl.create_default_context(cadata=authority)

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> Doc:
        """Raises urllib.error.HTTPError with the server's Status in it."""
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=body.encode() or None,
            headers={"authorization": f"Bearer {self._token}", **headers},
        )
        with urllib.request.urlopen(request, context=self._trust, timeout=DEADLINE_S) as answer:
            found: Doc = json.loads(answer.read())
            return found

    def apply(self, doc: Doc) -> str:
        """Create or change it. Returns what kubectl would say."""
        kind, name = doc["kind"], doc["metadata"]["name"]
        path = f"{PATHS[kind]}/{name}?fieldManager=demo&force=true"
        self.ask("PATCH", path, json.dumps(doc), **{"content-type": APPLY})
        return f"{kind.lower()}/{name} serverside-applied"

    def table(self, kind: str) -> list[list[str]]:
        """The columns that kubectl prints without -o wide, under their names."""
        table = self.ask("GET", PATHS[kind], accept=TABLE)
        columns = table["columnDefinitions"]
        shown = [n for n, column in enumerate(columns) if not column["priority"]]
        rows = [[str(row["cells"][n]) for n in shown] for row in table["rows"]]
        return [[columns[n]["name"].upper() for n in shown], *rows]

    def phase(self, kind: str, name: str) -> str:
        """Empty when there is no such object."""
        try:
            doc = self.ask("GET", f"{PATHS[kind]}/{name}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return ""
            raise
        return str(doc.get("status", {}).get("phase", ""))

    def delete(self, kind: str, name: str) -> str:
        self.ask("DELETE", f"{PATHS[kind]}/{name}")
        return f'{kind.lower()} "{name}" deleted'


def until(look: Callable[[], bool], what: str) -> None:
    """Wait for something to be so. Raises TimeoutError."""
    ends = time.monotonic() + DEADLINE_S
    while not look():
        if time.monotonic() > ends:
            raise TimeoutError(f"after {DEADLINE_S:.0f} s still not so: {what}")
        time.sleep(0.02)
