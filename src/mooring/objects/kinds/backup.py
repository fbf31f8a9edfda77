"""mooring.dev/v1 BackupRepository, VolumeBackup and VolumeArchive."""

import re
from typing import Any, Final
from urllib.parse import urlsplit

from mooring.model.backup import PASSWORD_KEY, S3, VERIFICATIONS, VERIFY_METADATA
from mooring.model.names import BACKUP_PROTECTION, DELETE, RETAIN
from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Doc, Kind, Printing, Subresource, World
from mooring.objects.kinds.common import (
    STATUS,
    forbidden,
    invalid,
    is_subdomain,
    keep_spec,
    keep_status,
    metadata_causes,
    metadata_update_causes,
    not_supported,
    required,
    with_finalizer,
)

TAGS_MAX: Final = 32
RETRIES_MAX: Final = 100
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:=-]{0,127}")
_SUBSET = re.compile(r"(?:\d{1,2}(?:\.\d+)?|100(?:\.0+)?)%|[1-9]\d{0,2}/[1-9]\d{0,2}|\d+[KMGT]?")
_SNAPSHOT_ID = re.compile(r"[0-9a-f]{8,64}")
_OWN_TAGS: Final = ("mooring", "claim=", "claim-uid=", "backup=")


def path_causes(field: str, path: str) -> list[Cause]:
    """Of a path on a host that somebody writes into an object."""
    if not path.startswith("/") or ".." in path.split("/") or not path.strip("/") or "\0" in path:
        return [invalid(field, path, "must be an absolute path, not '/', and without '..'")]
    return []


def _spec(doc: Doc) -> None:
    doc.setdefault("spec", {})


def ready(doc: Doc, _: Printing) -> str:
    """Of the condition of that name."""
    conditions = (doc.get("status") or {}).get("conditions") or ()
    return next((one["status"] for one in conditions if one.get("type") == "Ready"), "Unknown")


# Repositories


def _default_repository(doc: Doc) -> None:
    _spec(doc)
    if isinstance(secret := doc["spec"].get("passwordSecret"), dict):
        secret.setdefault("key", PASSWORD_KEY)


def _no_status(doc: Doc) -> None:
    doc["status"] = {}


def _keep_node(doc: Doc, old: Doc) -> None:
    """The host of a directory may have been filled in by the server."""
    keep_status(doc, old)
    if (node := old["spec"].get("node")) and not doc["spec"].get("node"):
        doc["spec"]["node"] = node


def _repository_causes(doc: Doc) -> list[Cause]:
    spec = doc["spec"]
    causes = _url_causes(spec.get("url") or "")
    remote = str(spec.get("url") or "").startswith(S3)
    for field, is_needed in (("passwordSecret", True), ("credentialsSecret", remote)):
        name = (spec.get(field) or {}).get("name") or ""
        if not name and (is_needed or field in spec):
            causes.append(required(f"spec.{field}.name", "a Secret of this namespace"))
        elif name and not is_subdomain(name):
            causes.append(invalid(f"spec.{field}.name", name, "must be the name of a Secret"))
    if remote and spec.get("node"):
        causes.append(forbidden("spec.node", "an object store is reached from every host"))
    return causes


def _url_causes(url: str) -> list[Cause]:
    example = "such as /var/backups/mooring/disk or s3:https://s3.example.com/bucket/path"
    if not url:
        return [required("spec.url", example)]
    if not url.startswith(S3):
        return path_causes("spec.url", url)
    try:
        parts = urlsplit(url.removeprefix(S3))
        wrong = parts.scheme not in ("http", "https") or not parts.hostname
        bad = wrong or bool(parts.query or parts.fragment) or not parts.path.strip("/")
        secret = parts.username is not None or parts.password is not None
        _ = parts.port
    except ValueError:
        bad, secret = True, False
    if secret:
        return [forbidden("spec.url", "keys belong into the Secret that credentialsSecret names")]
    if bad or " " in url or not url.isprintable():
        return [invalid("spec.url", url, f"must be a directory or s3:URL/BUCKET, {example}")]
    return []


def _repository_update_causes(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old) + _repository_causes(doc)
    for field in ("url", "node"):
        was = old["spec"].get(field) or ""
        if was and (doc["spec"].get(field) or "") != was:
            message = "is immutable: backups lie there; make another repository"
            causes.append(forbidden(f"spec.{field}", message))
    return causes


REPOSITORY: Final = Kind(
    group="mooring.dev",
    version="v1",
    kind="BackupRepository",
    plural="backuprepositories",
    singular="backuprepository",
    namespaced=True,
    short_names=("brepo",),
    columns=(
        Column("Name", printing.name, format="name"),
        Column("Ready", ready),
        Column("URL", lambda doc, _: doc["spec"].get("url", "")),
        Column("Age", printing.age),
    ),
    default=_default_repository,
    prepare_create=_no_status,
    prepare_update=_keep_node,
    validate_create=lambda doc: metadata_causes(doc) + _repository_causes(doc),
    validate_update=_repository_update_causes,
    subresources=STATUS,
    generation=True,
)


# Backups


def _default_backup(doc: Doc) -> None:
    _spec(doc)
    spec = doc["spec"]
    spec.setdefault("verify", VERIFY_METADATA)
    spec.setdefault("readDataSubset", "100%")
    spec.setdefault("retries", 3)
    spec.setdefault("deletionPolicy", DELETE)


def _protect_backup(doc: Doc, _: World) -> None:
    with_finalizer(doc, BACKUP_PROTECTION)


def _pending(doc: Doc) -> None:
    doc["status"] = {"phase": "Pending"}


