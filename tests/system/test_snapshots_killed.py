"""The server killed wherever a snapshot, a restore or a clone could be left half done."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import mooring.daemon.up  # noqa: F401  brings in all that declares points
from mooring.crashpoints import POINTS
from tests.host.privileges import needs_mounts
from tests.system.server import eventually
from tests.system.snapshotted import BACKINGS, Doc, a_disk, filled, snapshot
from tests.system.test_crashes import CLAIMS, VOLUMES, Mortal

pytestmark = [pytest.mark.system, needs_mounts]

OURS: Final = ("snapshot.", "snapshots.", "provision.source-protected")
CASES: Final = sorted(point for point in POINTS if point.startswith(OURS))
GROUP: Final = "/apis/snapshot.storage.k8s.io/v1"
SNAPSHOTS: Final = f"{GROUP}/namespaces/default/volumesnapshots"
CONTENTS: Final = f"{GROUP}/volumesnapshotcontents"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with a_disk(tmp_path, "btrfs") as made:
        yield made


class Story:
    """A claim is written to, kept, restored, cloned, and all of it is given back."""

    def __init__(self, mortal: Mortal, root: Path) -> None:
        self.mortal, self.root = mortal, root

    def tell(self) -> None:
        self._prepare()
        (self._data("data") / "file").write_text("before")
        self.mortal.create(SNAPSHOTS, snapshot("monday", "data"))
        eventually(lambda: self._is_ready("monday"), "the snapshot is ready")
        self._nothing_is_in_the_making()
        (self._data("data") / "file").write_text("after")
        self.mortal.create(CLAIMS, filled("old", "snapshot:monday", "32Mi"))
        self.mortal.create(CLAIMS, filled("same", "volume:data", "32Mi"))
        assert (self._data("old") / "file").read_text() == "before"
        assert (self._data("same") / "file").read_text() == "after"
        eventually(lambda: self._finalizers("data") == ["kubernetes.io/pvc-protection"], "let go")
        self.mortal.delete(f"{SNAPSHOTS}/monday")
        eventually(lambda: not self.mortal.get(CONTENTS)["items"], "the content is gone")
        eventually(lambda: not self.mortal.get(SNAPSHOTS)["items"], "the snapshot is gone")
        for name in ("data", "old", "same"):
            self.mortal.delete(f"{CLAIMS}/{name}")
        eventually(lambda: not self.mortal.get(VOLUMES)["items"], "the volumes are gone")
        self._nothing_is_left()

    def _prepare(self) -> None:
        driver = BACKINGS["btrfs"].driver
        spec = {"driver": driver, "node": "here", "root": str(self.root)}
        named: Doc = {"metadata": {"name": "fast"}}
        self.mortal.create("/apis/mooring.dev/v1/pools", {**named, "spec": spec})
        class_ = {**named, "provisioner": driver, "parameters": {"pool": "fast"}}
        self.mortal.create("/apis/storage.k8s.io/v1/storageclasses", class_)
        key = "snapshot.storage.kubernetes.io/is-default-class"
        metadata = {"name": "fast", "annotations": {key: "true"}}
        kept = {"metadata": metadata, "driver": driver, "deletionPolicy": "Delete"}
        self.mortal.create(f"{GROUP}/volumesnapshotclasses", kept)
        self.mortal.create(CLAIMS, filled("data", "", "32Mi"))

    def _data(self, claim: str) -> Path:
        """Where a claim's data is, once it is Bound."""

        def found() -> Any:
            return self.mortal.get(f"{CLAIMS}/{claim}")

        eventually(lambda: found()["status"].get("phase") == "Bound", f"{claim} is Bound")
        return self.root / str(found()["spec"]["volumeName"]) / "data"

    def _is_ready(self, name: str) -> bool:
        status = self.mortal.get(f"{SNAPSHOTS}/{name}").get("status") or {}
        return status.get("readyToUse") is True

    def _finalizers(self, claim: str) -> list[str]:
        found: list[str] = self.mortal.get(f"{CLAIMS}/{claim}")["metadata"]["finalizers"]
        return found

    def _nothing_is_left(self) -> None:
        def left() -> list[str]:
            return [one.name for one in self.root.iterdir() if one.name != ".mooring-pool"]

        eventually(lambda: not left(), f"nothing is left in the pool: {left()}")
        self._nothing_is_in_the_making()

    def _nothing_is_in_the_making(self) -> None:
        for kind in ("provisioning", "snapshotting"):
            intents = self.mortal.server.place / "data" / kind
            eventually(lambda at=intents: not list(at.iterdir()), "nothing is in the making")


@pytest.mark.parametrize("point", CASES)
def test_killed_anywhere_the_next_start_goes_on(point: str, tmp_path: Path, disk: Path) -> None:
    mortal = Mortal(tmp_path, point)
    try:
        Story(mortal, disk / "pool").tell()
    finally:
        mortal.end()
    assert mortal.died, f"{point} was never passed"


def test_a_cut_whose_content_was_taken_away_by_force_is_taken_back(
    tmp_path: Path, disk: Path
) -> None:
    """Killed with the snapshot cut. While its pool is out of reach, somebody strips finalizers."""
    mortal, root, away = Mortal(tmp_path, "snapshot.cut"), disk / "pool", disk / "away"
    story = Story(mortal, root)
    try:
        story._prepare()
        story._data("data")
        mortal.create(SNAPSHOTS, snapshot("monday", "data"))
        assert mortal.server.process is not None
        mortal.server.process.wait(20)
        (kept,) = root.glob(".snapshot-*")
        root.rename(away)
        mortal.delete(f"{SNAPSHOTS}/monday")
        (content,) = mortal.get(CONTENTS)["items"]
        path = f"{CONTENTS}/{content['metadata']['name']}"
        eventually(lambda: "deletionTimestamp" in mortal.get(path)["metadata"], "it is to go")

        def stripped() -> bool:
            """Of what was read last: whoever writes it meanwhile has it read again."""
            bare = mortal.get(path)
            bare["metadata"]["finalizers"] = []
            return mortal.ask("PUT", path, bare)[0] == 200

        eventually(stripped, "its finalizers are stripped")
        assert mortal.get(path) is None
        away.rename(root)
        eventually(lambda: not kept.exists(), "what was cut is gone")
        assert mortal.died
    finally:
        mortal.end()
