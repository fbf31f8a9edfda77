"""The schema of one value: what patches ask of it, and whether a JSON value is of it.

A value that conforms is what Kubernetes would have after decoding it into its Go struct: unknown
fields and nulls are gone, quantities and times are in their canonical form. It is changed in place.
"""

import binascii
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from mooring.model.quantity import QuantityError, canonical_storage

MAX_FINDINGS: Final = 100  # as Kubernetes reports
MAX_PATH: Final = 512  # letters of a path in a message; the names in it are the client's
MAX_DEPTH: Final = 100  # of values whose fields no schema names
INT32, INT64 = 2**31, 2**63
JSON_NAMES: Final = {str: "string", bool: "bool", list: "array", dict: "object"}
NOTHING: Final[Mapping[str, "SchemaNode"]] = {}

# Where a value is: (where its parent is, the field or index below that). Built on the way down and
# written out only when there is something to say, since most documents are flawless.
Place: TypeAlias = "tuple[Any, str | int] | None"


class Mismatch(Exception):
    """A value is not of its schema.

    node  the schema; None if `why` says it all
    """

    def __init__(self, at: Place, value: Any, node: "SchemaNode | None", why: str = "") -> None:
        super().__init__(why)
        self.at, self.value, self.node, self.why = at, value, node, why


class Findings(list[str]):
    """What a document holds that it should not, each thing once, in its order."""

    def add(self, what: str, at: Place) -> None:
        """Note a field that is `what`: unknown, duplicate."""
        if len(self) < MAX_FINDINGS:
            text = f'{what} field "{path(at)}"'
            if text not in self:
                self.append(text)


def steps(at: Place) -> list[str | int]:
    """The fields and indexes from the top."""
    found = []
    while at is not None:
        at, step = at
        found.append(step)
    return found[::-1]


