"""The rules of Kubernetes' storage, as rules.yaml has them."""

from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import yaml

FILE: Final = Path(__file__).with_name("rules.yaml")


class Rule(NamedTuple):
    """id       by its section and key, as 4.A1
    differs  why Mooring keeps another rule, "" if it keeps this one
    """

    id: str
    sentence: str
    differs: str


class Section(NamedTuple):
    number: str
    title: str
    rules: list[Rule]


@cache
def sections() -> list[Section]:
    """All of them, in order."""
    found = []
    for number, section in yaml.load(FILE.read_text(), Loader=yaml.CSafeLoader).items():
        differs = section.get("differs", {})
        rules = [
            Rule(f"{number}.{key}", sentence, differs.get(key, ""))
            for key, sentence in section["rules"].items()
        ]
        found.append(Section(number, section["title"], rules))
    return found


@cache
def ids() -> frozenset[str]:
    """What a mark may name."""
    return frozenset(rule.id for section in sections() for rule in section.rules)
