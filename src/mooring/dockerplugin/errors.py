"""What Docker is answered instead of what it asked for. Docker volumes §1 and §4 to §10.

Docker prints the text of an error and nothing beside it, so that names the volume, the place and
what would help. What concerns the host is in node/errors.py, what concerns pools in the drivers.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from mooring.errors import Effect, MooringError

TEXT_AT_MOST: Final = 8192  # letters of one answer; every option may be wrong
SAID_AT_MOST: Final = 80  # letters of something a user wrote; an anonymous volume's name has 64
LISTED_AT_MOST: Final = 10  # of names in one sentence
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:=/-]+…?")


def text(error: MooringError) -> str:
    """ "Code: what; remedy", in one line of printable letters: the form of Err."""
    line = _printable(" ".join(f"{error.code}: {_sentence(error)}".split()))
    return line if len(line) <= TEXT_AT_MOST else line[: TEXT_AT_MOST - 1] + "…"


def of_volume(error: MooringError, name: str, node: str) -> MooringError:
    """What a room said that knows no Docker volumes: the same, with which one it is, and where."""
    told = MooringError()
    told.code, told.effect, told.remedy = error.code, error.effect, error.remedy
    told.what = f"volume {said(name)} on {node}: {error.what}"
    return told


def told_of(error: MooringError, name: str, node: str) -> MooringError:
    """The same with which volume a call was about, "" if about none, and on which host, unless it
    says that."""
    whole = r"(?![A-Za-z0-9_/-]|[.:][A-Za-z0-9])"  # no longer name begins with it
    found = re.search(re.escape(f"volume {said(name)}") + whole, error.what)
    if not name:
        return error
    if found is None or isinstance(error, BadOptions):  # which are about several things
        return of_volume(error, name, node)
    if re.search(f" on {re.escape(node)}" + whole, error.what):
        return error
    told = MooringError()
    told.code, told.effect, told.remedy = error.code, error.effect, error.remedy
    told.what = f"{error.what[: found.end()]} on {node}{error.what[found.end() :]}"
    return told


def said(words: str) -> str:
    """What a user wrote, to be shown in a text or a log: shortened, and nothing in it acts."""
    short = words if len(words) <= SAID_AT_MOST else words[: SAID_AT_MOST - 1] + "…"
    return short if _PLAIN.fullmatch(short) else repr(short)


def _sentence(error: MooringError) -> str:
    return f"{error.what}; {error.remedy}" if error.remedy else error.what


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in line)


def _listed(names: Sequence[str]) -> str:
    """ "a, b and 3 more"."""
    shown = ", ".join(said(name) for name in names[:LISTED_AT_MOST])
    more = len(names) - LISTED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown


def _listed_plain(phrases: Sequence[str]) -> str:
    """The same for phrases of several words."""
    shown = ", ".join(_printable(one)[:300] for one in phrases[:LISTED_AT_MOST])
    more = len(phrases) - LISTED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown


# About names, §4


class BadName(MooringError):
    code, effect = "BadName", Effect.NONE

    def __init__(self, name: str) -> None:
        self.what = f"volume {said(name)} has a name that none may have"
        self.remedy = (
            "use 1 to 255 of A-Z, a-z, 0-9, _, . and -, a letter or digit first; a namespace "
            "before it ends with /"
        )


class NamespaceNotAllowed(MooringError):
    code, effect = "NamespaceNotAllowed", Effect.NONE

    def __init__(self, name: str, namespace: str, default: str, allowed: Sequence[str]) -> None:
        """default  the namespace of names that say none. allowed  the others"""
        if namespace == default:
            self.what = f"volume {said(name)} says its namespace, which is the one without saying"
            self.remedy = f"call it {said(name.rpartition('/')[2])}"
        else:
            self.what = f"volume {said(name)} is of namespace {said(namespace)}, which Docker may "
            self.what += f"not reach; it may {_listed((default, *allowed))}"
            self.remedy = "leave the namespace out, or start Mooring with --docker-namespaces"


class NameTaken(MooringError):
    code, effect = "NameTaken", Effect.NONE

    def __init__(self, name: str, claim: str, other: str) -> None:
        """claim  its key. other  what Docker calls it"""
        self.what = f"volume {said(name)} would be claim {claim}, which is volume {said(other)}"
        self.remedy = f"choose another name, or use {said(other)}"


# About options, §5


class BadOptions(MooringError):
    """Several things are wrong with the options; all are said."""

    code, effect = "BadOptions", Effect.NONE

    def __init__(self, errors: Iterable[MooringError]) -> None:
        """Of several that are BadOptions themselves, each is said."""
        self.errors: tuple[MooringError, ...] = tuple(
            one
            for error in errors
            for one in (error.errors if isinstance(error, BadOptions) else (error,))
        )
        self.what = " | ".join(text(error) for error in self.errors)


class TooManyOptions(MooringError):
    code, effect = "TooManyOptions", Effect.NONE

    def __init__(self, count: int, at_most: int) -> None:
        self.what = f"{count} options were given, {at_most} are allowed"
        self.remedy = "give fewer labels"


class OptionTooLong(MooringError):
    code, effect = "OptionTooLong", Effect.NONE

    def __init__(self, key: str, at_most_bytes: int) -> None:
        self.what = f"option {said(key)} is longer than {at_most_bytes} bytes"
        self.remedy = "shorten it"


class UnknownOption(MooringError):
    code, effect = "UnknownOption", Effect.NONE

    def __init__(self, keys: Sequence[str], known: Sequence[str]) -> None:
        one = len(keys) == 1
        are = "is no option" if one else "are no options"
        self.what = f"{_listed(keys)} {are} of a volume"
        near = get_close_matches(keys[0][:SAID_AT_MOST].lower(), known, 1) if one else []
        meant = f"did you mean {near[0]}? " if near else ""
        self.remedy = f"{meant}there are {', '.join(known)}"


class BadSize(MooringError):
    code, effect = "BadSize", Effect.NONE

    def __init__(self, size: str, why: str, right: str = "") -> None:
        """right  how to say it, "" if that cannot be guessed"""
        self.what = f"size {said(size)} {why}"
        self.remedy = f"say {right}" if right else "say an amount such as 10Gi, 512Mi or 10G"


class NoSuchClass(MooringError):
    code, effect = "NoSuchClass", Effect.NONE

    def __init__(self, name: str, known: Sequence[str] = ()) -> None:
        """known  the classes there are, () if they were not looked at"""
        self.what = f"there is no StorageClass {said(name)}"
        there_are = f"there are {_listed(known)}" if known else "see kubectl get storageclasses"
        self.remedy = f"{there_are}; without class= the default class is taken"


class NoDefaultClass(MooringError):
    code, effect = "NoDefaultClass", Effect.NONE

    def __init__(self, name: str, known: Sequence[str] = ()) -> None:
        self.what = f"volume {said(name)} names no class, and no StorageClass is the default"
        there_are = f" ({_listed(known)})" if known else ""
        self.remedy = f"say class={there_are}, or annotate a StorageClass as the default"


class BadAccess(MooringError):
    code, effect = "BadAccess", Effect.NONE

    def __init__(self, value: str, known: Sequence[str]) -> None:
        self.what = f"access {said(value)} is none of {', '.join(known)}"
        self.remedy = "say access=rwo for one node at a time, rwx for many, rox to read only"


class NotSupported(MooringError):
    code, effect = "NotSupported", Effect.NONE

    def __init__(self, option: str, by: str, offered: Sequence[str] = ()) -> None:
        """option  such as "access=rwx". by  who has it not, such as "class local"."""
        self.what = f"{said(option)} is not offered by {by}"
        instead = f"say one of {_listed(offered)}" if offered else "leave it out"
        self.remedy = f"{instead}, or use another class"


class NoSuchSource(MooringError):
    code, effect = "NoSuchSource", Effect.NONE

    def __init__(self, source: str, why: str = "is not there") -> None:
        """source  as it was given, such as "snapshot:monday"."""
        self.what = f"from {said(source)} {why}"
        self.remedy = "say snapshot:NAME or volume:NAME of one in the same namespace"


class SourceNotReady(MooringError):
    """It is there, and nothing can be filled from it now."""

    code, effect = "SourceNotReady", Effect.NONE

    def __init__(self, source: str, why: str) -> None:
        """source  as it was given, such as "snapshot:monday"."""
        self.what = f"from {said(source)} cannot be filled from now: {why}"
        self.remedy = "create it when that is otherwise, or from another source"


class SizeTooSmall(MooringError):
    code, effect = "SizeTooSmall", Effect.NONE

    def __init__(self, source: str, size: str, needed: str) -> None:
        """source  as it was given   needed  what a volume made from it has at least"""
        self.what = f"from {said(source)} does not fit into {size}, it needs {needed}"
        self.remedy = f"say size={needed} or more, or leave size= out"


class NoSuchVolume(MooringError):
    code, effect = "NoSuchVolume", Effect.NONE

    def __init__(self, name: str) -> None:
        self.what = f"there is no PersistentVolume {said(name)}"
        self.remedy = "see kubectl get pv"


class VolumeMismatch(MooringError):
    code, effect = "VolumeMismatch", Effect.NONE

    def __init__(self, name: str, volume: str, why: str) -> None:
        """name  of the Docker volume. volume  of the PersistentVolume"""
        self.what = f"PersistentVolume {said(volume)} does not fit volume {said(name)}: {why}"
        self.remedy = f"ask for what it has: kubectl get pv {said(volume)} -o yaml"


class BadReclaim(MooringError):
    code, effect = "BadReclaim", Effect.NONE

    def __init__(self, value: str) -> None:
        self.what = f"reclaim {said(value)} is neither retain nor delete"
        self.remedy = "say which, or leave it out for the policy of the class"


class BadOwner(MooringError):
    code, effect = "BadOwner", Effect.NONE

    def __init__(self, key: str, value: str) -> None:
        """key  uid or gid"""
        self.what = f"{key} {said(value)} is not a number from 0 to 2147483647"
        self.remedy = f"say the number that {key} has on this host; names are not looked up"


class BadMode(MooringError):
    code, effect = "BadMode", Effect.NONE

    def __init__(self, value: str) -> None:
        self.what = f"mode {said(value)} is not an octal number from 0 to 07777"
        self.remedy = "say permissions such as 0755 or 2770"


class BadLabel(MooringError):
    code, effect = "BadLabel", Effect.NONE

    def __init__(self, key: str, why: str) -> None:
        """key  without "label."."""
        self.what = f"label {said(key)} {why}"
        self.remedy = "say label.KEY=VALUE in the form of Kubernetes labels, such as label.app=db"


class BadFlag(MooringError):
    code, effect = "BadFlag", Effect.NONE

    def __init__(self, key: str, value: str) -> None:
        self.what = f"{key} {said(value)} is neither true nor false"
        self.remedy = f"say {key}=true, or leave it out"


# About calls, §6 to §10


class UnknownVolume(MooringError):
    """Docker takes it as "gone", so it is never said of a volume that is known here."""

    code, effect = "UnknownVolume", Effect.NONE

    def __init__(self, name: str) -> None:
        self.what = f"there is no volume {said(name)}"
        self.remedy = "create it first; see docker volume ls"


class VolumeInUse(MooringError):
    code, effect = "VolumeInUse", Effect.NONE

    def __init__(self, name: str, users: Sequence[str]) -> None:
        """users  such as "web on n1" for a container, or "claim default/db"."""
        self.what = f"volume {said(name)} is used by {_listed_plain(users)}"
        self.remedy = "stop and remove what uses it first"


class Refused(MooringError):
    """By a quota or a validation of the API, in its own words."""

    code, effect = "Refused", Effect.NONE

    def __init__(self, name: str, message: str) -> None:
        self.what = f"volume {said(name)} is refused: {message}"
        self.remedy = "change what it says; for a quota, delete volumes or have it raised"


class OptionsConflict(MooringError):
    code, effect = "OptionsConflict", Effect.NONE

    def __init__(
        self, name: str, differences: Mapping[str, tuple[str, str]], claim: str = ""
    ) -> None:
        """differences  {option: (what the volume has, what was asked)}. claim  its key"""
        both = ", ".join(
            f"{key} {said(has)} and not {said(asked)}" for key, (has, asked) in differences.items()
        )
        self.what = f"volume {said(name)} exists with {both}"
        self.remedy = "leave out what differs, or choose another name"
        if claim and "size" in differences:
            namespace, _, bare = claim.partition("/")
            grow = f"mooring resize {bare} {said(differences['size'][1])} -n {namespace}"
            self.remedy = f"to grow it: {grow}; else {self.remedy}"


class ProvisioningFailed(MooringError):
    code, effect = "ProvisioningFailed", Effect.NONE

    def __init__(self, name: str, node: str, why: str) -> None:
        self.what = f"volume {said(name)} cannot be made on {node}: {why}"
        self.remedy = "mend that and create it again; nothing was left behind"


class StillDeleting(MooringError):
    code, effect = "StillDeleting", Effect.UNKNOWN

    def __init__(self, name: str, claim: str, waited_s: float, why: str = "") -> None:
        """claim  its key. waited_s  0 if not at all. why  what holds it, "" if that is not known"""
        namespace, _, bare = claim.partition("/")
        after = f" after {waited_s:g} s" if waited_s else ""
        held = f": {why}" if why else ""
        self.what = f"volume {said(name)} is still being deleted{after}{held}"
        self.remedy = f"mooring explain pvc {bare} -n {namespace} says what holds it"


class RetainedVolumeExists(MooringError):
    code, effect = "RetainedVolumeExists", Effect.NONE

    def __init__(self, name: str, volume: str) -> None:
        self.what = f"PV {volume} has the data of an earlier volume {said(name)}"
        self.remedy = f"volume={volume} to use it, fresh=true for an empty one"


# About the conversation itself, §1


class BadRequest(MooringError):
    code, effect = "BadRequest", Effect.NONE

    def __init__(self, why: str) -> None:
        self.what = f"the request cannot be read: {why}"
        self.remedy = "send JSON as Docker's volume plugin API has it"


class NoSuchCall(MooringError):
    code, effect = "NoSuchCall", Effect.NONE

    def __init__(self, call: str) -> None:
        self.what = f"{said(call)} is no call of a volume plugin"
        self.remedy = "use the volume plugin API of Docker, version 1"


class LostRequest(MooringError):
    """dockerd repeats a call without its body if the connection broke at the first try."""

    code, effect = "LostRequest", Effect.UNKNOWN

    def __init__(self, call: str) -> None:
        self.what = f"Docker lost what it wanted of {call}, while Mooring was being restarted"
        self.remedy = "run the docker command again"


class TookTooLong(MooringError):
    code, effect = "TookTooLong", Effect.UNKNOWN

    def __init__(self, call: str, name: str, deadline_s: float) -> None:
        self.what = f"{call} of volume {said(name)} was given up after {deadline_s:g} s"
        self.remedy = "try again; mooring explain says what it waits for"


class Stopping(MooringError):
    code, effect = "Stopping", Effect.UNKNOWN

    def __init__(self, call: str, name: str) -> None:
        self.what = f"{call} of volume {said(name)} was cut short: Mooring is being stopped"
        self.remedy = "try again when it runs"


class Broken(MooringError):
    """A fault of ours; the log has the rest."""

    code, effect = "Internal", Effect.UNKNOWN

    def __init__(self, call: str, name: str) -> None:
        self.what = f"{call} of volume {said(name)} failed for a reason that Mooring does not know"
        self.remedy = "see the log of Mooring on this host"


# About the socket, §1


class AlreadyServed(MooringError):
    code, effect = "AlreadyServed", Effect.NONE

    def __init__(self, path: str) -> None:
        self.what = f"another process serves Docker's plugin socket {path}"
        self.remedy = 'stop it, or choose another with --plugin-socket; "" serves none'


class SocketUnusable(MooringError):
    code, effect = "SocketUnusable", Effect.NONE

    def __init__(self, path: str, why: str) -> None:
        self.what = f"Docker's plugin socket {path} cannot be made: {why}"
        self.remedy = 'run as root, or choose another with --plugin-socket; "" serves none'
