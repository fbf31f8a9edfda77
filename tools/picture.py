"""Draw docs/explain.svg: the part of docs/first-steps.md that the README shows.

Run it after a change of what that part says: `python -m tools.picture`.
"""

import re
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

DOCS: Final = Path(__file__).parent.parent / "docs"
PART: Final = "## 6."
WIDTH: Final = 104


def shown() -> list[Text]:
    """The commands of the part in bold, with what they print."""
    page = (DOCS / "first-steps.md").read_text()
    part = page[page.index(PART) :].partition("\n## ")[0]
    lines = [line[4:] for line in part.splitlines() if line.startswith("    ") or not line.strip()]
    text = "\n".join(lines).strip()
    return [Text(line, style="bold" if line.startswith("$") else "") for line in text.splitlines()]


def main() -> None:
    console = Console(record=True, width=WIDTH, file=open("/dev/null", "w"))  # noqa: SIM115
    for line in shown():
        console.print(line)
    picture = console.export_svg(title="mooring")
    # No fonts from elsewhere: whoever looks at it asks nobody else.
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    (DOCS / "explain.svg").write_text(picture)


if __name__ == "__main__":
    main()
