"""What `kubectl apply` asks of a server for an object that is there; nothing is done to it."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mooring.objects.kind import Doc, Kind
from tests.objects.kubectl_merges import Newer
from tests.system.serving import Asgi, Place, Receive, Scope, Send, served

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
FORMS = {
    "application/strategic-merge-patch+json": "strategic",
    "application/merge-patch+json": "merge",
}


class Asked(NamedTuple):
    """A patch, and its form as `kubectl patch --type` names it."""

    form: str
    patch: Doc


class Listener:
    """Has one object of its own; all other requests go to Mooring.

    schemas  whether the server tells its own, or kubectl has to do with those built into it
    """

    def __init__(self, app: Asgi, schemas: bool) -> None:
        self.app, self.schemas = app, schemas
        self.path, self.live = "", b""
        self.asked: list[Asked] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == self.path:
            body = (await receive())["body"]
            if scope["method"] == "PATCH":
                media = dict(scope["headers"])[b"content-type"].decode()
                self.asked.append(Asked(FORMS[media], json.loads(body)))
            await answer(send, 200, self.live)
        elif path.startswith("/openapi") and not self.schemas:
            await answer(send, 404, b"{}")
        else:
            # kubectl sends a token over TLS alone.
            token = (b"authorization", f"Bearer {Place.token}".encode())
            await self.app({**scope, "headers": [*scope["headers"], token]}, receive, send)


async def answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Applier:
    """A kubectl that applies to such a server."""

    def __init__(self, kubectl: str, home: Path, url: str, listener: Listener) -> None:
        self.kubectl, self.home, self.url, self.listener = kubectl, home, url, listener

    def asked(self, kind: Kind, last: Doc, live: Doc, config: Doc) -> Asked | None:
        """What it asks to be done to the live object; None if nothing, or if it gives up.

        last    what was applied before
        raises  Newer
        """
        live = with_last_applied(live, last)
        metadata = live["metadata"]
        group = f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"
        space = f"/namespaces/{metadata['namespace']}" if kind.namespaced else ""
        self.listener.path = f"/{group}{space}/{kind.plural}/{metadata['name']}"
        self.listener.live, self.listener.asked = json.dumps(live).encode(), []
        done = subprocess.run(
            [self.kubectl, "--server", self.url, "apply", "--validate=false", "-f", "-"],
            input=json.dumps(config),
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "HOME": str(self.home), "KUBECONFIG": ""},
        )
        Newer.refuse(done.stderr)
        asked = self.listener.asked
        return asked[0] if asked else None


def with_last_applied(live: Doc, last: Doc) -> Doc:
    """The object as kubectl left it behind."""
    metadata = live["metadata"]
    annotations = {**metadata.get("annotations", {}), LAST_APPLIED: json.dumps(last)}
    return {**live, "metadata": {**metadata, "annotations": annotations}}


@contextmanager
def applier(kubectl: str, home: Path, *, schemas: bool) -> Iterator[Applier]:
    """schemas  as of Listener"""
    listeners: list[Listener] = []

    def around(app: Asgi) -> Asgi:
        listeners.append(Listener(app, schemas))
        return listeners[0]

    home.mkdir(exist_ok=True)
    with served(around) as place:
        yield Applier(kubectl, home, place.url, listeners[0])
