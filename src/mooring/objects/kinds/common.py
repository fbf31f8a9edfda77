"""What many kinds share: names, labels, access modes, quantities, immutable metadata."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, Protocol

from mooring.model.names import STORAGE
from mooring.model.quantity import Quantity, QuantityError, canonical_storage, parse_quantity
from mooring.objects.kind import Cause, Denied, Doc, Subresource, World
from mooring.store.schema import MANY_HOSTS

REQUIRED, INVALID = "FieldValueRequired", "FieldValueInvalid"
NOT_SUPPORTED, FORBIDDEN = "FieldValueNotSupported", "FieldValueForbidden"

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
SUBDOMAIN_TEXT: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_TEXT: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
ACCESS_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES: Final = ("Block", "Filesystem")
SUBDOMAIN_MAX: Final = 253  # letters
QUALIFIED_MAX: Final = SUBDOMAIN_MAX + 1 + 63
ANNOTATIONS_MAX_BYTES: Final = 256 * 1024
STANDARD_FINALIZERS: Final = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


class NameRule(Protocol):
    """What names of a kind are like."""

    def __call__(self, name: str, *, is_beginning: bool) -> list[str]:
        """What is wrong with a name, or with the beginning of one that is generated."""


def required(field: str, message: str = "") -> Cause:
    return Cause(field, REQUIRED, f"Required value{': ' + message if message else ''}")


def invalid(field: str, value: Any, message: str) -> Cause:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return Cause(field, INVALID, f"Invalid value: {shown}: {message}")


def forbidden(field: str, message: str) -> Cause:
    return Cause(field, FORBIDDEN, f"Forbidden: {message}")


def too_long(field: str, bytes_: int) -> Cause:
    return Cause(field, "FieldValueTooLong", f"Too long: may not be more than {bytes_} bytes")


def duplicate(field: str, value: Any) -> Cause:
    return Cause(field, "FieldValueDuplicate", f'Duplicate value: "{value}"')


def not_supported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    listed = ", ".join(f'"{one}"' for one in supported)
    return Cause(field, NOT_SUPPORTED, f'Unsupported value: "{value}": supported values: {listed}')


def is_label(name: str) -> bool:
    """As names of namespaces are."""
    return _LABEL.fullmatch(name) is not None


def is_subdomain(name: str) -> bool:
    return len(name) <= SUBDOMAIN_MAX and _is_subdomain(name)  # long texts are not remembered


@lru_cache(maxsize=4096)
def _is_subdomain(name: str) -> bool:
    return _SUBDOMAIN.fullmatch(name) is not None


def is_qualified(name: str) -> bool:
    """prefix/name or name, as keys of labels and annotations are."""
    return len(name) <= QUALIFIED_MAX and _is_qualified(name)


@lru_cache(maxsize=4096)
def _is_qualified(name: str) -> bool:
    prefix, slash, rest = name.rpartition("/")
    if slash and not is_subdomain(prefix):
        return False
    return 0 < len(rest) <= 63 and _QUALIFIED.fullmatch(rest) is not None


def is_label_value(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 63 and bool(_LABEL_VALUE.fullmatch(value))


def _as_if_whole(base: str) -> str:
    """The beginning of a name may end in a dash."""
    return f"{base[:-2]}a" if len(base) > 1 and base.endswith("-") else base


def as_subdomain(name: str, *, is_beginning: bool) -> list[str]:
    """A NameRule: as the names of most kinds are."""
    name = _as_if_whole(name) if is_beginning else name
    # Not remembered: each name is met once.
    fits = len(name) <= SUBDOMAIN_MAX and _SUBDOMAIN.fullmatch(name)
    return [] if fits else [SUBDOMAIN_TEXT]


def as_label(name: str, *, is_beginning: bool) -> list[str]:
    """A NameRule: as names of namespaces are."""
    return [] if is_label(_as_if_whole(name) if is_beginning else name) else [LABEL_TEXT]


def as_path_segment(name: str, *, is_beginning: bool) -> list[str]:
    """A NameRule: whatever the path of a request can hold."""
    if name in (".", "..") and not is_beginning:
        return [f"may not be '{name}'"]
    return [f"may not contain '{one}'" for one in "/%" if one in name]


def metadata_causes(doc: Doc, *, named: NameRule = as_subdomain) -> list[Cause]:
    """Of any object at any write."""
    metadata, causes = doc["metadata"], []
    if name := metadata.get("name", ""):
        wrong = named(name, is_beginning=False)
        causes += [invalid("metadata.name", name, text) for text in wrong]
    else:
        causes.append(required("metadata.name", "name or generateName is required"))
    if base := metadata.get("generateName"):
        wrong = named(base, is_beginning=True)
        causes += [invalid("metadata.generateName", base, text) for text in wrong]
    for key, value in (metadata.get("labels") or {}).items():
        if not is_qualified(key):
            causes.append(invalid("metadata.labels", key, "name part must be a qualified name"))
        if not is_label_value(value):
            causes.append(
                invalid(
                    "metadata.labels",
                    value,
                    "a valid label must be an empty string"
                    " or consist of alphanumeric characters, '-', '_' or '.'",
                )
            )
    size = 0
    for key, value in (metadata.get("annotations") or {}).items():
        if not is_qualified(key.lower()):
            causes.append(invalid("metadata.annotations", key, "must be a qualified name"))
        size += len(key.encode()) + len(str(value).encode())
    if size > ANNOTATIONS_MAX_BYTES:
        causes.append(too_long("metadata.annotations", ANNOTATIONS_MAX_BYTES))
    return causes + _finalizer_causes(metadata) + _owner_causes(metadata)


def _finalizer_causes(metadata: Doc) -> list[Cause]:
    causes = []
    for number, finalizer in enumerate(metadata.get("finalizers") or ()):
        if not is_qualified(finalizer):
            causes.append(invalid("metadata.finalizers", finalizer, "must be a qualified name"))
        elif "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            message = "name is neither a standard finalizer name nor is it fully qualified"
            causes.append(invalid(f"metadata.finalizers[{number}]", finalizer, message))
    return causes


def _owner_causes(metadata: Doc) -> list[Cause]:
    """Kubernetes names the list in these, not the place in it."""
    field, causes, controllers = "metadata.ownerReferences", [], []
    for owner in metadata.get("ownerReferences") or ():
        if not (owner.get("apiVersion") or "").rpartition("/")[2]:
            message = "version must not be empty"
            causes.append(invalid(f"{field}.apiVersion", owner.get("apiVersion") or "", message))
        causes += [
            invalid(f"{field}.{key}", "", "must not be empty")
            for key in ("kind", "name", "uid")
            if not owner.get(key)
        ]
        if owner.get("controller"):
            controllers.append(f"{owner.get('kind')}/{owner.get('name')}")
    if len(controllers) > 1:
        message = "Only one reference can have Controller set to true. Found in "
        causes.append(invalid(field, "", message + " and ".join(controllers)))
    return causes


def metadata_update_causes(doc: Doc, old: Doc, *, named: NameRule = as_subdomain) -> list[Cause]:
    """What must not change, and finalizers that come too late."""
    causes = metadata_causes(doc, named=named)
    metadata, had = doc["metadata"], old["metadata"]
    for field in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"):
        if metadata.get(field) != had.get(field):
            path = f"metadata.{field}"
            causes.append(invalid(path, metadata.get(field, ""), "field is immutable"))
    if "deletionTimestamp" in had:
        late = set(metadata.get("finalizers") or ()) - set(had.get("finalizers") or ())
        if late:
            message = (
                "no new finalizers can be added if the object is being deleted, found new "
                f"finalizers {sorted(late)}"
            )
            causes.append(forbidden("metadata.finalizers", message))
    return causes


def access_mode_causes(modes: Any) -> list[Cause]:
    """Of spec.accessModes of volumes and claims alike."""
    field = "spec.accessModes"
    if not modes:
        return [required(field, "at least 1 access mode is required")]
    causes = [not_supported(field, one, ACCESS_MODES) for one in modes if one not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        message = "may not use ReadWriteOncePod with other access modes"
        causes.append(forbidden(field, message))
    return causes


def canonical_amounts(amounts: Any) -> None:
    """Make the quantities of a resource list canonical in place. Raises QuantityError."""
    if not isinstance(amounts, dict):
        return
    for name, amount in amounts.items():
        amounts[name] = canonical_storage(amount)


def amount(text: Any) -> Quantity | None:
    """None if it cannot be read."""
    try:
        return parse_quantity(text)
    except QuantityError:
        return None


def storage_of(amounts: Any) -> Any:
    """The storage entry of a resource list, or None."""
    return amounts.get(STORAGE) if isinstance(amounts, dict) else None


def effective_class(doc: Doc) -> str:
    """By the annotation of old if it is there, else by spec. Storage semantics §1.2."""
    annotations = doc["metadata"].get("annotations") or {}
    beta = annotations.get("volume.beta.kubernetes.io/storage-class")
    return beta if beta is not None else doc["spec"].get("storageClassName") or ""


def with_finalizer(doc: Doc, finalizer: str) -> None:
    """Append it in place, unless it is there."""
    finalizers = list(doc["metadata"].get("finalizers") or ())
    if finalizer not in finalizers:
        doc["metadata"]["finalizers"] = [*finalizers, finalizer]


def keep_status(doc: Doc, old: Doc) -> None:
    """A write of the object leaves its status as it is, in place."""
    _keep("status", doc, old)


def keep_spec(doc: Doc, old: Doc) -> None:
    """A write of the status leaves the spec as it is, in place."""
    _keep("spec", doc, old)


def _keep(field: str, doc: Doc, old: Doc) -> None:
    if field in old:
        doc[field] = old[field]  # where it stands: what changes nothing is told by its bytes
    else:
        doc.pop(field, None)


STATUS: Final = {"status": Subresource(keep_spec, metadata_update_causes)}


def refuse_unfinished(world: World, what: str) -> None:
    """What a Mooring of one host would not heed, as long as it may be started there again.

    Raises Denied.
    """
    if world.schema < MANY_HOSTS:
        raise Denied(
            f"{what} means nothing to the version before, which may be started on this store "
            "again: `mooring store finalize` ends that"
        )
