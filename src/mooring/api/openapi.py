"""What the API looks like, for clients that ask: OpenAPI v2, and v3 by group and version.

Built when first asked for, on a thread, and kept compressed: hardly a client wants it otherwise.
"""

import asyncio
import hashlib
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.json import encode

from mooring import __version__
from mooring.api import gnostic, openapi3
from mooring.api.http import Header, Request
from mooring.api.operations import paths
from mooring.api.status import ApiError
from mooring.objects.kind import Doc, Kind
from mooring.objects.schema import definitions

V2: Final = "/openapi/v2"
V3: Final = "/openapi/v3"
JSON: Final = "application/json"
# The second is the one that Go, and so newer clients, take for a media type.
PROTOBUF2: Final = (
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
)
PROTOBUF3: Final = (
    "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
)
INFO: Final = {"title": "Mooring", "version": __version__}
GZIP: Final = 31  # zlib's number for a window of 32 KiB in gzip's frame
PROTOBUF: Final = {V2: PROTOBUF2, V3: PROTOBUF3}
# Hashes of /openapi/v3 are in addresses: what is found there stays what it is.
FOREVER: Final[Header] = (b"cache-control", b"public, immutable, max-age=31536000")
ASK_AGAIN: Final[Header] = (b"cache-control", b"no-cache, private")
VARIES: Final[Header] = (b"vary", b"Accept, Accept-Encoding")


class Packed(NamedTuple):
    """One document in one form."""

    packed: bytes  # by gzip
    hash: str  # of what is in it


class OpenApi:
    """Answers below /openapi. Its documents never change while the server runs."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = kinds
        self._building = asyncio.Lock()
        # By version and whether in protobuf: all documents, by path.
        self._built: dict[tuple[str, bool], dict[str, Packed]] = {}

    async def answer(self, request: Request) -> bool:
        """Serve the document at the path of a GET. Returns whether there is one."""
        path = request.path
        version = V2 if path == V2 else V3
        if not path.startswith(version):
            return False
        served = (JSON,) if path == V3 else (JSON, *PROTOBUF[version])
        media = _chosen(request.header(b"accept"), served)
        document = (await self._documents(version, media != JSON)).get(path)
        if document is None:
            return False
        caching = ASK_AGAIN
        if wanted := request.query.get("hash"):
            current = (await self._documents(version, False))[path].hash
            if wanted != current:
                place = (b"location", f"{path}?hash={current}".encode())
                await request.answer(301, b"", (place, ASK_AGAIN))
                return True
            caching = FOREVER
        await _send(request, document, media, caching)
        return True

    async def _documents(self, version: str, protobuf: bool) -> dict[str, Packed]:
        async with self._building:
            found = self._built.get((version, protobuf))
            if found is None:
                build = _v2 if version == V2 else _v3
                found = await asyncio.to_thread(build, self._kinds, protobuf)
                self._built[version, protobuf] = found
            return found


async def _send(request: Request, document: Packed, media: str, caching: Header) -> None:
    tag = f'"{document.hash}"'
    headers = [(b"etag", tag.encode()), caching, VARIES]
    if tag in request.header(b"if-none-match"):
        await request.answer(304, b"", headers)
        return
    headers.append((b"content-type", media.encode()))
    if "gzip" not in request.header(b"accept-encoding"):
        await request.answer(200, zlib.decompress(document.packed, wbits=GZIP), headers)
        return
    headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-length", b"%d" % len(document.packed)))
    await request.begin(headers)
    await request.more(document.packed)
    await request.end()


def _chosen(accept: str, served: Sequence[str]) -> str:
    """The first of the Accept header's choices that is served. Raises ApiError NotAcceptable."""
    for choice in accept.split(",") if accept else ("*/*",):
        media = choice.partition(";")[0].strip()
        if media in ("*/*", "application/*"):
            return JSON
        if media in served:
            return served[-1] if media != JSON else JSON
    raise ApiError(
        "NotAcceptable", f"only the following media types are accepted: {', '.join(served)}"
    )


def _v2(kinds: Sequence[Kind], protobuf: bool) -> dict[str, Packed]:
    document: Doc = {
        "swagger": "2.0",
        "info": INFO,
        "paths": paths(kinds),
        "definitions": definitions(),
        "securityDefinitions": {
            "BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}
        },
        "security": [{"BearerToken": []}],
    }
    return {V2: _packed(gnostic.document2(document) if protobuf else encode(document))}


def _v3(kinds: Sequence[Kind], protobuf: bool) -> dict[str, Packed]:
    by_group_version: dict[str, dict[str, Doc]] = {}
    for path, item in paths(kinds).items():
        steps = path.split("/")
        place = "/".join(steps[1 : 3 if steps[1] == "api" else 4])
        by_group_version.setdefault(place, {})[path] = item
    found, root = {}, {}
    for place, below in by_group_version.items():
        document = openapi3.document(INFO, below, definitions())
        one = _packed(gnostic.document3(document) if protobuf else encode(document))
        found[f"{V3}/{place}"] = one
        root[place] = {"serverRelativeURL": f"{V3}/{place}?hash={one.hash}"}
    if not protobuf:
        found[V3] = _packed(encode({"paths": root}))
    return found


def _packed(content: bytes) -> Packed:
    squeeze = zlib.compressobj(wbits=GZIP)
    packed = squeeze.compress(content) + squeeze.flush()
    return Packed(packed, hashlib.sha256(content).hexdigest().upper())
