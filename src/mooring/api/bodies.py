"""Request bodies: decoded, checked to be of the kind, and cleaned of unknown fields."""

from typing import Any, Final

import msgspec
import yaml

from mooring.api.http import Request
from mooring.api.status import ApiError
from mooring.objects.documents import decoded
from mooring.objects.kind import Doc, Kind

YAML_TYPES: Final = frozenset(
    {"application/yaml", "application/apply-patch+yaml", "application/apply-patch"}
)


def media_type(request: Request) -> str:
    """Of the body, without parameters; JSON if it is not said."""
    return request.header(b"content-type").partition(";")[0].strip() or "application/json"


def parsed(body: bytes, media: str) -> Any:
    """Any JSON or YAML value. Raises ApiError BadRequest."""
    try:
        if media in YAML_TYPES and not body.lstrip().startswith(b"{"):
            return yaml.load(body, Loader=yaml.CSafeLoader)
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, yaml.YAMLError, ValueError, RecursionError) as error:
        what = f"the body of the request was in an unknown format or damaged: {error}"
        raise ApiError("BadRequest", what) from error


async def document(request: Request, kind: Kind) -> Doc:
    """The object in the body of a create or an update."""
    media = media_type(request)
    if media not in ("application/json", "application/yaml"):
        what = (
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml"
        )
        raise ApiError("UnsupportedMediaType", what)
    body = await request.body()
    if media == "application/json":
        try:
            doc = decoded(body)
        except (msgspec.MsgspecError, RecursionError) as error:
            what = f"the object provided is unrecognized (must be of type {kind.kind}): {error}"
            raise ApiError("BadRequest", what) from error
    else:
        doc = parsed(body, media)
    return of_kind(doc, kind)


def of_kind(doc: Any, kind: Kind) -> Doc:
    """The value if it can be an object of this kind. Raises ApiError BadRequest."""
    if not isinstance(doc, dict):
        raise ApiError("BadRequest", f"the body is not an object of kind {kind.kind}")
    version, name = doc.get("apiVersion", kind.api_version), doc.get("kind", kind.kind)
    if (version or kind.api_version) != kind.api_version or (name or kind.kind) != kind.kind:
        what = (
            f"the API version or kind in the data ({version}, Kind={name}) does not match "
            f"the expected ({kind.api_version}, Kind={kind.kind})"
        )
        raise ApiError("BadRequest", what)
    metadata = doc.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise ApiError("BadRequest", f"{kind.kind}.metadata is not an object")
    doc["kind"], doc["apiVersion"] = kind.kind, kind.api_version
    return doc
