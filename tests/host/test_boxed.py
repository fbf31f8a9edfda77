"""The process around restic: what it says, what it makes holes of, and what it does not let in."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mooring.host import boxed
from mooring.host.boxed import FULL, SAY_EACH_BYTES
from mooring.host.processes import own
from tests.host.privileges import needs_mounts

MIB = 1 << 20
PATIENCE_S = 120

pytestmark = needs_mounts


def run(place: Path, mode: str, *program: str) -> tuple[int, list[Any]]:
    """Its exit status, and what it said."""
    box, volume = place / "box", place / "volume"
    for one in (box / "volume", volume):
        one.mkdir(parents=True, exist_ok=True)
    command = [*own("mooring.host.boxed"), str(box), str(volume), mode, "--", *program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = [json.loads(line) for line in process.stdout]
        return process.wait(PATIENCE_S), said


def a_file(place: Path) -> Path:
    (place / "volume").mkdir()
    return place / "volume/file"


def test_it_is_told_how_far_the_look_for_zeros_in_a_file_is(tmp_path: Path) -> None:
    size = 4 * SAY_EACH_BYTES
    a_file(tmp_path).write_bytes(b"a" * size)
    status, said = run(tmp_path, "fill", "true")
    assert status == 0
    read = {one["read_bytes"] for one in said}
    assert len(read) >= 4, said


def test_holes_are_not_read(tmp_path: Path) -> None:
    path = a_file(tmp_path)
    with path.open("wb") as file:
        file.write(bytes(2 * MIB))
        file.seek(7 << 40)  # hours, if it was read
        file.write(b"a" * MIB)
    status, _ = run(tmp_path, "fill", "true")
    assert status == 0
    found = path.stat()
    assert found.st_size == (7 << 40) + MIB
    assert found.st_blocks * 512 <= MIB + boxed.SMALLEST_HOLE
    with path.open("rb") as file:
        assert not any(file.read(MIB))
        file.seek(7 << 40)
        assert file.read() == b"a" * MIB


def test_it_is_said_that_we_live_while_the_disk_takes_in_what_was_written() -> None:
    script = "import sys\nfrom mooring.host import boxed\n"
    script += "with boxed.ticking(1, 2, 0.01): sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(3):
            said = json.loads(process.stdout.readline())
            assert (said["read_bytes"], said["written_bytes"]) == (1, 2)
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0


def test_who_writes_more_than_there_may_be_is_ended(tmp_path: Path) -> None:
    status, _ = run(tmp_path, f"fill={MIB}", "dd", "if=/dev/urandom", "of=volume/file", "bs=1M")
    assert status == FULL


def test_holes_do_not_count_as_content(tmp_path: Path) -> None:
    status, _ = run(tmp_path, f"fill={MIB}", "truncate", "-s", "1T", "volume/file")
    assert status == 0
    write = f"seek={1 << 20}", "bs=1M", "count=2", "if=/dev/urandom", "of=volume/file"
    status, _ = run(tmp_path, f"fill={MIB}", "dd", *write)
    assert status == FULL
