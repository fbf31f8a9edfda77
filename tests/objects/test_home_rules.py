"""What classes and volumes refuse about where data may be, and what pools are charged for it."""

import pytest

from mooring.model.home import Copy, CopyState, Home, copies_text
from mooring.model.names import COPIES, ELSEWHERE, GROWS_TO, HOME
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.objects.errors import Forbidden
from mooring.objects.kind import Doc
from mooring.objects.views import view
from tests.api.client import Client
from tests.objects.storage_making import CLASS, VOLUME, class_, made, refusals, volume

BTRFS, LOOPFILE, NFS = (f"{name}.mooring.dev" for name in ("btrfs", "loopfile", "nfs"))
ASK, EVERY, COUNT = (f"parameters[{name}]" for name in ("elsewhere", "replicaEvery", "replicas"))
THERE = Copy(node="b", pool="pb", state=CopyState.ARRIVING, size="1Gi")


@pytest.mark.parametrize(
    ("driver", "parameters", "expected"),
    [
        (LOOPFILE, {"elsewhere": "move"}, {}),
        (NFS, {"elsewhere": "refuse"}, {}),
        (NFS, {"elsewhere": "move"}, {ASK: "Invalid"}),
        ("d.example.com", {"elsewhere": "move"}, {ASK: "Invalid"}),
        (BTRFS, {"elsewhere": "Move"}, {ASK: "NotSupported"}),
        (BTRFS, {"elsewhere": "replica", "replicas": "2", "replicaEvery": "5s"}, {}),
        (LOOPFILE, {"elsewhere": "replica"}, {ASK: "Invalid"}),
        (BTRFS, {"elsewhere": "replica", "fencing": "lease"}, {"parameters[fencing]": "Invalid"}),
        (BTRFS, {"elsewhere": "replica", "replicas": "0"}, {COUNT: "Invalid"}),
        (BTRFS, {"elsewhere": "replica", "replicaEvery": "soon"}, {EVERY: "Invalid"}),
        (BTRFS, {"elsewhere": "move", "replicas": "1"}, {COUNT: "Invalid"}),
    ],
)
def test_a_class_says_what_its_driver_can(
    driver: str, parameters: dict[str, str], expected: dict[str, str]
) -> None:
    assert refusals(CLASS, class_(provisioner=driver, parameters=parameters)) == expected


def movable(
    home: str | None = "a/pa",
    copies: str | None = None,
    pool: str = "pa",
    elsewhere: str | None = "move",
) -> Doc:
    source = {
        "driver": BTRFS,
        "volumeHandle": "v",
        "volumeAttributes": {"mooring.dev/pool": pool} if pool else {},
    }
    told = {HOME: home, COPIES: copies, ELSEWHERE: elsewhere}
    annotations = {key: value for key, value in told.items() if value is not None}
    return volume({"annotations": annotations}, hostPath=None, csi=source)


@pytest.mark.parametrize(
    ("doc", "field"),
    [
        (movable(), ""),
        (movable(copies=copies_text((THERE,))), ""),
        (movable("a"), HOME),
        (movable(pool=""), HOME),
        (movable(None, copies="[]"), HOME),
        (movable(copies="{"), COPIES),
        (movable(copies='[{"node":"b"}]'), COPIES),
        (movable(copies='[{"node":"b","pool":"pb","size":"x"}]'), COPIES),
        (movable(copies='[{"node":"b","pool":"pb","state":"lost"}]'), COPIES),
        (movable(copies='[{"node":"b","pool":"pb","size":"0"}]'), COPIES),
        (movable(copies='[{"node":"b","pool":"pb","size":"-100Gi"}]'), COPIES),
        (movable(elsewhere=None), ELSEWHERE),
        (movable(None), HOME),
        (movable(copies=copies_text((THERE, THERE))), COPIES),
        (movable("b/pb", copies_text((THERE,))), COPIES),
    ],
)
def test_a_volume_says_where_its_data_is_in_one_way(doc: Doc, field: str) -> None:
    assert [*refusals(VOLUME, doc)] == ([f"metadata.annotations[{field}]"] if field else [])


@pytest.mark.parametrize("gone", [HOME, ELSEWHERE])
def test_one_that_may_move_may_always(gone: str) -> None:
    old, doc = made(VOLUME, movable()), movable()
    del doc["metadata"]["annotations"][gone]
    assert [*refusals(VOLUME, doc, old)] == [f"metadata.annotations[{gone}]"]


def test_one_of_before_may_be_told_what_becomes_of_it_elsewhere() -> None:
    old = made(VOLUME, movable())
    del old["metadata"]["annotations"][ELSEWHERE]
    assert not refusals(VOLUME, movable(), old)
    del (plain := movable())["metadata"]["annotations"][ELSEWHERE]
    assert not refusals(VOLUME, plain, old)


async def test_each_pool_is_charged_in_a_commit_of_its_own() -> None:
    async with Client() as client:
        objects, kinds = client.objects, client.objects.kinds
        for name, node in (("pa", "a"), ("pb", "b"), ("small", "c")):
            spec = {"driver": BTRFS, "node": node, "root": "/srv/p", "capacity": "5Gi"}
            spec["capacity"] = "1Mi" if name == "small" else "5Gi"
            doc: Doc = {"metadata": {"name": name}, "spec": spec}
            await objects.create(kinds[Pool.resource], "", doc)

        def allocated() -> list[str]:
            return [str(one.allocated) for one in objects.views(Pool)]

        async def becomes(changed: Volume) -> Volume:
            await objects.commit([(now(), changed)])
            return now()

        def now() -> Volume:
            found = objects.view(Volume, "v")
            assert found is not None
            return found

        entry = await objects.create(kinds[Volume.resource], "", movable())
        made_ = view(Volume, entry)
        assert allocated() == ["1Gi", "0", "0"]
        with pytest.raises(Forbidden, match="pool small has 1Mi"):
            await becomes(made_.with_copy(Copy(node="c", pool="small", size="1Gi")))
        arriving = await becomes(made_.with_copy(THERE))
        assert allocated() == ["1Gi", "1Gi", "0"]
        with pytest.raises(Forbidden, match="it has copies in pa, pb"):
            await objects.update(kinds[Volume.resource], "v", _of_another)
        grown = await becomes(arriving.annotated(**{GROWS_TO: "2Gi"}))
        assert allocated() == ["2Gi", "1Gi", "0"]
        same = await becomes(grown.with_copy(Copy(node="b", pool="pb", size="2Gi")))
        assert allocated() == ["2Gi", "2Gi", "0"]
        left = Copy(node="a", pool="pa", state=CopyState.LEAVING, size="2Gi")
        there = await becomes(same.at_home(Home("b", "pb")).with_copies(left))
        assert allocated() == ["2Gi", "2Gi", "0"]
        await becomes(there.with_copies())
        assert allocated() == ["0", "2Gi", "0"]


def _of_another(doc: Doc) -> Doc:
    doc["spec"]["claimRef"] = {"namespace": "other", "name": "data"}
    return doc
