"""`mooring backup`, `mooring restore` and `mooring import`."""

from typing import Annotated, Any, Final
from urllib.parse import quote

import msgspec
import typer

from mooring.cli import completion
from mooring.cli.client import Client, Doc, Refused, claims_path
from mooring.cli.common import Kubeconfig, Namespace, Output, failing_well, printed_json
from mooring.cli.following import Shown, amount, followed, interrupted
from mooring.errors import MooringError

GIB: Final = 1 << 30
ROOM: Final = 1.2  # of a new volume for what a backup holds, unless its size is said
POPULATING: Final = "mooring.dev/Populating"

Wait = Annotated[bool, typer.Option("--wait", "-w", help="Show how far it is, until it ends.")]
Size = Annotated[str, typer.Option("--size", metavar="SIZE", help="Of the new claim: 10Gi.")]
Class = Annotated[
    str, typer.Option("--class", metavar="CLASS", help="Default: the default StorageClass.")
]


class BackupFailed(MooringError):
    code = "BackupFailed"

    def __init__(self, name: str, why: str) -> None:
        self.what = f"backup {name} failed: {why}"
        self.remedy = "put that right and make another"


class NotFilled(MooringError):
    code = "NotFilled"

    def __init__(self, claim: str, namespace: str, why: str) -> None:
        self.what = f"claim {claim} is not filled yet: {why}"
        self.remedy = f"it is tried again; mooring explain pvc {claim} -n {namespace} says more"


class SizeUnknown(MooringError):
    code = "SizeUnknown"

    def __init__(self, backup: str) -> None:
        self.what = f"how much backup {backup} holds is not known"
        self.remedy = "say how large the claim is to be: --size 10Gi"


@failing_well
def backup(
    claim: Annotated[
        str,
        typer.Argument(metavar="CLAIM", help="What is backed up.", autocompletion=completion.names),
    ],
    to: Annotated[str, typer.Option("--to", metavar="REPOSITORY", help="A BackupRepository.")],
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Of the backup. Default: CLAIM-xxxxx.")
    ] = "",
    verify: Annotated[
        str,
        typer.Option("--verify", metavar="HOW", help="None, Metadata, Data, or Restore."),
    ] = "Metadata",
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="For restic; repeatable.")
    ] = None,
    wait: Wait = False,
    namespace: Namespace = "",
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Back up a claim to a repository. The server does it, and goes on without this command."""
    client = Client(kubeconfig)
    namespace = namespace or client.namespace
    spec: Doc = {
        "source": {"persistentVolumeClaimName": claim.removeprefix("pvc/")},
        "repository": to,
        "verify": verify,
    }
    if tag:
        spec["tags"] = tag
    metadata = {"name": name} if name else {"generateName": f"{claim.removeprefix('pvc/')}-"}
    found = _made(client, _path(namespace, "volumebackups"), "VolumeBackup", metadata, spec)
    name = found["metadata"]["name"]
    path = _path(namespace, "volumebackups", name)
    if wait:
        try:
            found = followed(lambda: client.ask("GET", path), _shown_backup)
        except KeyboardInterrupt:
            interrupted(f"kubectl delete volumebackup {name} -n {namespace}")
    if output == "json":
        printed_json(found)
    status = found.get("status") or {}
    if status.get("phase") == "Failed":
        raise BackupFailed(name, status.get("error", ""))
    if output != "json":
        _say_backup(name, status, waited=wait)


def _say_backup(name: str, status: Doc, *, waited: bool) -> None:
    if not waited:
        typer.echo(name)
        typer.echo(f"see how far it is: kubectl get volumebackup {name} -w", err=True)
        return
    grown = amount(status.get("addedBytes", 0))
    size = amount(status.get("sizeBytes", 0))
    typer.echo(f"{name} is a backup of {size}; the repository grew by {grown}")
    for one in status.get("conditions") or ():
        if one["status"] != "True":
            typer.echo(f"note: {one['type']} is {one['status']}: {one['message']}", err=True)


@failing_well
def restore(
    backup: Annotated[str, typer.Argument(metavar="BACKUP", help="A VolumeBackup.")],
    claim: Annotated[str, typer.Argument(metavar="CLAIM", help="The new claim.")],
    size: Size = "",
    class_name: Class = "",
    wait: Wait = False,
    namespace: Namespace = "",
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Make a claim that is filled from a backup. Nothing can use it before it is whole.

    Without --size: what the backup holds and a fifth, in whole Gi.
    """
    client = Client(kubeconfig)
    namespace = namespace or client.namespace
    if not size:
        found = client.ask("GET", _path(namespace, "volumebackups", backup))
        held = (found.get("status") or {}).get("sizeBytes")
        if held is None:
            raise SizeUnknown(backup)
        size = f"{max(1, -(-int(held * ROOM) // GIB))}Gi"
    source = {"apiGroup": "mooring.dev", "kind": "VolumeBackup", "name": backup}
    _filled(client, namespace, claim, source, size, class_name, wait=wait, output=output)


