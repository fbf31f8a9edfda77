"""A server with TLS that gives one answer to everything, and a kubeconfig for it."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from mooring.api import issuing
from mooring.api.certificates import kubeconfig

CA_KEY, CA = issuing.authority(days=1)
OTHER_CA = issuing.authority(days=1)[1]


class Seen(NamedTuple):
    """A request that came."""

    method: str
    path: str
    token: str
    body: bytes


class Answering:
    """What it says, and what was asked. `raw` instead of status and body: these bytes alone."""

    def __init__(self) -> None:
        self.status, self.body, self.raw = 200, b"{}", b""
        self.headers: dict[str, str] = {}
        self.seen: list[Seen] = []
        self.url = ""


@contextmanager
def answering(directory: Path) -> Iterator[Answering]:
    """Serve on a free port of this host."""
    says = Answering()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            token = self.headers.get("authorization", "")
            says.seen.append(Seen(self.command, self.path, token, body))
            if says.raw:
                self.wfile.write(says.raw)
                self.close_connection = True
                return
            self.send_response(says.status)
            for name, value in says.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(says.body)))
            self.end_headers()
            self.wfile.write(says.body)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            """The test looks at `seen`."""

    key, certificate = issuing.server(CA_KEY, CA, ["127.0.0.1"], days=1)
    (directory / "server.pem").write_bytes(key + certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(directory / "server.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        says.url = f"https://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield says
        finally:
            server.shutdown()
            thread.join()


def config_for(url: str, file: Path, ca: bytes = CA) -> Path:
    """A kubeconfig as `mooring up` writes it."""
    file.write_bytes(kubeconfig(url, ca, "the-token"))
    return file
