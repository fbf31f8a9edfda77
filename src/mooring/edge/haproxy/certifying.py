"""The certificates that a HAProxy serves: changed while it runs, and listed for its next start."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from mooring.crashpoints import crash_point, passing
from mooring.edge.certificates import Certificate
from mooring.edge.errors import NotWritten, UnexpectedAnswer
from mooring.edge.haproxy import parts
from mooring.edge.haproxy.runtime import Runtime
from mooring.edge.place import STOPGAP, Place
from mooring.edge.settings import Settings
from mooring.edge.words import word

GIVEN: Final = "certificates.given"
CERTIFICATE_SERVED: Final = crash_point("edge.haproxy.certificate-served")
CERTIFICATE_DROPPED: Final = crash_point("edge.haproxy.certificate-dropped")


class Certifier:
    """Of one HAProxy."""

    def __init__(self, settings: Settings, place: Place, runtime: Runtime) -> None:
        self._place, self._runtime = place, runtime
        self._has_tls = any(one.tls for one in settings.entry_points)
        self.list = parts.certificate_list(settings)
        # What it was given, by path. It tells of a certificate alone, and not of its chain.
        self._given: dict[str, str] = {}
        self._noted = ""  # of that, in a file

    def found(self) -> None:
        """It is one that an earlier process has left."""
        self._given = {}
        with suppress(OSError, ValueError):
            self._noted = (self._place.path / GIVEN).read_text()
            self._given = dict(line.split(" ") for line in self._noted.splitlines())

    def forget(self) -> None:
        """It was started with files that may be others than it had."""
        self._given = {}

    def read(self, wanted: Iterable[Certificate]) -> None:
        """It has just read the files of these."""
        self._given = {self._place.certificate(one.file): one.digest for one in wanted}
        with suppress(NotWritten):  # it is given them once more, after a start of ours
            self._note()

    async def serve(self, wanted: Mapping[str, Certificate]) -> None:
        """Bring it to these, by file, beside the stopgap. Raises ProxyAway, UnexpectedAnswer."""
        failure: UnexpectedAnswer | None = None
        paths = {self._place.certificate(name): one for name, one in wanted.items()}
        there = await self._runtime.certificates(self.list)
        new = {
            path: one
            for path, one in paths.items()
            if (there.get(path), self._given.get(path)) != (one.fingerprint, one.digest)
        }
        if new:
            for path in new:
                self._given.pop(path, None)
            self._note()  # before it is so: who is killed in between is to give it once more
            await self._runtime.abort_certificates()  # HAProxy has one in the making at most
        for path, certificate in new.items():
            self._place.write(f"certificates/{certificate.file}", certificate.pem)
            is_new = path not in there
            try:
                await self._runtime.set_certificate(path, certificate.pem, is_new=is_new)
                if is_new:
                    await self._runtime.list_certificate(self.list, path, certificate.names)
                self._given[path] = certificate.digest
                passing(CERTIFICATE_SERVED)
            except UnexpectedAnswer as error:  # the others are served all the same
                failure = error
        for path in there.keys() - paths.keys() - {self._place.certificate(STOPGAP)}:
            await self._runtime.drop_certificate(self.list, path)
            passing(CERTIFICATE_DROPPED)
        # A start must find every file of the list, so those that go do so after it.
        self.write(wanted)
        self._place.keep_certificates(wanted)
        self._given = {path: one for path, one in self._given.items() if path in paths}
        self._note()
        if failure is not None:
            raise failure

    def write(self, wanted: Mapping[str, Certificate]) -> None:
        """What a start or a reload finds. The first is given where no name fits."""
        if not self._has_tls:
            return
        self._place.write_certificates(wanted)
        lines = [self._place.certificate(STOPGAP)]
        for file, one in sorted(wanted.items()):
            lines.append(" ".join((self._place.certificate(file), *map(word, sorted(one.names)))))
        self._place.write("certificates.list", "\n".join(lines) + "\n")

    def _note(self) -> None:
        """For who finds it. Raises NotWritten."""
        text = "".join(f"{path} {digest}\n" for path, digest in sorted(self._given.items()))
        if text != self._noted:
            self._place.write(GIVEN, text)
            self._noted = text
