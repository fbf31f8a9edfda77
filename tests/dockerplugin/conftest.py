"""Which loop the tests of this directory run on."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """As Mooring itself does: how a connection is seen to end differs from loop to loop."""
    return {"uvloop": uvloop.new_event_loop}
