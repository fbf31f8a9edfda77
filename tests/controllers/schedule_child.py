"""Controllers of their own process on a store on disk, through three days: DIRECTORY.

Prints the names of the backups that are to be there in the end.
"""

import asyncio
import json
import sys
from pathlib import Path

from mooring.controllers.controllers import Controllers
from mooring.model.backup import VolumeBackup
from mooring.model.schedule import SnapshotSchedule
from mooring.objects.errors import AlreadyExists
from mooring.objects.kind import Doc
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.sqlite import SqliteStore
from tests.controllers.clocked import HandClock, a_claim_doc, a_volume_doc

DAY_S = 86400


async def _main(place: Path) -> None:
    store = await SqliteStore.opened(place / "store")
    clock = HandClock()
    objects = Objects(store, ALL_KINDS, clock)
    await objects.start()
    spec: Doc = {"schedule": "0 3 * * *", "claimSelector": {}, "keep": {"last": 1}}
    spec["backup"] = {"repository": "r"}
    await _made(objects, "namespaces", {"metadata": {"name": "default"}})
    for name in ("a", "b"):
        await _made(objects, "persistentvolumes", a_volume_doc(f"v-{name}"))
        await _made(objects, "persistentvolumeclaims", a_claim_doc(name, ""))
    controllers = Controllers(objects)
    await controllers.start()
    await controllers.idle()
    schedule: Doc = {"metadata": {"name": "nightly"}, "spec": spec}
    await _made(objects, SnapshotSchedule.resource, schedule)
    for _ in range(2):
        clock.move(DAY_S)
        controllers.schedules.hurry()
        await controllers.idle()
        for entry in list(objects.cache.shelves[VolumeBackup.resource].entries()):
            await objects.update(
                objects.kinds[VolumeBackup.resource], entry.key, _ready, subresource="status"
            )
        await controllers.idle()
    left = [one.name for one in objects.views(VolumeBackup) if not one.being_deleted]
    print(json.dumps(sorted(left)))
    await controllers.stop()
    await objects.close()
    await store.close()


def _ready(doc: Doc) -> Doc:
    doc["status"]["phase"] = "Completed"
    return doc


async def _made(objects: Objects, resource: str, doc: Doc) -> None:
    kind = objects.kinds[resource]
    try:
        await objects.create(kind, "default" if kind.namespaced else "", doc)
    except AlreadyExists:
        return


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
