"""What can go wrong on a host, below any backend."""

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

    def __init__(self, action: str, path: str, reason: str) -> None:
        self.what = f"cannot {action} {path}: {reason}"
        self.remedy = "see `findmnt` and the kernel's log"


class MountBusy(MooringError):
    code, effect = "MountBusy", Effect.NONE

    def __init__(self, path: str) -> None:
        self.what = f"{path} is still used by a process, it stays mounted"
        self.remedy = f"`fuser -vm {path}` lists who uses it"


class ProgramMissing(MooringError):
    code, effect = "ProgramMissing", Effect.NONE

    def __init__(self, program: str) -> None:
        self.what = f"the program {program} is not on this host"
        self.remedy = "install the package that contains it"


class ProgramFailed(MooringError):
    """It ran and said no. `status` is its exit status, negative for a signal."""

    code, effect = "ProgramFailed", Effect.UNKNOWN

    def __init__(self, program: str, status: int, message: str) -> None:
        self.status = status
        ended = f"exit status {status}" if status >= 0 else f"signal {-status}"
        self.what = f"{program} failed with {ended}: {message or 'it said nothing'}"


class HostStuck(MooringError):
    """A deadline passed. What was asked may still happen, so ask again by the same name."""

    code, effect = "HostStuck", Effect.UNKNOWN

    def __init__(self, work: str, deadline_s: float) -> None:
        self.what = f"{work} took longer than {deadline_s:g} s"
        self.remedy = "look for a disk or a server that does not answer; it is tried again"
