"""What the kinds of backups refuse, and say why."""

from collections.abc import Iterator
from typing import Any

import pytest

from mooring.model.backup import BackupRepository, VolumeArchive, VolumeBackup
from mooring.objects.errors import Invalid
from mooring.objects.kind import Doc
from tests.controllers.plant import Plant

REPOSITORIES, BACKUPS, ARCHIVES = (
    one.resource for one in (BackupRepository, VolumeBackup, VolumeArchive)
)
SECRET = {"passwordSecret": {"name": "key"}}
STORE = SECRET | {"credentialsSecret": {"name": "store"}}
SOURCE: Doc = {"source": {"persistentVolumeClaimName": "db"}, "repository": "r"}


@pytest.fixture
def plant() -> Iterator[Plant]:
    made = Plant()
    yield made
    made.close()


def refused(plant: Plant, resource: str, spec: Doc) -> dict[str, str]:
    """Messages by field; nothing if it was taken."""
    doc = {"metadata": {"name": "x"}, "spec": spec}
    try:
        plant._run(plant.creation(resource, doc))
    except Invalid as error:
        return {cause.field: cause.message for cause in error.causes}
    return {}


@pytest.mark.parametrize(
    "spec",
    [
        {"url": "/srv/backups", "node": "here", **SECRET},
        {"url": "s3:https://s3.example.com/bucket/path", **STORE},
        {"url": "s3:http://[::1]:9000/bucket", **STORE},
    ],
)
def test_repositories_that_are_taken(plant: Plant, spec: Doc) -> None:
    assert refused(plant, REPOSITORIES, spec) == {}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"url": "srv/backups", **SECRET}, "spec.url"),
        ({"url": "/srv/../etc", **SECRET}, "spec.url"),
        ({"url": "/", **SECRET}, "spec.url"),
        ({"url": "sftp:host:/x", **SECRET}, "spec.url"),
        ({"url": "s3:https://s3.example.com", **STORE}, "spec.url"),
        ({"url": "s3:https://me:secret@s3.example.com/bucket", **STORE}, "spec.url"),
        ({"url": "s3:https://host:port/bucket", **STORE}, "spec.url"),
        ({"url": "s3:ftp://host/bucket", **STORE}, "spec.url"),
        ({"url": "s3:https://host/bucket", **SECRET}, "spec.credentialsSecret.name"),
        ({"url": "s3:https://host/bucket", "node": "a", **STORE}, "spec.node"),
        ({"url": "/srv/backups"}, "spec.passwordSecret.name"),
        ({"url": "/srv/backups", "passwordSecret": {"name": "../x"}}, "spec.passwordSecret.name"),
    ],
)
def test_repositories_that_are_not(plant: Plant, spec: Doc, field: str) -> None:
    found = refused(plant, REPOSITORIES, spec)
    assert list(found) == [field]
    assert "secret@" not in found[field]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": {}}, "spec.source"),
        ({"source": {"persistentVolumeClaimName": "a", "volumeSnapshotName": "b"}}, "spec.source"),
        ({"repository": ""}, "spec.repository"),
        ({"verify": "Maybe"}, "spec.verify"),
        ({"deletionPolicy": "Lose"}, "spec.deletionPolicy"),
        ({"readDataSubset": "101%"}, "spec.readDataSubset"),
        ({"readDataSubset": "--password-command=x"}, "spec.readDataSubset"),
        ({"retries": -1}, "spec.retries"),
        ({"tags": ["a,b"]}, "spec.tags[0]"),
        ({"tags": ["--x"]}, "spec.tags[0]"),
        ({"tags": ["backup=of-another"]}, "spec.tags[0]"),
        ({"tags": ["a"] * 33}, "spec.tags"),
    ],
)
def test_backups_that_make_no_sense_are_refused(plant: Plant, change: Doc, field: str) -> None:
    assert list(refused(plant, BACKUPS, SOURCE | change)) == [field]


def test_a_backup_is_of_one_moment_and_only_its_end_may_change(plant: Plant) -> None:
    assert refused(plant, BACKUPS, SOURCE) == {}

    def change(**spec: Any) -> bool:
        return plant.edit(BACKUPS, "default/x", lambda doc: doc["spec"].update(spec))

    assert not change(repository="other")
    assert not change(verify="None")
    assert change(deletionPolicy="Retain")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec"),
        ({"tar": "/a", "directory": "/b"}, "spec"),
        ({"tar": "a.tar"}, "spec.tar"),
        ({"directory": "/srv/../etc"}, "spec.directory"),
    ],
)
def test_archives_that_make_no_sense_are_refused(plant: Plant, spec: Doc, field: str) -> None:
    assert list(refused(plant, ARCHIVES, spec)) == [field]


@pytest.mark.parametrize(
    ("id_", "is_taken"),
    [
        ("0123abcd" * 8, True),
        ("0123abcd", True),
        ("--password-command=sh -c id", False),
        ("latest", False),
        ("0123abc", False),
        ("0123abcd\n", False),
        ("0" * 65, False),
    ],
)
def test_the_status_names_a_snapshot_by_its_id_only(plant: Plant, id_: str, is_taken: bool) -> None:
    plant._run(plant.creation(BACKUPS, {"metadata": {"name": "x"}, "spec": SOURCE}))

    def change(doc: Doc) -> Doc:
        doc["status"] = {"phase": "Completed", "snapshotID": id_}
        return doc

    kind = plant.objects.kinds[BACKUPS]
    update = plant.objects.update(kind, "default/x", change, subresource="status")
    if is_taken:
        plant._run(update)
        return
    with pytest.raises(Invalid) as refused:
        plant._run(update)
    assert [cause.field for cause in refused.value.causes] == ["status.snapshotID"]
