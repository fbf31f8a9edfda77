"""Requests to an API server, well formed and then spoiled; the same again for the same seed."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from mooring.objects.kind import Kind
from mooring.objects.kinds.registry import ALL_KINDS
from tests.api.wire import body_of
from tests.system.hostile_bodies import (
    YAMLS,
    Rendered,
    a_value,
    as_yaml,
    huge,
    spoil,
    spoiled_bytes,
)
from tests.system.hostile_samples import lively, sample, samples

JSON, YAML = "application/json", "application/yaml"
# Those of kinds that are custom resources in Kubernetes: there is no protobuf of them.
OWN_GROUPS = ("mooring.dev", "snapshot.storage.k8s.io", "populator.storage.k8s.io")
PROTOBUF = "application/vnd.kubernetes.protobuf"
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC_PATCH, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
NAMES = ("hostile-1", "hostile-1", "hostile-2", "hostile-3", "missing")
NAMESPACES = ("default", "default", "default", "default", "hostile-1", "missing")
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
ACCEPTS = (
    JSON, "*/*", TABLE, f"{TABLE},{JSON}", "application/json;as=PartialObjectMetadata;v=v1",
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", PROTOBUF, YAML,
    "text/html", ";", ",,,", "application/json;as", "application/json;as=Table;g=x;v=☃",
    "application/json;as=Table;g=meta.k8s.io;v=v9", "application/json;q=0", "a" * 4000, "*", "ü/ü",
    "application/json;stream=watch", "application/json;as=Nothing;v=v1;g=meta.k8s.io",
)  # fmt: skip
MEDIA_TYPES = (
    JSON, YAML, PROTOBUF, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY, "", ";", "text/plain",
    "application/json; charset=utf-16", "application/x-www-form-urlencoded", "APPLICATION/JSON",
    "application/cbor", "application/apply-patch+cbor", "application/apply-patch", "ü", "a" * 4000,
    "multipart/form-data; boundary=a",
)  # fmt: skip
PARAMETERS: dict[str, tuple[str, ...]] = {
    "limit": ("1", "0", "-1", "x", "1.5", "9" * 30, "", "²", " 1", "1e3", "+5"),
    "continue": (
        "x", "=", "", "W10", "WzEsMV0", "eyJhIjoxfQ", "WzEsImhvc3RpbGUtMSJd", "%", "☃",
        "WzksImEiXQ", "Wy0xLCJhIl0", "WzEsIlx1MDAwMCJd", "WzAuNSwiYSJd", "A" * 5000,
        "Wzk5OTk5OTk5OTk5OTk5OTk5OSwiYSJd", "WzEwMDAwMDAwMDAwMDAwMDAwMDAwLCJhIl0",
    ),
    # None that is yet to come: those are waited for, see test_hostile.
    "resourceVersion": ("0", "1", "-1", "x", "", "1.0", "9" * 40, "٣", "²", "0x1", "+1", " 1"),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "x", ""),
    "labelSelector": (
        "app=hostile", "app!=hostile", "app in (hostile,b)", "!app", "app", "", "=", "a in",
        "a in (", "a in ()", "a notin (b", ",,,", "a=b=c", "a==b,c=d", "in in (in)", "(", "☃",
        "a" * 5000, "a in (" + "b," * 2000 + "b)", "x>1", "x<a", "((((", "\x00", " " * 5000,
        "a=" + "b" * 70, "," * 3000, "!" * 100, "a, b",
    ),
    "fieldSelector": (
        "metadata.name=hostile-1", "metadata.namespace!=default", "status.phase=Bound", "x=y", "=",
        "spec.nodeName=here", "metadata.name", ",", "metadata.name=a=b", "involvedObject.name=a",
        "a" * 5000 + "=b", "☃=☃", "reason!=x", "type=a,type=b", "metadata.name=\\", "\x00=",
    ),
    "fieldValidation": ("Strict", "Warn", "Ignore", "strict", "", "☃"),
    "fieldManager": ("me", "", "x" * 200, "\x00", "☃", "a b", "\n"),
    "dryRun": ("All", "all", "", "None", "All,All"),
    "force": ("true", "false", "", "x"),
    "timeoutSeconds": ("1", "0", "x", "-1", "²", "٣", "9" * 400, "9" * 5000, "1.5", "1e3"),
    "propagationPolicy": ("Background", "Foreground", "Orphan", "x", ""),
    "gracePeriodSeconds": ("0", "-1", "x", "9" * 30),
    "orphanDependents": ("true", "x"),
    "includeObject": ("None", "Metadata", "Object", "x", ""),
    "pretty": ("true", "x"),
    "timeout": ("1s", "x", "-1h"),
    "hash": ("0", "x\r\nx: y"),
    "sendInitialEvents": ("false", "0"),
    "": ("", "=", "&&&", "%"),
    "☃" * 50: ("a",),
}  # fmt: skip
PATHS = (
    b"/", b"//", b"/api", b"/api/", b"/api/v2", b"/api/v1/", b"/api/v1//pods", b"/apis/x/v1/y",
    b"/api/v1/namespaces/default", b"/api/v1/namespaces/default/", b"/api/v1/namespaces//pods",
    b"/api/v1/namespaces/default/nothing", b"/api/v1/namespaces/default/finalize", b"/%00",
    b"/api/v1/namespaces/%2e%2e/pods", b"/api/v1/namespaces/../../etc/passwd", b"/..", b"/%2F%2F",
    b"/api/v1/namespaces/default/pods/a%2Fb", b"/api/v1/namespaces/default/pods/a/b/c/d/e",
    b"/api/v1/persistentvolumes/%00", b"/api/v1/persistentvolumes/%ED%A0%80", b"/api/v1/nodes/%FF",
    b"/api/v1/persistentvolumes/%E2%98%83", b"/api/v1/persistentvolumes/" + b"a" * 9000,
    b"/api/v1/persistentvolumes/%", b"/api/v1/persistentvolumes/%zz", b"/api/v1/pods/a%0d%0ab:c",
    b"/" + b"a/" * 3000, b"/api/v1/watch/pods", b"/metrics", b"/readyz/", b"/readyz?verbose", b"/x",
    b"/openapi/v3/api/v9", b"/openapi/v2/x", b"/openapi", b"/mooring/v1/explain/pvc/a/b",
    b"/mooring/v1/explain/pv/%00", b"/mooring/v1/explain", b"/mooring/v1/mounts/a/b", b"/mooring",
    b"/apis/storage.k8s.io/v1/namespaces/default/storageclasses", b"/apis//v1/pods", b"/apis/x",
    b"/mooring/v1/adoptions/%00/x", b"/mooring/v1/adoptions/a", b"/mooring/v1/adoptions/a/b/c",
    b"/api/v1/namespaces/default/persistentvolumes", b"/api/v1/persistentvolumeclaims/hostile-1",
    b"/API/V1/PODS", b"/api/v1/pods;a=b", b"/api/v1/pods%3Fwatch=1", b"/api/v1/nodes/here/status/x",
)  # fmt: skip
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"Content-Encoding", b"gzip"), (b"Content-Encoding", b"x"), (b"Accept-Encoding", b"gzip"),
    (b"Accept-Encoding", b"\xff"), (b"If-None-Match", b"*"), (b"If-Match", b"x"),
    (b"Range", b"bytes=0-1,5-"), (b"User-Agent", b"\xff\xfe" * 50), (b"User-Agent", b"/" * 500),
    (b"User-Agent", b""), (b"X", b"y" * 9000), (b"Cookie", b"=" * 5000), (b"Host", b"[::1"),
    (b"Expect", b"100-continue"), (b"Expect", b"x"), (b"Connection", b"keep-alive, x"),
    (b"Impersonate-User", b"root"), (b"X-Remote-User", b"root"),
    (b"X-Http-Method-Override", b"PUT"),
    (b"Authorization", b"Bearer"), (b"Authorization", b"Bearer \xff"), (b"Authorization", b""),
    (b"Authorization", b"Basic OjpYOg=="), (b"Authorization", b"Bearer " + b"x" * 9000),
    (b"Accept", b"text/html"), (b"Content-Type", b"text/html"), (b"X-Forwarded-For", b"\xff"),
    (b"Content-MD5", b"x"), (b"Date", b"never"), (b"TE", b"trailers"), (b"Trailer", b"x"),
)  # fmt: skip
KEPT = (b"/api/v1/namespaces", b"/api/v1/namespaces/default")
METHODS = (
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "LINK", "LOCK",
)  # fmt: skip
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "hostile-1", "uid": "x", "controller": True}
METADATA: dict[str, tuple[Any, ...]] = {
    "managedFields": (
        [], [{}], [{"manager": "me", "operation": "Apply", "apiVersion": "v1"}],
        [{"manager": "a", "operation": "Update", "apiVersion": "v9", "fieldsType": "FieldsV1",
          "fieldsV1": {"f:metadata": {"f:labels": {}}, "k:{\"a\":1}": {}, "v:": {}, "x": {}}}] * 2,
    ),
    "ownerReferences": ([OWNER], [OWNER, OWNER], [{}]),
    "finalizers": (["example.com/a"], ["x"], ["kubernetes.io/pvc-protection"], []),
    "generateName": ("hostile-", "-", ""),
    "uid": ("x", ""),
    "resourceVersion": ("1", "x", "", "0", "9" * 30, "-1"),
    "creationTimestamp": (None, "2025-11-25T12:30:45Z"),
    "deletionTimestamp": ("2025-11-25T12:30:45Z",),
    "generation": (5, -1),
    "selfLink": ("/x",),
}  # fmt: skip
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
APPLIED = (
    "", "x", "[]", "null", "{}", '{"metadata":7}', '{"metadata":{"labels":[]},"spec":"x"}',
    '{"spec":{"containers":[{}]},"data":{"key":{}}}', "[" * 3000, '{"a":' * 3000, '{"kind":"☃"}',
)  # fmt: skip
GROUPS = sorted({f"/apis/{kind.api_version}" if kind.group else "/api/v1" for kind in ALL_KINDS})
OPENAPI = ["/openapi/v2", "/openapi/v3", *(f"/openapi/v3{group}" for group in GROUPS)]
DISCOVERY = ["/api", "/apis", "/version", "/readyz", "/livez", "/healthz", *GROUPS]
OPENAPI_ACCEPTS = (
    JSON, "*/*", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "text/html",
    "application/com.github.proto-openapi.spec.v3@v1.0+protobuf", "application/*",
)  # fmt: skip
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
REVIEWS = (
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
    ("authorization.k8s.io/v1", "SubjectAccessReview"),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"),
    ("authentication.k8s.io/v1", "SelfSubjectReview"),
    ("authentication.k8s.io/v1", "TokenReview"),
)


class Asked(NamedTuple):
    """A request, as it is sent."""

    method: str
    target: bytes  # path and query
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    chunked: bool

    def wire(self) -> bytes:
        lines = [b"%b %b HTTP/1.1" % (self.method.encode(), self.target)]
        lines += [b"%b: %b" % header for header in self.headers]
        if self.chunked:
            half = len(self.body) // 2
            pieces = [piece for piece in (self.body[:half], self.body[half:]) if piece]
            sent = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"
            return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", sent])
        if self.body or self.method not in ("GET", "HEAD"):
            lines.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join([*lines, b"", self.body])


class Draft:
    """A request while it is made and spoiled."""

    def __init__(self, method: str, path: str, body: Any = None, media: str = JSON) -> None:
        self.method, self.path = method, path.encode()
        self.query: list[tuple[str, str]] = []
        self.accept = ""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body, self.media = body, media
        self.rendered = Rendered()
        self.bytes: bytes | None = None  # instead of body
        self.chunked = False

    def asked(self, token: str) -> Asked:
        body = self.bytes
        if body is None and self.body is not None:
            body = self.rendered.bytes(self.body)
        query = b"?" + urlencode(self.query).encode() if self.query else b""
        headers = [(b"Host", b"127.0.0.1"), (b"Authorization", f"Bearer {token}".encode())]
        if body is not None and self.media:
            headers.append((b"Content-Type", self.media.encode()))
        if self.accept:
            headers.append((b"Accept", self.accept.encode()))
        headers += self.headers
        # All others live in it: without it nearly every request is refused early.
        if self.method == "DELETE" and self.path.rstrip(b"/") in KEPT:
            self.method = "GET"
        return Asked(self.method, self.path + query, tuple(headers), body or b"", self.chunked)


class Hostile:
    """Makes the requests of a seed. Each depends on the seed and its number alone."""

    def __init__(self, seed: int, place: Path, token: str) -> None:
        self._seed, self._token = seed, token
        self._samples, self._lively = samples(place), lively(place)

    def request(self, number: int) -> Asked:
        random = Random(f"{self._seed}/{number}")
        if random.random() < 0.001:
            return self._huge(random)
        draft = self._valid(random)
        if random.random() < 0.2:
            return draft.asked(self._token)
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            self._spoil(random, draft)
        return draft.asked(self._token)

    def _huge(self, random: Random) -> Asked:
        place = self._path(random, random.choice(ALL_KINDS))
        method = random.choice(("POST", "PUT", "PATCH", "DELETE"))
        draft = Draft(method, place[0] if method == "POST" else place[1])
        draft.media = random.choice((JSON, JSON, YAML, PROTOBUF, MERGE_PATCH, JSON_PATCH, APPLY))
        draft.bytes, draft.chunked = huge(random), random.random() < 0.3
        return draft.asked(self._token)

    # Requests that are right

    def _valid(self, random: Random) -> Draft:
        makers: dict[Callable[[Random], Draft], int] = {
            self._create: 20, self._get: 10, self._list: 12, self._watch: 1, self._replace: 14,
            self._patch: 24, self._delete: 5, self._delete_collection: 1, self._review: 3,
            self._openapi: 1, self._discovery: 3, self._own: 1, self._protobuf: 5,
            self._bind: 1,
        }  # fmt: skip
        return random.choices(list(makers), list(makers.values()))[0](random)

    def _path(self, random: Random, kind: Kind) -> tuple[str, str, str, str]:
        """(collection, object, its name, its namespace) of a kind."""
        group = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
        name, namespace = random.choice(NAMES), random.choice(NAMESPACES)
        home = f"/namespaces/{namespace}" if kind.namespaced else ""
        collection = f"{group}{home}/{kind.plural}"
        return collection, f"{collection}/{name}", name, namespace

    def _doc(self, random: Random, kind: Kind, name: str, namespace: str) -> Any:
        doc = deepcopy(sample(kind, self._samples, name, namespace))
        if kind.resource in self._lively and random.random() < 0.5:
            doc |= deepcopy(random.choice(self._lively[kind.resource]))
        for field, values in METADATA.items():
            if random.random() < 0.1:
                doc["metadata"][field] = deepcopy(random.choice(values))
        if random.random() < 0.1:
            doc["metadata"]["annotations"] = {LAST_APPLIED: random.choice(APPLIED)}
        return doc

    def _create(self, random: Random) -> Draft:
        kind = random.choice(ALL_KINDS)
        collection, _, name, namespace = self._path(random, kind)
        doc = self._doc(random, kind, name, namespace)
        if random.random() < 0.02:
            doc["metadata"]["generateName"] = f"{doc['metadata'].pop('name')}-"
        draft = Draft("POST", collection, doc)
        self._some_query(random, draft, "fieldValidation", "fieldManager", "dryRun")
        return draft

    def _get(self, random: Random) -> Draft:
        kind = random.choice(ALL_KINDS)
        draft = Draft(random.choice(("GET", "GET", "HEAD")), self._path(random, kind)[1])
        if kind.subresources and random.random() < 0.2:
            draft.path += _below(random, kind)
        draft.accept = random.choice(ACCEPTS[:6])
        return draft

    def _list(self, random: Random) -> Draft:
        kind = random.choice(ALL_KINDS)
        path = self._path(random, kind)[0]
        if kind.namespaced and random.random() < 0.4:
            path = path[: path.index("/namespaces")] + "/" + kind.plural
        draft = Draft(random.choice(("GET", "GET", "GET", "HEAD")), path)
        draft.accept = random.choice(ACCEPTS[:6])
        self._some_query(random, draft, "labelSelector", "fieldSelector", "limit", "continue")
        return draft

    def _watch(self, random: Random) -> Draft:
        draft = self._list(random)
        draft.method = "GET"
        draft.query += [("watch", random.choice(("true", "1", "")))]
        if random.random() < 0.5:
            draft.query.append(("allowWatchBookmarks", "true"))
        draft.query.append(("resourceVersion", random.choice(("", "0", "1", "x"))))
        # The last counts, and with it the watch must end.
        draft.query.append(
            ("timeoutSeconds", random.choice(("1", "1", "-1", "x", "²", "9" * 5000)))
        )
        return draft

    def _replace(self, random: Random) -> Draft:
        kind = random.choice(ALL_KINDS)
        _, path, name, namespace = self._path(random, kind)
        draft = Draft("PUT", path, self._doc(random, kind, name, namespace))
        if kind.subresources and random.random() < 0.3:
            draft.path += _below(random, kind)
        self._some_query(random, draft, "fieldValidation", "fieldManager", "dryRun")
        return draft

    def _patch(self, random: Random) -> Draft:
        kind = random.choice(ALL_KINDS)
        _, path, name, namespace = self._path(random, kind)
        doc = self._doc(random, kind, name, namespace)
        media = random.choice((JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY))
        body: Any = doc
        if media == JSON_PATCH:
            body = [_operation(random, doc) for _ in range(random.choice((1, 1, 2, 8)))]
        elif media != APPLY:
            keys = random.sample(sorted(doc), random.randrange(1, len(doc) + 1))
            body = {key: doc[key] for key in keys}
        draft = Draft("PATCH", path, body, media)
        if kind.subresources and random.random() < 0.3:
            draft.path += _below(random, kind)
        if media == APPLY:
            draft.query = [("fieldManager", random.choice(("me", "you", "kubectl")))]
            draft.query += [("force", "true")] * random.randrange(2)
        self._some_query(random, draft, "fieldValidation", "dryRun")
        return draft

    def _delete(self, random: Random) -> Draft:
        draft = Draft("DELETE", self._path(random, random.choice(ALL_KINDS))[1])
        draft.body = random.choice((None, _delete_options(random)))
        self._some_query(random, draft, "propagationPolicy", "gracePeriodSeconds", "dryRun")
        return draft

    def _delete_collection(self, random: Random) -> Draft:
        kind = random.choice([one for one in ALL_KINDS if one.plural != "namespaces"])
        draft = Draft("DELETE", self._path(random, kind)[0])
        draft.body = random.choice((None, _delete_options(random)))
        self._some_query(random, draft, "labelSelector", "fieldSelector", "dryRun")
        return draft

    def _bind(self, random: Random) -> Draft:
        """A pod to a node, as a scheduler does."""
        name, namespace = random.choice(NAMES), random.choice(NAMESPACES)
        path = random.choice((f"pods/{name}/binding", "bindings"))
        doc: Any = {"kind": "Binding", "apiVersion": "v1", "metadata": {"name": name}}
        doc["target"] = {"kind": "Node", "name": random.choice(("here", "here", "elsewhere"))}
        draft = Draft("POST", f"/api/v1/namespaces/{namespace}/{path}", doc)
        self._some_query(random, draft, "dryRun")
        return draft

    def _review(self, random: Random) -> Draft:
        api_version, kind = random.choice(REVIEWS)
        attributes = {"verb": "get", "resource": "pods", "namespace": "default"}
        spec: Any = {"resourceAttributes": attributes}
        if kind == "SelfSubjectRulesReview":
            spec = {"namespace": "default"}
        elif kind == "SelfSubjectReview":
            spec = {}
        elif kind == "TokenReview":
            spec = {"token": random.choice(("nobody's", "", "☃"))}
        doc = {"kind": kind, "apiVersion": api_version, "metadata": {}, "spec": spec}
        return Draft("POST", f"/apis/{api_version}/{kind.lower()}s", doc)

    def _openapi(self, random: Random) -> Draft:
        draft = Draft("GET", random.choice(OPENAPI))
        draft.accept = random.choice(OPENAPI_ACCEPTS)
        if random.random() < 0.8:
            draft.headers.append((b"Accept-Encoding", b"gzip"))
        return draft

    def _discovery(self, random: Random) -> Draft:
        draft = Draft(random.choice(("GET", "HEAD")), random.choice(DISCOVERY))
        draft.accept = random.choice((JSON, AGGREGATED, AGGREGATED.replace("v2", "v2beta1")))
        return draft

    def _own(self, random: Random) -> Draft:
        claim = f"pvc/{random.choice(NAMESPACES)}/{random.choice(NAMES)}"
        below = ("status", "mounts", f"explain/{claim}", f"explain/{claim}?delete=1", "explain/pv")
        return Draft("GET", f"/mooring/v1/{random.choice(below)}")

    def _protobuf(self, random: Random) -> Draft:
        kinds = [kind for kind in ALL_KINDS if kind.group not in OWN_GROUPS]
        kind = random.choice(kinds)
        collection, path, name, namespace = self._path(random, kind)
        doc = sample(kind, self._samples, name, namespace)
        draft = Draft(*random.choice((("POST", collection), ("PUT", path))), media=PROTOBUF)
        draft.bytes = body_of(doc)
        return draft

    def _some_query(self, random: Random, draft: Draft, *names: str) -> None:
        for name in names:
            if random.random() < 0.15:
                draft.query.append((name, random.choice(PARAMETERS[name])))

    # And wrong

    def _spoil(self, random: Random, draft: Draft) -> None:
        if draft.body is not None and random.random() < 0.6:
            for _ in range(random.choice((1, 1, 2, 5))):
                spoil(random, draft.body, draft.rendered)
            return
        spoilers = (
            self._spoil_body, self._spoil_media, self._spoil_accept, self._spoil_query,
            self._spoil_query, self._spoil_path, self._spoil_headers, self._spoil_method,
        )  # fmt: skip
        random.choice(spoilers)(random, draft)

    def _spoil_body(self, random: Random, draft: Draft) -> None:
        if draft.body is None and draft.bytes is None:
            draft.bytes = random.choice((b"{}", b"x", b"null", b"[" * 9000, random.randbytes(30)))
            return
        body = draft.rendered.bytes(draft.body) if draft.bytes is None else draft.bytes
        match random.randrange(4):
            case 0 if draft.bytes is None:
                draft.media = random.choice((YAML, APPLY))
                draft.bytes = as_yaml(draft.body)
            case 1:
                draft.media, draft.bytes = random.choice((YAML, APPLY)), random.choice(YAMLS)
            case 2 if draft.bytes is None:
                draft.body = a_value(random, draft.rendered)
            case _:
                draft.bytes = spoiled_bytes(random, body)

    def _spoil_media(self, random: Random, draft: Draft) -> None:
        draft.media = random.choice(MEDIA_TYPES)

    def _spoil_accept(self, random: Random, draft: Draft) -> None:
        draft.accept = random.choice(ACCEPTS)

    def _spoil_query(self, random: Random, draft: Draft) -> None:
        name = random.choice(sorted(PARAMETERS))
        watch_ends = name == "timeoutSeconds" and any(one[0] == "watch" for one in draft.query)
        # Not last, so that a watch ends after a second.
        at = 0 if watch_ends else random.randrange(len(draft.query) + 1)
        draft.query.insert(at, (name, random.choice(PARAMETERS[name])))

    def _spoil_path(self, random: Random, draft: Draft) -> None:
        steps = draft.path.split(b"/")
        at = random.randrange(len(steps))
        match random.randrange(4):
            case 0:
                draft.path = random.choice(PATHS)
            case 1:
                del steps[at]
                draft.path = b"/" + b"/".join(steps).lstrip(b"/")
            case 2:
                odd = random.choice(("..", ".", "", "☃", "\x00", "a/b", "a" * 3000, "status", "%"))
                steps.insert(max(at, 1), quote(odd, safe="").encode())
                draft.path = b"/".join(steps)
            case _:
                draft.path += random.choice((b"/", b"/status", b"/scale", b"/finalize", b"/log"))

    def _spoil_headers(self, random: Random, draft: Draft) -> None:
        draft.headers.append(random.choice(HEADERS))
        draft.chunked = random.random() < 0.2

    def _spoil_method(self, random: Random, draft: Draft) -> None:
        draft.method = random.choice(METHODS)


def _below(random: Random, kind: Kind) -> bytes:
    """A subresource of an object, for its path."""
    return b"/" + random.choice(sorted(kind.subresources)).encode()


def _operation(random: Random, doc: Any) -> dict[str, Any]:
    """Of a JSON patch, at some place in the document."""

    def pointer() -> str:
        at, steps = doc, []
        while isinstance(at, dict | list) and at and random.random() < 0.85:
            key: Any = (
                random.choice(sorted(at)) if isinstance(at, dict) else random.choice((0, "-"))
            )
            steps.append(str(key).replace("~", "~0").replace("/", "~1"))
            at = at[key] if key != "-" else None
        odd = ("", "/", "/-", "/~", "/~2", "a", "/metadata/x/y", "/" * 500, "/spec/-1", "/\x00")
        return random.choice(odd) if random.random() < 0.15 else "".join(f"/{one}" for one in steps)

    op = random.choice(("add", "remove", "replace", "move", "copy", "test", "add", "x"))
    value = random.choice(("a", 1, None, [], {}, {"a": "b"}, True, ["a"]))
    return {"op": op, "path": pointer(), "from": pointer(), "value": value}


def _delete_options(random: Random) -> Any:
    preconditions: Any = random.choice(
        ({"uid": "x"}, {"resourceVersion": "1"}, {}, None, [], [1], "x", 7, {"uid": {}}, True)
    )
    return {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "gracePeriodSeconds": random.choice((0, 30, -1, "x", None)),
        "propagationPolicy": random.choice(("Foreground", "x", 5)),
        "preconditions": preconditions,
        "dryRun": random.choice((["All"], None, [], "All", ["x"], [None], {}, [["All"]])),
    }
