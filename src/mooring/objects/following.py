"""Following a store for as long as it is open, whatever happens in between."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from mooring.store.interface import Changes, Expired, Store, Unavailable

log = logging.getLogger(__name__)

RETRY_S: Final = (0.1, 2.0)  # first and longest, while the store is away


async def followed(
    store: Store,
    prefix: str,
    revision: int,
    told: Callable[[Changes], None],
    anew: Callable[[], Awaitable[int]],
) -> None:
    """Tell of every change after a revision. Returns when the store was closed.

    A store that is away for a moment is no reason to end: who followed would show old news from
    then on.

    anew  what is there is looked at again, as history was forgotten; returns of which revision
    """
    delay_s, is_forgotten = RETRY_S[0], False
    while True:
        try:
            if is_forgotten:
                revision, is_forgotten = await anew(), False
            async for batch in store.watch(prefix, revision):
                told(batch)
                revision, delay_s = batch[-1].revision, RETRY_S[0]
            return
        except Expired:  # a store out of reach for long, as over a network
            is_forgotten = True
        except Unavailable as error:
            log.warning("changes of %r are not told for now: %s", prefix, error)
        await asyncio.sleep(delay_s)
        delay_s = min(2 * delay_s, RETRY_S[1])
