"""Views stored together: all that was read must still be so."""

import asyncio

import pytest

from mooring.model.claim import Claim
from mooring.model.names import GROWS_TO, Phase
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.objects.kind import Doc
from mooring.objects.views import view
from mooring.store.interface import Conflict
from tests.api.client import Client

CLAIM: Doc = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
VOLUME: Doc = {
    "metadata": {"name": "one"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "hostPath": {"path": "/x"},
        "claimRef": {"namespace": "default", "name": "data"},
    },
}


async def test_what_is_wanted_as_it_was_is_not_written() -> None:
    async with Client() as client:
        claim, volume = await both(client)
        await client.objects.commit([(claim, claim.with_volume(volume)), (volume, volume)])
        after = client.objects.view(Volume, "one")
        assert after is not None
        assert after.metadata.resource_version == volume.metadata.resource_version


async def test_what_is_wanted_as_it_was_must_be_so_still() -> None:
    async with Client() as client:
        claim, volume = await both(client)

        def elsewhere(doc: Doc) -> Doc:
            doc["spec"]["claimRef"]["name"] = "other"
            return doc

        await client.objects.update(client.objects.kinds[Volume.resource], "one", elsewhere)
        with pytest.raises(Conflict):
            await client.objects.commit([(claim, claim.with_volume(volume)), (volume, volume)])
        after = client.objects.view(Claim, "default/data")
        assert after is not None
        assert after.volume_name == ""


async def both(client: Client) -> tuple[Claim, Volume]:
    kinds = client.objects.kinds
    await client.objects.create(
        kinds[Claim.resource], "default", CLAIM | {"metadata": {"name": "data"}}
    )
    await client.objects.create(kinds[Volume.resource], "", VOLUME | {"metadata": {"name": "one"}})
    claim, volume = client.objects.view(Claim, "default/data"), client.objects.view(Volume, "one")
    assert claim is not None
    assert volume is not None
    return claim, volume


async def test_of_views_stored_each_for_itself_those_that_are_old_are_told() -> None:
    async with Client() as client:
        claim, volume = await both(client)
        named, old = claim.with_volume(volume), claim.in_phase(Phase.LOST)
        results = await client.objects.commit_each(
            [[(claim, named)], [(volume, volume.annotated(a="b"))], [(claim, old)]]
        )
        assert [type(one) for one in results] == [type(None), type(None), Conflict]
        after = client.objects.view(Claim, "default/data"), client.objects.view(Volume, "one")
        assert [one and one.phase for one in after] == ["Pending", "Pending"]
        assert after[1] is not None
        assert after[1].annotations == {"a": "b"}


POOL: Doc = {"driver": "directory.mooring.dev", "node": "here", "root": "/srv/p"}


def of_pool(name: str) -> Doc:
    source = {
        "driver": "directory.mooring.dev",
        "volumeHandle": name,
        "volumeAttributes": {"mooring.dev/pool": "p"},
    }
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "csi": source,
    }
    return {"metadata": {"name": name}, "spec": spec}


async def test_changes_that_charge_a_pool_do_not_get_in_the_way_of_what_is_made_there() -> None:
    async with Client() as client:
        objects, kinds = client.objects, client.objects.kinds
        await objects.create(kinds[Pool.resource], "", {"metadata": {"name": "p"}, "spec": POOL})
        volumes = kinds[Volume.resource]
        old = [await objects.create(volumes, "", of_pool(f"old{number}")) for number in range(40)]
        views = [view(Volume, entry) for entry in old]
        grown = [objects.commit([(one, one.annotated(**{GROWS_TO: "2Gi"}))]) for one in views]
        made = [objects.create(volumes, "", of_pool(f"new{number}")) for number in range(40)]
        both = [work for pair in zip(grown, made, strict=True) for work in pair]
        done = await asyncio.gather(*both, return_exceptions=True)
        assert [one for one in done if isinstance(one, BaseException)] == []
        pool = objects.view(Pool, "p")
        assert pool is not None
        assert (str(pool.allocated), pool.status.volumes) == ("120Gi", 80)


async def test_a_pool_itself_must_be_as_it_was_read() -> None:
    async with Client() as client:
        objects, kinds = client.objects, client.objects.kinds
        doc = {"metadata": {"name": "p"}, "spec": POOL}
        pool = view(Pool, await objects.create(kinds[Pool.resource], "", doc))
        await objects.create(kinds[Volume.resource], "", of_pool("v"))
        with pytest.raises(Conflict):
            await objects.commit([(pool, pool.annotated(a="b"))])


async def test_changes_of_one_turn_that_charge_a_pool_are_all_stored_at_the_first_try() -> None:
    async with Client() as client:
        objects, kinds = client.objects, client.objects.kinds
        await objects.create(kinds[Pool.resource], "", {"metadata": {"name": "p"}, "spec": POOL})
        volumes = kinds[Volume.resource]
        made = [await objects.create(volumes, "", of_pool(f"v{number}")) for number in range(20)]
        views = [view(Volume, entry) for entry in made]
        grown = [[(one, one.annotated(**{GROWS_TO: "2Gi"}))] for one in views]
        assert await objects.commit_each(grown) == [None] * 20
        pool = objects.view(Pool, "p")
        assert pool is not None
        assert (str(pool.allocated), pool.status.volumes) == ("40Gi", 20)
