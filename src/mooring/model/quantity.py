"""Amounts as Kubernetes writes them: 1Gi, 1500M, 100m, 1e3. Storage semantics §20.

Exact: an amount is a whole number of billionths, the finest that Kubernetes keeps.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

ONE: Final = 10**9  # billionths
MILLI: Final = 10**6
MAX_BINARY: Final = (2**63 - 1) * ONE
MAX_TEXT: Final = 256  # characters; longer than any amount somebody means
MAX_EXPONENT: Final = 300  # keeps 1e999999999 from taking the machine

_FORM: Final = re.compile(
    r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,9}))?", re.ASCII
)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15}
_DECIMAL["E"] = 18
_SUFFIX_OF: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


class Family(Enum):
    """Which suffixes an amount is written with; kept from what was read."""

    DECIMAL = "decimal"
    BINARY = "binary"
    EXPONENT = "exponent"


class QuantityError(ValueError):
    """The text is not an amount."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """An exact amount. Compares by value alone: 1Gi == 1024Mi, 1G < 1Gi.

    nanos   the amount in billionths
    family  how it is written
    """

    nanos: int
    family: Family = Family.BINARY

    @staticmethod
    def parse(value: str | int | float) -> "Quantity":
        """Read text or a JSON number; finer than 1n rounds away from zero. Raises QuantityError."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise QuantityError(f"{value!r} is not a quantity")
        return _parsed(value if isinstance(value, str) else _digits(value))

    @staticmethod
    def of_bytes(count: int, family: Family = Family.BINARY) -> "Quantity":
        """A whole number of bytes."""
        return Quantity(count * ONE, family)

    def bytes(self) -> int:
        """Whole bytes, rounded up (away from zero)."""
        return _divided_up(self.nanos, ONE)

    def rounded_to_milli(self) -> "Quantity":
        """As resource lists store it: finer than 1m rounds up to 1m."""
        return Quantity(_divided_up(self.nanos, MILLI) * MILLI, self.family)

    def canonical(self) -> str:
        """No fraction, no precision lost, the largest suffix that leaves an integer."""
        if self.nanos == 0:
            return "0"
        whole, rest = divmod(self.nanos, ONE)
        if self.family is Family.BINARY and not rest and abs(whole) >= 1024:
            return _in_binary(whole)
        return _in_decimal(self.nanos, self.family)

    def plus(self, other: "Quantity") -> "Quantity":
        """The sum, in the family of the first operand that is not zero."""
        family = self.family if self.nanos else other.family
        return Quantity(self.nanos + other.nanos, family)

    def minus(self, other: "Quantity") -> "Quantity":
        """The difference, in the family of the first operand that is not zero."""
        family = self.family if self.nanos else other.family
        return Quantity(self.nanos - other.nanos, family)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __lt__(self, other: "Quantity") -> bool:
        return self.nanos < other.nanos

    def __le__(self, other: "Quantity") -> bool:
        return self.nanos <= other.nanos

    def __gt__(self, other: "Quantity") -> bool:
        return self.nanos > other.nanos

    def __ge__(self, other: "Quantity") -> bool:
        return self.nanos >= other.nanos

    def __str__(self) -> str:
        return self.canonical()


def _digits(value: int | float) -> str:
    """A JSON number as text. An integer too long to write is no amount either."""
    try:
        return repr(value)
    except ValueError as error:
        raise QuantityError("the number has too many digits for a quantity") from error


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Quantity:
    """`Quantity.parse` of text; refusals are not kept, so hostile text cannot fill the cache."""
    bare = text.strip()
    form = _FORM.fullmatch(bare) if len(bare) <= MAX_TEXT else None
    if form is None:
        raise QuantityError(f"{text[:40]!r} is not a quantity such as 1Gi, 500M or 1e9")
    sign, whole, fraction, suffix, exponent = form.groups(default="")
    if not whole and not fraction:
        raise QuantityError(f"{text[:40]!r} has no digits, a quantity is such as 1Gi, 500M or 1e9")
    if exponent:
        nanos, family = _scaled(whole + fraction, int(exponent) - len(fraction)), Family.EXPONENT
    elif suffix.endswith("i"):
        amount = int(whole + fraction) << (10 * _BINARY.index(suffix))
        nanos, family = _scaled(str(amount), -len(fraction)), Family.BINARY
        nanos = min(nanos, MAX_BINARY)
        if nanos < ONE:  # less than one unit has no binary form
            family = Family.DECIMAL
    else:
        nanos, family = _scaled(whole + fraction, _DECIMAL[suffix] - len(fraction)), Family.DECIMAL
    return Quantity(-nanos if sign == "-" else nanos, family)


parse_quantity: Final[Callable[[str | int | float], Quantity]] = Quantity.parse


def _scaled(digits: str, exponent: int) -> int:
    """digits × 10^exponent in billionths, rounded up. Raises QuantityError if out of all reason."""
    amount, power = int(digits), exponent + 9
    if amount == 0:
        return 0
    if power > MAX_EXPONENT:
        raise QuantityError(f"an exponent of {exponent} is out of range")
    if power >= 0:
        return amount * int(10**power)
    # Below one billionth whatever the digits: no need to build a number of a billion digits.
    return 1 if -power > len(digits) else _divided_up(amount, int(10**-power))


def _divided_up(amount: int, by: int) -> int:
    """amount / by, rounded away from zero."""
    return -(-amount // by) if amount >= 0 else amount // by


def _in_binary(whole: int) -> str:
    for power in range(len(_BINARY) - 1, 0, -1):
        if whole % (1 << (10 * power)) == 0:
            return f"{whole >> (10 * power)}{_BINARY[power]}"
    return str(whole)


def _in_decimal(nanos: int, family: Family) -> str:
    exponent = -9
    while nanos % 1000 == 0 and (family is Family.EXPONENT or exponent < 18):
        nanos, exponent = nanos // 1000, exponent + 3
    if family is not Family.EXPONENT:
        return f"{nanos}{_SUFFIX_OF[exponent]}"
    return f"{nanos}e{exponent}" if exponent else str(nanos)


def canonical_storage(amount: str | int | float) -> str:
    """An amount as a stored resource list (capacity, requests, limits, hard) carries it.

    Raises QuantityError.
    """
    if isinstance(amount, str):
        return _canonical(amount)
    return Quantity.parse(amount).rounded_to_milli().canonical()


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    return _parsed(text).rounded_to_milli().canonical()


def added(amounts: "list[Quantity] | tuple[Quantity, ...]") -> Quantity:
    """The sum, in the family of the first amount that is not zero; zero of none."""
    total = Quantity(0, Family.DECIMAL)
    for amount in amounts:
        total = total.plus(amount)
    return total
