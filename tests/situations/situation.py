"""What `mooring explain` has to say something about."""

from collections.abc import Sequence
from typing import NamedTuple

from tests.situations.stage import Fact, Step


class Remedy(NamedTuple):
    """words  of the text, which are followed   steps  that follow them   facts  so afterwards"""

    words: str
    steps: Sequence[Step]
    facts: Sequence[Fact]


class Situation(NamedTuple):
    """title  in docs/explain.md, above the whole text   asks  "pvc db"   given  how it comes about
    remedies  of the text; all others that it names are like one of these
    """

    title: str
    asks: str
    given: Sequence[Step]
    remedies: Sequence[Remedy]
