"""The examples are whole, and each shows what its README says."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mooring.model.quantity import Quantity

EXAMPLES = Path(__file__).parent.parent / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))
KINDS = ("PersistentVolume", "PersistentVolumeClaim")
Doc = dict[str, Any]


def documents(*files: Path) -> list[Doc]:
    return [doc for file in files for doc in yaml.safe_load_all(file.read_text())]


def sizes(kind: str, *files: Path) -> dict[str, Quantity]:
    """{name: size} of the volumes or claims that are of no class."""
    found = {}
    for doc in documents(*files):
        if doc["kind"] == kind and doc["spec"].get("storageClassName") == "":
            spec = doc["spec"]
            size = spec["capacity"] if "capacity" in spec else spec["resources"]["requests"]
            found[doc["metadata"]["name"]] = Quantity.parse(size["storage"])
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_only_the_two_placeholders_are_used(file: Path) -> None:
    assert set(re.findall(r"\$\{(\w+)\}", file.read_text())) <= {"DEMO_DIR", "NODE"}


def test_no_object_is_given_twice() -> None:
    keys = [(doc["kind"], doc["metadata"]["name"]) for doc in documents(*FILES)]
    assert len(keys) == len(set(keys))


def test_the_readme_names_every_file() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    assert [file.name for file in FILES] == re.findall(r"^\| (\S+\.yaml) \|", readme, re.MULTILINE)


def test_the_claim_of_the_first_file_fits_its_volume_exactly() -> None:
    volumes, claims = (sizes(kind, FILES[0]) for kind in KINDS)
    assert volumes == claims == {"archive": Quantity.parse("5Gi")}


def test_the_claim_of_the_second_file_meets_a_volume_a_thousand_times_too_large() -> None:
    volumes, claims = (sizes(kind, FILES[1]) for kind in KINDS)
    assert volumes["huge"].bytes() == 1024 * claims["tiny"].bytes()


def test_the_class_of_the_third_file_carves_from_its_pool_within_the_quota() -> None:
    pool, storage_class, claim = documents(FILES[2])
    assert storage_class["parameters"] == {"pool": pool["metadata"]["name"]}
    assert storage_class["provisioner"] == pool["spec"]["driver"]
    assert claim["spec"]["storageClassName"] == storage_class["metadata"]["name"]
    asked = Quantity.parse(claim["spec"]["resources"]["requests"]["storage"])
    assert asked < Quantity.parse(pool["spec"]["namespaces"][0]["quota"])


def test_nothing_fits_the_pending_claim_by_its_modes() -> None:
    volumes = [doc for doc in documents(*FILES) if doc["kind"] == "PersistentVolume"]
    assert not any("ReadWriteMany" in volume["spec"]["accessModes"] for volume in volumes)


def snapshot_example(name: str) -> list[Doc]:
    return documents(EXAMPLES / "snapshots" / f"{name}.yaml")


def test_the_examples_of_snapshots_belong_together() -> None:
    (class_,), (snapshot,) = snapshot_example("class"), snapshot_example("snapshot")
    (restore,), (clone,) = snapshot_example("restore"), snapshot_example("clone")
    assert restore["spec"]["dataSource"]["name"] == snapshot["metadata"]["name"]
    source = snapshot["spec"]["source"]["persistentVolumeClaimName"]
    assert clone["spec"]["dataSource"]["name"] == source
    content, kept = snapshot_example("existing")
    ref = content["spec"]["volumeSnapshotRef"]
    assert ref == {"namespace": "default", "name": kept["metadata"]["name"]}
    assert kept["spec"]["source"] == {"volumeSnapshotContentName": content["metadata"]["name"]}
    assert class_["driver"] == content["spec"]["driver"]


def test_each_example_of_snapshots_is_in_the_document() -> None:
    text = (EXAMPLES.parent / "docs" / "snapshots.md").read_text()
    for file in (EXAMPLES / "snapshots").glob("*.yaml"):
        assert f"examples/snapshots/{file.name}" in text
