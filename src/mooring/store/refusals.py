"""Why a store does not open, and what to do then."""

from pathlib import Path

from mooring.errors import MooringError
from mooring.store.interface import Unavailable


class StoreNewer(MooringError):
    """What it holds was written by a later Mooring."""

    code = "StoreNewer"

    def __init__(self, place: Path | str, found: int, known: int) -> None:
        """place: the file, or the URL"""
        self.what = f"{place} has schema version {found}, this Mooring knows {known} at most"
        self.remedy = "start the newer Mooring that wrote it, or restore a backup made before that"
        super().__init__(self.what)


class StoreInUse(MooringError):
    """Another process has the file."""

    code = "StoreInUse"

    def __init__(self, path: Path, pid: str) -> None:
        self.what = f"{path} is in use by process {pid or '(unknown)'}"
        self.remedy = "stop that process first, or use another data directory"
        super().__init__(self.what)


class StoreDamaged(MooringError):
    """The file is not what a store left there."""

    code = "StoreDamaged"

    def __init__(self, path: Path, detail: str) -> None:
        self.what = f"{path} is damaged: {detail}"
        self.remedy = (
            f"restore it from a backup, or save what is readable with: sqlite3 {path} .recover"
        )
        super().__init__(self.what)


class StoreForeign(MooringError):
    """The file belongs to another program."""

    code = "StoreForeign"

    def __init__(self, path: Path) -> None:
        self.what = f"{path} is a database of another program"
        self.remedy = "use another data directory"
        super().__init__(self.what)


class StoreNotAccessible(MooringError):
    """The file or its directory cannot be used."""

    code = "StoreNotAccessible"

    def __init__(self, path: Path, reason: str) -> None:
        self.what = f"{path} cannot be opened: {reason}"
        self.remedy = f"make {path.parent} a directory on a local disk that this user may write to"
        super().__init__(self.what)


def closed() -> Unavailable:
    """What a store says once it is closed."""
    return Unavailable("it is closed", "start Mooring again")
