"""Work that goes on beside everything else."""

import asyncio

import pytest

from mooring.background import Background


async def test_it_is_over_once_it_was_ended() -> None:
    is_over = asyncio.Event()

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            is_over.set()

    work = Background("waiting")
    work.begin(run())
    await asyncio.sleep(0)
    await work.end()
    assert is_over.is_set()
    await work.end()


async def test_what_never_began_can_be_ended() -> None:
    await Background("nothing").end()


async def test_that_it_failed_is_logged_when_it_happens(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        raise OSError("the disk is full")

    work = Background("heartbeat")
    work.begin(run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert "heartbeat has ended by an error" in caplog.text
    assert "the disk is full" in caplog.text
    await work.end()
