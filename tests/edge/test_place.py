"""The directory of an edge: what it remembers across its own restarts, and who keeps it."""

from pathlib import Path

import pytest

from mooring.edge.errors import KeptAlready
from mooring.edge.model import Memory, model_of
from mooring.edge.place import Place
from mooring.edge.remembered import NAME, remember, remembered
from tests.edge.making import a_service, a_swarm, a_task, some_settings


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    assert remembered(place) == Memory()
    _, memory = model_of(a_swarm(a_service(), a_task(1)), some_settings(), Memory())
    remember(place, memory)
    assert remembered(place) == memory


def test_what_is_broken_is_nothing(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")
    assert remembered(Place(str(tmp_path))) == Memory()


def test_only_one_keeps_a_directory(tmp_path: Path) -> None:
    with Place(str(tmp_path)).alone():
        with pytest.raises(KeptAlready, match="another `mooring edge run`"):
            with Place(str(tmp_path)).alone():
                pass
    with Place(str(tmp_path)).alone():
        pass
