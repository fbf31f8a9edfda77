"""One call of a Publisher in a process of its own: STATE UID publish|unpublish SOURCE"""

import asyncio
import sys
from pathlib import Path

from mooring.node.published import Publisher
from mooring.node.sources import PathSource


async def _call(state: str, uid: str, what: str, source: str) -> None:
    publisher = Publisher(Path(state))
    await publisher.start()
    if what == "publish":
        await publisher.publish(uid, PathSource(Path(source)))
    else:
        await publisher.unpublish(uid)


if __name__ == "__main__":
    asyncio.run(_call(*sys.argv[1:]))
