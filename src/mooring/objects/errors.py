"""Why a read or a write of an object was refused; api/errors.py turns each into a Status."""

from collections.abc import Sequence
from typing import Final

from mooring.errors import MooringError
from mooring.objects.kind import Cause, Kind

# That are told of one object. Of a list of 600,000 wrong items nobody reads more, and each makes
# the answer many times longer than the item was.
CAUSES_AT_MOST: Final = 100


class ObjectError(MooringError):
    """Concerns one object of a kind; `name` may be empty."""

    def __init__(self, kind: Kind, name: str, what: str, remedy: str = "") -> None:
        self.kind, self.name, self.what, self.remedy = kind, name, what, remedy
        super().__init__(what)

    @staticmethod
    def label(kind: Kind) -> str:
        """How Kubernetes names a resource in its messages: storageclasses.storage.k8s.io."""
        return kind.resource


class NotFound(ObjectError):
    code = "NotFound"

    def __init__(self, kind: Kind, name: str) -> None:
        super().__init__(kind, name, f'{kind.resource} "{name}" not found')


class AlreadyExists(ObjectError):
    code = "AlreadyExists"

    def __init__(self, kind: Kind, name: str) -> None:
        super().__init__(kind, name, f'{kind.resource} "{name}" already exists')


class Stale(ObjectError):
    """The object changed since it was read, or is not the one that was meant."""

    code = "Conflict"

    def __init__(self, kind: Kind, name: str, why: str = "") -> None:
        why = why or (
            "the object has been modified; please apply your changes to the latest version "
            "and try again"
        )
        what = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
        super().__init__(kind, name, what)


class Invalid(ObjectError):
    """All that is wrong with an object, at once."""

    code = "Invalid"

    def __init__(self, kind: Kind, name: str, causes: Sequence[Cause]) -> None:
        self.causes = tuple(causes[:CAUSES_AT_MOST])
        texts = [f"{cause.field}: {cause.message}" for cause in self.causes]
        if len(causes) > CAUSES_AT_MOST:
            texts.append(f"and {len(causes) - CAUSES_AT_MOST} more")
        joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        group = f".{kind.group}" if kind.group else ""
        super().__init__(kind, name, f'{kind.kind}{group} "{name}" is invalid: {joined}')


class Forbidden(ObjectError):
    """An admission said no."""

    code = "Forbidden"

    def __init__(self, kind: Kind, name: str, why: str) -> None:
        super().__init__(kind, name, f'{kind.resource} "{name}" is forbidden: {why}')


class BadObject(ObjectError):
    """What was sent is not such an object at all: 400."""

    code = "BadRequest"


class ApplyConflict(ObjectError):
    """Others own fields that were to be applied with another value."""

    code = "Conflict"

    def __init__(self, kind: Kind, name: str, causes: Sequence[Cause]) -> None:
        self.causes = tuple(causes[:CAUSES_AT_MOST])
        many = "s" if len(causes) > 1 else ""
        start = f"Apply failed with {len(causes)} conflict{many}: "
        if many:
            lines = []
            for conflict in dict.fromkeys(cause.message for cause in self.causes):
                # "conflict with X" of one field is "conflicts with X:" above the list of them.
                lines.append(f"conflicts{conflict.removeprefix('conflict')}:")
                lines += [f"- {cause.field}" for cause in self.causes if cause.message == conflict]
            what = start + "\n".join(lines)
        else:
            what = f"{start}{causes[0].message}: {causes[0].field}"
        super().__init__(kind, name, what)
