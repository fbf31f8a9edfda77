"""Commands of the documentation, run as they stand there."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def recipes(document: str, title: str) -> list[str]:
    """The blocks of commands of a section, in their order."""
    text = (ROOT / "docs" / document).read_text()
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{document} has no section {title}"
    return re.findall(r"^```sh\n(.*?)^```$", found[1], re.MULTILINE | re.DOTALL)
