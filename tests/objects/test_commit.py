"""Views stored together: all that was read must still be so."""

import pytest

from mooring.model.claim import Claim
from mooring.model.names import Phase
from mooring.model.volume import Volume
from mooring.objects.kind import Doc
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