def _backup_causes(doc: Doc) -> list[Cause]:
    spec = doc["spec"]
    source = spec.get("source") or {}
    kinds = ("persistentVolumeClaimName", "volumeSnapshotName")
    named = [field for field in kinds if source.get(field)]
    causes = []
    if len(named) != 1:
        causes.append(required("spec.source", f"exactly one of {' and '.join(kinds)}"))
    for field in named:
        if not is_subdomain(source[field]):
            causes.append(invalid(f"spec.source.{field}", source[field], "must be a name"))
    repository = spec.get("repository") or ""
    if not repository:
        causes.append(required("spec.repository", "the name of a BackupRepository"))
    elif not is_subdomain(repository):
        causes.append(invalid("spec.repository", repository, "must be a name"))
    for field, known in (("verify", VERIFICATIONS), ("deletionPolicy", (DELETE, RETAIN))):
        if spec.get(field) not in known:
            causes.append(not_supported(f"spec.{field}", spec.get(field), known))
    if not _SUBSET.fullmatch(str(spec.get("readDataSubset"))):
        message = "must be a share such as 5%, a part such as 1/7, or a size such as 500M"
        causes.append(invalid("spec.readDataSubset", spec.get("readDataSubset"), message))
    retries = spec.get("retries")
    if not isinstance(retries, int) or not 0 <= retries <= RETRIES_MAX:
        causes.append(invalid("spec.retries", retries, f"must be from 0 to {RETRIES_MAX}"))
    return causes + _tag_causes(spec.get("tags") or ())


def _tag_causes(tags: Any) -> list[Cause]:
    causes = []
    if len(tags) > TAGS_MAX:
        message = f"Too many: must have at most {TAGS_MAX} items"
        causes.append(Cause("spec.tags", "FieldValueTooMany", message))
    for number, tag in enumerate(tags):
        field = f"spec.tags[{number}]"
        if not _TAG.fullmatch(str(tag)):
            message = "must start with a letter or digit, and have no others but _ . / : = -"
            causes.append(invalid(field, tag, message))
        elif str(tag).startswith(_OWN_TAGS):
            causes.append(forbidden(field, "Mooring finds its own snapshots by tags like this"))
    return causes


def _backup_update_causes(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old) + _backup_causes(doc)
    for field in sorted(doc["spec"].keys() | old["spec"].keys()):
        if field != "deletionPolicy" and doc["spec"].get(field) != old["spec"].get(field):
            message = "is immutable: a backup is of one moment; make another"
            causes.append(forbidden(f"spec.{field}", message))
    return causes


def _backup_status_causes(doc: Doc, old: Doc) -> list[Cause]:
    """The id becomes an argument of a program that root runs."""
    causes = metadata_update_causes(doc, old)
    id_ = str((doc.get("status") or {}).get("snapshotID") or "")
    if id_ and not _SNAPSHOT_ID.fullmatch(id_):
        message = "must be the id of a restic snapshot: 8 to 64 of the digits 0-9a-f"
        causes.append(invalid("status.snapshotID", id_, message))
    return causes


def _source(doc: Doc, _: Printing) -> str:
    source = doc["spec"].get("source") or {}
    snapshot = source.get("volumeSnapshotName")
    return f"snapshot {snapshot}" if snapshot else source.get("persistentVolumeClaimName") or ""


def _progress(doc: Doc, _: Printing) -> str:
    progress = (doc.get("status") or {}).get("progress")
    return f"{progress.get('percent', 0)}%" if progress else ""


BACKUP: Final = Kind(
    group="mooring.dev",
    version="v1",
    kind="VolumeBackup",
    plural="volumebackups",
    singular="volumebackup",
    namespaced=True,
    short_names=("vb",),
    columns=(
        Column("Name", printing.name, format="name"),
        Column("Source", _source),
        Column("Repository", lambda doc, _: doc["spec"].get("repository", "")),
        Column("Phase", printing.phase),
        Column("Progress", _progress),
        Column("Snapshot", lambda doc, _: (doc.get("status") or {}).get("snapshotID", "")[:8]),
        Column("Age", printing.age),
        Column("Error", lambda doc, _: (doc.get("status") or {}).get("error", ""), priority=1),
    ),
    default=_default_backup,
    mutate=_protect_backup,
    prepare_create=_pending,
    prepare_update=keep_status,
    validate_create=lambda doc: metadata_causes(doc) + _backup_causes(doc),
    validate_update=_backup_update_causes,
    subresources={"status": Subresource(keep_spec, _backup_status_causes)},
)


# Archives


def _archive_causes(doc: Doc) -> list[Cause]:
    spec = doc["spec"]
    named = [field for field in ("tar", "directory") if spec.get(field)]
    if len(named) != 1:
        return [required("spec", "exactly one of tar and directory, a path on the host")]
    return path_causes(f"spec.{named[0]}", str(spec[named[0]]))


def _archive_update_causes(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old) + _archive_causes(doc)
    if doc["spec"] != old["spec"]:
        causes.append(forbidden("spec", "is immutable: volumes are filled from it; make another"))
    return causes


ARCHIVE: Final = Kind(
    group="mooring.dev",
    version="v1",
    kind="VolumeArchive",
    plural="volumearchives",
    singular="volumearchive",
    namespaced=True,
    columns=(
        Column("Name", printing.name, format="name"),
        Column("Path", lambda doc, _: doc["spec"].get("tar") or doc["spec"].get("directory", "")),
        Column("Node", lambda doc, _: doc["spec"].get("node") or "<any>"),
        Column("Age", printing.age),
    ),
    default=_spec,
    validate_create=lambda doc: metadata_causes(doc) + _archive_causes(doc),
    validate_update=_archive_update_causes,
)
