"""Other programs: started from lists, ended in time, heard within bounds."""

import asyncio
import sys

import pytest

from mooring.host.errors import HostStuck, ProgramFailed, ProgramMissing
from mooring.host.processes import checked, followed, run

AMPLE_S = 30


async def test_arguments_reach_the_program_as_they_are() -> None:
    text = "a; rm -rf $HOME '\n\" *"
    assert await checked("printf", "%s", text, deadline_s=AMPLE_S) == text.encode()


async def test_nothing_of_our_environment_is_inherited() -> None:
    output = await checked("env", deadline_s=AMPLE_S, environment={"ADDED": "1"})
    assert {line.split(b"=")[0] for line in output.splitlines()} == {b"PATH", b"LC_ALL", b"ADDED"}


async def test_what_it_is_fed_is_its_input_and_else_that_is_empty() -> None:
    assert await checked("cat", deadline_s=AMPLE_S, feed=b"x" * 300_000) == b"x" * 300_000
    assert await checked("cat", deadline_s=AMPLE_S) == b""


async def test_a_program_that_reads_nothing_of_what_it_is_fed_just_ends() -> None:
    assert (await run("true", deadline_s=AMPLE_S, feed=b"x" * 300_000)).status == 0


async def test_a_failure_says_the_status_and_what_it_said() -> None:
    with pytest.raises(ProgramFailed, match="exit status 7: went wrong") as failure:
        await checked("sh", "-c", "echo went wrong >&2; exit 7", deadline_s=AMPLE_S)
    assert failure.value.status == 7


async def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ProgramMissing, match="no-such-program"):
        await run("no-such-program", deadline_s=AMPLE_S)


async def test_output_beyond_the_limit_is_read_and_dropped() -> None:
    endless = "import sys; sys.stdout.write('x' * 5_000_000)"
    finished = await run(sys.executable, "-c", endless, deadline_s=AMPLE_S, limit_bytes=1000)
    assert (finished.status, finished.output) == (0, b"x" * 1000)


async def test_after_the_deadline_it_and_what_it_started_are_dead(tmp_path: object) -> None:
    fifo = f"{tmp_path}/alive"
    await checked("mkfifo", fifo, deadline_s=AMPLE_S)
    # Both hold the pipe open for writing; its reader sees the end once the last one is dead.
    reader = asyncio.create_task(checked("cat", fifo, deadline_s=AMPLE_S))
    script = f"exec 3>{fifo}; echo started >&3; sleep 1000 & sleep 1000"
    with pytest.raises(HostStuck):
        await run("sh", "-c", script, deadline_s=0.5)
    assert await reader == b"started\n"


# Programs that say how far they are


async def test_each_line_is_heard_as_it_comes() -> None:
    heard: list[bytes] = []
    script = "echo one; echo two >&2; printf three; exit 4"
    ended = await followed("sh", "-c", script, heard=heard.append, silence_s=AMPLE_S)
    assert heard == [b"one\n", b"three"]
    assert (ended.status, ended.message) == (4, "two")


async def test_who_says_nothing_for_too_long_is_killed() -> None:
    with pytest.raises(HostStuck):
        await followed("sh", "-c", "echo; sleep 1000", heard=lambda _: None, silence_s=0.5)


async def test_its_input_stays_open_while_it_is_followed() -> None:
    heard: list[bytes] = []

    def hear(line: bytes) -> None:
        heard.append(line)
        raise InterruptedError

    # It would speak again as soon as its input ended.
    with pytest.raises(InterruptedError):
        await followed("sh", "-c", "echo; read line; echo", heard=hear, silence_s=AMPLE_S)
    assert heard == [b"\n"]
