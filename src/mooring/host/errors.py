"""What can go wrong on a host, below any backend."""

from collections.abc import Sequence

from mooring.errors import Effect, MooringError


class MountInside(MooringError):
    code, effect = "MountInside", Effect.NONE

    def __init__(self, path: str) -> None:
        self.what = f"something is mounted at or below {path}, and mounts are never crossed"
        self.remedy = "unmount it first; `findmnt` lists what is mounted"


class OutsideRoot(MooringError):
    code, effect = "OutsideRoot", Effect.NONE

    def __init__(self, path: str, root: str) -> None:
        self.what = f"{path} does not lie below {root}"
        self.remedy = "remove it by hand if that is what you want"


class MountFailed(MooringError):
    code, effect = "MountFailed", Effect.UNKNOWN

    def __init__(self, action: str, path: str, reason: str, number: int = 0) -> None:
        """number  as of errno(3), where that is what failed"""
        self.number = number
        self.what = f"cannot {action} {path}: {reason}"
        self.remedy = "see `findmnt` and the kernel's log"


class MountBusy(MooringError):
    code, effect = "MountBusy", Effect.NONE

    def __init__(self, path: str) -> None:
        self.what = f"{path} is still used by a process, it stays mounted"
        self.remedy = f"`fuser -vm {path}` lists who uses it"


class NotTheExport(MooringError):
    code, effect = "NotTheExport", Effect.NONE

    def __init__(self, point: str, wanted: str, found: str) -> None:
        self.what = f"{found} is mounted at {point}, not {wanted}"
        self.remedy = f"unmount it, or mount {wanted} there"


class LoginFailed(MooringError):
    code, effect = "LoginFailed", Effect.UNKNOWN

    def __init__(self, target: str, portal: str, why: str) -> None:
        self.what = f"no session with {target} at {portal}: {why or 'iscsiadm does not say why'}"
        self.remedy = "see that the target is there and lets this host in (initiator name, CHAP)"


class ProgramMissing(MooringError):
    code, effect = "ProgramMissing", Effect.NONE

    def __init__(self, program: str) -> None:
        self.what = f"the program {program} is not on this host"
        self.remedy = "install the package that contains it"


class ProgramFailed(MooringError):
    """It ran and said no. `status` is its exit status, negative for a signal."""

    code, effect = "ProgramFailed", Effect.UNKNOWN

    def __init__(self, program: str, status: int, message: str) -> None:
        self.status, self.message = status, message
        ended = f"exit status {status}" if status >= 0 else f"signal {-status}"
        self.what = f"{program} failed with {ended}: {message or 'it said nothing'}"


class HostStuck(MooringError):
    """A deadline passed. What was asked may still happen, so ask again by the same name."""

    code, effect = "HostStuck", Effect.UNKNOWN

    def __init__(self, work: str, deadline_s: float) -> None:
        self.what = f"{work} took longer than {deadline_s:g} s"
        self.remedy = "look for a disk or a server that does not answer; it is tried again"


class DiskFull(MooringError):
    code, effect = "DiskFull", Effect.UNKNOWN

    def __init__(self, path: str, need_bytes: int, free_bytes: int) -> None:
        """Both in bytes; 0 where it is not known"""
        self.need_bytes, self.free_bytes = need_bytes, free_bytes
        needed = f": {free_bytes} bytes are free, {need_bytes} needed" if need_bytes else ""
        self.what = f"the disk of {path} has not the room{needed}"
        self.remedy = "make room on it"


class TreeChanged(MooringError):
    """Somebody writes to what is copied: no copy of it is right."""

    code, effect = "TreeChanged", Effect.UNKNOWN

    def __init__(self, named: Sequence[str]) -> None:
        self.named = list(named)
        self.what = f"it changed while it was copied: {'; '.join(named)}"
        self.remedy = "stop what writes to it, and copy it again"


class CopyFailed(MooringError):
    """For a reason that the copier says. `code` is that of the reason."""

    effect = Effect.UNKNOWN

    def __init__(self, code: str, what: str, remedy: str = "") -> None:
        self.code, self.what, self.remedy = code, what, remedy


class NotBtrfs(MooringError):
    code, effect = "NotBtrfs", Effect.NONE

    def __init__(self, path: str) -> None:
        self.what = f"{path} is not on a btrfs file system"
        self.remedy = "make one with mkfs.btrfs and mount it there"
