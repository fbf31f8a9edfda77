"""Exports of NFS servers, and how they may be mounted: what is wrong with what people write."""

import re
from collections.abc import Sequence
from typing import Final

# RFC 1123 names and IPv4 addresses, or an IPv6 address, in brackets or not.
_SERVER = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?"
)
_VALUE = re.compile(r"[A-Za-z0-9.:_-]{1,64}")
VERSIONS: Final = ("4.2", "4.1", "4.0", "4", "3")
# Of mount(8) and nfs(5). Left out: what runs on in the background (bg), what lets programs become
# somebody else or devices appear (suid, dev), and what names files of the host.
FLAGS: Final = frozenset({
    "ro", "rw", "noatime", "nodiratime", "relatime", "noexec", "nosuid", "nodev", "sync",
    "hard", "soft", "softerr", "softreval", "nosoftreval", "ac", "noac", "cto", "nocto", "acl",
    "noacl", "lock", "nolock", "rdirplus", "nordirplus", "resvport", "noresvport", "sharecache",
    "nosharecache", "tcp", "intr", "nointr", "migration", "nomigration", "trunkdiscovery",
    "notrunkdiscovery", "_netdev", "defaults",
})  # fmt: skip
VALUES: Final = frozenset({
    "vers", "nfsvers", "minorversion", "proto", "port", "timeo", "retrans", "rsize", "wsize",
    "acregmin", "acregmax", "acdirmin", "acdirmax", "actimeo", "nconnect", "max_connect",
    "lookupcache", "local_lock", "sec", "mountport", "mountproto", "mountvers", "namlen",
})  # fmt: skip
TO_MOUNTS: Final = frozenset({"_netdev", "defaults"})  # they mean something in fstab alone


def is_server(text: str) -> bool:
    """Whether it is a host name or an address, and so no option of a program."""
    return bool(_SERVER.fullmatch(text))


def path_fault(path: str) -> str:
    """Why this cannot be the path of an export, "" if it can."""
    if not path.startswith("/"):
        return "must be an absolute path"
    if ".." in path.split("/"):
        return "must not contain '..'"
    if not path.isprintable():
        return "must be printable"
    return ""


def option_fault(option: str) -> str:
    """Why a mount option is not passed on, "" if it is."""
    name, has_value, value = option.partition("=")
    if not has_value:
        return "" if name in FLAGS else "is not among the options that Mooring passes on"
    if name not in VALUES:
        return "is not among the options that Mooring passes on"
    return "" if _VALUE.fullmatch(value) else "has a value of other characters than a-z 0-9 . : _ -"


def split_options(options: Sequence[str]) -> list[str]:
    """One by one: people write several in one text as well."""
    parts = [part.strip() for option in options for part in option.split(",")]
    return [part for part in parts if part and part not in TO_MOUNTS]


def source_of(server: str, path: str) -> str:
    """As mount(8) and mountinfo have it."""
    bracketed = f"[{server}]" if ":" in server and not server.startswith("[") else server
    return f"{bracketed}:{path.rstrip('/') or '/'}"
