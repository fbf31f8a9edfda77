"""What people are told whose volume from before cannot be adopted. Docker volumes §11."""

from collections.abc import Sequence

from mooring.dockerplugin.errors import said
from mooring.errors import Effect, MooringError
from mooring.host.comparing import Finding


class NoSuchDockerVolume(MooringError):
    code, effect = "NoSuchVolume", Effect.NONE

    def __init__(self, name: str, node: str) -> None:
        self.what = f"Docker on {node} has no volume {said(name)}"
        self.remedy = "see docker volume ls on that host"


class NotLocal(MooringError):
    """Its data is not in a directory of Docker's own."""

    code, effect = "NotLocal", Effect.NONE

    def __init__(self, name: str, driver: str, device: str | None = None) -> None:
        """device  what a volume of driver `local` mounts, None if it is of another driver"""
        if device is None:
            self.what = f"volume {said(name)} is of driver {said(driver)}, not of `local`"
            self.remedy = "other drivers' volumes stay theirs: copy it in a container that has both"
        else:
            self.what = f"volume {said(name)} has no data here: it mounts {said(device) or 'more'}"
            self.remedy = (
                "make a PersistentVolume of what it mounts, and a volume of that with volume="
            )


class NotReadable(MooringError):
    code, effect = "NotReadable", Effect.NONE

    def __init__(self, name: str, path: str, why: str) -> None:
        self.what = f"the data of volume {said(name)} cannot be read at {path}: {why}"
        self.remedy = "run Mooring as root on the host of Docker, in the same mount namespace"


class OldVolumeInUse(MooringError):
    """Docker's meaning of use, so that nobody can start what writes to it meanwhile."""

    code, effect = "VolumeInUse", Effect.NONE

    def __init__(self, name: str, users: Sequence[str], is_docker: bool) -> None:
        """
        users      for people
        is_docker  whether they are containers by Docker's word, stopped ones too
        """
        self.what = f"volume {said(name)} is used by {', '.join(users[:10])}"
        self.remedy = "stop what uses it"
        if is_docker:
            self.remedy = (
                "remove its containers, which leaves named volumes: docker compose down, or "
                "docker rm without -v"
            )


class NameInDocker(MooringError):
    """Docker would go on using the other one, and say nothing."""

    code, effect = "NameTaken", Effect.NONE

    def __init__(self, name: str, driver: str) -> None:
        self.what = f"Docker has a volume {said(name)} of driver {said(driver)} already"
        self.remedy = "choose another name with --name"


class ClaimExists(MooringError):
    code, effect = "NameTaken", Effect.NONE

    def __init__(self, claim: str, volume: str) -> None:
        self.what = f"claim {claim} exists, and is no copy of volume {said(volume)} of this host"
        self.remedy = "choose another name with --name"


class AnotherIsAdopted(MooringError):
    code, effect = "NameTaken", Effect.NONE

    def __init__(self, claim: str, volume: str) -> None:
        self.what = f"volume {said(volume)} is being copied into claim {claim}"
        self.remedy = "choose another name with --name"


class SizeBelowData(MooringError):
    code, effect = "SizeTooSmall", Effect.NONE

    def __init__(self, name: str, size: str, needed: str) -> None:
        """Both as quantities"""
        self.what = f"size {size} is less than the {needed} that volume {said(name)} takes"
        self.remedy = f"say --size {needed} or more, or leave it out"


class VolumeChanged(MooringError):
    code, effect = "VolumeChanged", Effect.UNKNOWN

    def __init__(self, name: str, found: Finding) -> None:
        self.what = f"volume {said(name)} was written to while it was copied: {_listed(found)}"
        self.remedy = "find what writes to it, stop it, and run mooring adopt again"


class ChangedSince(MooringError):
    """An answer of success could be taken for leave to remove the old volume."""

    code, effect = "VolumeChanged", Effect.NONE

    def __init__(self, name: str, claim: str, when: str) -> None:
        """when  it was copied"""
        self.what = (
            f"claim {claim} is a copy of volume {said(name)} of {when}, which was changed since"
        )
        self.remedy = "to copy it as it is now choose another name with --name"


class CopyDiffers(MooringError):
    """Though nobody wrote to the old volume: what was written is not what is read."""

    code, effect = "CopyDiffers", Effect.UNKNOWN

    def __init__(self, name: str, claim: str, found: Finding) -> None:
        self.what = f"claim {claim} is not what volume {said(name)} is: {_listed(found)}"
        self.remedy = "see the kernel's log for errors of its disk, and run mooring adopt again"


class NoRoom(MooringError):
    code, effect = "PoolFull", Effect.UNKNOWN

    def __init__(self, name: str, pool: str, need_bytes: int, free_bytes: int) -> None:
        """Both in bytes; 0 where it turned out on the way."""
        where = f"pool {pool}" if pool else "the disk of the new volume"
        counted = f": {need_bytes} bytes are needed, {free_bytes} free" if need_bytes else ""
        self.what = f"{where} has not the room for what is in volume {said(name)}{counted}"
        self.remedy = "make room on its disk, or say --class of another pool, and run it again"


class GivenUp(MooringError):
    code, effect = "GivenUp", Effect.NONE

    def __init__(self, claim: str, volume: str) -> None:
        self.what = f"claim {claim} was deleted while volume {said(volume)} was copied into it"
        self.remedy = "run mooring adopt again to begin anew"


def _listed(found: Finding) -> str:
    more = found.count - len(found.named)
    return "; ".join(found.named) + (f"; and {more} more" if more else "")
