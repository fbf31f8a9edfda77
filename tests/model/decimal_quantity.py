"""Storage semantics §20 on `decimal`: what the whole numbers of mooring.model must agree with."""

from decimal import ROUND_UP, Context, Decimal

EXACT = Context(prec=800, rounding=ROUND_UP)  # away from zero
BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
POWERS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
NANO, MILLI, ONE = Decimal("1e-9"), Decimal("1e-3"), Decimal(1)
MOST = Decimal(2**63 - 1)  # of a binary amount


def read(text: str) -> tuple[Decimal, str]:
    """The amount, and its family by name."""
    if text[-2:] in BINARY:
        amount = EXACT.multiply(Decimal(text[:-2]), Decimal(1024 ** BINARY[text[-2:]]))
        bounded = max(-MOST, min(MOST, amount))
        return rounded_up(bounded, NANO), "binary" if abs(amount) >= 1 else "decimal"
    if text[-1] in POWERS:
        amount = EXACT.scaleb(Decimal(text[:-1]), POWERS[text[-1]])
        return rounded_up(amount, NANO), "decimal"
    family = "exponent" if "e" in text.lower() else "decimal"
    return rounded_up(EXACT.create_decimal(text), NANO), family


def rounded_up(amount: Decimal, unit: Decimal) -> Decimal:
    """To whole units, away from zero."""
    return EXACT.quantize(amount, unit)


def written(amount: Decimal, family: str) -> str:
    """The canonical form: without a fraction, with the largest suffix."""
    if amount == 0:
        return "0"
    if family == "binary" and abs(amount) >= 1024 and is_whole(amount):
        for suffix, power in reversed(BINARY.items()):
            if is_whole(count := EXACT.divide(amount, Decimal(1024**power))):
                return f"{int(count)}{suffix}"
        return str(int(amount))
    largest = 600 if family == "exponent" else 18
    power = next(p for p in range(largest, -10, -3) if is_whole(EXACT.scaleb(amount, -p)))
    digits = str(int(EXACT.scaleb(amount, -power)))
    if family == "exponent":
        return f"{digits}e{power}" if power else digits
    return digits + next(suffix for suffix, of in POWERS.items() if of == power)


def is_whole(amount: Decimal) -> bool:
    return amount == amount.to_integral_value(context=EXACT)
