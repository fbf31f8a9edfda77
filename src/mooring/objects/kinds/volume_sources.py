"""The source of a PersistentVolume: exactly one, whole, never changed. Storage semantics §1.1."""

import posixpath
import re
from typing import Final

from mooring.model.names import MOUNT_OPTIONS
from mooring.objects.kind import Cause, Doc
from mooring.objects.kinds.common import (
    forbidden,
    invalid,
    is_subdomain,
    not_supported,
    required,
    too_long,
)

# In the order in which Kubernetes looks: of several, the first counts and the others are refused.
SOURCES: Final = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd",
    "quobyte", "cephfs", "iscsi", "cinder", "fc", "azureFile", "vsphereVolume",
    "photonPersistentDisk", "portworxVolume", "azureDisk", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip
SOURCE_NAMES: Final = frozenset(SOURCES)
# Those for which the mount-options annotation of old is known.
WITH_MOUNT_OPTIONS: Final = frozenset({
    "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "nfs", "rbd", "quobyte", "iscsi",
    "cinder", "cephfs", "azureFile", "vsphereVolume", "azureDisk", "photonPersistentDisk",
})  # fmt: skip
HOST_PATH_TYPES: Final = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate",
    "Socket",
)  # fmt: skip
SECRETS: Final = (
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
)
LATE_SECRET: Final = "controllerExpandSecretRef"  # the one that may be set later, once
DRIVER_NAME_MAX: Final = 63
LUN_MAX: Final = 255
_ISCSI_NAMES: Final = (
    re.compile(r"iqn\.[0-9]{4}-[0-9]{2}\.([a-z0-9]|[a-z0-9.-]*[a-z0-9])(:[^,;*&$|\s]*)?"),
    re.compile(r"eui\.[0-9A-Fa-f]{16}"),
    re.compile(r"naa\.([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})"),
)


def source_causes(doc: Doc) -> list[Cause]:
    """What is wrong with the source of a volume, at any write."""
    spec = doc["spec"]
    found = [source for source in SOURCE_NAMES.intersection(spec) if spec[source] is not None]
    found.sort(key=SOURCES.index)
    if not found:
        return [required("spec", "must specify a volume type")]
    message = "may not specify more than 1 volume type"
    causes = [forbidden(f"spec.{source}", message) for source in found[1:]]
    for source in ("hostPath", "local"):
        if source in found:
            causes += _path_causes(f"spec.{source}", spec[source])
    if "nfs" in found:
        causes += _nfs_causes(spec["nfs"])
    if "iscsi" in found:
        causes += _iscsi_causes(spec["iscsi"])
    if "csi" in found:
        causes += _csi_causes(spec["csi"])
    annotations = doc["metadata"].get("annotations") or {}
    if MOUNT_OPTIONS in annotations and not WITH_MOUNT_OPTIONS.intersection(found):
        path = f"metadata.annotations.{MOUNT_OPTIONS}"
        causes.append(forbidden(path, "may not specify mount options for this volume type"))
    return causes


def source_change_causes(spec: Doc, had: Doc) -> list[Cause]:
    """A source stays as it is; only a missing secret for the growth of a CSI volume may be told."""
    before = {source: had.get(source) for source in SOURCES}
    if before["csi"] and LATE_SECRET not in before["csi"] and spec.get("csi"):
        late = {key: value for key, value in spec["csi"].items() if key == LATE_SECRET}
        before["csi"] = before["csi"] | late
    if all(spec.get(source) == before[source] for source in SOURCES):
        return []
    message = "spec.persistentvolumesource is immutable after creation"
    return [forbidden("spec.persistentvolumesource", message)]


def cleans_the_root(spec: Doc) -> bool:
    """Whether recycling the volume would empty the host's root directory."""
    path = (spec.get("hostPath") or {}).get("path") or "."
    return posixpath.normpath(path).strip("/") == ""


def _path_causes(at: str, source: Doc) -> list[Cause]:
    causes, path = [], source.get("path") or ""
    if not path:
        causes.append(required(f"{at}.path"))
    elif ".." in path.split("/"):
        causes.append(invalid(f"{at}.path", path, "must not contain '..'"))
    type_ = source.get("type") or ""
    if type_ not in HOST_PATH_TYPES:
        causes.append(not_supported(f"{at}.type", type_, HOST_PATH_TYPES))
    return causes


def _nfs_causes(source: Doc) -> list[Cause]:
    causes, path = [], source.get("path") or ""
    if not source.get("server"):
        causes.append(required("spec.nfs.server"))
    if not path:
        causes.append(required("spec.nfs.path"))
    elif not path.startswith("/"):
        causes.append(invalid("spec.nfs.path", path, "must be an absolute path"))
    return causes


def _iscsi_causes(source: Doc) -> list[Cause]:
    """As Kubernetes' validateISCSIPersistentVolumeSource."""
    at, causes = "spec.iscsi", []
    if not source.get("targetPortal"):
        causes.append(required(f"{at}.targetPortal"))
    iqn, lun = source.get("iqn") or "", source.get("lun") or 0
    if not iqn:
        causes.append(required(f"{at}.iqn"))
    elif not _is_iscsi_name(iqn):
        causes.append(invalid(f"{at}.iqn", iqn, "must be valid format"))
    if not 0 <= lun <= LUN_MAX:
        causes.append(invalid(f"{at}.lun", lun, f"must be between 0 and {LUN_MAX}, inclusive"))
    secret = source.get("secretRef")
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and secret is None:
        causes.append(required(f"{at}.secretRef"))
    if secret is not None and not secret.get("name"):
        causes.append(required(f"{at}.secretRef.name"))
    initiator = source.get("initiatorName")
    if initiator is not None and not _is_iscsi_name(initiator):
        causes.append(invalid(f"{at}.initiatorname", initiator, "must be valid format"))
    return causes


def _is_iscsi_name(name: str) -> bool:
    """One of iqn.yyyy-mm.domain:name, eui. and naa. with hexadecimal digits."""
    return any(form.fullmatch(name) for form in _ISCSI_NAMES)


def _csi_causes(source: Doc) -> list[Cause]:
    causes, driver = [], source.get("driver") or ""
    if not driver:
        causes.append(required("spec.csi.driver"))
    elif len(driver) > DRIVER_NAME_MAX:
        causes.append(too_long("spec.csi.driver", DRIVER_NAME_MAX))
    elif not is_subdomain(driver.lower()):
        causes.append(invalid("spec.csi.driver", driver, "must be a DNS-1123 subdomain"))
    if not source.get("volumeHandle"):
        causes.append(required("spec.csi.volumeHandle"))
    for secret in SECRETS:
        if (reference := source.get(secret)) is not None:
            causes += [
                required(f"spec.csi.{secret}.{field}")
                for field in ("name", "namespace")
                if not reference.get(field)
            ]
    return causes
