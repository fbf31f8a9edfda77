"""The bench of the data path: on disks and a server of its own, which are gone afterwards."""

import shutil
from pathlib import Path

import pytest

from bench.data_path import NAMES, WORKS, arguments, markdown
from bench.measure import Measure, Report
from bench.report import read
from tests.bench.test_command import run
from tests.host.privileges import needs_mounts

PROGRAMS = ("fio", "mkfs.xfs", "mkfs.btrfs", "mkfs.ext4")
needs_programs = pytest.mark.skipif(
    not all(shutil.which(one) for one in PROGRAMS), reason=f"needs {', '.join(PROGRAMS)}"
)


def test_a_volume_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit):
        arguments(["--volumes", "directory,wrong"])


def test_the_table_has_both_speeds_and_the_share() -> None:
    row = Measure(
        *("a volume, a work", "× bare", {"ratio": 0.9512}, {"ratio": 0.95}),
        more_is_better=True,
        note="bare 1,200 MiB/s; volume 1,141 MiB/s",
    )
    table = markdown(Report("fio-3", "a machine", 2, "today", [row]))
    assert table.splitlines()[-1] == (
        "| a volume, a work | 1,200 MiB/s | 1,141 MiB/s | 0.95 | 0.95 |"
    )


@pytest.mark.slow
@pytest.mark.system
@needs_mounts
@needs_programs
async def test_a_volume_is_measured_beside_the_bare_file_system(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    words = ("--quick", "--volumes", "loopfile-ext4", "--on", str(tmp_path), "--json", str(file))
    code, output = await run(*words, module="bench.data_path")
    assert code == 0, output
    names = [row.name for row in read(file).rows]
    assert names == [f"loopfile-ext4 on xfs, {work.name}" for work in WORKS]
    assert not list(tmp_path.glob("bench-*"))


@pytest.mark.slow
@needs_mounts
@needs_programs
async def test_every_kind_of_volume_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    words = ("--quick", "--on", str(tmp_path), "--json", str(file))
    code, output = await run(*words, module="bench.data_path")
    assert code == 0, output
    assert {row.name.split(" ")[0] for row in read(file).rows} == set(NAMES)
