"""Claims that a pod has of its own: templates in its volumes. Storage semantics §19."""

from typing import Any, Final

from mooring.objects.kind import Cause, Doc
from mooring.objects.kinds import persistentvolumeclaim as claim
from mooring.objects.kinds.common import forbidden, invalid, required

ALLOWED: Final = frozenset({"annotations", "labels"})  # in the metadata of a template
MORE: Final = "cannot be set for an ephemeral volume"


def default_templates(spec: Doc) -> None:
    """As a claim that is made from it gets them. Raises QuantityError."""
    for volume in spec.get("volumes") or ():
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if template:
            claim.KIND.default({"metadata": {}, "spec": template.setdefault("spec", {})})


def template_causes(path: str, volume: Doc, pod: str) -> list[Cause]:
    """Of one volume of a pod; none if it has no claim of the pod's own.

    pod  its name, "" if it is to be generated
    """
    own = volume.get("ephemeral")
    if own is None:
        return []
    at = f"{path}.ephemeral.volumeClaimTemplate"
    template: Any = own.get("volumeClaimTemplate")
    if not template:
        return [required(at)]
    metadata = template.get("metadata") or {}
    causes = [
        forbidden(f"{at}.metadata.{field}", MORE)
        for field, value in metadata.items()
        if value and field not in ALLOWED
    ]
    name = f"{pod or 'a'}-{volume.get('name') or 'a'}"
    kept = {field: metadata[field] for field in ALLOWED if metadata.get(field)}
    made = {"metadata": {"name": name, **kept}, "spec": template.get("spec") or {}}
    for cause in claim.KIND.validate_create(made):
        if cause.field == "metadata.name":
            causes.append(invalid(f"{path}.name", volume.get("name"), f'PVC name "{name}"'))
        else:
            causes.append(cause._replace(field=f"{at}.{cause.field}"))
    return causes
