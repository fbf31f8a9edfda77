"""How many times as much: a decimal number of at least 1, as text."""

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

FACTOR_TEXT: Final = "must be a decimal number of at least 1, such as 4 or 1.5"
_FORM: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def factor(text: str | None) -> Fraction | None:
    """Exactly what it says; None if that is no such number, or nothing."""
    return None if text is None or len(text) > 20 else _read(text)


@lru_cache(maxsize=256)
def _read(text: str) -> Fraction | None:
    found = Fraction(text) if _FORM.fullmatch(text) else None
    return found if found is not None and found >= 1 else None


def shown_factor(value: Fraction) -> str:
    """As a decimal number."""
    return f"{Decimal(value.numerator) / Decimal(value.denominator):f}"
