"""`mooring snapshot` and `mooring clone`."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

import msgspec
import typer

from mooring.cli import completion
from mooring.cli.client import Client, Doc, claims_path, path_of, snapshots_path
from mooring.cli.common import Kubeconfig, Namespace, failing_well
from mooring.errors import MooringError
from mooring.model.quantity import parse_quantity
from mooring.model.snapshot import API_VERSION, GROUP

LOOK_EACH_S: Final = 0.1
WAIT_AT_MOST_S: Final = 300.0
JSON: Final = {"content_type": "application/json"}

Wait = Annotated[bool, typer.Option("--wait", help="Return once it can be used, or failed.")]


class NotDone(MooringError):
    """It was asked for and is not there; asking goes on."""

    code = "NotDone"

    def __init__(self, subject: str, why: str, remedy: str) -> None:
        self.what = f"{subject} is not done: {why}"
        self.remedy = remedy
        super().__init__(self.what)


@failing_well
def snapshot(
    claim: Annotated[str, typer.Argument(metavar="CLAIM", autocompletion=completion.names)],
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Default: the claim's, and the time in UTC.")
    ] = "",
    class_name: Annotated[
        str, typer.Option("--class", metavar="CLASS", help="Default: the one of the driver.")
    ] = "",
    wait: Wait = False,
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Keep a claim's data as it is now, and print the name of the VolumeSnapshot."""
    client = Client(kubeconfig)
    where = namespace or client.namespace
    name = name or f"{claim[:230]}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    spec: Doc = {"source": {"persistentVolumeClaimName": claim}}
    if class_name:
        spec["volumeSnapshotClassName"] = class_name
    doc = {"apiVersion": API_VERSION, "kind": "VolumeSnapshot", "metadata": {"name": name}}
    path = snapshots_path(where)
    client.ask("POST", path, msgspec.json.encode({**doc, "spec": spec}), **JSON)
    if wait:
        _wait(client, f"{path}/{quote(name, safe='')}", _is_ready, ("snapshot", where, name))
    typer.echo(name)


@failing_well
def clone(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A claim, or snapshot/NAME.", autocompletion=completion.names
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the new claim.")],
    size: Annotated[
        str, typer.Option("--size", metavar="SIZE", help="Such as 10Gi. Default: the source's.")
    ] = "",
    class_name: Annotated[
        str, typer.Option("--class", metavar="CLASS", help="Default: the source's.")
    ] = "",
    wait: Wait = False,
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Make a claim with what another claim has, or a snapshot."""
    client = Client(kubeconfig)
    where = namespace or client.namespace
    kind, slash, of = source.rpartition("/")
    if kind in ("snapshot", "volumesnapshot", "vs") and slash:
        spec = _of_snapshot(client, where, of)
    else:
        spec = _of_claim(client, where, of)
    if size:
        spec["resources"] = {"requests": {"storage": size}}
    if class_name:
        spec["storageClassName"] = class_name
    doc = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}}
    path = claims_path(where)
    client.ask("POST", path, msgspec.json.encode({**doc, "spec": spec}), **JSON)
    if wait:
        _wait(client, f"{path}/{quote(name, safe='')}", _is_bound, ("pvc", where, name))
    typer.echo(name)


def _of_claim(client: Client, namespace: str, name: str) -> Doc:
    """The spec of a claim with what another has."""
    spec = client.ask("GET", f"{claims_path(namespace)}/{quote(name, safe='')}")
    has = [spec["spec"]["resources"]["requests"]["storage"]]
    has += [one for one in [(spec.get("status") or {}).get("capacity", {}).get("storage")] if one]
    return {
        **_like(spec["spec"], str(max(map(parse_quantity, has)))),
        "dataSource": {"kind": "PersistentVolumeClaim", "name": name},
    }


def _of_snapshot(client: Client, namespace: str, name: str) -> Doc:
    """The spec of a claim with what a snapshot has; class and modes are those of its claim."""
    found = client.ask("GET", f"{snapshots_path(namespace)}/{quote(name, safe='')}")
    status = found.get("status") or {}
    of = found["spec"]["source"].get("persistentVolumeClaimName")
    like: Doc = {}
    if of:
        claims = client.items(claims_path(namespace))
        like = next((one["spec"] for one in claims if one["metadata"]["name"] == of), {})
    return {
        **_like(like, str(status.get("restoreSize") or "1Gi")),
        "dataSource": {"apiGroup": GROUP, "kind": "VolumeSnapshot", "name": name},
    }


def _like(spec: Doc, size: str) -> Doc:
    found: Doc = {
        "accessModes": spec.get("accessModes") or ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    }
    for field in ("storageClassName", "volumeMode"):
        if spec.get(field) is not None:
            found[field] = spec[field]
    return found


def _wait(client: Client, path: str, is_done: Any, subject: tuple[str, str, str]) -> None:
    """Raises NotDone: it failed, for now, or takes too long."""
    kind, namespace, name = subject
    until_s = time.monotonic() + WAIT_AT_MOST_S
    remedy = f"it is tried again by itself; see mooring explain {kind} {name} -n {namespace}"
    while not is_done(found := client.ask("GET", path)):
        error = (found.get("status") or {}).get("error")
        if kind == "pvc":
            told = client.ask("GET", path_of("explain", "pvc", namespace, name))
            failed = [one for one in told["details"] if one.startswith("it failed last with: ")]
            error = {"message": failed[0].partition(": ")[2]} if failed else None
        if error is not None:
            raise NotDone(f"{kind} {name}", str(error.get("message")), remedy)
        if time.monotonic() > until_s:
            raise NotDone(f"{kind} {name}", f"it takes more than {WAIT_AT_MOST_S:.0f} s", remedy)
        time.sleep(LOOK_EACH_S)


def _is_ready(found: Doc) -> bool:
    return (found.get("status") or {}).get("readyToUse") is True


def _is_bound(found: Doc) -> bool:
    return bool((found.get("status") or {}).get("phase") == "Bound")
