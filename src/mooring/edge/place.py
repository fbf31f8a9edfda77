"""The directory of a proxy: its files, whole or not there, and certificates where it reads them."""

import fcntl
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mooring.crashpoints import crash_point, passing
from mooring.edge.certificates import Certificate, stopgap
from mooring.edge.errors import KeptAlready, NotWritten
from mooring.edge.words import word

KEPT: Final = 5  # configurations before this one
STOPGAP: Final = "stopgap.pem"  # is no name of a certificate's file
NEW: Final = ".new"  # ends the name of a file that is being written
WRITTEN: Final = crash_point("edge.file.written")
KEPT_ONE: Final = crash_point("edge.file.kept")
REPLACED: Final = crash_point("edge.file.replaced")


class Place:
    """One directory."""

    def __init__(self, directory: str) -> None:
        self.path = Path(word(directory))

    def make(self) -> None:
        """Be there, for us alone. Raises NotWritten."""
        with _writing(self.path):
            (self.path / "certificates").mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one that keeps this directory's proxy. Raises KeptAlready, NotWritten."""
        self.make()
        lock = self.path / "lock"
        with _writing(lock):
            file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                keeper = os.pread(file, 32, 0).decode(errors="replace").strip()
                raise KeptAlready(self.path, keeper) from None
            number = f"{os.getpid()}\n".encode()
            with suppress(OSError):  # there is no room: nobody is told the number
                os.ftruncate(file, os.pwrite(file, number, 0))
            self._sweep()
            yield
        finally:
            os.close(file)

    def write(self, name: str, text: str) -> None:
        """Whole or not at all. Raises NotWritten."""
        path = self.path / name
        new = f"{path}{NEW}"
        with _writing(path):
            try:
                with open(new, "w", opener=_private) as file:
                    file.write(text)
                passing(WRITTEN)
                os.replace(new, path)
            except OSError:
                with suppress(OSError):
                    os.unlink(new)  # half of it takes the room of others
                raise

    def certificate(self, name: str) -> str:
        """The path of a certificate's file."""
        return f"{self.path}/certificates/{word(name)}"

    def write_certificates(self, wanted: Mapping[str, Certificate]) -> None:
        """Have these, by file, and the stopgap. Others stay: they may be served yet. Raises
        NotWritten."""
        if not Path(self.certificate(STOPGAP)).exists():
            self.write(f"certificates/{STOPGAP}", stopgap().pem)
        for name, certificate in wanted.items():
            self.write(f"certificates/{word(name)}", certificate.pem)

    def keep_certificates(self, names: Collection[str]) -> None:
        """These files and the stopgap; of others the keys are to be gone. Raises NotWritten."""
        place = Path(self.certificate(STOPGAP)).parent
        with _writing(place):
            for path in place.iterdir():
                if path.name != STOPGAP and path.name not in names:
                    path.unlink(missing_ok=True)

    def replace(self, new: str, current: str, *, is_good: bool) -> None:
        """Have a new file in the place of one that stays beside it for a while.

        is_good  whether the proxy has had the current one; else those that it has had stay alone
        raises   NotWritten
        """
        path = self.path / current
        with _writing(path):
            if is_good and path.exists():
                for number in range(KEPT - 1, 0, -1):
                    with suppress(FileNotFoundError):
                        os.replace(f"{path}.{number}", f"{path}.{number + 1}")
                os.link(path, f"{path}.1")
                passing(KEPT_ONE)
            os.replace(self.path / new, path)
        passing(REPLACED)

    def restore(self, current: str) -> None:
        """Undo `replace`: what it was replaced with came to nothing."""
        path = self.path / current
        with suppress(FileNotFoundError):
            os.replace(f"{path}.1", path)
        for number in range(2, KEPT + 1):
            with suppress(FileNotFoundError):
                os.replace(f"{path}.{number}", f"{path}.{number - 1}")

    def _sweep(self) -> None:
        """What one that was killed has left half written: a key of a certificate may be in it."""
        with _writing(self.path):
            for place in (self.path, self.path / "certificates"):
                for left in place.glob(f"*{NEW}"):
                    left.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotWritten(path, error) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
