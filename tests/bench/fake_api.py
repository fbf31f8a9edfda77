"""A server that speaks just enough of the Kubernetes API to be measured; nothing is durable.

Claims are bound within their create, volumes are Available at once, deletions are immediate.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

Doc = dict[str, Any]


class FakeApi:
    """An ASGI application. Objects by the path of their collection, then by name."""

    def __init__(self) -> None:
        self.collections: dict[str, dict[str, Doc]] = {}
        self.revision = 0
        self.events: list[tuple[int, str, bytes]] = []  # (revision, collection, line of a watch)
        self.happened = asyncio.Event()
        self.forgotten = 0

    async def __call__(self, scope: Doc, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        query = dict(
            part.split("=", 1) for part in scope["query_string"].decode().split("&") if part
        )
        if query.get("watch"):
            await self._watch(scope["path"], int(query["resourceVersion"]), send)
            return
        status, answer = self._answer(scope["method"], scope["path"], query, body)
        await _begin(send, status, answer)
        await send({"type": "http.response.body", "body": answer})

    def _answer(self, method: str, path: str, query: Doc, body: bytes) -> tuple[int, bytes]:
        if path == "/version":
            return 200, b'{"gitVersion":"v0-fake"}'
        above, _, name = path.rpartition("/")
        if method == "POST":
            return self.create(path, json.loads(body))
        if name in self.collections.get(above, {}):
            found = self.collections[above][name]
            if method == "DELETE":
                del self.collections[above][name]
                self._tell(above, "DELETED", found)
            return 200, json.dumps(found).encode()
        if method == "GET":
            return 200, self._page(path, query)
        return 404, b'{"kind":"Status","message":"not found"}'

    def create(self, path: str, made: Doc) -> tuple[int, bytes]:
        name = made["metadata"]["name"]
        if name in self.collections.setdefault(path, {}):
            return 409, b'{"kind":"Status","message":"it exists"}'
        phases = {"PersistentVolume": "Available", "PersistentVolumeClaim": "Pending"}
        self._put(path, made, "ADDED", phases.get(made["kind"]))
        if made["kind"] == "PersistentVolumeClaim":
            self._put(path, made, "MODIFIED", "Bound")
        return 201, json.dumps(made).encode()

    def _put(self, path: str, doc: Doc, event: str, phase: str | None) -> None:
        self.revision += 1
        doc["metadata"]["resourceVersion"] = str(self.revision)
        if phase is not None:
            doc["status"] = {"phase": phase}
        self.collections[path][doc["metadata"]["name"]] = doc
        self._tell(path, event, doc)

    def _tell(self, path: str, event: str, doc: Doc) -> None:
        self.revision += event == "DELETED"
        line = json.dumps({"type": event, "object": doc}).encode() + b"\n"
        self.events.append((self.revision, path, line))
        self.happened.set()

    def _page(self, path: str, query: Doc) -> bytes:
        found = sorted(self._labelled(path, query), key=lambda doc: str(doc["metadata"]["name"]))
        begin = int(query.get("continue", 0))
        end = begin + int(query.get("limit", len(found) or 1))
        metadata = {"resourceVersion": str(self.revision)}
        if end < len(found):
            metadata["continue"] = str(end)
        return json.dumps({"metadata": metadata, "items": found[begin:end]}).encode()

    def _labelled(self, path: str, query: Doc) -> Iterator[Doc]:
        wanted = query.get("labelSelector", "").partition("%3D")
        for doc in self.collections.get(path, {}).values():
            if not wanted[0] or doc["metadata"].get("labels", {}).get(wanted[0]) == wanted[2]:
                yield doc

    def forget(self) -> None:
        """Watches begun so far are told that history is gone; they have to list again."""
        self.forgotten += 1
        self.happened.set()

    async def _watch(self, path: str, revision: int, send: Any) -> None:
        await _begin(send, 200, None)
        forgotten = self.forgotten
        while self.forgotten == forgotten:
            self.happened.clear()
            new = [line for at, where, line in self.events if at > revision and where == path]
            revision = self.revision
            if new:
                await _more(send, b"".join(new))
            await self.happened.wait()
        await _more(send, b'{"type":"ERROR","object":{"kind":"Status","message":"too old"}}\n')
        await asyncio.Event().wait()  # open until the client closes, as some servers leave it


async def _begin(send: Any, status: int, body: bytes | None) -> None:
    """Without a length uvicorn sends the answer in chunks."""
    headers = [(b"content-type", b"application/json")]
    if body is not None:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if body is None:
        await _more(send, b"")


async def _more(send: Any, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
