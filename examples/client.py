"""What the demo asks of Mooring over its API, as kubectl would."""

import time
from collections.abc import Callable
from typing import Final

import msgspec

from mooring.cli.client import Client, Doc, Refused

TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
APPLY: Final = "application/apply-patch+yaml"
DEADLINE_S: Final = 30.0
CLAIM, VOLUME = "PersistentVolumeClaim", "PersistentVolume"
PATHS: Final = {  # of the kinds that the examples use
    VOLUME: "/api/v1/persistentvolumes",
    CLAIM: "/api/v1/namespaces/default/persistentvolumeclaims",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
    "Pool": "/apis/mooring.dev/v1/pools",
}


def apply(client: Client, doc: Doc) -> str:
    """Create or change an object. Returns what kubectl would say."""
    kind, name = doc["kind"], doc["metadata"]["name"]
    path = f"{PATHS[kind]}/{name}?fieldManager=demo&force=true"
    client.ask("PATCH", path, msgspec.json.encode(doc), content_type=APPLY)
    group = doc["apiVersion"].rpartition("/")[0]
    return f"{kind.lower()}{'.' if group else ''}{group}/{name} serverside-applied"


def table(client: Client, kind: str) -> list[list[str]]:
    """The columns that kubectl prints without -o wide, under their names."""
    found = client.ask("GET", PATHS[kind], accept=TABLE)
    columns = found["columnDefinitions"]
    shown = [n for n, column in enumerate(columns) if not column["priority"]]
    rows = [[str(row["cells"][n]) for n in shown] for row in found["rows"]]
    return [[columns[n]["name"].upper() for n in shown], *rows]


def phase(client: Client, kind: str, name: str) -> str:
    """Empty when there is no such object."""
    try:
        doc = client.ask("GET", f"{PATHS[kind]}/{name}")
    except Refused as refused:
        if refused.code == "NotFound":
            return ""
        raise
    return str(doc.get("status", {}).get("phase", ""))


def delete(client: Client, kind: str, name: str) -> str:
    """Returns what kubectl would say."""
    client.ask("DELETE", f"{PATHS[kind]}/{name}")
    return f'{kind.lower()} "{name}" deleted'


def until(look: Callable[[], bool], what: str) -> None:
    """Wait for something to be so. Raises TimeoutError."""
    ends = time.monotonic() + DEADLINE_S
    while not look():
        if time.monotonic() > ends:
            raise TimeoutError(f"after {DEADLINE_S:.0f} s still not so: {what}")
        time.sleep(0.02)
