"""The form every error of Mooring has: what, a code for programs, a remedy, and the effect."""

from enum import Enum


class Effect(Enum):
    """Whether anything happened. After UNKNOWN ask again by the same name."""

    NONE = "none"
    UNKNOWN = "unknown"


class MooringError(Exception):
    """Base of all errors that are shown to people or programs."""

    code: str = "Internal"
    effect: Effect = Effect.NONE
    what: str = "something went wrong"
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what
