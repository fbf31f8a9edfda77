"""Objects as lines for Prometheus, under the names that kubelet and kube-state-metrics give them.

A hundred thousand volumes are two million lines. They are made from slim looks at the stored bytes,
some hundred objects at a time, so that whoever sends them can let others have their turn.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from mooring.model.home import CopyState
from mooring.model.names import COPIES
from mooring.model.quantity import Quantity
from mooring.model.volume import Volume
from mooring.node.usage import VolumeUsage
from mooring.objects.cache import Entry
from mooring.objects.views import view

AT_ONCE: Final = 250  # objects; a thread has them done in some milliseconds
CLAIM_PHASES: Final = ("Pending", "Bound", "Lost")
VOLUME_PHASES: Final = ("Pending", "Available", "Bound", "Released", "Failed")
_COPIES_SIGN: Final = f'"{COPIES}"'.encode()  # in the bytes of a volume that has some
_SPECIAL: Final = re.compile(r'[\\"\n]')
_ESCAPED: Final = {"\\": r"\\", '"': r"\"", "\n": r"\n"}


class _Slim(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Fields that lines are made of; the rest of an object is passed over."""


class _Ref(_Slim, frozen=True):
    namespace: str = ""
    name: str = ""


class _Meta(_Slim, frozen=True):
    namespace: str = ""
    name: str = ""


class _Status(_Slim, frozen=True):
    phase: str = ""


class _Csi(_Slim, frozen=True):
    driver: str = ""
    volume_handle: str = ""


class _Path(_Slim, frozen=True):
    path: str = ""


class _VolumeSpec(_Slim, frozen=True):
    capacity: dict[str, str | int | float] = {}
    storage_class_name: str = ""
    claim_ref: _Ref | None = None
    csi: _Csi | None = None
    host_path: _Path | None = None
    local: _Path | None = None


class SlimVolume(_Slim, frozen=True):
    """A PersistentVolume."""

    metadata: _Meta = _Meta()
    spec: _VolumeSpec = _VolumeSpec()
    status: _Status = _Status()


class _Resources(_Slim, frozen=True):
    requests: dict[str, str | int | float] = {}


class _ClaimSpec(_Slim, frozen=True):
    storage_class_name: str | None = None
    volume_name: str = ""
    volume_mode: str | None = None
    resources: _Resources = _Resources()


class SlimClaim(_Slim, frozen=True):
    """A PersistentVolumeClaim."""

    metadata: _Meta = _Meta()
    spec: _ClaimSpec = _ClaimSpec()
    status: _Status = _Status()


slim_volume: Final = msgspec.json.Decoder(SlimVolume).decode
slim_claim: Final = msgspec.json.Decoder(SlimClaim).decode


class Family(NamedTuple):
    """One metric of many objects: a line, or several, of each."""

    name: str
    help: str
    lines: Callable[[Entry], str]

    def chunks(self, entries: Iterable[Entry]) -> Iterator[str]:
        """Its text, in pieces."""
        yield f"# HELP {self.name} {self.help}\n# TYPE {self.name} gauge\n"
        left = iter(entries)
        while some := list(islice(left, AT_ONCE)):
            yield "".join(map(self.lines, some))


def escaped(value: str) -> str:
    """The value of a label."""
    return _SPECIAL.sub(lambda found: _ESCAPED[found[0]], value)


def storage_bytes(amounts: Mapping[str, str | int | float]) -> int:
    return Quantity.parse(amounts.get("storage", "0")).bytes()


# Of claims


def _claim_labels(claim: SlimClaim) -> str:
    metadata = claim.metadata
    return f'namespace="{metadata.namespace}",persistentvolumeclaim="{metadata.name}"'


def _claim_info(entry: Entry) -> str:
    claim = slim_claim(entry.body)
    spec = claim.spec
    return (
        f"kube_persistentvolumeclaim_info{{{_claim_labels(claim)},"
        f'storageclass="{escaped(spec.storage_class_name or "")}",'
        f'volumename="{escaped(spec.volume_name)}",'
        f'volumemode="{spec.volume_mode or "Filesystem"}"}} 1\n'
    )


def _claim_phase(entry: Entry) -> str:
    claim = slim_claim(entry.body)
    labels, phase = _claim_labels(claim), claim.status.phase or "Pending"
    return "".join(
        f'kube_persistentvolumeclaim_status_phase{{{labels},phase="{one}"}} {int(one == phase)}\n'
        for one in CLAIM_PHASES
    )


def _claim_requests(entry: Entry) -> str:
    claim = slim_claim(entry.body)
    asked = storage_bytes(claim.spec.resources.requests)
    name = "kube_persistentvolumeclaim_resource_requests_storage_bytes"
    return f"{name}{{{_claim_labels(claim)}}} {asked}\n"


CLAIMS: Final = (
    Family(
        "kube_persistentvolumeclaim_info",
        "Class and volume of a claim.",
        _claim_info,
    ),
    Family(
        "kube_persistentvolumeclaim_status_phase",
        "The phase a claim is in has 1, the others 0.",
        _claim_phase,
    ),
    Family(
        "kube_persistentvolumeclaim_resource_requests_storage_bytes",
        "What a claim asks for.",
        _claim_requests,
    ),
)


