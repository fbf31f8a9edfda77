"""`mooring server`: a server without a node agent; several of them may have one store."""

from collections.abc import Callable

import uvicorn

from mooring.daemon.core import core_of
from mooring.daemon.parts import Part
from mooring.daemon.serving import config, listener_of, serve
from mooring.daemon.settings import Settings
from mooring.daemon.stores import opened
from mooring.host.allocator import Trimmer, share_one_heap


async def run(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. Raises MooringError if it cannot start.

    on_ready  is told the server's URL once it serves
    """
    share_one_heap()
    with listener_of(settings) as listener:
        store = await opened(settings.store, settings.data_dir)
        try:
            core = await core_of(settings, listener, store)
            app = core.app()
            server = uvicorn.Server(config(app, core.authority))
            parts: list[Part] = [Trimmer(), *core.parts]
            await serve(server, listener, app, core.feeds, parts, lambda: on_ready(core.url))
            await core.close()
        finally:
            await store.close()
