"""The options of `docker volume create --opt`, driver_opts and volume-opt. Docker volumes §5."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from mooring.dockerplugin.errors import (
    BadAccess,
    BadFlag,
    BadLabel,
    BadMode,
    BadOptions,
    BadOwner,
    BadReclaim,
    BadSize,
    NoSuchClass,
    NoSuchSource,
    NoSuchVolume,
    OptionTooLong,
    TooManyOptions,
    UnknownOption,
)
from mooring.errors import MooringError
from mooring.model.names import DELETE, RETAIN, SHORT_MODES
from mooring.model.quantity import Quantity, QuantityError
from mooring.node.ownership import ID_AT_MOST, MODE_AT_MOST
from mooring.objects.kinds.common import is_label_value, is_qualified, is_subdomain

OPTIONS_AT_MOST: Final = 64
OPTION_BYTES_AT_MOST: Final = 4096  # of a value, and of a key
SMALLEST_BYTES: Final = 1024 * 1024
LARGEST_BYTES: Final = 2**63 - 1  # what a file system can count
OURS: Final = "mooring.dev/"  # labels that mean something to Mooring are not for users to set
LABEL: Final = "label."

ACCESS_MODES: Final = {short.lower(): mode for mode, short in SHORT_MODES.items()}
_RECLAIMS: Final = {"retain": RETAIN, "delete": DELETE}
_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_OCTAL: Final = re.compile(r"[0-7]{1,5}")
_SOURCE: Final = re.compile(r"(snapshot|volume):(.*)", re.DOTALL)
_SOURCE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_MEANT_SIZE: Final = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([kmgtpe]?)i?b?\s*", re.I)


class Source(NamedTuple):
    """What a new volume is to be filled from, in the same namespace.

    name  of a VolumeSnapshot; or of a volume, as Docker says it
    """

    kind: Literal["snapshot", "volume"]
    name: str


class Options(msgspec.Struct, frozen=True):
    """What was asked for; None, or nothing, where the option was not given.

    size        at least SMALLEST_BYTES
    class_name  of a StorageClass
    access      as Kubernetes names it: "ReadWriteOnce"
    volume      the name of a PersistentVolume
    reclaim     "Retain" or "Delete"
    uid, gid    as this host counts them
    mode        permissions, as chmod(2)
    labels      for the claim
    fresh       whether an empty volume is wanted although one with data was retained
    """

    size: Quantity | None = None
    class_name: str | None = None
    access: str | None = None
    source: Source | None = None
    volume: str | None = None
    reclaim: str | None = None
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    labels: dict[str, str] = {}
    fresh: bool = False


def parsed(options: Mapping[str, str] | None) -> Options:
    """Options as Docker hands them over, with everything checked that needs no look at objects.

    raises  the one thing that is wrong; if there are several, BadOptions with all of them
    """
    found, errors = read(options)
    raise_all(errors)
    return found


def raise_all(errors: Sequence[MooringError]) -> None:
    """Raise the one error there is; if there are several, BadOptions with all of them."""
    if errors:
        raise errors[0] if len(errors) == 1 else BadOptions(errors)


def read(options: Mapping[str, str] | None) -> tuple[Options, list[MooringError]]:
    """The same, as far as they can be read, and what is wrong with the others."""
    given = options or {}
    if len(given) > OPTIONS_AT_MOST:
        return Options(), [TooManyOptions(len(given), OPTIONS_AT_MOST)]
    found: dict[str, Any] = {}
    labels: dict[str, str] = {}
    unknown: list[str] = []
    errors: list[MooringError] = []
    for key, value in given.items():
        try:
            if _is_long(key) or _is_long(value):
                raise OptionTooLong(key, OPTION_BYTES_AT_MOST)
            if key.startswith(LABEL):
                name = key.removeprefix(LABEL)
                labels[name] = _label(name, value)
            elif key in _PARSERS:
                field, parse = _PARSERS[key]
                found[field] = parse(value)
            else:
                unknown.append(key)
        except MooringError as error:
            errors.append(error)
    if unknown:
        errors.append(UnknownOption(unknown, KNOWN))
    return Options(labels=labels, **found), errors


def _is_long(text: str) -> bool:
    return len(text.encode(errors="replace")) > OPTION_BYTES_AT_MOST


def _size(value: str) -> Quantity:
    try:
        size = Quantity.parse(value)
    except QuantityError:
        meant = _MEANT_SIZE.fullmatch(value)
        raise BadSize(value, "is no amount", _in_both_ways(meant)) from None
    if size.bytes() < SMALLEST_BYTES:
        # 10 without a unit, or 10m: thousandths to Kubernetes, and MiB to Docker elsewhere.
        meant = _MEANT_SIZE.fullmatch(value.replace("m", "M"))
        right = _in_both_ways(meant if meant is not None and meant[2] == "M" else None)
        raise BadSize(value, "is less than 1Mi", right)
    if size.bytes() > LARGEST_BYTES:
        raise BadSize(value, "is more than any volume can have")
    return size


def _in_both_ways(meant: re.Match[str] | None) -> str:
    """ "10Gi or 10G" for what looks like one of them, "" for all else."""
    if meant is None:
        return ""
    number, unit = meant[1], meant[2].upper()
    return f"{number}{unit}i or {number}{'k' if unit == 'K' else unit}" if unit else number


def _class(value: str) -> str:
    if not is_subdomain(value):
        raise NoSuchClass(value)
    return value


def _access(value: str) -> str:
    if value not in ACCESS_MODES:
        raise BadAccess(value, list(ACCESS_MODES))
    return ACCESS_MODES[value]


def _source(value: str) -> Source:
    form = _SOURCE.fullmatch(value)
    if form is None:
        raise NoSuchSource(value, "is neither a snapshot nor a volume")
    kind, name = form.groups()
    if "/" in name:
        raise NoSuchSource(value, "is of another namespace")
    is_name = is_subdomain(name) if kind == "snapshot" else _SOURCE_NAME.fullmatch(name)
    if not is_name:
        raise NoSuchSource(value)
    return Source("snapshot" if kind == "snapshot" else "volume", name)


def _volume(value: str) -> str:
    if not is_subdomain(value):
        raise NoSuchVolume(value)
    return value


def _reclaim(value: str) -> str:
    if value not in _RECLAIMS:
        raise BadReclaim(value)
    return _RECLAIMS[value]


def _owner(key: str) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not _NUMBER.fullmatch(value) or int(value) > ID_AT_MOST:
            raise BadOwner(key, value)
        return int(value)

    return parse


def _mode(value: str) -> int:
    if not _OCTAL.fullmatch(value) or int(value, 8) > MODE_AT_MOST:
        raise BadMode(value)
    return int(value, 8)


def _label(key: str, value: str) -> str:
    if not is_qualified(key):
        raise BadLabel(key, "is no key that Kubernetes allows")
    if key.startswith(OURS):
        raise BadLabel(key, "is one that Mooring sets itself")
    if not is_label_value(value):
        raise BadLabel(key, "has a value that Kubernetes does not allow")
    return value


def _fresh(value: str) -> bool:
    if value not in ("true", "false"):
        raise BadFlag("fresh", value)
    return value == "true"


# What each option sets, and how it is read.
_PARSERS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "size": ("size", _size),
    "class": ("class_name", _class),
    "access": ("access", _access),
    "from": ("source", _source),
    "volume": ("volume", _volume),
    "reclaim": ("reclaim", _reclaim),
    "uid": ("uid", _owner("uid")),
    "gid": ("gid", _owner("gid")),
    "mode": ("mode", _mode),
    "fresh": ("fresh", _fresh),
}
KNOWN: Final = (*(key for key in _PARSERS if key != "fresh"), f"{LABEL}KEY", "fresh")
