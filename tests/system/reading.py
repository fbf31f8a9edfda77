"""Objects of a server by the words of `kubectl get`, but without a whole process for each look."""

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from mooring.cli.kubeconfig import access
from mooring.errors import MooringError

ANSWER_S: Final = 60.0
OPTIONS: Final = {"--selector": "labelSelector", "--field-selector": "fieldSelector"}

Connect = Callable[[str, int], socket.socket]  # to a host and port


class NoAnswer(AssertionError):
    """The server is not there, or is about to end."""


class _Resource(NamedTuple):
    root: str  # the path of its group and version
    name: str
    is_namespaced: bool

    def path(self, namespace: str, name: str = "") -> str:
        place = f"/namespaces/{namespace}" if self.is_namespaced else ""
        return f"{self.root}{place}/{self.name}{name and '/'}{name}"


class _Connection(http.client.HTTPConnection):
    """To the server that a kubeconfig names."""

    def __init__(self, kubeconfig: Path, connect: Connect) -> None:
        super().__init__("server", timeout=ANSWER_S)
        self._whom, self._connect = access(kubeconfig), connect

    def connect(self) -> None:
        place = urlsplit(self._whom.url)
        assert place.hostname is not None
        assert place.port is not None
        plain = self._connect(place.hostname, place.port)
        self.sock = self._whom.trust.wrap_socket(plain, server_hostname=place.hostname)

    def asked(self, path: str) -> Any:
        self.request("GET", path, headers={"Authorization": f"Bearer {self._whom.token}"})
        answer = self.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status, body)
        return json.loads(body)


class Reader:
    """Keeps no connection: the server may be another by the next look, and its host gone."""

    def __init__(self, kubeconfig: Path, connect: Connect | None = None) -> None:
        """connect  without it, from here"""
        self._kubeconfig, self._connect = kubeconfig, connect or _connected
        self._kinds: dict[str, _Resource] = {}

    def get(self, *which: str) -> Any:
        """What `kubectl get WHICH -o json` prints. It must succeed. Raises NoAnswer."""
        try:
            with closing(_Connection(self._kubeconfig, self._connect)) as connection:
                return self._got(connection, *_parsed(which))
        except (OSError, http.client.HTTPException, MooringError) as error:
            raise NoAnswer(f"no answer to {which}: {error!r}") from error

    def _got(self, connection: _Connection, words: list[str], namespace: str, query: str) -> Any:
        self._kinds = self._kinds or dict(_known(connection))
        paths = _paths(self._kinds, words, namespace)
        found = [connection.asked(f"{path}?{query}" if query else path) for path in paths]
        if len(found) == 1:
            return found[0]
        return {"items": [one for each in found for one in each.get("items", [each])]}


def _known(connection: _Connection) -> Iterator[tuple[str, _Resource]]:
    """All kinds by all their names; where two have one name, that of the core group counts."""
    groups = [
        one["preferredVersion"]["groupVersion"] for one in connection.asked("/apis")["groups"]
    ]
    for root in (*(f"/apis/{one}" for one in reversed(groups)), "/api/v1"):
        for one in connection.asked(root)["resources"]:
            found = _Resource(root, one["name"], one["namespaced"])
            for name in (one["name"], one["singularName"], *one.get("shortNames", ())):
                yield name, found
                yield f"{name}.{root.split('/')[2]}", found


def _connected(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), ANSWER_S)


def _parsed(which: tuple[str, ...]) -> tuple[list[str], str, str]:
    """The kinds and names, the namespace, and the query."""
    words, namespace, query = [], "default", {}
    given = iter(which)
    for word in given:
        if word in ("-n", "--namespace"):
            namespace = next(given)
        elif word in OPTIONS:
            query[OPTIONS[word]] = next(given)
        else:
            assert not word.startswith("-"), f"kubectl knows {word}, this does not"
            words.append(word)
    return words, namespace, urlencode(query)


def _paths(kinds: dict[str, _Resource], words: list[str], namespace: str) -> Iterator[str]:
    first, *names = words
    if "/" in first:
        for word in words:
            kind, _, name = word.partition("/")
            yield kinds[kind].path(namespace, name)
        return
    for kind in first.split(","):
        for name in names or [""]:
            yield kinds[kind].path(namespace, name)
