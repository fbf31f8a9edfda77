"""The examples of backups are objects that the server takes."""

from pathlib import Path

import pytest
import yaml

from mooring.objects.kinds.registry import ALL_KINDS
from tests.controllers.clocked import ClockedPlant

EXAMPLES = Path(__file__).parent.parent / "examples/backup"
FILES = sorted(EXAMPLES.glob("*.yaml"))
KINDS = {(kind.api_version, kind.kind): kind for kind in ALL_KINDS}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_is_taken_as_it_is(file: Path) -> None:
    plant = ClockedPlant()
    try:
        for doc in yaml.safe_load_all(file.read_text()):
            kind = KINDS[doc.pop("apiVersion"), doc.pop("kind")]
            plant._run(plant.creation(kind.resource, doc))  # raises what is wrong with it
    finally:
        plant.close()


def test_the_manual_names_every_file() -> None:
    manual = (EXAMPLES.parents[1] / "docs/backup.md").read_text()
    named = {file.name for file in FILES if f"examples/backup/{file.name}" in manual}
    assert named == {file.name for file in FILES} - {"restore.yaml"}  # which stands there in full
