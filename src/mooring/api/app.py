"""The ASGI application: who asks, what for, and every error as the Status it is."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from mooring.api import reading, writing
from mooring.api.bindings import Bindings
from mooring.api.discovery import Discovery
from mooring.api.explaining import Explaining
from mooring.api.host import Host
from mooring.api.http import JSON, Receive, Request, Scope, Send
from mooring.api.identity import Identities
from mooring.api.metrics import Metrics
from mooring.api.nodes import Nodes
from mooring.api.openapi import OpenApi
from mooring.api.reviews import Reviews
from mooring.api.routes import Route, Routes
from mooring.api.shapes import AS_IT_IS, shape_of
from mooring.api.status import ApiError, failure
from mooring.api.store import StoreState
from mooring.api.top import Top
from mooring.api.watching import OpenWatches, watch
from mooring.errors import MooringError
from mooring.objects.documents import encoded
from mooring.objects.kind import Kind
from mooring.objects.objects import Objects

log = logging.getLogger(__name__)

Serve = Callable[[Request, Route, Objects], Awaitable[None]]
OPEN_PATHS: Final = frozenset({"/readyz", "/livez", "/healthz", "/version"})  # without a token
ON_COLLECTION: Final[dict[str, Serve]] = {
    "GET": reading.list_,
    "POST": writing.create,
    "DELETE": writing.delete_collection,
}
ON_OBJECT: Final[dict[str, Serve]] = {
    "GET": reading.get,
    "PUT": writing.replace,
    "PATCH": writing.patch,
    "DELETE": writing.delete,
}


class App:
    """Serves the Kubernetes REST protocol for the kinds of a table."""

    def __init__(
        self,
        objects: Objects,
        kinds: Sequence[Kind],
        identities: Identities,
        host: Host | None = None,
        nodes: Nodes | None = None,
        store: StoreState | None = None,
    ) -> None:
        """host, nodes: None where no agent runs in this process, and where none may join."""
        self._objects = objects
        self._is_shared = objects.store.is_shared
        self._routes = Routes(kinds)
        self._identities = identities
        self._discovery = Discovery(kinds)
        self._reviews = Reviews(identities)
        self._bindings = Bindings(objects)
        self._explaining = Explaining(objects, host)
        self._metrics, self._top = Metrics(objects, host), Top(objects, host)
        self._host, self._nodes, self._store = host, nodes, store
        self._openapi = OpenApi(kinds)
        self._watches = OpenWatches()
        self.ready = False

    def stop(self) -> None:
        """Be ready no more, and end what would go on for long."""
        self.ready = False
        self._watches.end()
        if self._nodes is not None:
            self._nodes.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive, send)
        try:
            await self._serve(request)
        except MooringError as error:
            await self._refuse(request, error)
        except RecursionError:
            await self._refuse(request, ApiError("BadRequest", "the body is nested too deeply"))
        except Exception:
            log.exception("path=%r method=%s failed", request.path, request.method)
            await self._refuse(request, ApiError("Internal", "an error of the server, see its log"))

    async def _serve(self, request: Request) -> None:
        user = self._identities.user(request.header(b"authorization"))
        if user is None and self._nodes is not None and await self._nodes.serves(request):
            return
        if user is None and request.path not in OPEN_PATHS:
            raise ApiError("Unauthorized", "Unauthorized", "send a valid bearer token")
        request.user = user or ""
        route = self._routes.find(request.path)
        if route is not None:
            if self._is_shared and not _says_how_old(request):
                await self._objects.fresh()
            await self._resource(request, route)
        elif not (
            await self._other(request)
            or await self._metrics.serves(request)
            or await self._of_objects(request)
            or (self._host and await self._host.serves(request))
            or (self._nodes and user and await self._nodes.serves_admin(request))
            or (self._store and user and await self._store.serves(request))
        ):
            raise ApiError("NotFound", "the server could not find the requested resource")

    async def _of_objects(self, request: Request) -> bool:
        """Paths of their own that tell of objects, or change some. Whether it was one."""
        if self._is_shared:
            await self._objects.fresh()
        return (
            await self._bindings.serves(request)
            or await self._top.serves(request)
            or await self._explaining.serves(request)
        )

    async def _resource(self, request: Request, route: Route) -> None:
        method = "GET" if request.method == "HEAD" else request.method
        if request.method == "GET" and request.flag("watch"):
            await watch(request, route, self._objects, self._watches)
            return
        serve = (ON_OBJECT if route.name else ON_COLLECTION).get(method)
        nowhere = route.kind.namespaced and not route.namespace  # all namespaces: only to be read
        if (
            serve is None
            or (route.subresource and method not in ("GET", "PUT", "PATCH"))
            or (nowhere and method != "GET")
            or (serve is writing.delete_collection and not route.kind.deletes_collection)
        ):
            what = "the server does not allow this method on the requested resource"
            raise ApiError("MethodNotAllowed", what)
        accept = request.header(b"accept")
        if method != "GET" and accept not in AS_IT_IS:  # refused before anything is written
            shape_of(
                route.kind, accept, request.query.get("includeObject", ""), self._objects.clock
            )
        await serve(request, route, self._objects)

    async def _other(self, request: Request) -> bool:
        """Paths that are not of a stored kind. Returns whether it was one."""
        path = request.path
        if path in ("/readyz", "/livez", "/healthz"):
            ready = self.ready or path != "/readyz"
            text = (b"content-type", b"text/plain")
            await request.answer(200 if ready else 503, b"ok" if ready else b"starting", (text,))
            return True
        if request.method == "POST" and self._reviews.serves(path):
            await request.answer(201, encoded(await self._reviews.answer(request)))
            return True
        if request.method in ("GET", "HEAD"):
            found = self._discovery.document(path, request.header(b"accept"))
            if found is not None:
                await request.answer(200, found[0], ((b"content-type", found[1]),))
                return True
            return await self._openapi.answer(request)
        return False

    async def _refuse(self, request: Request, error: MooringError) -> None:
        if request.answered:
            return  # too late for a Status: the connection is closed in the middle of the answer
        status = failure(error)
        await request.answer(status["code"], encoded(status), (JSON,))


def _says_how_old(request: Request) -> bool:
    """Whether what is asked for may be as old as the request says. All others are told of what was
    committed before they came, and writes are decided on that: a name that is free at one server
    is free at all."""
    query = request.query
    return request.method in ("GET", "HEAD") and bool(
        query.get("resourceVersion") or query.get("continue")
    )