def path(at: Place) -> str:
    """As Kubernetes writes it: spec.containers[0].name, metadata.labels.app. Not without end."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps(at))
    return text.removeprefix(".")[:MAX_PATH]


class SchemaNode:
    """Any JSON value that no schema describes; the base of those that one does."""

    __slots__ = (
        *("fields", "items", "list_keys", "list_type", "map_type", "patch_key", "patch_strategy"),
        *("plain", "values"),
    )
    # A value of this very type needs no look: true of texts and booleans.
    plain: type | None

    def __init__(self) -> None:
        self.fields: Mapping[str, SchemaNode] = NOTHING
        self.items: SchemaNode | None = None
        self.values: SchemaNode | None = None
        self.patch_strategy = self.patch_key = ""
        self.list_type = "atomic"
        self.list_keys: tuple[str, ...] = ()
        self.map_type = "granular"
        self.plain = None

    def conformed(self, value: Any, at: Place, findings: Findings) -> Any:
        """The value as it is kept; the same one wherever that is possible. Raises Mismatch."""
        _refuse_deep(value, at, MAX_DEPTH)
        return value

    def zero(self) -> Any:
        """What null means in a list or a map."""
        return None

    def go_type(self) -> str:
        """How messages name it."""
        return "interface {}"


def _refuse_deep(value: Any, at: Place, levels: int) -> None:
    if isinstance(value, dict | list):
        if not levels:
            raise Mismatch(at, value, None, "exceeded max depth")
        for one in value.values() if isinstance(value, dict) else value:
            _refuse_deep(one, at, levels - 1)


class Text(SchemaNode):
    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.plain = str

    def conformed(self, value: Any, at: Place, findings: Findings) -> Any:
        if type(value) is not str:
            raise Mismatch(at, value, self)
        return value

    def zero(self) -> Any:
        return ""

    def go_type(self) -> str:
        return "string"


class Flag(SchemaNode):
    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.plain = bool

    def conformed(self, value: Any, at: Place, findings: Findings) -> Any:
        if type(value) is not bool:
            raise Mismatch(at, value, self)
        return value

    def zero(self) -> Any:
        return False

    def go_type(self) -> str:
        return "bool"


class Integer(SchemaNode):
    __slots__ = ("beyond",)

    def __init__(self, beyond: int) -> None:
        super().__init__()
        self.beyond = beyond

    def conformed(self, value: Any, at: Place, findings: Findings) -> Any:
        if type(value) is not int or not -self.beyond <= value < self.beyond:
            raise Mismatch(at, value, self)
        return value

    def zero(self) -> Any:
        return 0

    def go_type(self) -> str:
        return "int32" if self.beyond == INT32 else "int64"


class Number(SchemaNode):
    __slots__ = ()

    def conformed(self, value: Any, at: Place, findings: Findings) -> Any:
        if type(value) not in (int, float) or not math.isfinite(value):
            raise Mismatch(at, value, self)
        return value

    def zero(self) -> Any:
        return 0

    def go_type(self) -> str:
        return "float64"


class Amount(SchemaNode):
    """A quantity: kept as canonical text, read from a number as well."""

    __slots__ = ()

    def conformed(self, value: Any, at: Place, findings: Findings) -> Any:
        try:
            return canonical_storage(value)
        except QuantityError as error:
            raise Mismatch(at, value, None, str(error)) from error

    def zero(self) -> Any:
        return "0"

    def go_type(self) -> str:
        return "resource.Quantity"


class TextOrInteger(SchemaNode):
    __slots__ = ()

    def conformed(self, value: Any, at: Place, findings: Findings) -> Any:
        if type(value) is str or (type(value) is int and -INT32 <= value < INT32):
            return value
        raise Mismatch(at, value, self)

    def zero(self) -> Any:
        return 0

    def go_type(self) -> str:
        return "intstr.IntOrString"


class Base64(SchemaNode):
    __slots__ = ()

    def conformed(self, value: Any, at: Place, findings: Findings) -> Any:
        if type(value) is not str:
            raise Mismatch(at, value, self)
        bare = value.replace("\n", "").replace("\r", "")
        try:
            binascii.a2b_base64(bare, strict_mode=True)
        except ValueError as error:  # letters beyond ASCII as well
            raise Mismatch(at, value, None, "illegal base64 data") from error
        return bare

    def zero(self) -> Any:
        return ""

    def go_type(self) -> str:
        return "[]uint8"


class Time(SchemaNode):
    """RFC 3339, kept in UTC."""

    __slots__ = ("length", "timespec")

    def __init__(self, timespec: str) -> None:
        super().__init__()
        self.timespec = timespec  # seconds or microseconds, as Python names what is kept
        self.length = 27 if timespec == "microseconds" else 20

    def conformed(self, value: Any, at: Place, findings: Findings) -> Any:
        if type(value) is not str:
            raise Mismatch(at, value, self)
        try:
            if len(value) < 20 or value[10] not in "Tt":  # Python reads other forms too
                raise ValueError("not as RFC 3339 has it")
            time = datetime.fromisoformat(value)
            if len(value) == self.length and value[10] == "T" and value[-1] == "Z":
                return value
            if time.tzinfo is None:
                raise ValueError("no zone")
            kept = time.astimezone(UTC).isoformat(timespec=self.timespec)
        except (ValueError, OverflowError) as error:
            why = f'parsing time "{value[:64]}": must be such as 2006-01-02T15:04:05Z'
            raise Mismatch(at, value, None, why) from error
        return kept.removesuffix("+00:00") + "Z"

    def go_type(self) -> str:
        return "string"


class Fields(SchemaNode):
    """An object whose fields have names."""

    __slots__ = ("name",)

    def __init__(self, name: str, fields: Mapping[str, SchemaNode]) -> None:
        super().__init__()
        self.name, self.fields = name, fields  # v1.PersistentVolumeClaimSpec

    def conformed(self, value: Any, at: Place, findings: Findings) -> Any:
        if type(value) is not dict:
            raise Mismatch(at, value, self)
        fields = self.fields
        unwanted: list[str] | None = None
        for name, one in value.items():
            node = fields.get(name)
            if node is not None and type(one) is node.plain:
                continue
            if node is None or one is None:
                if unwanted is None:
                    unwanted = []
                unwanted.append(name)
                if node is None:
                    findings.add("unknown", (at, name))
                continue
            kept = node.conformed(one, (at, name), findings)
            if kept is not one:
                value[name] = kept
        for name in unwanted or ():
            del value[name]
        return value

    def zero(self) -> Any:
        return {}

    def go_type(self) -> str:
        return self.name


class Names(SchemaNode):
    """A map: an object whose keys are free."""

    __slots__ = ()

    def __init__(self, values: SchemaNode) -> None:
        super().__init__()
        self.values: SchemaNode = values

    def conformed(self, value: Any, at: Place, findings: Findings) -> Any:
        if type(value) is not dict:
            raise Mismatch(at, value, self)
        node = self.values
        for name, one in value.items():
            if type(one) is node.plain:
                continue
            kept = node.zero() if one is None else node.conformed(one, (at, name), findings)
            if kept is not one:
                value[name] = kept
        return value

    def zero(self) -> Any:
        return {}

    def go_type(self) -> str:
        return f"map[string]{self.values.go_type()}"


class Items(SchemaNode):
    """A list."""

    __slots__ = ()

    def __init__(self, items: SchemaNode) -> None:
        super().__init__()
        self.items: SchemaNode = items

    def conformed(self, value: Any, at: Place, findings: Findings) -> Any:
        if type(value) is not list:
            raise Mismatch(at, value, self)
        node = self.items
        for index, one in enumerate(value):
            if type(one) is node.plain:
                continue
            kept = node.zero() if one is None else node.conformed(one, (at, index), findings)
            if kept is not one:
                value[index] = kept
        return value

    def zero(self) -> Any:
        return []

    def go_type(self) -> str:
        return f"[]{self.items.go_type()}"
