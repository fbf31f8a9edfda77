"""What is answered to requests that are wrong in one way: code and reason as in Kubernetes."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.hostile import APPLY, JSON_PATCH, MERGE_PATCH, PROTOBUF, STRATEGIC_PATCH, Asked
from tests.system.raw_http import Connection
from tests.system.server import Server
from tests.system.test_hostile import HUNG_AFTER_S

pytestmark = pytest.mark.system

MIB = 1024 * 1024
MAPS = "/api/v1/namespaces/default/configmaps"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
JSON = {"Content-Type": "application/json"}
ONE_MAP = b'{"metadata":{"name":"one"},"data":{"key":"value"}}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server")).start()
    server.kubectl("create", "configmap", "one", "--from-literal=key=value")
    server.kubectl("create", "configmap", "growing")
    yield server
    assert server.process is not None
    server.process.kill()
    server.process.wait()


async def ask(
    server: Server, method: str, target: str, body: bytes = b"", **headers: str
) -> tuple[int, Any]:
    """(code, the body decoded). Headers: content_type="…"; authorization="" leaves it out."""
    headers = {"host": "x", "authorization": f"Bearer {server.token}", **headers}
    named = tuple(
        (name.replace("_", "-").encode(), value.encode())
        for name, value in headers.items()
        if value
    )
    connection = await Connection.to(server.port)
    connection.send(Asked(method, target.encode(), named, body, False).wire())
    answer = await asyncio.wait_for(connection.answer(method), HUNG_AFTER_S)
    connection.close()
    return answer.status, json.loads(answer.body)


def deep(depth: int, opening: str = '{"a":', closing: str = "}") -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


@pytest.mark.parametrize(
    ("method", "target", "code", "reason"),
    [
        ("GET", "/", 404, "NotFound"),
        ("GET", "/api/v9/pods", 404, "NotFound"),
        ("GET", "/apis/nothing.example.com/v1", 404, "NotFound"),
        ("GET", "/api/v1/nothings", 404, "NotFound"),
        ("GET", f"{MAPS}/missing", 404, "NotFound"),
        ("GET", f"{MAPS}/one/status", 404, "NotFound"),
        ("GET", f"{MAPS}/one/a/b/c", 404, "NotFound"),
        ("GET", f"{MAPS}/%00", 404, "NotFound"),
        ("GET", f"{MAPS}/%2e%2e%2f%2e%2e", 404, "NotFound"),
        ("GET", f"{MAPS}/" + "a" * 60_000, 404, "NotFound"),
        ("GET", "/api/v1/namespaces/default/persistentvolumes", 404, "NotFound"),
        ("POST", "/api/v1/namespaces/missing/configmaps", 404, "NotFound"),
        ("PUT", MAPS, 405, "MethodNotAllowed"),
        ("PATCH", MAPS, 405, "MethodNotAllowed"),
        ("POST", f"{MAPS}/one", 405, "MethodNotAllowed"),
        ("OPTIONS", MAPS, 405, "MethodNotAllowed"),
        ("TRACE", f"{MAPS}/one", 405, "MethodNotAllowed"),
        ("DELETE", "/api/v1/namespaces/default/status", 405, "MethodNotAllowed"),
        ("GET", f"{MAPS}?limit=x", 400, "BadRequest"),
        ("GET", f"{MAPS}?continue=x", 400, "BadRequest"),
        ("GET", f"{MAPS}?labelSelector=a%3D%3Db%3Dc", 400, "BadRequest"),
        ("GET", f"{MAPS}?labelSelector=a+in+(", 400, "BadRequest"),
        ("GET", f"{MAPS}?fieldSelector=spec.nothing%3Da", 400, "BadRequest"),
        ("GET", f"{MAPS}?resourceVersion=x", 400, "BadRequest"),
        ("GET", f"{MAPS}?watch=1&timeoutSeconds=x", 400, "BadRequest"),
        ("GET", f"{MAPS}?watch=1&resourceVersion=x", 400, "BadRequest"),
        ("PUT", f"{MAPS}/one?fieldValidation=x", 422, "Invalid"),
        ("POST", f"{MAPS}?dryRun=x", 422, "Invalid"),
        ("POST", f"{MAPS}?fieldManager=%00", 422, "Invalid"),
        ("DELETE", f"{MAPS}/one?dryRun=x", 422, "Invalid"),
    ],
)
async def test_paths_methods_and_parameters_that_are_wrong(
    server: Server, method: str, target: str, code: int, reason: str
) -> None:
    body = ONE_MAP.replace(b"one", b"other") if method == "POST" else b""
    body = ONE_MAP if method == "PUT" else body
    found, status = await ask(server, method, target, body)
    assert (found, status["kind"], status["reason"]) == (code, "Status", reason)
    assert status["code"] == code
    assert server.run("get", "configmap", "one").returncode == 0


@pytest.mark.parametrize(
    ("headers", "code", "reason"),
    [
        ({"authorization": ""}, 401, "Unauthorized"),
        ({"authorization": "Bearer x"}, 401, "Unauthorized"),
        ({"authorization": "Basic eDp5"}, 401, "Unauthorized"),
        ({"content_type": "text/plain"}, 415, "UnsupportedMediaType"),
        ({"content_type": "application/merge-patch+json"}, 415, "UnsupportedMediaType"),
        ({"content_type": "application/cbor"}, 415, "UnsupportedMediaType"),
        ({"content_type": PROTOBUF}, 400, "BadRequest"),
        ({"content_encoding": "gzip", "content_type": "x/y"}, 415, "UnsupportedMediaType"),
        ({"accept": "text/html"}, 406, "NotAcceptable"),
        ({"accept": PROTOBUF}, 406, "NotAcceptable"),
        ({"accept": "application/json;as=Nothing;g=x;v=y"}, 406, "NotAcceptable"),
    ],
)
async def test_headers_that_are_wrong(
    server: Server, headers: dict[str, str], code: int, reason: str
) -> None:
    found, status = await ask(server, "POST", MAPS, ONE_MAP, **headers)
    assert (found, status["reason"]) == (code, reason)


@pytest.mark.parametrize("parameters", ["", "watch=1&"])
async def test_a_revision_that_is_yet_to_come_is_waited_for_a_little(
    server: Server, parameters: str
) -> None:
    code, status = await ask(server, "GET", f"{MAPS}?{parameters}resourceVersion=999999999")
    assert (code, status["reason"]) == (504, "Timeout")  # Kubernetes' answer too
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    assert status["details"]["causes"] == [cause]


BAD_BODIES = {
    "none": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "null": b"null",
    "NaN": b'{"metadata":{"generation":NaN}}',
    "a number beyond all": b'{"metadata":{"generation":1e400}}',
    "no whole number": b'{"metadata":{"generation":1.5}}',
    "half a letter": b'{"data":{"a":"\\ud800"}}',
    "no UTF-8": b'{"data":{"a":"\xff"}}',
    "a list for an object": b'{"metadata":[]}',
    "an object for a text": b'{"metadata":{"name":{}}}',
    "another kind": b'{"kind":"Secret","metadata":{"name":"x"}}',
    "another version": b'{"apiVersion":"v9","metadata":{"name":"x"}}',
    "another namespace": b'{"metadata":{"name":"x","namespace":"other"}}',
    "deep objects": deep(100_000),
    "deep lists": deep(100_000, "[", "]"),
    "deep in a field": b'{"metadata":{"managedFields":[{"fieldsV1":' + deep(900) + b"}]}}",
    "a thousand kinds of deep": deep(3000, '[{"a":', "}]"),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3",
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_bodies_that_are_no_object_of_the_kind(
    server: Server, method: str, body: bytes
) -> None:
    code, status = await ask(server, method, MAPS if method == "POST" else f"{MAPS}/one", body)
    assert (code, status["reason"]) == (400, "BadRequest")
    assert len(status["message"]) < 2000


@pytest.mark.parametrize(
    ("media", "body", "code"),
    [
        (MERGE_PATCH, b"[]", 400),
        (MERGE_PATCH, b"{", 400),
        (MERGE_PATCH, deep(100_000), 400),
        (MERGE_PATCH, b'{"metadata":[]}', 400),
        (STRATEGIC_PATCH, b"null", 400),
        (STRATEGIC_PATCH, deep(100_000), 400),
        (STRATEGIC_PATCH, b'{"data":{"$patch":"nothing"}}', 400),
        (JSON_PATCH, b"{}", 400),
        (JSON_PATCH, b"[1]", 400),
        (JSON_PATCH, b'[{"op":"brew","path":"/data"}]', 422),
        (JSON_PATCH, b'[{"op":"remove","path":"/nothing"}]', 422),
        (JSON_PATCH, b'[{"op":"test","path":"/data/key","value":"x"}]', 422),
        (JSON_PATCH, b'[{"op":"replace","path":"","value":7}]', 422),
        (JSON_PATCH, b"[" + b",".join([b'{"op":"test","path":""}'] * 10_001) + b"]", 413),
        (APPLY, b"{}", 400),
        (APPLY, b"a: &a [*a]", 400),
        (APPLY, b"apiVersion: v1\nkind: ConfigMap\nmetadata: []", 400),
        (APPLY, b"- " * 50_000, 400),
        ("application/json", ONE_MAP, 415),
        ("", ONE_MAP, 415),
    ],
)
async def test_patches_that_are_none(server: Server, media: str, body: bytes, code: int) -> None:
    target = f"{MAPS}/one{'?fieldManager=me' if media == APPLY else ''}"
    found, status = await ask(server, "PATCH", target, body, content_type=media)
    assert found == code
    assert status["reason"]
    assert len(status["message"]) < 2000
    assert (await ask(server, "GET", f"{MAPS}/one"))[1]["data"] == {"key": "value"}


BOMBS = {
    "the same list, many times over": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"\n".join(
        b"%c: &%c [%b]" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 110)
    ),
    "itself": b"a: &a {b: *a}",
    "an alias in every place": b"a: &a [x]\nb: [" + b"*a," * 900_000 + b"]",
    "a million values": b"[" + b"0," * 1_000_000 + b"0]",
    "minutes and seconds without end": b"a: 1" + b":00" * 900_000,
    "digits without end": b"a: " + b"9" * 3_000_000,
    "a tag that nobody knows": b"a: !!python/object/apply:os.system [true]",
    "a value that is not of its tag": b"a: !!timestamp x",
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
async def test_yaml_that_grows_when_it_is_read(server: Server, body: bytes) -> None:
    before = server.resident_bytes()
    code, status = await ask(server, "POST", MAPS, body, content_type="application/yaml")
    assert (code, status["kind"]) in ((400, "Status"), (422, "Status"))
    assert server.resident_bytes() < before + 256 * MIB


def many(spec: dict[str, Any], metadata: dict[str, Any] | None = None) -> bytes:
    return json.dumps({"metadata": {"name": "large", **(metadata or {})}, **spec}).encode()


NAMED = {f"k{number}": "" for number in range(60_000)}
WRONG_MANY_TIMES = {
    "access modes": (VOLUMES, many({"spec": {"accessModes": ["x"] * 150_000}})),
    "capacities": (VOLUMES, many({"spec": {"capacity": dict.fromkeys(NAMED, "1")}})),
    "unknown fields": (VOLUMES, many(NAMED)),
    "owners": (MAPS, many({}, {"ownerReferences": [{"name": "a"}] * 50_000})),
    "labels": (MAPS, many({}, {"labels": {f"-{key}": "" for key in NAMED}})),
    "finalizers": (MAPS, many({}, {"finalizers": ["-"] * 150_000})),
    "volumes": (
        "/api/v1/namespaces/default/pods",
        many({"spec": {"containers": [{}] * 9000, "volumes": [{"name": "a"}] * 9000}}),
    ),
}


@pytest.mark.parametrize(("path", "body"), WRONG_MANY_TIMES.values(), ids=WRONG_MANY_TIMES)
async def test_what_is_wrong_many_times_is_told_in_few_words(
    server: Server, path: str, body: bytes
) -> None:
    assert len(body) < MIB  # longer ones are refused before anybody looks for what is wrong
    code, status = await ask(server, "POST", path, body)
    assert code == 422
    assert len(json.dumps(status)) < MIB
    assert len(status["details"]["causes"]) <= 100


async def test_of_long_texts_nothing_is_remembered(server: Server) -> None:
    """Names, keys and programs are looked at again and again, so some are kept; not such."""
    size, times = 400_000, 60

    async def send(numbers: range) -> None:
        for number in numbers:
            text = f"{number}".rjust(size, "a")
            for body in (many({}, {"name": text}), many({}, {"labels": {text: ""}})):
                code, _ = await ask(server, "POST", MAPS, body, user_agent=text)
                assert code == 422
            await ask(server, "GET", MAPS, authorization=f"Bearer {server.token}" + " " * number)

    await send(range(5))  # what is needed at once, and once only
    before = server.resident_bytes()
    await send(range(5, 5 + times))
    assert server.resident_bytes() < before + size * times


@pytest.mark.parametrize("size", [MIB - 4000, 3 * MIB - 100, 3 * MIB + 1, 5 * MIB])
@pytest.mark.parametrize("media", ["application/json", MERGE_PATCH, STRATEGIC_PATCH, APPLY])
async def test_what_is_too_large_is_refused_as_that(server: Server, size: int, media: str) -> None:
    method, target, name = "POST", MAPS, f"new-{size}"
    if media != "application/json":
        method, target, name = "PATCH", f"{MAPS}/growing", "growing"
    if media == APPLY:
        target += "?fieldManager=me&force=true"
    doc = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    body = json.dumps({**doc, "data": {"a": "x" * (size - 110)}}).encode()
    code, status = await ask(server, method, target, body, content_type=media)
    if size > MIB:
        assert (code, status["reason"]) == (413, "RequestEntityTooLarge")
    else:
        assert code in (200, 201)


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b'"x"', b"{", deep(5000), b'{"preconditions":[]}', b'{"preconditions":{"uid":{}}}',
        b'{"preconditions":7}', b'{"gracePeriodSeconds":"x"}', b'{"kind":[]}', b'{"dryRun":"All"}',
        b'{"dryRun":[null,1]}', b'{"orphanDependents":"x"}',
    ],
)  # fmt: skip
async def test_options_of_a_delete_that_are_none(server: Server, body: bytes) -> None:
    for target in (f"{MAPS}/one", MAPS):
        code, status = await ask(server, "DELETE", target, body)
        assert (code, status["reason"]) == (400, "BadRequest")
    assert server.run("get", "configmap", "one").returncode == 0
