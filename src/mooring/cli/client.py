"""A server of the API, as commands ask it: one request at a time."""

import os
import ssl
import urllib.error
import urllib.request
from base64 import b64decode
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from mooring.errors import MooringError

Doc = dict[str, Any]

DEADLINE_S: Final = 30.0
DEFAULT_KUBECONFIG: Final = Path("/var/lib/mooring/kubeconfig")  # where `mooring up` writes it


class NoKubeconfig(MooringError):
    code = "NoKubeconfig"

    def __init__(self, path: Path, why: str) -> None:
        self.what = f"{path} cannot be used: {why}"
        self.remedy = "name the file that `mooring up` wrote: --kubeconfig FILE or KUBECONFIG"


class NoServer(MooringError):
    code = "NoServer"

    def __init__(self, url: str, why: str) -> None:
        self.what = f"{url} does not answer: {why}"
        self.remedy = "start it with `mooring up`, or name another with --kubeconfig"


class Refused(MooringError):
    """The server said no; its own words."""

    def __init__(self, status: Doc) -> None:
        self.code = str(status.get("reason") or status.get("code") or "Refused")
        self.what = str(status.get("message") or "the server refused without a reason")
        self.remedy = str((status.get("details") or {}).get("remedy") or "")


class _Named(msgspec.Struct):
    name: str
    cluster: dict[str, Any] = {}
    user: dict[str, Any] = {}
    context: dict[str, Any] = {}


class _Kubeconfig(msgspec.Struct, rename="kebab"):
    clusters: list[_Named] = []
    users: list[_Named] = []
    contexts: list[_Named] = []
    current_context: str = ""

    def part(self, which: str) -> dict[str, Any]:
        """The cluster, or the user, of the current context."""
        contexts = {one.name: one.context for one in self.contexts}
        name = contexts[self.current_context][which]
        named = {one.name: one for one in (self.clusters if which == "cluster" else self.users)}
        found: dict[str, Any] = getattr(named[name], which)
        return found


class Client:
    """The server and the user that a kubeconfig names."""

    def __init__(self, kubeconfig: Path | None = None) -> None:
        """Without a file: the one that KUBECONFIG names, else that of `mooring up`.

        Raises NoKubeconfig.
        """
        path = kubeconfig or Path(os.environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG)
        try:
            config = msgspec.yaml.decode(path.read_bytes(), type=_Kubeconfig)
            cluster, user = config.part("cluster"), config.part("user")
            self.url: str = cluster["server"]
            self._token: str = user["token"]
            authority = b64decode(cluster["certificate-authority-data"]).decode()
            self._trust = ssl.create_default_context(cadata=authority)
        except OSError as error:
            raise NoKubeconfig(path, error.strerror or str(error)) from error
        except KeyError as error:
            raise NoKubeconfig(path, f"it has no {error}") from error
        except (ValueError, msgspec.MsgspecError) as error:
            raise NoKubeconfig(path, str(error)) from error

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Doc:
        """The decoded answer. Raises Refused, NoServer.

        path     with its query, each part quoted
        headers  underscores stand for hyphens
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=body or None,
            headers={"authorization": f"Bearer {self._token}", **named},
        )
        try:
            with urllib.request.urlopen(request, context=self._trust, timeout=DEADLINE_S) as answer:
                return _decoded(answer.read())
        except urllib.error.HTTPError as error:
            raise Refused({"code": error.code, **_decoded(error.read())}) from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise NoServer(self.url, str(reason)) from error

    def items(self, path: str) -> list[Doc]:
        """All objects of a collection."""
        found: list[Doc] = self.ask("GET", path)["items"]
        return found


def _decoded(body: bytes) -> Doc:
    try:
        return msgspec.json.decode(body, type=Doc)
    except msgspec.MsgspecError:
        return {}


def claim_path(namespace: str, name: str) -> str:
    """Of a claim's mount below the host's own paths."""
    return f"/mooring/v1/mounts/{quote(namespace, safe='')}/{quote(name, safe='')}"
