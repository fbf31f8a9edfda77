"""How far an adoption is: one volume of Docker's own that is copied into a claim."""

import asyncio
from typing import Final, Literal

import msgspec

from mooring.dockerplugin.unfinished import Unfinished
from mooring.errors import MooringError
from mooring.host.comparing import Finding
from mooring.host.copier import Tick
from mooring.host.scanning import Counts, Totals
from mooring.model.claim import Claim
from mooring.model.names import ADOPTED, ADOPTED_FROM
from mooring.objects.kind import Doc

Phase = Literal["Waiting", "Scanning", "Making", "Copying", "Verifying", "Done", "Failed"]
_PHASES: Final[dict[str, Phase]] = {
    "scanning": "Scanning",
    "copying": "Copying",
    "verifying": "Verifying",
}


class Whole(msgspec.Struct, frozen=True, rename="camel"):
    """What a claim says of the copy in it, once that is verified.

    at          when, in RFC 3339
    changed_ns  when anything of the original had been changed last
    """

    at: str
    files: int
    bytes: int
    changed_ns: int

    @classmethod
    def of(cls, claim: Claim) -> "Whole | None":
        try:
            return msgspec.json.decode(claim.annotations.get(ADOPTED, ""), type=cls)
        except msgspec.MsgspecError:
            return None

    def is_of(self, totals: Totals) -> bool:
        """Whether the original, as it is now, is what was copied."""
        now = (totals.files, totals.bytes, totals.changed_ns)
        return now == (self.files, self.bytes, self.changed_ns)


class Adoption:
    """Of a volume that was asked for; known for a while after its end."""

    def __init__(self, note: Unfinished) -> None:
        self.note = note
        self.phase: Phase = "Waiting"
        self.counts, self.of_all = Counts(), Counts()
        self.left = Finding()  # out of the copy
        self.error: MooringError | None = None
        self.has_begun = False  # so that something is in the claim
        self.at = ""  # when it was whole
        self.task: asyncio.Task[None] | None = None

    @property
    def has_ended(self) -> bool:
        return self.phase in ("Done", "Failed")

    def tell(self, tick: Tick) -> None:
        """Take note of how far the copier is."""
        self.phase, self.counts, self.of_all = _PHASES[tick.phase], tick.done, tick.of_all
        self.has_begun = self.has_begun or tick.phase == "copying"

    def end(self, whole: Whole) -> None:
        """It is whole."""
        self.phase, self.at = "Done", whole.at
        self.counts = self.of_all = Counts(whole.files, whole.bytes)

    def fail(self, error: MooringError) -> None:
        self.phase, self.error = "Failed", error

    def document(self) -> Doc:
        """For programs: the answer to who asks how far it is."""
        error = self.error
        return {
            "claim": self.note.claim,
            "name": self.note.name,
            "volume": self.note.volume,
            "phase": self.phase,
            **_counted(self.counts, self.of_all),
            "leftOut": {"count": self.left.count, "named": self.left.named},
            "finishedAt": self.at,
            "error": None
            if error is None
            else {"code": error.code, "what": error.what, "remedy": error.remedy},
        }


def finished_document(claim: Claim, name: str) -> Doc | None:
    """The same of one that was finished by an earlier process; None if the claim is no copy.

    name  as of Unfinished
    """
    whole = Whole.of(claim)
    if whole is None:
        return None
    volume = claim.annotations.get(ADOPTED_FROM, "").partition("/")[2]
    adoption = Adoption(Unfinished("", volume, claim.key, name))
    adoption.end(whole)
    return adoption.document()


def _counted(done: Counts, of_all: Counts) -> Doc:
    return {
        "files": done.files,
        "bytes": done.bytes,
        "ofFiles": of_all.files,
        "ofBytes": of_all.bytes,
    }
