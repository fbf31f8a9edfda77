"""Which objects kubectl takes a label selector to mean: it filters files by itself."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

KEYS = ("a", "b", "example.com/c", "in", "A.b_c-d")
VALUES = ("x", "y", "", "1", "5", "10", "-3", "notin")
SETS_OF_LABELS: tuple[dict[str, str], ...] = (
    *({}, {"a": "x"}, {"a": "y", "b": "x"}, {"a": ""}, {"b": "5"}, {"b": "10", "a": "1"}),
    *({"example.com/c": "x", "a": "5"}, {"in": "x", "b": "notin"}, {"A.b_c-d": "1", "b": "y"}),
)
LETTERS = "aaaZ09-_."
PREFIX_PARTS = ("a", "example", "com", "0", "a-b", "A", "", "-a", "a_b")
NOISE = ",()!=<> \tx_/.é'\"\\"


def generated(seed: int, count: int) -> Iterator[str]:
    """Selectors, and what is nearly one."""
    random = Random(seed)
    for _ in range(count):
        text = ",".join(requirement(random) for _ in range(random.choice((1, 1, 2, 3))))
        if random.random() < 0.25:
            place = random.randrange(len(text) + 1)
            cut = place + random.randrange(2)
            text = text[:place] + random.choice(("", *NOISE)) + text[cut:]
        yield text


def requirement(random: Random) -> str:
    def blank() -> str:
        return random.choice(("", "", "", " ", "  "))

    key = key_or_nearly(random)
    value = random.choice(VALUES) if random.random() < 0.7 else word(random)
    match random.randrange(4):
        case 0:
            return f"{blank()}{random.choice(('', '!', '! '))}{key}{blank()}"
        case 1:
            values = (random.choice(VALUES) for _ in range(random.choice((1, 2, 3))))
            listed = ",".join(f"{blank()}{one}{blank()}" for one in values)
            return f"{key} {random.choice(('in', 'notin'))} {blank()}({listed}){blank()}"
        case _:
            operator = random.choice(("=", "==", "!=", ">", "<"))
            return f"{blank()}{key}{blank()}{operator}{blank()}{value}{blank()}"


def key_or_nearly(random: Random) -> str:
    """Of a label; as long as it may be, or longer, now and then."""
    if random.random() < 0.8:
        return random.choice(KEYS)
    prefix = ""
    if random.random() < 0.2:
        prefix = f"{('a' * 61 + '.') * 4}{'a' * random.choice((4, 5, 6, 7))}/"
    elif random.random() < 0.6:
        parts = random.choices(PREFIX_PARTS, k=random.choice((1, 2, 3)))
        prefix = f"{'.'.join(parts)}/"
    return prefix + word(random)


def word(random: Random) -> str:
    letters = random.choices(LETTERS, k=random.choice((1, 2, 3, 4, 62, 63, 64)))
    if random.random() < 0.9:
        letters[0] = letters[-1] = "a"
    return "".join(letters)


def selected(kubectl: str, home: Path, url: str, text: str) -> list[int] | None:
    """The places in SETS_OF_LABELS of what is selected; None if kubectl refuses the selector.

    url  of a server that says which kinds there are
    """
    items = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"m{number}", "labels": labels},
        }
        for number, labels in enumerate(SETS_OF_LABELS)
    ]
    command = [kubectl, "--server", url, "create", "--dry-run=client", "--validate=false"]
    done = subprocess.run(
        [*command, "-f", "-", "-o", "name", f"--selector={text}"],
        input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "HOME": str(home), "KUBECONFIG": ""},
    )
    if done.returncode and "no objects passed" not in done.stderr:
        return None
    return [int(line.removeprefix("configmap/m")) for line in done.stdout.split()]
