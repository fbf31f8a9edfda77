"""storage.k8s.io/v1 VolumeAttributesClass. Storage semantics §15."""

from typing import Final

from mooring.model.names import VAC_PROTECTION
from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Doc, Kind, World
from mooring.objects.kinds.common import (
    forbidden,
    invalid,
    is_qualified,
    metadata_causes,
    metadata_update_causes,
    required,
    with_finalizer,
)
from mooring.objects.kinds.storageclass import parameter_causes


def _protect(doc: Doc, _: World) -> None:
    with_finalizer(doc, VAC_PROTECTION)


def _validate_create(doc: Doc) -> list[Cause]:
    causes, driver = metadata_causes(doc), doc.get("driverName") or ""
    if not driver:
        causes.append(required("driverName"))
    elif not is_qualified(driver.lower()):
        causes.append(invalid("driverName", driver, "must be a qualified name"))
    parameters = doc.get("parameters") or {}
    if not parameters:
        causes.append(required("parameters", "must contain at least one key/value pair"))
    return causes + parameter_causes(parameters)


def _validate_update(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old)
    for field in ("driverName", "parameters"):
        if (doc.get(field) or None) != (old.get(field) or None):
            causes.append(forbidden(field, f"updates to {field} are forbidden."))
    return causes


KIND: Final = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttributesClass",
    plural="volumeattributesclasses",
    singular="volumeattributesclass",
    namespaced=False,
    short_names=("vac",),
    columns=(
        Column("Name", printing.name, format="name"),
        Column("DriverName", lambda doc, _: doc.get("driverName", "")),
        Column("Age", printing.age),
    ),
    returns_deleted=True,
    mutate=_protect,
    validate_create=_validate_create,
    validate_update=_validate_update,
)
