"""JSON and YAML texts into values, and keys that a text gives twice."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.api.decoding import duplicates, json_value, yaml_duplicates, yaml_value


def found(text: str) -> list[str]:
    body = text.encode()
    return list(duplicates(body, json_value(body)))


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ('{"a":1,"a":1}', ["a"]),
        ('{"a":1,"a":{"b":1,"b":2}}', ["a", "a.b"]),
        ('{"a":[{},{"b":1,"b" : 2}],"c":3}', ["a[1].b"]),
        ('{"a":1,"a":"\\u0022\\u0022"}', ["a"]),
        ('{"a":1,"\\u0061":2}', ["a"]),
        ('{"a":1,"a":2,"a":3}', ["a"]),
        ('{"a":"\\"","b":"\\"a\\":1,\\"a\\":"}', []),
        ('{"a":{"a":{"a":1}},"b":{"a":1}}', []),
        ("[]", []),
    ],
)
def test_keys_given_twice_are_found_with_their_path(text: str, places: list[str]) -> None:
    assert found(text) == [f'duplicate field "{place}"' for place in places]


def test_at_most_a_hundred_are_named() -> None:
    keys = [f'"{number}":1' for number in range(500)]
    assert len(found("{" + ",".join(keys + keys) + "}")) == 100


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@given(JSON_VALUES, st.booleans())
def test_no_text_without_such_keys_is_accused(value: Any, ascii_only: bool) -> None:
    assert found(json.dumps(value, ensure_ascii=ascii_only)) == []


@given(JSON_VALUES, JSON_VALUES, st.text(max_size=3), st.booleans())
def test_no_such_key_is_missed(first: Any, last: Any, key: str, ascii_only: bool) -> None:
    name, one, two = (json.dumps(part, ensure_ascii=ascii_only) for part in (key, first, last))
    assert found(f"[{{{name}:{one},{name}:{two}}}]") == [f'duplicate field "[0].{key}"']


def test_yaml_keeps_times_as_texts_and_makes_keys_texts() -> None:
    text = b"a: 2024-01-01\nb: 2024-01-01T00:00:00Z\n2: 010\ntrue: [~, 1.5, no]"
    assert yaml_value(text) == {
        "a": "2024-01-01",
        "b": "2024-01-01T00:00:00Z",
        "2": 8,
        "true": [None, 1.5, False],
    }


def test_places_that_yaml_says_are_one_do_not_share_their_value() -> None:
    value = yaml_value(b"a: &x {b: 1}\nc: *x")
    assert value == {"a": {"b": 1}, "c": {"b": 1}}
    assert value["a"] is not value["c"]


@pytest.mark.parametrize(
    "text",
    [
        b"a: .nan",
        b"a: !!binary aGk=",
        b"a: !!set {x}",
        b"[x, y]: 1",
        b"a: !!python/object/apply:os.getcwd []",
        b"a: [",
        b"\xff\xfe\xff",
    ],
)
def test_yaml_that_has_no_form_in_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        yaml_value(text)


def test_a_few_bytes_of_yaml_cannot_stand_for_millions_of_values() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ValueError, match="aliasing"):
        yaml_value("\n".join(lines).encode())


def test_yaml_without_end_is_refused() -> None:
    with pytest.raises((ValueError, RecursionError)):
        yaml_value(b"&a [*a]")


def test_keys_given_twice_are_found_in_yaml_as_well() -> None:
    text = b"a: 1\nb:\n- {c: 1, c: 2, 'c': 3}\n- &x {d: {e: 1, e: 2}}\n- *x\na: 2"
    assert yaml_duplicates(text) == [
        'duplicate field "b[0].c"',
        'duplicate field "b[1].d.e"',
        'duplicate field "a"',
    ]
    assert yaml_duplicates(b"a: {a: {a: 1}}\nb: {a: 1}") == []
    assert yaml_duplicates(b"") == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),  # to the base of 60, elsewhere
        ("1:30.5", "1:30.5"),
        ("=", "="),
        ("2025-01-01", "2025-01-01"),
        ("1_000", 1000),
        ("0x1f", 31),
        ("18446744073709551615", 18446744073709551615),
        ("18446744073709551616", 18446744073709551616.0),
    ],
)
def test_yaml_is_read_as_go_reads_it(text: str, value: Any) -> None:
    found = yaml_value(f"a: {text}".encode())["a"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    "text",
    [
        "!!bool x", "!!int ''", "!!float ''", "!!timestamp x", "!!int x", "!!binary a", ".nan",
        "!!set {a}", "!!python/object:a.b x", "9" * 401, "0x" + "f" * 401, "[" * 2000,
        "[" + "0," * 100_000 + "0]",
    ],
)  # fmt: skip
def test_yaml_that_has_no_value_in_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        yaml_value(f"a: {text}".encode())
