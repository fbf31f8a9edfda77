"""Request bodies: decoded, checked to be of the kind, and cleaned of unknown fields."""

import asyncio
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from mooring.api import messages, protobuf
from mooring.api.decoding import duplicates, json_value, yaml_duplicates, yaml_value
from mooring.api.http import Request
from mooring.api.status import ApiError
from mooring.api.validation import IGNORE, directive, judge
from mooring.objects.documents import encoded
from mooring.objects.kind import Doc, Kind
from mooring.objects.schema import SCHEMAS
from mooring.store.interface import MAX_VALUE_BYTES, TooLarge

T = TypeVar("T")

JSON: Final = "application/json"
YAML_TYPES: Final = frozenset(
    {"application/yaml", "application/apply-patch+yaml", "application/apply-patch"}
)
LARGE_BYTES: Final = 64 * 1024  # a second may pass over 3 MiB of tiny fields; others go on


async def read_as(request: Request, type_: type[T]) -> T:
    """JSON of a path of Mooring's own; none at all is an empty object. Raises ApiError."""
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=type_)
    except msgspec.MsgspecError as error:
        raise ApiError("BadRequest", f"the body of the request: {error}") from error


def media_type(request: Request) -> str:
    """Of the body, without parameters; JSON if it is not said."""
    return request.header(b"content-type").partition(";")[0].strip() or JSON


def parsed(body: bytes, media: str) -> Any:
    """Any JSON or YAML value. Raises ApiError BadRequest."""
    try:
        if _is_yaml(body, media):
            return yaml_value(body)
        return json_value(body)
    except (ValueError, RecursionError) as error:
        what = f"the body of the request was in an unknown format or damaged: {error}"
        raise ApiError("BadRequest", what) from error


async def decoded(request: Request, media: str) -> tuple[bytes, Any, list[str]]:
    """A body, the value in it, and what it gives twice. Raises ApiError BadRequest, Invalid."""

    def both() -> tuple[Any, list[str]]:
        value = parsed(body, media)
        return value, repeated(request, body, media, value)

    body = await request.body()
    return body, *(await asyncio.to_thread(both) if len(body) > LARGE_BYTES else both())


def repeated(request: Request, body: bytes, media: str, value: Any) -> list[str]:
    """What the body gives twice, if the request wants to know. Raises ApiError, Invalid.

    value   what the body was decoded into
    """
    if directive(request) == IGNORE:
        return []
    try:
        return yaml_duplicates(body) if _is_yaml(body, media) else duplicates(body, value)
    except ValueError as error:
        raise ApiError("BadRequest", f"the body of the request: {error}") from error


def _is_yaml(body: bytes, media: str) -> bool:
    return media in YAML_TYPES and not body.lstrip().startswith(b"{")


async def options(request: Request, api_version: str, kind: str) -> Doc:
    """The body of a request that is not about a stored object; {} without one."""
    media, body = media_type(request), await request.body()
    if media == protobuf.MEDIA_TYPE and body:
        return await _from_protobuf(body, api_version, kind)
    doc: Any = {}
    if len(body) > LARGE_BYTES:
        doc = await asyncio.to_thread(parsed, body, media)
    elif body:
        doc = parsed(body, media)
    if not isinstance(doc, dict):
        raise ApiError("BadRequest", f"the body is not an object of kind {kind}")
    SCHEMAS.conform(_passing_kind(api_version, kind), doc)
    return doc


@cache
def _passing_kind(api_version: str, kind: str) -> Kind:
    """A kind that is sent but never stored. Few: the callers name them."""
    group, _, version = api_version.rpartition("/")
    return Kind(group, version, kind, plural="", singular="", namespaced=False)


async def _from_protobuf(body: bytes, api_version: str, kind: str) -> Doc:
    if len(body) > LARGE_BYTES:
        return await asyncio.to_thread(protobuf.decoded, body, api_version, kind)
    return protobuf.decoded(body, api_version, kind)


async def document(request: Request, kind: Kind) -> Doc:
    """The object in the body of a create or an update."""
    media = media_type(request)
    if media != JSON:
        _refuse_unknown(media, kind)
    body = await request.body()
    if len(body) > LARGE_BYTES:
        return await asyncio.to_thread(_document, request, kind, body, media)
    return _document(request, kind, body, media)


def _refuse_unknown(media: str, kind: Kind) -> None:
    """Raises ApiError UnsupportedMediaType."""
    accepted = [JSON, "application/yaml"]
    if messages.message_of(kind.api_version, kind.kind):
        accepted.append(protobuf.MEDIA_TYPE)
    if media not in accepted:
        what = (
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(accepted)
        )
        raise ApiError("UnsupportedMediaType", what)


def _document(request: Request, kind: Kind, body: bytes, media: str) -> Doc:
    directive(request)  # refused whatever the body is
    twice: list[str] = []
    if media == protobuf.MEDIA_TYPE:
        value: Any = protobuf.decoded(body, kind.api_version, kind.kind)
    else:
        value = parsed(body, media)
        twice = repeated(request, body, media, value)
    doc = of_kind(value, kind)
    judge(request, kind, [*SCHEMAS.conform(kind, doc), *twice])
    refuse_too_large(kind, doc, body)
    return doc


def refuse_too_large(kind: Kind, doc: Doc, body: bytes) -> None:
    """Say early what the store would say, since admission takes time. Raises TooLarge.

    doc   conforming to its schema
    body  that it came from, or that changed it
    """
    if len(body) <= MAX_VALUE_BYTES:
        return
    size = len(encoded(doc)) - len(encoded(doc["metadata"].get("managedFields")))
    if size > MAX_VALUE_BYTES:
        raise TooLarge(f"{kind.resource}/{doc['metadata'].get('name', '')}", size)


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
    if doc.get("metadata") is None:
        doc["metadata"] = {}
    if not isinstance(doc["metadata"], dict):
        raise ApiError("BadRequest", f"{kind.kind}.metadata is not an object")
    doc["kind"], doc["apiVersion"] = kind.kind, kind.api_version
    return doc
