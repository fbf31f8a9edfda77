"""Spoils JSON values and bytes: what clients should never send."""

import gzip
import json
from random import Random
from typing import Any

import yaml

NUMBERS = (
    b"NaN", b"-Infinity", b"1e400", b"-0", b"0.1", b"1e3", b"-1", b"2147483648",
    b"9223372036854775808", b"-9223372036854775809", b"9" * 400, b"9" * 5000, b"1" + b"0" * 30,
    b"1E+2", b"00", b"0x10", b"1_000", b"-",
)  # fmt: skip
TEXTS = (
    "", " ", "\x00", "\n", "a\tb", "☃", "e\u0301", "\u202etxt", "\U0001f4a9", "x" * 300, "ü" * 130,
    "../x", "a/b", "a/b/c", "%00", "-1", "0", "1e9", "null", "true", "1Gi", "1e400", "-5Gi", "1.5",
    "0.0000000001", "9" * 60 + "Ei", "99999999999999999999", "ReadWriteOncePod", "Delete",
    "Recycle", "Bound", "2025-13-45T99:99:99Z", "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999+14:00", "=", "====", "kubernetes.io/pv-protection", "*",
    "$patch", "replace", "{}", '"', "\\", "here", "local", "default", "hostile-2", "²", "٣",
)  # fmt: skip
JSONS = (
    b"[]", b"{}", b"null", b"true", b"false", b'""', b"[null]", b"[[]]", b"[{}]", b'{"":null}',
    b'{"a":{}}', b'["a","a"]', b'[{"name":"a"},{"name":"a"}]', b'"\\ud800"', b'"\\udc00\\ud800"',
    b'"\\u0000"', b'"\xff\xfe"', b'"\xed\xa0\x80"', b"'a'", b"{", b"]", b"", b"[1,]", b"//",
    b'{"$patch":"delete"}', b'{"$patch":[]}', b'{"$retainKeys":["name"]}',
    b'{"$setElementOrder/containers":[{"name":1}]}', b'{"$deleteFromPrimitiveList/finalizers":{}}',
)  # fmt: skip
DEPTHS = (3, 60, 600, 1100, 5000, 40_000)
YAMLS = (
    b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\n"
    b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]",
    b"a: &a {b: *a}", b"&a [*a]", b"a: *nowhere", b"--- a\n--- b", b"%YAML 9.9\n--- a", b"!!int x",
    b"a: !!int ''", b"a: !!float ''", b"a: !!timestamp x", b"a: !!bool x", b"a: !!binary '*'",
    b"a: !!set {a, b}", b"a: !!omap [a: b]", b"a: !!pairs [a: b]",
    b"a: !!python/object:os.system x",
    b"? [a, b]\n: c", b"? {a: b}\n: c", b"1: 2\n1.5: 3\nnull: 4\ntrue: 5", b"a: .nan\nb: -.inf",
    b"a: 0x" + b"f" * 9000, b"a: " + b"9" * 9000, b"a: 0b1\nb: 0o7\nc: 1:30", b"<<: {a: b}",
    b"<<: [{a: b}, x]", b"a: {<<: x}", b"a: 'b", b"a:\tb", b"\x00", b"\xff\xfea\x00", b"- " * 3000,
    b"a: 2025-01-01", b"{" * 3000, b"[" * 30_000, b"? " * 3000, b"a: |\n  b\n c", b"&a &b c",
    b"=: =",
)  # fmt: skip


class Rendered:
    """A JSON value with places that no value can fill, such as NaN or a key given twice."""

    def __init__(self) -> None:
        self._raw: list[bytes] = []

    def raw(self, content: bytes) -> str:
        """A text that stands for these bytes, as a value or as a key."""
        self._raw.append(content)
        return f"@@{len(self._raw) - 1}@@"

    def bytes(self, value: Any, *, ascii_only: bool = False) -> bytes:
        text = json.dumps(value, ensure_ascii=ascii_only).encode()
        for number, content in enumerate(self._raw):
            text = text.replace(b'"@@%d@@"' % number, content)
        return text


def a_value(random: Random, rendered: Rendered) -> Any:
    """Anything but what belongs there."""
    match random.randrange(6):
        case 0:
            return rendered.raw(random.choice(NUMBERS))
        case 1 | 2:
            return random.choice(TEXTS)
        case 3:
            return rendered.raw(random.choice(JSONS))
        case 4:
            return random.choice((None, True, [], {}, 0, -1, 7, 1.5, 2**31, [None], {"a": None}))
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"[[],", b"]")))
    depth = random.choice(DEPTHS)
    return rendered.raw(opening * depth + b"1" + closing * depth)


def spoil(random: Random, value: Any, rendered: Rendered) -> None:
    """Change one place in a document, in place."""
    at = value
    while True:
        if isinstance(at, dict) and at:
            key: Any = random.choice(sorted(at))
        elif isinstance(at, list) and at:
            key = random.randrange(len(at))
        else:
            return
        if isinstance(at[key], dict | list) and at[key] and random.random() < 0.75:
            at = at[key]
            continue
        break
    match random.randrange(7):
        case 0:
            del at[key]
        case 1 if isinstance(at, dict):
            at[rendered.raw(json.dumps(str(key)).encode())] = a_value(random, rendered)
        case 2 if isinstance(at, dict):
            at[random.choice(TEXTS)] = a_value(random, rendered)
        case 2:
            at.append(a_value(random, rendered))
        case 3:
            at[key] = None
        case 4 if isinstance(at[key], str):
            at[key] = random.choice(TEXTS)
        case 5:
            at[key] = {"a": at[key]} if random.random() < 0.5 else [at[key]]
        case _:
            at[key] = a_value(random, rendered)


def spoiled_bytes(random: Random, body: bytes) -> bytes:
    """The same body, damaged on its way."""
    match random.randrange(9):
        case 0:
            return body[: random.randrange(len(body) + 1)]
        case 1:
            return b""
        case 2:
            at = random.randrange(len(body) + 1)
            return body[:at] + random.randbytes(random.randrange(1, 9)) + body[at:]
        case 3:
            at = random.randrange(len(body) + 1)
            return body[:at] + body[at + random.randrange(1, 9) :]
        case 4:
            return b"\xef\xbb\xbf" + body
        case 5:
            return body.decode(errors="replace").encode("utf-16")
        case 6:
            return gzip.compress(body, 1)
        case 7:
            return body + random.choice((b"\x00", b"{}", b"]", b"\n" * 5000, b"garbage"))
    return random.randbytes(random.randrange(200))


def as_yaml(value: Any) -> bytes:
    """A document in YAML's own form."""
    return yaml.safe_dump(value, allow_unicode=True).encode()


def huge(random: Random) -> bytes:
    """Around and above the limit of 3 MiB."""
    size = 3 * 1024 * 1024 + random.choice((-200, 0, 1, 300_000))
    filling, head, tail = random.choice(
        (
            (b"x", b'{"metadata":{"name":"hostile-1","annotations":{"a":"', b'"}}}'),
            (b"[", b"", b""),
            (b'{"a":', b"", b""),
            (b"0,", b"[", b"0]"),
            (b'"a":1,', b"{", b'"b":1}'),
            (b" ", b"", b"{}"),
        )
    )
    return head + filling * ((size - len(head) - len(tail)) // len(filling)) + tail
