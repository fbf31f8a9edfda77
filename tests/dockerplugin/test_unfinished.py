"""Adoptions that are not finished are remembered, and believed for their own claims alone."""

from pathlib import Path

from mooring.dockerplugin.adoption_errors import CopyDiffers, VolumeChanged
from mooring.dockerplugin.errors import text
from mooring.dockerplugin.unfinished import Notes, Unfinished
from mooring.host.comparing import Finding
from mooring.model.claim import Claim
from mooring.model.names import ADOPTING
from tests.rules.making import a_claim

NOTE = Unfinished(token="a" * 32, volume="data", claim="default/db", name="db")


def claim_with(token: str, name: str = "db") -> Claim:
    return a_claim(name).annotated(**{ADOPTING: token})


async def test_what_was_begun_is_known_after_a_restart_until_it_is_dropped(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    assert await notes.start() == []
    await notes.add(NOTE)
    again = Notes(tmp_path)
    assert await again.start() == [NOTE]
    await again.drop(NOTE)
    await again.drop(NOTE)
    assert await Notes(tmp_path).start() == []


async def test_what_was_half_written_is_forgotten_and_what_is_none_is_left_alone(
    tmp_path: Path,
) -> None:
    place = tmp_path / "adoptions"
    place.mkdir()
    (place / ".new-x").write_text("{")
    (place / "other").write_text("{}")
    assert await Notes(tmp_path).start() == []
    assert [one.name for one in place.iterdir()] == ["other"]


async def test_a_claim_is_believed_by_its_token_and_its_name(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    await notes.start()
    await notes.add(NOTE)
    assert notes.of(claim_with(NOTE.token)) == NOTE
    assert notes.of(claim_with("b" * 32)) is None
    assert notes.of(claim_with(NOTE.token, name="thief")) is None
    assert notes.of(a_claim("db")) is None


def test_files_are_named_and_the_rest_is_counted() -> None:
    found = Finding(3, ["a/b", "c"])
    assert text(VolumeChanged("data", found)) == (
        "VolumeChanged: volume data was written to while it was copied: a/b; c; and 1 more; find "
        "what writes to it, stop it, and run mooring adopt again"
    )
    assert "is not what volume data is: a/b; c; and 1 more" in text(
        CopyDiffers("data", "default/db", found)
    )
