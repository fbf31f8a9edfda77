"""What there is from the start, made once."""

import logging
from pathlib import Path
from typing import Final

from mooring.api.certificates import private_file
from mooring.api.joining import make_pool
from mooring.daemon.errors import NodeRenamed
from mooring.daemon.settings import Settings
from mooring.model.names import DEFAULT_CLASS, DIRECTORY_DRIVER
from mooring.model.pool import Pool
from mooring.model.populator import VolumePopulator
from mooring.objects.errors import AlreadyExists
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.rules.filling import FILLED_FROM, GROUP

log = logging.getLogger(__name__)

# Made once, so that what an admin deletes stays deleted; holds the name of the node.
FIRST_START: Final = "first-start-done"
LOCAL: Final = "local"


async def first_start(objects: Objects, settings: Settings) -> None:
    """Namespaces and what Mooring fills from always; Pool and StorageClass `local` once, or, where
    another host has these, Pool `local-NODE` and StorageClass `host`.

    Raises NodeRenamed.
    """
    for name in ("default", "kube-system"):
        await _made(objects, "namespaces", {"metadata": {"name": name}})
    for kind in sorted(FILLED_FROM):
        await _made(objects, VolumePopulator.resource, _registration(kind))
    if settings.pool is None:  # no agent runs here
        return
    marker = settings.data_dir / FIRST_START
    before = _text(marker)
    if before and before != settings.node_name:
        raise NodeRenamed(settings.data_dir, before, settings.node_name)
    if before:
        return
    pool = {
        "metadata": {"name": LOCAL},
        "spec": {
            "driver": DIRECTORY_DRIVER,
            "node": settings.node_name,
            "root": str(settings.pool.absolute()),
        },
    }
    await _made(objects, Pool.resource, pool)
    here = objects.view(Pool, LOCAL)
    if here is not None and here.spec.node != settings.node_name:
        # Of the host that was first: this one is like those that join.
        await make_pool(objects, settings.node_name, str(settings.pool.absolute()))
        private_file(marker, settings.node_name.encode())
        return
    class_ = {
        "metadata": {"name": LOCAL, "annotations": {DEFAULT_CLASS: "true"}},
        "provisioner": DIRECTORY_DRIVER,
        "parameters": {"pool": LOCAL},
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": True,
    }
    await _made(objects, "storageclasses.storage.k8s.io", class_)
    private_file(marker, settings.node_name.encode())


def _registration(kind: str) -> Doc:
    """Tells clients of a kind that Mooring itself fills new volumes from."""
    source = {"group": GROUP, "kind": kind}
    return {"metadata": {"name": f"{kind.lower()}.{GROUP}"}, "sourceKind": source}


def _text(path: Path) -> str:
    """Empty if there is no such file."""
    return path.read_text(errors="replace").strip() if path.exists() else ""


async def _made(objects: Objects, resource: str, doc: Doc) -> None:
    try:
        await objects.create(objects.kinds[resource], "", doc)
    except AlreadyExists:
        log.debug("%s is there already", doc["metadata"]["name"])