@failing_well
def import_(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="On the server's host: a tar archive, or with / a directory."
        ),
    ],
    claim: Annotated[str, typer.Argument(metavar="CLAIM", help="The new claim.")],
    size: Size,
    class_name: Class = "",
    node: Annotated[
        str, typer.Option("--node", metavar="NAME", help="The host that the path is on.")
    ] = "",
    wait: Wait = False,
    namespace: Namespace = "",
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Make a claim that is filled from an archive, or from a directory: PATH ends with / then.

    The host has to allow it: mooring up --import-dir DIR.
    """
    client = Client(kubeconfig)
    namespace = namespace or client.namespace
    field = "directory" if path.endswith("/") else "tar"
    spec = {field: path.rstrip("/") or "/"} | ({"node": node} if node else {})
    metadata = {"generateName": f"{claim}-"}
    made = _made(client, _path(namespace, "volumearchives"), "VolumeArchive", metadata, spec)
    name = made["metadata"]["name"]
    source = {"apiGroup": "mooring.dev", "kind": "VolumeArchive", "name": name}
    try:
        _filled(client, namespace, claim, source, size, class_name, wait=wait, output=output)
    except Refused:
        client.ask("DELETE", _path(namespace, "volumearchives", name))
        raise


def _filled(
    client: Client,
    namespace: str,
    claim: str,
    source: Doc,
    size: str,
    class_name: str,
    *,
    wait: bool,
    output: str,
) -> None:
    spec: Doc = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
        "dataSourceRef": source,
    }
    if class_name:
        spec["storageClassName"] = class_name
    kind, metadata = "PersistentVolumeClaim", {"name": claim}
    found = _made(client, claims_path(namespace), kind, metadata, spec, version="v1")
    path = f"{claims_path(namespace)}/{quote(claim, safe='')}"
    if wait:
        try:
            found = followed(lambda: client.ask("GET", path), _shown_claim)
        except KeyboardInterrupt:
            interrupted(f"kubectl delete pvc {claim} -n {namespace}")
    if output == "json":
        printed_json(found)
    if (failed := _condition(found)) is not None and failed["status"] == "False":
        raise NotFilled(claim, namespace, failed["message"])
    if output == "json":
        return
    if wait:
        typer.echo(f"{claim} is filled from {source['name']}, and bound")
    else:
        typer.echo(claim)
        typer.echo(f"see how far it is: mooring explain pvc {claim} -n {namespace}", err=True)


def _shown_backup(found: Doc) -> Shown:
    status = found.get("status") or {}
    phase, progress = status.get("phase", "Pending"), status.get("progress")
    text = phase.lower()
    if phase == "Pending" and status.get("error"):
        text = f"waiting: {status['error']}"
    elif progress:
        text = f"{text} {amount(progress.get('totalBytes', 0))}"
    percent = progress.get("percent", 0) if progress else None
    return Shown(text, percent, phase in ("Completed", "Failed"))


def _shown_claim(found: Doc) -> Shown:
    phase = (found.get("status") or {}).get("phase")
    condition = _condition(found)
    if condition is None:
        return Shown("waiting for its volume", None, phase == "Bound")
    message = condition["message"]
    number = message.partition(" %")[0]
    is_over = phase == "Bound" or condition["status"] == "False"
    return Shown(message, int(number) if number.isdigit() else None, is_over)


def _condition(found: Doc) -> Doc | None:
    conditions: list[Doc] = (found.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == POPULATING), None)


def _path(namespace: str, *parts: str) -> str:
    quoted = "/".join(quote(part, safe="") for part in (namespace, *parts))
    return f"/apis/mooring.dev/v1/namespaces/{quoted}"


def _made(
    client: Client, path: str, kind: str, metadata: Doc, spec: Any, version: str = "mooring.dev/v1"
) -> Doc:
    doc = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
    return client.ask("POST", path, msgspec.json.encode(doc), content_type="application/json")
