"""The uid of each object."""

import uuid

from mooring.objects.uids import UIDS_AT_ONCE
from tests.api.client import Client


async def test_uids_are_uuids_of_version_4_and_none_comes_twice() -> None:
    async with Client() as client:
        kind, count = client.objects.kinds["configmaps"], 3 * UIDS_AT_ONCE
        uids = []
        for number in range(count):
            doc = {"metadata": {"name": f"c{number}"}}
            await client.objects.create(kind, "default", doc)
            uids.append(doc["metadata"]["uid"])
        assert len(set(uids)) == count
        for text in uids:
            uid = uuid.UUID(text)
            assert (uid.version, uid.variant, str(uid)) == (4, uuid.RFC_4122, text)