# Of volumes


def _volume_info(entry: Entry) -> str:
    volume = slim_volume(entry.body)
    spec = volume.spec
    csi, host, local = spec.csi or _Csi(), spec.host_path or _Path(), spec.local or _Path()
    return (
        f'kube_persistentvolume_info{{persistentvolume="{volume.metadata.name}",'
        f'storageclass="{escaped(spec.storage_class_name)}",csi_driver="{escaped(csi.driver)}",'
        f'csi_volume_handle="{escaped(csi.volume_handle)}",host_path="{escaped(host.path)}",'
        f'local_path="{escaped(local.path)}"}} 1\n'
    )


def _volume_capacity(entry: Entry) -> str:
    volume = slim_volume(entry.body)
    name, size = volume.metadata.name, storage_bytes(volume.spec.capacity)
    return f'kube_persistentvolume_capacity_bytes{{persistentvolume="{name}"}} {size}\n'


def _volume_phase(entry: Entry) -> str:
    volume = slim_volume(entry.body)
    name, phase = volume.metadata.name, volume.status.phase or "Pending"
    return "".join(
        f'kube_persistentvolume_status_phase{{persistentvolume="{name}",phase="{one}"}} '
        f"{int(one == phase)}\n"
        for one in VOLUME_PHASES
    )


def _volume_claim(entry: Entry) -> str:
    volume = slim_volume(entry.body)
    ref = volume.spec.claim_ref
    if ref is None:
        return ""
    return (
        f'kube_persistentvolume_claim_ref{{persistentvolume="{volume.metadata.name}",'
        f'claim_namespace="{escaped(ref.namespace)}",name="{escaped(ref.name)}"}} 1\n'
    )


def _volume_replicas(entry: Entry) -> str:
    if _COPIES_SIGN not in entry.body:
        return ""
    volume = view(Volume, entry)
    lines = []
    for one in volume.copies:
        with suppress(ValueError):  # written by hand
            as_of_s = int(datetime.fromisoformat(one.at).timestamp())
            if one.state is CopyState.REPLICA:
                labels = f'persistentvolume="{volume.name}",node="{escaped(one.node)}"'
                lines.append(f"mooring_volume_replica_timestamp_seconds{{{labels}}} {as_of_s}\n")
    return "".join(lines)


VOLUMES: Final = (
    Family("kube_persistentvolume_info", "Class and source of a volume.", _volume_info),
    Family("kube_persistentvolume_capacity_bytes", "Size of a volume.", _volume_capacity),
    Family(
        "kube_persistentvolume_status_phase",
        "The phase a volume is in has 1, the others 0.",
        _volume_phase,
    ),
    Family("kube_persistentvolume_claim_ref", "The claim a volume points at.", _volume_claim),
    Family(
        "mooring_volume_replica_timestamp_seconds",
        "As of when a replica of a volume is, told once a minute at most.",
        _volume_replicas,
    ),
)


# Of what is in volumes

Used = tuple[str, VolumeUsage]  # labels of the claim, what its volume uses


def _free(usage: VolumeUsage) -> int | None:
    if usage.inodes is None or usage.inodes_used is None:
        return None
    return usage.inodes - usage.inodes_used


_STATS: Final[Sequence[tuple[str, str, Callable[[VolumeUsage], int | None]]]] = (
    ("capacity_bytes", "Size of the volume.", lambda usage: usage.capacity_bytes),
    ("available_bytes", "What can still be written to it.", lambda usage: usage.available_bytes),
    ("used_bytes", "What is in it.", lambda usage: usage.used_bytes),
    ("inodes", "How many inodes it can have.", lambda usage: usage.inodes),
    ("inodes_free", "How many more inodes it can have.", _free),
    ("inodes_used", "How many inodes it has.", lambda usage: usage.inodes_used),
    (
        "health_status_abnormal",
        "1 if its data cannot be used as it should.",
        lambda usage: int(bool(usage.abnormal)),
    ),
)


def stats(entries: Sequence[Entry], usages: Mapping[str, VolumeUsage]) -> Iterator[str]:
    """kubelet_volume_stats_* of all claims whose volume this host knows, in pieces."""
    used: list[Used] = []
    left = iter(entries)
    while some := list(islice(left, AT_ONCE)):
        used += (one for entry in some for one in _used(entry, usages))
        yield ""
    for name, help_, value in _STATS:
        full = f"kubelet_volume_stats_{name}"
        yield f"# HELP {full} {help_}\n# TYPE {full} gauge\n"
        for start in range(0, len(used), AT_ONCE):
            yield "".join(
                f"{full}{{{labels}}} {number}\n"
                for labels, usage in used[start : start + AT_ONCE]
                if (number := value(usage)) is not None
            )


def _used(entry: Entry, usages: Mapping[str, VolumeUsage]) -> Iterator[Used]:
    usage = usages.get(entry.key)
    ref = slim_volume(entry.body).spec.claim_ref if usage is not None else None
    if usage is not None and ref is not None:
        labels = f'namespace="{escaped(ref.namespace)}",persistentvolumeclaim="{escaped(ref.name)}"'
        yield labels, usage
