"""Names that could be meant, for the shell; none when the server cannot be asked at once."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

import typer

from mooring.cli.client import Client, claims_path, path_of, snapshots_path
from mooring.errors import MooringError

PATIENCE_S: Final = 2.0  # somebody waits with a finger on the tab key

KINDS: Final = {
    "pvc": "pvc",
    "persistentvolumeclaim": "pvc",
    "persistentvolumeclaims": "pvc",
    "pv": "pv",
    "persistentvolume": "pv",
    "persistentvolumes": "pv",
    "snapshot": "snapshot",
    "vs": "snapshot",
    "volumesnapshot": "snapshot",
    "volumesnapshots": "snapshot",
    "pod": "pod",
    "pods": "pod",
    "po": "pod",
}


def kinds(incomplete: str) -> list[str]:
    return [kind for kind in ("pvc", "pv", "snapshot", "pod") if kind.startswith(incomplete)]


def names(context: typer.Context, incomplete: str) -> list[str]:
    """Of claims, or of volumes, snapshots or pods if the command was given such a kind."""
    kind = KINDS.get(str(context.params.get("kind", "")), "")
    of = {"pv": _volumes, "snapshot": _snapshots, "pod": _pods}.get(kind, _claims)
    return _matching(incomplete, of(context))


def mounted(context: typer.Context, incomplete: str) -> list[str]:
    """Claims that are at a path of the server's host."""
    return _matching(incomplete, _mounted(context))


def _matching(incomplete: str, found: Iterable[str]) -> list[str]:
    try:
        return [name for name in found if name.startswith(incomplete)]
    except MooringError:
        return []


def _volumes(context: typer.Context) -> Iterable[str]:
    for item in _client(context).items("/api/v1/persistentvolumes"):
        yield item["metadata"]["name"]


def _snapshots(context: typer.Context) -> Iterable[str]:
    client = _client(context)
    for item in client.items(snapshots_path(context.params.get("namespace") or client.namespace)):
        yield item["metadata"]["name"]


def _claims(context: typer.Context) -> Iterable[str]:
    client = _client(context)
    for item in client.items(claims_path(context.params.get("namespace") or client.namespace)):
        yield item["metadata"]["name"]


def _pods(context: typer.Context) -> Iterable[str]:
    client = _client(context)
    namespace = context.params.get("namespace") or client.namespace
    for item in client.items(f"/api/v1/namespaces/{quote(namespace, safe='')}/pods"):
        yield item["metadata"]["name"]


def _mounted(context: typer.Context) -> Iterable[str]:
    client = _client(context)
    wanted = context.params.get("namespace") or client.namespace
    for item in client.items(path_of("mounts")):
        namespace, _, name = item["claim"].partition("/")
        if namespace == wanted:
            yield name


def _client(context: typer.Context) -> Client:
    return Client(context.params.get("kubeconfig"), PATIENCE_S)
