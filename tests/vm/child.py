"""One call in a process of its own, which a crash point may end: KIND JSON CALL"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from mooring.drivers.interface import Place, asset_name
from mooring.drivers.nfs import NfsDriver
from mooring.node.iscsi import IscsiSource
from mooring.node.remote import NfsSource, RemotePlaces

NAME = asset_name("pvc-0a1b2c3d-0000-4000-8000-000000000001")


async def _call(kind: str, about: dict[str, Any], call: str) -> None:
    if kind == "driver":
        driver = NfsDriver.at(Place("pool", "uid-of-pool", Path(about["root"]), about["options"]))
        await driver.start(new=True)
        if call == "publish":
            await driver.create(NAME, 1 << 20)
            await driver.publish(NAME)
        return
    places = RemotePlaces(Path(about.pop("state")))
    source: NfsSource | IscsiSource
    if kind == "nfs":
        source = NfsSource(places, **about)
    else:
        source = IscsiSource(places, **about | {"portals": tuple(about["portals"])})
    await source.path()
    if call == "release":
        await source.release()


if __name__ == "__main__":
    asyncio.run(_call(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]))
