"""The directory of an edge: what it remembers across its own restarts, and who keeps it."""

import os
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
        with pytest.raises(KeptAlready, match=rf"run` \(process {os.getpid()}\) keeps"):
            with Place(str(tmp_path)).alone():
                pass
    with Place(str(tmp_path)).alone():
        pass


def test_what_one_that_was_killed_left_half_written_goes(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    place.make()
    left = [tmp_path / "haproxy.cfg.new", tmp_path / "certificates" / "0123.pem.new"]
    for one in left:
        one.write_text("half")
    with place.alone():
        assert not any(one.exists() for one in left)


def test_what_a_proxy_has_not_had_is_not_gone_back_to(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    for text, is_good in (("a", True), ("b", True), ("never had", True), ("c", False)):
        place.write("new.cfg", text)
        place.replace("new.cfg", "it.cfg", is_good=is_good)
    kept = [(tmp_path / f"it.cfg.{number}").read_text() for number in (1, 2)]
    assert kept == ["b", "a"]
    place.restore("it.cfg")
    assert (tmp_path / "it.cfg").read_text() == "b"
