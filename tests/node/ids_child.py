"""One call of an Ids in a process of its own: STATE add|drop|void|epoch UID ID"""

import asyncio
import sys
from pathlib import Path

from mooring.clock import SystemClock
from mooring.node.ids import Ids


async def _call(state: str, what: str, uid: str, id_: str) -> None:
    ids = Ids(Path(state), SystemClock())
    await ids.start(host_is_new=what == "void")
    if what == "add":
        await ids.add(uid, id_, "default/db")
    elif what == "drop":
        await ids.drop(uid, id_)
    elif what == "epoch":
        await ids.new_epoch()


if __name__ == "__main__":
    asyncio.run(_call(*sys.argv[1:]))
