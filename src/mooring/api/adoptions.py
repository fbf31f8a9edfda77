"""Volumes of Docker's own that are copied into claims, beside the Kubernetes API.

POST  /mooring/v1/adoptions                    begin, or go on: the adoption
GET   /mooring/v1/adoptions                    {"items": [adoption, ...]}: those under way, and the
                                               last that ended
GET   /mooring/v1/adoptions/NAMESPACE/CLAIM    how far it is: the adoption; 404 if there is none

The body of a POST is {"volume": NAME} with, if wanted, "name", "namespace", "size" and "class". An
adoption is {"claim": "ns/name", "name": NAME in Docker, "volume": NAME, "phase": TEXT, "files",
"bytes", "ofFiles", "ofBytes", "leftOut": {"count", "named"}, "finishedAt", "error"}; its phase ends
as Done or Failed, and error is then {"code", "what", "remedy"}.
"""

from typing import Final, Protocol

import msgspec

from mooring.api.http import Request
from mooring.api.status import ApiError
from mooring.errors import MooringError
from mooring.objects.kind import Doc

PATH: Final = "/mooring/v1/adoptions"


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a POST; "" where nothing is wanted."""

    volume: str
    name: str = ""
    namespace: str = "default"
    size: str = ""
    class_name: str = msgspec.field(name="class", default="")


class Adopting(Protocol):
    """What does it. Each answer is an adoption as above."""

    async def adopt(
        self, volume: str, *, name: str, namespace: str, size: str, class_name: str
    ) -> Doc: ...

    def one(self, key: str) -> Doc | None: ...

    def all(self) -> list[Doc]: ...


class NoDocker(MooringError):
    code = "EngineAway"

    def __init__(self) -> None:
        self.what = "this Mooring serves no Docker, so it has no volumes to adopt"
        self.remedy = "start it as root on the host of the volume, see `mooring up -h`"
        super().__init__(self.what)


_wanted: Final = msgspec.json.Decoder(Wanted)


async def answered(request: Request, adopting: Adopting | None) -> Doc | None:
    """The answer, if it is one of its paths.

    adopting  None where no Docker is served
    """
    parts = [part for part in request.path[len(PATH) :].split("/") if part]
    if not parts and request.method == "POST":
        if adopting is None:
            raise NoDocker
        try:
            wanted = _wanted.decode(await request.body())
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ApiError("BadRequest", f"the body is not what was expected: {error}") from error
        return await adopting.adopt(
            wanted.volume,
            name=wanted.name,
            namespace=wanted.namespace,
            size=wanted.size,
            class_name=wanted.class_name,
        )
    if request.method != "GET" or len(parts) not in (0, 2):
        return None
    if not parts:
        return {"items": adopting.all() if adopting is not None else []}
    key = "/".join(parts)
    found = adopting.one(key) if adopting is not None else None
    if found is None:
        raise ApiError("NotFound", f"nothing is copied into claim {key} from a volume of Docker")
    return found
