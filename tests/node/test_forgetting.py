"""Who may work on a repository when, and that what waits for it keeps no queue waiting."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mooring.model.backup import VolumeBackup
from mooring.node.repositories import Turns
from mooring.objects.kind import Doc
from mooring.rules.backups import tag_of
from tests.node.host_plant import HostPlant

BACKUPS = VolumeBackup.resource
PASSWORD = "correct horse"
PATIENCE_S = 120.0
needs_restic = pytest.mark.skipif(shutil.which("restic") is None, reason="needs restic")


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[HostPlant]:
    (tmp_path / "backups").mkdir()
    made = HostPlant(tmp_path)
    yield made
    made.close()


def restic(repository: Path, *arguments: str) -> str:
    environment = {"RESTIC_REPOSITORY": str(repository), "RESTIC_PASSWORD": PASSWORD}
    return subprocess.run(
        ["restic", "--no-cache", *arguments],
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def a_backup(plant: HostPlant, name: str) -> VolumeBackup:
    """As this host has begun it."""
    source = {"persistentVolumeClaimName": "db"}
    doc = {"metadata": {"name": name}, "spec": {"source": source, "repository": "r"}}
    plant.put(BACKUPS, doc)

    def begun(doc: Doc) -> Doc:
        doc.setdefault("status", {})["node"] = "here"
        return doc

    kind, key = plant.objects.kinds[BACKUPS], f"default/{name}"
    plant._run(plant.objects.update(kind, key, begun, subresource="status"))
    made = plant.objects.view(VolumeBackup, key)
    assert made is not None
    return made


@pytest.mark.system
@needs_restic
def test_deletions_wait_for_backups_that_run_without_keeping_the_queue_waiting(
    plant: HostPlant, tmp_path: Path
) -> None:
    backing, names, repository = (
        plant.agent.backing,
        ("a", "b", "c"),
        tmp_path / "backups/repository",
    )
    plant.put("secrets", {"metadata": {"name": "key"}, "stringData": {"password": PASSWORD}})
    restic(repository, "init")
    spec = {"url": str(repository), "passwordSecret": {"name": "key"}}
    plant.put("backuprepositories.mooring.dev", {"metadata": {"name": "r"}, "spec": spec})
    for name in names:
        tag = tag_of(a_backup(plant, name))
        restic(repository, "backup", "--tag", tag, str(Path(__file__)))

    async def deleted_while_one_runs() -> None:
        repositories = backing._backups._repositories
        async with repositories.turns(repositories.opened("default/r", is_ready=False)).shared():
            for name in names:
                kind = plant.objects.kinds[BACKUPS]
                await plant.objects.delete(kind, f"default/{name}")
            await asyncio.wait_for(backing.backups.until_idle(), PATIENCE_S)
            assert len(plant.objects.views(VolumeBackup, "default")) == 3
        await backing.until_idle()
        await asyncio.wait_for(backing.backups.until_idle(), PATIENCE_S)

    plant._run(deleted_while_one_runs())
    assert list(plant.objects.views(VolumeBackup, "default")) == []
    assert restic(repository, "snapshots", "--json", "--no-lock").strip() in ("null", "[]")


async def until_it_waits() -> None:
    """Everything that can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(what: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(what, 30))


def test_who_wants_to_be_alone_goes_before_those_that_come_later() -> None:
    async def follow_each_other() -> None:
        turns, order = Turns(), list[str]()

        async def alone() -> None:
            async with turns.alone():
                order.append("alone")

        async def shared() -> None:
            async with turns.shared():
                order.append("shared")

        async with turns.shared():
            tasks = [asyncio.create_task(alone())]
            await until_it_waits()
            tasks.append(asyncio.create_task(shared()))
            await until_it_waits()
            assert order == []
        await asyncio.gather(*tasks)
        assert order == ["alone", "shared"]

    run(follow_each_other())


def test_who_gives_up_to_be_alone_holds_nobody_off() -> None:
    async def give_up() -> None:
        turns = Turns()

        async def alone() -> None:
            async with turns.alone():
                raise AssertionError

        async with turns.shared():
            task = asyncio.create_task(alone())
            await until_it_waits()

            async def shared() -> None:
                async with turns.shared():
                    pass

            waiting = asyncio.create_task(shared())
            await until_it_waits()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await waiting

    run(give_up())
