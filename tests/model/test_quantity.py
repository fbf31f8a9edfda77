"""Storage semantics §20: amounts as Kubernetes reads, keeps and writes them."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mooring.model.quantity import (
    Family,
    Quantity,
    QuantityError,
    added,
    canonical_storage,
    parse_quantity,
)

NOT_QUANTITIES = (
    *("", " ", "+", "-", ".", "Gi", "e3", "1e", "1e+", "1E+-3"),
    *("1K", "1g", "1GB", "1gi", "1GI", "1KiB", "1mi", "1Mib", "1iK", "1kk", "1Gi1"),
    *("1 Gi", "1,5Gi", "1_000", "0x10", "--1", "+-1", "1..5", "1.2.3", "1e1.5", "1e3Gi"),
    *("NaN", "Infinity", "None", "\u0661Gi", "1\u00a0Gi", "1\x00", "1" * 257, "1e301"),
)
SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
AMOUNTS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "-", "+"]),
    st.one_of(
        st.integers(0, 10**20).map(str),
        st.decimals(0, 10**9, places=6, allow_nan=False).map(lambda one: f"{one:f}"),
    ),
    st.one_of(
        st.sampled_from([*SUFFIXES, *BINARY]),
        st.builds("{}{}".format, st.sampled_from("eE"), st.integers(-12, 12)),
    ),
)


# Syntax


@pytest.mark.rule("20.1", "20.2")
@pytest.mark.parametrize("text", NOT_QUANTITIES)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_quantity(text)


@pytest.mark.parametrize("value", [True, False, None, [], {}, float("nan"), float("inf"), 1e301])
def test_json_that_is_no_quantity_is_refused(value) -> None:
    with pytest.raises(QuantityError):
        parse_quantity(value)


def test_an_integer_too_long_to_write_is_no_quantity() -> None:
    with pytest.raises(QuantityError):
        parse_quantity(10**5000)


@pytest.mark.rule("20.1")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_decimal_suffix_is_a_power_of_ten(suffix: str) -> None:
    assert (
        Fraction(parse_quantity(f"3{suffix}").nanos, 10**9) == 3 * Fraction(10) ** SUFFIXES[suffix]
    )


@pytest.mark.rule("20.1")
@pytest.mark.parametrize("suffix", BINARY)
def test_a_binary_suffix_is_a_power_of_two(suffix: str) -> None:
    assert parse_quantity(f"3{suffix}").bytes() == 3 << (10 * (BINARY.index(suffix) + 1))


@pytest.mark.rule("20.1", "20.3", "20.4")
@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1e9", 10**9),
        ("12E6", 12 * 10**6),
        ("1e+3", 1000),
        ("5000e-3", 5),
        ("1.5e3", 1500),
        ("1.5Gi", 3 << 29),
        (".5Gi", 1 << 29),
        ("1.Gi", 1 << 30),
        ("+1Gi", 1 << 30),
        ("-1k", -1000),
        (" 1Gi\n", 1 << 30),
        ("001Gi", 1 << 30),
        (1073741824, 1 << 30),
        (1e3, 1000),
        (0, 0),
        ("1E", 10**18),
        ("1E3", 1000),
        ("0e999999999", 0),
    ],
)
def test_an_amount_is_read(text: str | int | float, size_bytes: int) -> None:
    assert parse_quantity(text).bytes() == size_bytes


# Canonical output

CANONICAL = {
    "1024Mi": "1Gi",
    "1.5Gi": "1536Mi",
    "0.5Gi": "512Mi",
    "2048Ki": "2Mi",
    "1000M": "1G",
    "1.5G": "1500M",
    "1000": "1k",
    "1e3": "1e3",
    "1073741824": "1073741824",
    "1536Mi": "1536Mi",
    "0Gi": "0",
    "0": "0",
    "-0": "0",
    "0.5Ki": "512",
    "0.9765625Ki": "1k",
    "1000Ki": "1000Ki",
    "1023Mi": "1023Mi",
    "1024Ki": "1Mi",
    "1Ki": "1Ki",
    "0.001Ki": "1024m",
    "1.0001Ki": "1024102400u",
    "1E6": "1e6",
    "1500e3": "1500e3",
    "1e4": "10e3",
    "1e-3": "1e-3",
    "100m": "100m",
    "1000m": "1",
    "0.1": "100m",
    "1.5": "1500m",
    "1234567": "1234567",
    "5000000": "5M",
    "1000E": "1000E",
    "1024Pi": "1Ei",
    "-1.5Gi": "-1536Mi",
    "-1000": "-1k",
}


@pytest.mark.rule("20.5", "20.6", "20.8")
@pytest.mark.parametrize("text", CANONICAL)
def test_canonical_has_no_fraction_and_the_largest_suffix(text: str) -> None:
    assert parse_quantity(text).canonical() == str(parse_quantity(text)) == CANONICAL[text]


@pytest.mark.rule("20.7")
@given(AMOUNTS)
@example("1e-9")
@example("-0.5Ki")
def test_canonical_loses_no_precision_and_is_its_own_canonical(text: str) -> None:
    amount = parse_quantity(text)
    again = parse_quantity(amount.canonical())
    assert again == amount
    assert again.canonical() == amount.canonical()
    assert "." not in amount.canonical()


# Rounding


@pytest.mark.rule("20.9")
@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("1n", 1),
        ("0.1n", 1),
        ("1.1n", 2),
        ("-0.1n", -1),
        ("1e-30", 1),
        ("0.0000000011", 2),
    ],
)
def test_finer_than_a_billionth_is_rounded_away_from_zero(text: str, nanos: int) -> None:
    assert parse_quantity(text).nanos == nanos


@pytest.mark.rule("20.10")
@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("1u", "1m"),
        ("0.001Ki", "1024m"),
        ("1001u", "2m"),
        ("1.0001Ki", "1024103m"),
        ("1Gi", "1Gi"),
        (1000, "1k"),
        (0.0001, "1m"),
        (1.5, "1500m"),
        ("-1u", "-1m"),
        ("0", "0"),
        ("1n", "1m"),
    ],
)
def test_a_stored_amount_is_rounded_up_to_a_thousandth(text: str | float, stored: str) -> None:
    assert canonical_storage(text) == stored


@pytest.mark.rule("20.11")
@pytest.mark.parametrize("text", ["8Ei", "8192Pi", "100000Ei"])
def test_a_binary_amount_is_capped_at_what_64_bits_hold(text: str) -> None:
    assert parse_quantity(text).bytes() == 2**63 - 1
    assert parse_quantity(f"-{text}").bytes() == 1 - 2**63


def test_a_decimal_amount_is_not_capped() -> None:
    assert parse_quantity("10E").bytes() == 10**19


@pytest.mark.rule("20.12")
@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("100m", 1),
        ("1n", 1),
        ("1500m", 2),
        ("1", 1),
        ("0", 0),
        ("1.0001Ki", 1025),
        ("-100m", -1),
    ],
)
def test_whole_bytes_are_rounded_up(text: str, size_bytes: int) -> None:
    assert parse_quantity(text).bytes() == size_bytes


@given(AMOUNTS)
def test_rounding_never_makes_an_amount_smaller_by_size(text: str) -> None:
    amount = parse_quantity(text)
    stored = amount.rounded_to_milli()
    assert abs(amount.nanos) <= abs(stored.nanos) < abs(amount.nanos) + 10**6
    assert abs(amount.nanos) <= abs(amount.bytes()) * 10**9 < abs(amount.nanos) + 10**9


# Comparison and sums


@pytest.mark.rule("20.13")
@pytest.mark.parametrize(
    ("less", "more"), [("1G", "1Gi"), ("999999999", "1e9"), ("-1", "0"), ("1m", "1"), ("1Ei", "2E")]
)
def test_amounts_compare_by_value_across_families(less: str, more: str) -> None:
    small, large = parse_quantity(less), parse_quantity(more)
    assert small < large
    assert small <= large
    assert large > small
    assert large >= small
    assert small != large


@pytest.mark.parametrize(
    "texts", [("1Gi", "1024Mi", "1073741824"), ("1k", "1e3", "1000", "1000000m"), ("0", "0Gi")]
)
def test_equal_amounts_are_equal_however_they_are_written(texts: tuple[str, ...]) -> None:
    amounts = {parse_quantity(text) for text in texts}
    assert len(amounts) == 1
    assert all(one <= other for one in amounts for other in amounts)


def test_an_amount_is_no_number() -> None:
    assert parse_quantity("1") != 1


@pytest.mark.rule("20.14")
@pytest.mark.parametrize(
    ("first", "second", "total"),
    [
        ("1Gi", "1G", "2073741824"),
        ("1Gi", "1Gi", "2Gi"),
        ("1G", "1Gi", "2073741824"),
        ("0", "1Gi", "1Gi"),
        ("0Gi", "1G", "1G"),
        ("1e3", "1Ki", "2024"),
        ("1M", "1e6", "2M"),
    ],
)
def test_a_sum_keeps_the_family_of_the_first_that_is_not_zero(
    first: str, second: str, total: str
) -> None:
    amounts = [parse_quantity(first), parse_quantity(second)]
    assert added(amounts) == parse_quantity(total)
    assert added(amounts).family == (amounts[0].family if amounts[0].nanos else amounts[1].family)


def test_a_sum_of_nothing_is_zero_and_a_difference_is_exact() -> None:
    assert added([]).canonical() == "0"
    assert parse_quantity("1Gi").minus(parse_quantity("1G")).bytes() == 73741824


def test_bytes_are_written_in_the_binary_family_unless_said_otherwise() -> None:
    assert Quantity.of_bytes(1 << 30).canonical() == "1Gi"
    assert Quantity.of_bytes(10**9, Family.DECIMAL).canonical() == "1G"


def test_refused_text_is_shown_in_part_only() -> None:
    with pytest.raises(QuantityError) as refused:
        parse_quantity("x" * 10_000)
    assert len(str(refused.value)) < 200
