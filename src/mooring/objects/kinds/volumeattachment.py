"""storage.k8s.io/v1 VolumeAttachment: a volume on a node. Refusals are in Kubernetes' words."""

from typing import Final

from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Doc, Kind, Printing
from mooring.objects.kinds.common import (
    STATUS,
    SUBDOMAIN_TEXT,
    forbidden,
    invalid,
    is_subdomain,
    keep_status,
    metadata_causes,
    metadata_update_causes,
    required,
)
from mooring.objects.kinds.csi import IMMUTABLE, driver_name_causes

SOURCE: Final = "spec.source"
VOLUME: Final = "persistentVolumeName"
ONE_OF: Final = f"must specify exactly one of inlineVolumeSpec and {VOLUME}"


def _causes(doc: Doc) -> list[Cause]:
    spec = doc.get("spec") or {}
    causes = metadata_causes(doc) + driver_name_causes("spec.attacher", spec.get("attacher") or "")
    causes += _source_causes(spec.get("source") or {})
    if not is_subdomain(node := spec.get("nodeName") or ""):
        causes.append(invalid("spec.nodeName", node, SUBDOMAIN_TEXT))
    return causes


def _source_causes(source: Doc) -> list[Cause]:
    name, inline = source.get(VOLUME), source.get("inlineVolumeSpec")
    if name is None and inline is None:
        return [required(SOURCE, ONE_OF)]
    if name is not None and inline is not None:
        return [forbidden(SOURCE, ONE_OF)]
    if name is None or is_subdomain(name):
        return []
    if not name:
        return [required(f"{SOURCE}.{VOLUME}", f"must specify non empty {VOLUME}")]
    return [invalid(f"{SOURCE}.{VOLUME}", name, SUBDOMAIN_TEXT)]


def _update_causes(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old)
    if doc.get("spec") != old.get("spec"):
        causes.append(invalid("spec", "", IMMUTABLE))
    return causes


def _not_yet(doc: Doc) -> None:
    doc["status"] = {"attached": False}


def _volume(doc: Doc, _: Printing) -> str:
    return (doc["spec"].get("source") or {}).get(VOLUME) or ""


KIND: Final = Kind(
    "storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", "volumeattachment", False,
    columns=(
        Column("Name", printing.name, format="name"),
        Column("Attacher", lambda doc, _: doc["spec"].get("attacher", "")),
        Column("PV", _volume),
        Column("Node", lambda doc, _: doc["spec"].get("nodeName", "")),
        Column("Attached", lambda doc, _: (doc.get("status") or {}).get("attached", False),
               type="boolean"),
        Column("Age", printing.age),
    ),
    returns_deleted=True,
    overwrites=False,
    prepare_create=_not_yet,
    prepare_update=keep_status,
    validate_create=_causes,
    validate_update=_update_causes,
    subresources=STATUS,
)  # fmt: skip
