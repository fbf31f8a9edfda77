"""Volumes of an NFS server by claims, through a whole Mooring. It is in a machine:
test_machines.py."""

from pathlib import Path

import pytest

from bench.server import own_server
from bench.volumes import CLAIMS, MOUNTS, Volumes
from mooring.host import mounts
from tests.conformance.driver_bench import NFS_ROOT

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not NFS_ROOT, reason="needs an NFS server: `make slow` has it in a machine"),
]


def test_a_class_of_a_shared_pool_and_an_export_by_hand(tmp_path: Path) -> None:
    exports = {name: tmp_path / name for name in ("volumes", "photos")}
    for export in exports.values():
        export.mkdir()
    nfs = {
        name: {"server": "127.0.0.1", "path": f"/{export.relative_to(NFS_ROOT)}"}
        for name, export in exports.items()
    }
    (exports["photos"] / "one").write_text("there")
    with own_server(start_s=300) as server:
        volumes = Volumes(server.target)
        root = tmp_path / "pool"
        made = volumes.mounted("shared", "nfs.mooring.dev", root, "1Gi", nfs=nfs["volumes"])
        (made / "file").write_text("written")
        (name,) = (one.name for one in exports["volumes"].glob("pvc-*"))
        assert (exports["volumes"] / name / "data/file").read_text() == "written"
        modes, size = ["ReadOnlyMany"], {"storage": "1Gi"}
        fixed = {"capacity": size, "accessModes": modes, "storageClassName": ""}
        spec = {**fixed, "mountOptions": ["noatime"], "nfs": {**nfs["photos"], "readOnly": True}}
        volumes.ask("POST", "/api/v1/persistentvolumes", _named("photos", spec))
        wanted = {"accessModes": modes, "storageClassName": "", "resources": {"requests": size}}
        volumes.ask("POST", CLAIMS, _named("photos", wanted))
        volumes.wait_until_bound("photos")
        photos = Path(volumes.ask("POST", f"{MOUNTS}/photos")["path"])
        assert (photos / "one").read_text() == "there"
        assert {"ro", "noatime", "nosuid"} <= mounts.mounts_at(str(photos))[-1].options
        for claim in ("photos", "shared"):
            volumes.unmount(claim)
        assert mounts.mounts_below(str(root)) == []
        volumes.ask("DELETE", f"{CLAIMS}/shared")
        volumes.wait_until_gone("shared")
        assert not list(exports["volumes"].glob("pvc-*"))
    mounts.unmount(root)


def _named(name: str, spec: dict[str, object]) -> dict[str, object]:
    return {"metadata": {"name": name}, "spec": spec}
