"""What real restic is asked, and what is made of its answers."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.host import processes
from mooring.host.restic import BadSnapshotId, Restic, ResticFailed
from tests.host.privileges import needs_mounts
from tests.system.backups import HAS_RESTIC

pytestmark = [
    pytest.mark.system,
    needs_mounts,
    pytest.mark.skipif(not HAS_RESTIC, reason="needs restic"),
]
SOME_TAGS = [f"{number}{'x' * 100_000}" for number in range(7)]  # in which each snapshot is long


@pytest.fixture
def repository(tmp_path: Path) -> Restic:
    made = Restic(str(tmp_path / "repository"), "secret", tmp_path / "work")
    asyncio.run(made.make())
    return made


async def backed_up(repository: Restic, place: Path, content: str) -> str:
    place.mkdir(exist_ok=True)
    (place / "file").write_text(content)
    tags = ["of=us", *SOME_TAGS]
    summary = await repository.backup(place, "here", tags, "", lambda *_: None)
    return await repository.newest("of=us") if summary.snapshot_id else ""


async def test_the_newest_is_found_however_long_the_list_of_all_is(
    repository: Restic, tmp_path: Path
) -> None:
    assert await repository.newest("of=us") == ""
    ids = [await backed_up(repository, tmp_path / "data", str(number)) for number in range(2)]
    assert len(set(ids)) == 2
    listed = await repository.snapshots("of=us")  # beyond what is read of other programs
    assert [one.id for one in listed] == ids
    assert sum(len(tag) for one in listed for tag in one.tags) > processes.OUTPUT_LIMIT_BYTES
    assert await repository.full_id(ids[1][:8], "of=us") == ids[1]
    short = replace(repository, lists_at_most_bytes=processes.OUTPUT_LIMIT_BYTES)
    assert await short.newest("of=us") == ids[1]
    with pytest.raises(ResticFailed, match="cannot be read"):
        await short.snapshots("of=us")


@pytest.mark.parametrize("id_", ["--password-command=touch RAN", "-h", "latest", "", "0" * 65])
async def test_only_ids_of_snapshots_are_given_to_it(
    repository: Restic, tmp_path: Path, id_: str
) -> None:
    ran = tmp_path / "ran"
    wanted = id_.replace("RAN", str(ran))
    for asked in (
        repository.restore_size(wanted),
        repository.restore(wanted, tmp_path, lambda *_: None),
        repository.forget([wanted]),
        repository.backup(tmp_path, "here", [], wanted or "-h", lambda *_: None),
    ):
        with pytest.raises(BadSnapshotId):
            await asked
    assert not ran.exists()
