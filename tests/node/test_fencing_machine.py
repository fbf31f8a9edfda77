"""Whatever happens in whatever order, two hosts never write to a volume. Docker volumes §9.

That the search has teeth: it finds the faults that are planted below, each of which was one.
"""

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.node.attachments import Attachments
from mooring.node.fence import Fence
from mooring.node.use import Users
from tests.node.fencing_world import Parts, walked

# How often in forty steps. Host a is the one that things happen to.
STEPS: Final = {
    **{"give a": 6, "quiet a": 6, "beat a": 4, "take_busy a": 3, "taint a": 3, "class lease": 3},
    **{"restart a": 2, "class ": 2, "untaint a": 1, "take a": 1, "close a": 1, "cut a": 1},
    **{"heal a": 1, "give b": 1, "take b": 1, "restart b": 1, "quiet b": 1, "cut b": 1},
    **{"heal b": 1, "pass 0.5": 1, "pass 8": 1},
}
WALKS: Final = st.tuples(
    st.sampled_from(["class ", "class lease"]),
    st.lists(
        st.sampled_from([step for step, often in STEPS.items() for _ in range(often)]),
        min_size=4,
        max_size=14,
    ),
)


def searched(parts: Parts, walks: int) -> None:
    """Raises AssertionError if it finds a walk after which two hosts write."""

    @settings(
        max_examples=walks,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(WALKS)
    def search(walk: tuple[str, list[str]]) -> None:
        with tempfile.TemporaryDirectory() as place:
            walked(Path(place), [walk[0], *walk[1]], parts)

    search()


def test_no_two_hosts_write() -> None:
    searched(Parts(), walks=60)


@pytest.mark.slow
def test_no_two_hosts_write_after_any_of_many_walks() -> None:
    searched(Parts(), walks=600)


# The faults that it has to find


class AsksTheClass(Attachments):
    """Whether a volume may pass is asked when another host wants it."""

    async def _passed(self, volume: Volume, holder: Any, until_s: float) -> None:
        class_ = self._objects.view(StorageClass, volume.spec.storage_class_name)
        fencing = class_.parameters.get("fencing", "") if class_ is not None else ""
        said = {**holder.annotations, "mooring.dev/fencing": fencing}
        await super()._passed(volume, holder.annotated(**said), until_s)


class LetsGoFirst(Users):
    """Nobody watches any more when it is unmounted."""

    async def _let_go(self, uid: str) -> None:
        assert self._fence is not None
        self._fence.let_go(uid)
        await super()._let_go(uid)


class KnowsPromisesAlone(Fence):
    """What was not promised is not looked at when the host is back."""

    def holds(self, volume: Volume) -> None:
        if self.concerns(volume):
            super().holds(volume)

    async def begin(self, published: Any) -> None:
        await super().begin([one for one in published if self.concerns(one)])


class CountsItsStart(Fence):
    """An agent that starts takes that for a renewal."""

    def _earlier_s(self) -> float:
        return self.now_s()


class Without(Parts):
    """With one part that is not as it should be."""

    def __init__(self, **parts: Any) -> None:
        vars(self).update(parts)


PLANTED: Final = [
    pytest.param(parts, walk, id=name)
    for name, parts, walk in (
        (
            "asks the class",
            Without(attachments=AsksTheClass),
            ["class ", "give a", "class lease", "quiet a"],
        ),
        ("lets go first", Without(users=LetsGoFirst), ["give a", "take_busy a", "quiet a"]),
        (
            "promises alone",
            Without(fence=KnowsPromisesAlone),
            ["class ", "give a", "taint a", "quiet a", "beat a"],
        ),
        (
            "promises alone, restarted",
            Without(fence=KnowsPromisesAlone),
            ["class ", "give a", "taint a", "quiet a", "restart a"],
        ),
        (
            "counts its start",
            Without(fence=CountsItsStart),
            ["give a", "pass 8", "restart a", "pass 8", "beat b", "pass 1.5", "give b"],
        ),
        ("no watchdog", Without(has_watchdog=False), ["give a", "quiet a"]),
    )
]


@pytest.mark.parametrize(("parts", "walk"), PLANTED)
def test_a_walk_that_finds_what_is_planted_finds_nothing_without(
    tmp_path: Path, parts: Parts, walk: list[str]
) -> None:
    for name, others in (("sound", Parts()), ("planted", parts)):
        (tmp_path / name).mkdir()
        with pytest.raises(AssertionError, match="write") if name == "planted" else nullcontext():
            walked(tmp_path / name, walk, others)


@pytest.mark.slow
@pytest.mark.parametrize(
    "parts",
    [
        Without(attachments=AsksTheClass),
        Without(users=LetsGoFirst),
        Without(fence=KnowsPromisesAlone),
        Without(has_watchdog=False),
    ],
    ids=["asks the class", "lets go first", "promises alone", "no watchdog"],
)
def test_the_search_finds_what_is_planted(parts: Parts) -> None:
    with pytest.raises(AssertionError, match="write"):
        searched(parts, walks=2000)
