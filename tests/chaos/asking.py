"""Requests to servers from a host outside of their machines, on connections that are kept."""

import http.client
import json
import ssl
import threading
from typing import Any, Final, NamedTuple

from testbed.hosts import Host
from tests.docker.joined import PORT

ANSWER_S: Final = 4.0  # a server that stands still, or is cut off, has no answer
MERGE: Final = "application/merge-patch+json"
JSON: Final = "application/json"


class Answer(NamedTuple):
    """status 0: there was none, or not the whole of it, so nobody knows whether it was done."""

    status: int
    body: Any = None

    @property
    def is_unsure(self) -> bool:
        """A server that cannot reach etcd does not know either."""
        return self.status == 0 or self.status >= 500

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", "")) if isinstance(self.body, dict) else ""


class Access(NamedTuple):
    """As whom to ask, and whom to trust. It is the same at all servers."""

    token: str
    trust: ssl.SSLContext


class _Connection(http.client.HTTPConnection):
    """TLS on a connection that a host has made."""

    def __init__(self, host: Host, ip: str, trust: ssl.SSLContext) -> None:
        super().__init__(ip, PORT, timeout=ANSWER_S)
        self._from, self._trust = host, trust

    def connect(self) -> None:
        plain = self._from.connected(self.host, self.port, ANSWER_S)
        self.sock = self._trust.wrap_socket(plain, server_hostname=self.host)


class Client:
    """Asks one server at a time, by its address. Each thread has connections of its own."""

    def __init__(self, host: Host, access: Access) -> None:
        self._host, self._access, self._mine = host, access, threading.local()
        self._all: list[_Connection] = []

    def ask(self, ip: str, method: str, path: str, body: object = None, kind: str = JSON) -> Answer:
        """Never more than once: a request that is repeated could be done twice."""
        kept: dict[str, _Connection] = self._mine.__dict__.setdefault("kept", {})
        connection = kept.pop(ip, None)
        if connection is None:
            connection = _Connection(self._host, ip, self._access.trust)
            self._all.append(connection)
        headers = {"Authorization": f"Bearer {self._access.token}", "Content-Type": kind}
        sent = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            found = Answer(answer.status, json.loads(answer.read()))
        except (OSError, http.client.HTTPException, ValueError):
            self._all.remove(connection)
            connection.close()
            return Answer(0)
        kept[ip] = connection
        return found

    def got(self, ip: str, path: str) -> Any:
        """What is there. Raises OSError if that is not known now."""
        answer = self.ask(ip, "GET", path)
        if answer.status != 200:
            raise OSError(f"GET {path} of {ip}: {answer.status} {answer.body}")
        return answer.body

    def is_well(self, ip: str, port: int, path: str, is_tls: bool = False) -> bool:
        """Whether an address without a login answers 200."""
        try:
            with self._host.connected(ip, port, ANSWER_S) as plain:
                trusted = self._access.trust
                sock = trusted.wrap_socket(plain, server_hostname=ip) if is_tls else plain
                sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {ip}\r\n\r\n".encode())
                return b" 200 " in sock.recv(64)
        except OSError:
            return False

    def close(self) -> None:
        """When no thread asks any more. An open connection would keep the network of its host."""
        for one in self._all:
            one.close()
