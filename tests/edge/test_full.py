"""A directory of an edge that takes no more: what there is stays, and what can be done is done."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docker.testbed import Bed, eventually, needs_hosts
from tests.edge.killed import WEB, Mortal, mortals_of

pytestmark = [pytest.mark.system, needs_hosts]

PAGE = 4096  # bytes: the least that a file takes
FULL = "No space left on device"
KEPT = {"haproxy": "haproxy.cfg*", "nginx": "nginx.conf*"}
# With so many pages free another write than the first is the one that fails.
CASES = [
    pytest.param(proxy, pages, marks=() if (proxy, pages) == ("haproxy", 0) else pytest.mark.slow)
    for proxy, most in (("haproxy", 2), ("nginx", 3))
    for pages in range(most + 1)
]


@pytest.fixture(scope="module")
def mortals(bed: Bed) -> Iterator[Callable[[str], Mortal]]:
    """An edge with the proxy of that name, in a directory of 1 MiB."""

    def small(mortal: Mortal) -> None:
        place, run = str(mortal.entry.directory), mortal.host.run
        assert run("mkdir", place).code == 0
        assert run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place).code == 0

    with mortals_of(bed, small) as made:
        yield made


@pytest.mark.parametrize(("proxy", "pages"), CASES)
def test_where_the_disk_is_full_what_was_stays_and_it_is_told(
    mortals: Callable[[str], Mortal], proxy: str, pages: int
) -> None:
    mortal = mortals(proxy)
    mortal.kill()
    mortal.change()
    before, pids = _kept(mortal), mortal.proxies()
    words = () if proxy == "haproxy" else ("--close",)
    with mortal.entry.load(WEB, *words) as counted:
        ballast = _filled(mortal, pages)
        mortal.start()
        eventually(lambda: FULL in mortal.status().get("failure", ""), "its status says why")
        if proxy == "haproxy":  # nginx has no way but a file
            wanted = mortal.addresses()
            eventually(lambda: mortal.answering() == wanted, "the one that leaves gets nothing")
        assert all(text in _kept(mortal) for text in before)
        ballast.unlink()
        mortal.settles()
        eventually(lambda: not mortal.status().get("failure"), "nothing fails any more")
    assert counted.failures == []
    assert mortal.proxies() == pids


def test_a_directory_that_cannot_be_written_is_told_at_once(
    mortals: Callable[[str], Mortal],
) -> None:
    mortal = mortals("haproxy")
    mortal.kill()
    place = str(mortal.entry.directory)
    assert mortal.host.run("mount", "--bind", place, place).code == 0
    assert mortal.host.run("mount", "-o", "remount,ro,bind", place).code == 0
    said = mortal.entry.mooring("run")
    assert mortal.host.run("umount", place).code == 0
    assert said.code == 1
    assert f"error: {place}" in said.err
    assert "Read-only file system [NotWritten]" in said.err
    assert len(mortal.proxies()) == 1


def test_who_comes_second_is_told_of_the_first(mortals: Callable[[str], Mortal]) -> None:
    mortal = mortals("haproxy")
    mortal.kill()
    before = mortal.status()["pid"]
    mortal.start()
    eventually(lambda: mortal.status()["pid"] != before, "it keeps the proxy")
    said = mortal.entry.mooring("run")
    assert said.code == 1
    number = mortal.status()["pid"]
    assert f"another `mooring edge run` (process {number}) keeps the proxy" in said.err


def _filled(mortal: Mortal, pages: int) -> Path:
    """A file that takes all the room but so much."""
    path = mortal.directory / "ballast"
    free = os.statvfs(mortal.directory)
    with path.open("wb") as file:
        file.write(bytes((free.f_bavail - pages) * PAGE))
    assert os.statvfs(mortal.directory).f_bavail == pages
    return path


def _kept(mortal: Mortal) -> list[str]:
    """Configurations that the proxy has, and had, but for the oldest, which may go."""
    names = sorted(one for one in mortal.directory.glob(KEPT[mortal.proxy]))
    return [one.read_text() for one in names if not one.name.endswith(".5")]
