"""Write docs/explain.md: python -m tests.situations.page [FILE].

The page is the one home of the texts: the tests hold each to what is said.
"""

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.situations.claims import HELD, WAITING
from tests.situations.pods import PODS
from tests.situations.situation import Situation
from tests.situations.snapshots import SNAPSHOTS
from tests.situations.stage import Stage, plain
from tests.situations.volumes import VOLUMES

PAGE: Final = Path(__file__).parents[2] / "docs/explain.md"
CHAPTERS: Final[Mapping[str, tuple[Situation, ...]]] = {
    "Claims that wait for a volume": WAITING,
    "Claims that are lost, going, or not as asked": HELD,
    "Volumes": VOLUMES,
    "Pods": PODS,
    "Snapshots": SNAPSHOTS,
}
SITUATIONS: Final = [one for chapter in CHAPTERS.values() for one in chapter]
INTRODUCTION: Final = """\
# What `mooring explain` says

`mooring explain pvc|pv|pod|snapshot NAME` says why an object is as it is, what was looked at, and
what would help; [`--all`](first-steps.md) is a table of claims, volumes or pods. This page has the
situations that it knows, each with its whole text, to be searched for the words of one. Names are
those of an example: class `local` takes from pool `local` on host `here`, and UID stands for a UID.

What would help is tried: for each of these texts a test does what it says, by the command where it
gives one, and sees that the claim is bound, the object gone, the Pod on its node.
"""
_SECTION: Final = re.compile(r"^### (.*)\n\n((?:    .*\n)+)", re.MULTILINE)


def texts_of(page: str) -> dict[str, str]:
    """By title."""
    return {
        title: "\n".join(line[4:] for line in text.splitlines())
        for title, text in _SECTION.findall(page)
    }


def written(texts: Mapping[str, str]) -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for chapter, situations in CHAPTERS.items():
        parts.append(f"## {chapter}\n")
        for one in situations:
            lines = "\n".join(f"    {line}" for line in texts[one.title].splitlines())
            parts.append(f"### {one.title}\n\n{lines}\n")
    return "\n".join(parts)


def said(situation: Situation) -> str:
    """What is said of it now."""
    with tempfile.TemporaryDirectory() as place:
        stage = Stage(Path(place))
        try:
            stage.act(situation.given)
            return plain(stage.explained(situation.asks))
        finally:
            stage.close()


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(written({one.title: said(one) for one in SITUATIONS}))
