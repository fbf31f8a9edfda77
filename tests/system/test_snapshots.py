"""Storage semantics §18 with real backends: snapshots, what is restored from them, and clones."""

from collections.abc import Iterator

import pytest

from tests.host.privileges import needs_mounts
from tests.system.server import eventually
from tests.system.snapshotted import BACKINGS, Snapshotted, filled, snapshot, snapshotted

pytestmark = [pytest.mark.system, needs_mounts]


@pytest.fixture(params=BACKINGS, scope="module")
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Snapshotted]:
    with snapshotted(tmp_path_factory.mktemp("snapshots"), request.param) as made:
        made.server.start()
        made.prepare()
        yield made


def test_a_snapshot_is_restored_and_a_claim_is_cloned(world: Snapshotted) -> None:
    world.apply(filled("data", "", world.size))
    world.bound("data")
    world.write("data", "before")
    world.apply(snapshot("monday", "data"))
    ready = world.ready("monday")
    assert ready["status"]["restoreSize"] == world.size
    assert ready["spec"]["volumeSnapshotClassName"] == "fast"
    assert world.content("monday")["status"]["snapshotHandle"] == (
        f"fast/snapshot-{ready['metadata']['uid']}"
    )
    world.write("data", "after")
    world.apply(filled("old", "snapshot:monday", world.size))
    world.apply(filled("same", "volume:data", world.size))
    for name, text in (("old", "before"), ("same", "after")):
        world.bound(name)
        assert world.read(name) == text
    assert world.reasons("monday") == {"CreatingSnapshot", "SnapshotCreated", "SnapshotReady"}
    world.server.kubectl("delete", "volumesnapshot", "monday")
    world.server.kubectl("delete", "pvc", "data", "old", "same")
    eventually(lambda: not world.server.get("volumesnapshotcontents")["items"], "gone")
    eventually(lambda: not world.on_disk(), f"nothing is left: {world.on_disk()}")
    eventually(lambda: not world.intents(), "nothing is in the making")
