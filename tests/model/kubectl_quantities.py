"""What kubectl makes of quantities: Kubernetes' own code, and no server is asked."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

SUFFIXES = ("", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
STRANGE = ("K", "g", "mi", "KI", "B", "GB", "i", "e", "E+", "e1.5", "e3Gi", "_", "x")
AT_ONCE = 50


def generated(seed: int, count: int) -> Iterator[str]:
    """Quantities, and what is nearly one."""
    random = Random(seed)
    for _ in range(count):
        digits = str(random.randrange(10 ** random.randrange(1, 19)))
        if random.random() < 0.4:
            place = random.randrange(len(digits) + 1)
            digits = f"{digits[:place]}.{digits[place:]}"
        suffix = random.choice(SUFFIXES)
        if random.random() < 0.25:
            suffix = f"{random.choice('eE')}{random.randrange(-12, 10)}"
        elif random.random() < 0.05:
            suffix = random.choice(STRANGE)
        yield f"{random.choice(['', '', '', '-', '+'])}{digits}{suffix}"


def canonical(kubectl: str, home: Path, texts: Sequence[str]) -> dict[str, str | None]:
    """The canonical form of each; None for what kubectl refuses.

    texts  without commas and equals signs
    """
    written: dict[str, str | None] = {}
    for start in range(0, len(texts), AT_ONCE):
        some = texts[start : start + AT_ONCE]
        written |= dict(_together(kubectl, home, some))
        taken = [text for text in some if written[text] is not None]
        anew = _together(kubectl, home, [_with_digits(text) for text in taken])
        written |= {text: anew[_with_digits(text)] for text in taken}
    return written


def _with_digits(text: str) -> str:
    """The same amount with so many digits that it is not kept as the text it was."""
    number = re.fullmatch(r"([+-]?[0-9]*)(\.[0-9]*)?(.*)", text)
    assert number
    return f"{number[1]}{number[2] or '.'}{'0' * 20}{number[3]}"


def _together(kubectl: str, home: Path, texts: Sequence[str]) -> dict[str, str | None]:
    hard = ",".join(f"{number}={text}" for number, text in enumerate(texts))
    command = [kubectl, "create", "quota", "q", "--dry-run=client", "-o=json", f"--hard={hard}"]
    environment = {**os.environ, "HOME": str(home), "KUBECONFIG": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    if done.returncode == 0:
        found = json.loads(done.stdout)["spec"]["hard"]
        return {text: found[str(number)] for number, text in enumerate(texts)}
    if len(texts) == 1:
        return {texts[0]: None}
    middle = len(texts) // 2
    return {
        **_together(kubectl, home, texts[:middle]),
        **_together(kubectl, home, texts[middle:]),
    }
