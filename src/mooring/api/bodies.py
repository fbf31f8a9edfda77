"""Request bodies: decoded, checked to be of the kind, and cleaned of unknown fields."""

import asyncio
from typing import Any, Final

import msgspec
import yaml

from mooring.api import messages, protobuf
from mooring.api.http import Request
from mooring.api.status import ApiError
from mooring.objects.documents import decoded
from mooring.objects.kind import Doc, Kind

YAML_TYPES: Final = frozenset(
    {"application/yaml", "application/apply-patch+yaml", "application/apply-patch"}
)
LARGE_BYTES: Final = 64 * 1024  # a second may pass over 3 MiB of tiny fields; others go on


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


async def options(request: Request, api_version: str, kind: str) -> Doc:
    """The body of a request that is not about a stored object; {} without one."""
    media, body = media_type(request), await request.body()
    if media == protobuf.MEDIA_TYPE and body:
        return await _from_protobuf(body, api_version, kind)
    doc = parsed(body, media) if body else {}
    if not isinstance(doc, dict):
        raise ApiError("BadRequest", f"the body is not an object of kind {kind}")
    return doc


async def _from_protobuf(body: bytes, api_version: str, kind: str) -> Doc:
    if len(body) > LARGE_BYTES:
        return await asyncio.to_thread(protobuf.decoded, body, api_version, kind)
    return protobuf.decoded(body, api_version, kind)


async def document(request: Request, kind: Kind) -> Doc:
    """The object in the body of a create or an update."""
    media = media_type(request)
    accepted = ["application/json", "application/yaml"]
    if messages.message_of(kind.api_version, kind.kind):
        accepted.append(protobuf.MEDIA_TYPE)
    if media not in accepted:
        what = (
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(accepted)
        )
        raise ApiError("UnsupportedMediaType", what)
    body = await request.body()
    if media == "application/json":
        try:
            doc = decoded(body)
        except (msgspec.MsgspecError, RecursionError) as error:
            what = f"the object provided is unrecognized (must be of type {kind.kind}): {error}"
            raise ApiError("BadRequest", what) from error
    elif media == protobuf.MEDIA_TYPE:
        doc = await _from_protobuf(body, kind.api_version, kind.kind)
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
