"""A server of the API, as commands ask it: one request at a time."""

import ipaddress
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from mooring.cli.kubeconfig import Access, access
from mooring.errors import Effect, MooringError
from mooring.model.snapshot import API_VERSION

Doc = dict[str, Any]

DEADLINE_S: Final = 30.0
# What helps when the server itself does not say so: by the reason in its Status.
REMEDIES: Final = {
    "Unauthorized": "use the kubeconfig that `mooring up` wrote last; an older one may not count",
    "NotFound": "see which there are: mooring explain pvc --all, mooring explain pv --all",
    "ServiceUnavailable": "ask again in a moment; if it stays so, see the log of `mooring up`",
    "InternalError": "see the log of `mooring up`",
}


class NoServer(MooringError):
    """After sending a request this cannot tell whether it was carried out."""

    code, effect = "NoServer", Effect.UNKNOWN

    def __init__(self, url: str, why: str) -> None:
        self.what = f"{url} does not answer: {why}"
        self.remedy = "start it with `mooring up`, or name another with --kubeconfig"
        super().__init__(self.what)


class NotTrusted(MooringError):
    code = "NotTrusted"

    def __init__(self, access: Access, why: str) -> None:
        self.what = f"{access.url} is not the server that {access.file} is for: {why}"
        self.remedy = "use the kubeconfig that the `mooring up` at this address wrote"
        super().__init__(self.what)


class NotMooring(MooringError):
    code = "NotMooring"

    def __init__(self, url: str) -> None:
        self.what = f"{url} answers, but not as Mooring does"
        self.remedy = "name the kubeconfig that `mooring up` wrote: --kubeconfig FILE"
        super().__init__(self.what)


class Refused(MooringError):
    """The server said no; its own words."""

    def __init__(self, status: Doc) -> None:
        self.code = str(status.get("reason") or status.get("code") or "Refused")
        self.what = str(status.get("message") or "the server refused without a reason")
        details = status.get("details")
        said = details.get("remedy") if isinstance(details, dict) else None
        self.remedy = str(said or REMEDIES.get(self.code, ""))
        super().__init__(self.what)


class _StayingHere(urllib.request.HTTPRedirectHandler):
    """The token is for this server alone, so nothing follows where another is named."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Client:
    """The server and the user that a kubeconfig names."""

    def __init__(self, kubeconfig: Path | None = None, deadline_s: float = DEADLINE_S) -> None:
        """Without a file: as kubeconfig.access says. Raises NoKubeconfig."""
        self._access, self._deadline_s = access(kubeconfig), deadline_s
        handlers: list[urllib.request.BaseHandler] = [
            urllib.request.HTTPSHandler(context=self._access.trust),
            _StayingHere(),
        ]
        if _is_loopback(urlsplit(self._access.url).hostname or ""):
            handlers.append(urllib.request.ProxyHandler({}))  # no proxy leads to this host
        self._opener = urllib.request.build_opener(*handlers)

    @property
    def url(self) -> str:
        return self._access.url

    @property
    def namespace(self) -> str:
        """Where claims are that are named without one."""
        return self._access.namespace

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Doc:
        """The decoded answer. Raises Refused, NoServer, NotTrusted, NotMooring.

        path     with its query, each part quoted
        headers  underscores stand for hyphens
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=body or None,
            headers={"authorization": f"Bearer {self._access.token}", **named},
        )
        try:
            with self._opener.open(request, timeout=self._deadline_s) as answer:
                return self._decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise Refused({"code": error.code, **self._decoded(error.read())}) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise NotTrusted(self._access, reason.verify_message) from error
            raise NoServer(self.url, str(reason) or type(reason).__name__) from error

    def items(self, path: str) -> list[Doc]:
        """All objects of a collection."""
        found: list[Doc] = self.ask("GET", path)["items"]
        return found

    def _decoded(self, body: bytes) -> Doc:
        try:
            return msgspec.json.decode(body, type=Doc)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotMooring(self.url) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def path_of(*parts: str) -> str:
    """Of something beside the Kubernetes API: path_of("mounts", namespace, claim)."""
    return "/mooring/v1/" + "/".join(quote(part, safe="") for part in parts)


def claims_path(namespace: str) -> str:
    """Of the claims of a namespace."""
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/persistentvolumeclaims"


def snapshots_path(namespace: str) -> str:
    """Of the snapshots of a namespace."""
    return f"/apis/{API_VERSION}/namespaces/{quote(namespace, safe='')}/volumesnapshots"
