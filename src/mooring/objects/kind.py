"""What the system knows of a kind: one table entry registers it everywhere."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

Doc = dict[str, Any]  # an object as decoded JSON


class Cause(NamedTuple):
    """One reason why an object is not valid; becomes details.causes[] of a 422 Status.

    field   path as Kubernetes writes it: spec.resources[storage]
    reason  FieldValueRequired, FieldValueInvalid, FieldValueNotSupported, FieldValueForbidden,
            FieldValueDuplicate, FieldValueTooLong, FieldValueTypeInvalid …
    message the whole body: `Invalid value: "a_b": a lowercase RFC 1123 subdomain must …`; the text
            of the Status is `field: message`, several in brackets joined by ", "
    """

    field: str
    reason: str
    message: str


class Column(NamedTuple):
    """A printed column. `priority` 1 is shown by `-o wide` only."""

    name: str
    cell: Callable[[Doc, "Printing"], Any]
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


class Printing(NamedTuple):
    """What cells need beside the object."""

    now_s: float  # seconds since the epoch


class World(Protocol):
    """What admission may look at beside the object itself. Answers from the cache, decoded."""

    @property
    def schema(self) -> int:
        """Of the store: what a Mooring has to know that may be started there again."""

    def one(self, resource: str, key: str) -> Doc | None:
        """The object of this resource ("storageclasses.storage.k8s.io") and "name" or "ns/name"."""

    def all(self, resource: str) -> list[Doc]:
        """Every object of a resource; only for kinds that are few, such as classes."""

    def inside(self, resource: str, namespace: str) -> list[Doc]:
        """Every object of a namespace; only for kinds that are few, such as limits."""


class Denied(Exception):
    """A validating or mutating admission said no: 403 Forbidden with this message."""


# Fills defaults of the API version and makes quantities canonical, in place, before anything else
# looks at the object. Raises ValueError when a quantity or base64 cannot be read: 400, not 422.
Default = Callable[[Doc], None]
Mutate = Callable[[Doc, World], None]  # at CREATE: default class, finalizers, in place; or Denied
PrepareCreate = Callable[[Doc], None]  # strategy: status reset and the like, in place
PrepareUpdate = Callable[[Doc, Doc], None]  # (new, old), in place
ValidateCreate = Callable[[Doc], list[Cause]]
ValidateUpdate = Callable[[Doc, Doc], list[Cause]]  # (new, old)
Review = Callable[[Doc, Doc | None, World], None]  # (new, old or None at create); raises Denied
# What the server dates itself: (new, old or None at create, the time as RFC 3339), in place, after
# prepare; in creates, writes of the object, writes of a subresource and of controllers alike.
Stamp = Callable[[Doc, Doc | None, str], None]
Convert = Callable[[Doc], Doc]  # one served version into another: a new dict, nested values shared


def nothing(*_: Any) -> None:
    """An admission step that a kind does not have."""


def no_causes(*_: Any) -> list[Cause]:
    """A validation that a kind does not have."""
    return []


def as_it_is(doc: Doc) -> Doc:
    """The conversion of a kind that is stored as it is served."""
    return doc


@dataclass(frozen=True, slots=True)
class Subresource:
    """What a subresource such as status may change. prepare(new, old) restores all else."""

    prepare: PrepareUpdate
    validate: ValidateUpdate = no_causes


@dataclass(frozen=True, slots=True)
class Kind:
    """A served kind. Order per request: default, mutate, prepare, stamp, validate, review.

    Source: storage semantics §1.4. The validations cover metadata as well: callers add none of
    their own. A status write runs default, the subresource's prepare, stamp, its validate.
    """

    group: str  # "" is the core group
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    default: Default = nothing
    mutate: Mutate = nothing
    prepare_create: PrepareCreate = nothing
    prepare_update: PrepareUpdate = nothing
    validate_create: ValidateCreate = no_causes
    validate_update: ValidateUpdate = no_causes
    review: Review = nothing
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    # field selectors beyond metadata.name and metadata.namespace: path → text of an object
    selectable: Mapping[str, Callable[[Doc], str]] = field(default_factory=dict)
    # is metadata.generation counted: raised when spec changes, and when it begins to be deleted
    # (PVs, PVCs and StorageClasses have none)
    generation: bool = False
    # what answers a DELETE that leaves nothing: the object as it last was, or a Status. Clients of
    # the API know which of the two they get of each kind.
    returns_deleted: bool = False
    # does a PUT without a resourceVersion write over whatever is there, or is it refused
    overwrites: bool = True
    # does a PUT of an object that is not there make it
    put_creates: bool = False
    # may a whole collection be deleted at once (namespaces may not)
    deletes_collection: bool = True
    kept: frozenset[str] = frozenset()  # names that are never deleted
    # the stored form belongs to another served version, e.g. events of both groups: its resource.
    # Only these two functions see the served form; all others of the kind, columns and selectable
    # fields too, work on the stored form.
    stored_as: str = ""
    to_stored: Convert = as_it_is
    from_stored: Convert = as_it_is
    # after prepare: what carries the server's time, such as status.lastPhaseTransitionTime
    stamp: Stamp = nothing
    # the name used in store keys and the cache: plural, or plural.group
    resource: str = field(init=False)
    api_version: str = field(init=False)

    def __post_init__(self) -> None:
        group, version, plural = self.group, self.version, self.plural
        # Asked for many times in each request. It is frozen, so this is how fields are set.
        object.__setattr__(self, "resource", f"{plural}.{group}" if group else plural)
        object.__setattr__(self, "api_version", f"{group}/{version}" if group else version)
