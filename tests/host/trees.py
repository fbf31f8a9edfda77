"""A directory and the one that becomes its copy."""

from pathlib import Path
from typing import NamedTuple

from mooring.host import files
from mooring.host.comparing import Compared, Comparison
from mooring.host.copying import Copy
from mooring.host.scanning import Progress, Totals, scanned


def silent() -> Progress:
    return Progress(lambda counts: None)


class Trees(NamedTuple):
    """A directory and the one that becomes its copy."""

    original: Path
    copy: Path

    def scan(self) -> Totals:
        with files.directory(self.original) as top:
            return scanned(top, silent())

    def run(self, progress: Progress | None = None) -> list[str]:
        """Copy. Returns what was left out."""
        left: list[str] = []
        with files.directory(self.original) as source, files.directory(self.copy) as target:
            Copy(source, target, progress or silent(), left.append).run()
        return left

    def compare(self, since: Totals | None = None) -> Compared:
        since = since or self.scan()
        with files.directory(self.original) as source, files.directory(self.copy) as target:
            return Comparison(source, target, since.changed_ns, silent()).run()

    def differs(self) -> list[str]:
        return self.compare().differs.named
