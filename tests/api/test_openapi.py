"""What the API says of itself."""

import gzip
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from mooring.api import gnostic
from mooring.api.http import Request
from mooring.api.identity import Identities
from mooring.api.openapi import PROTOBUF2, PROTOBUF3, OpenApi
from mooring.api.reviews import Reviews
from mooring.api.routes import Routes
from mooring.api.status import ApiError
from mooring.objects.kind import Kind
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.schema import definition_names


class Answer(NamedTuple):
    """What was answered; the body is that of JSON if it is such."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


async def ask(openapi: OpenApi, path: str, **headers: str) -> Answer | None:
    """None if there is nothing at that path. In names of headers, - is written _."""
    place, _, query = path.partition("?")
    scope = {
        "method": "GET",
        "path": place,
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), v.encode()) for name, v in headers.items()],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    if not await openapi.answer(Request(scope, receive, send)):
        return None
    named = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    raw = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], named, raw)


OPENAPI = OpenApi(ALL_KINDS)


async def found(path: str, **headers: str) -> Answer:
    answer = await ask(OPENAPI, path, **headers)
    assert answer is not None
    return answer


async def v3_documents() -> dict[str, Any]:
    root = (await found("/openapi/v3")).body["paths"]
    return {place: (await found(one["serverRelativeURL"])).body for place, one in root.items()}


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    """(path, method, operation) of each."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from references(part)


async def test_every_path_is_one_that_is_served() -> None:
    routes, reviews = Routes(ALL_KINDS), Reviews(Identities({}))
    for path, _, operation in operations((await found("/openapi/v2")).body):
        place = path.replace("{namespace}", "space").replace("{name}", "name")
        said = operation["x-kubernetes-group-version-kind"]
        if reviews.serves(place):
            continue
        route = routes.find(place)
        assert route is not None, path
        assert said == {
            "group": route.kind.group,
            "version": route.kind.version,
            "kind": route.kind.kind,
        }
        assert route.subresource in ("", *route.kind.subresources)


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.kind)
async def test_every_kind_is_there_with_all_its_calls(kind: Kind) -> None:
    named = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    actions = [
        operation["x-kubernetes-action"]
        for _, _, operation in operations((await found("/openapi/v2")).body)
        if operation["x-kubernetes-group-version-kind"] == named
    ]
    once = ["delete", "get", "list", "patch", "post", "put"]
    once += ["deletecollection"] * kind.deletes_collection
    more = ["get", "patch", "put"] * len(kind.subresources) + ["list"] * kind.namespaced
    assert sorted(actions) == sorted(once + more)


async def test_writes_say_that_they_can_be_tried_and_are_validated() -> None:
    documents = [(await found("/openapi/v2")).body, *(await v3_documents()).values()]
    for document in documents:
        for path, method, operation in operations(document):
            if "review" in path or method not in ("patch", "post", "put"):
                continue
            names = {one["name"] for one in operation["parameters"] if one["in"] == "query"}
            assert names >= {"dryRun", "fieldManager", "fieldValidation"}, (path, method)
            assert ("force" in names) == (method == "patch")


async def test_no_operation_has_the_name_of_another() -> None:
    named = [
        operation["operationId"]
        for _, _, operation in operations((await found("/openapi/v2")).body)
    ]
    assert len(named) == len(set(named))
    assert "listCoreV1NamespacedPersistentVolumeClaim" in named
    assert "patchStorageV1StorageClass" in named
    assert "replaceMooringDevV1PoolStatus" in named


async def test_nothing_is_named_that_is_not_there() -> None:
    v2 = (await found("/openapi/v2")).body
    prefix = "#/definitions/"
    assert {one.removeprefix(prefix) for one in references(v2)} <= v2["definitions"].keys()
    for document in (await v3_documents()).values():
        schemas = document["components"]["schemas"]
        prefix = "#/components/schemas/"
        # Exactly what is used: a group and version does not bring the others' schemas.
        assert {one.removeprefix(prefix) for one in references(document)} == schemas.keys()


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.kind)
async def test_the_schema_of_a_kind_is_in_the_document_of_its_version(kind: Kind) -> None:
    place = f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"
    name = definition_names()[kind.group, kind.version, kind.kind]
    schema = (await v3_documents())[place]["components"]["schemas"][name]
    named = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    assert named in schema["x-kubernetes-group-version-kind"]


async def test_v3_says_what_v2_has_no_words_for() -> None:
    schemas = (await v3_documents())["api/v1"]["components"]["schemas"]
    quantity = schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"]
    assert quantity["oneOf"] == [{"type": "string"}, {"type": "number"}]
    either = schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]
    assert either["oneOf"] == [{"type": "integer"}, {"type": "string"}]
    assert "type" not in either
    # What stands beside a reference would not count.
    spec = schemas["io.k8s.api.core.v1.PersistentVolumeClaim"]["properties"]["spec"]
    assert spec["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.api.core.v1.PersistentVolumeClaimSpec"}
    ]
    assert spec["description"]


async def test_an_address_with_a_hash_may_be_kept_for_good() -> None:
    url = (await found("/openapi/v3")).body["paths"]["apis/mooring.dev/v1"]["serverRelativeURL"]
    answer = await found(url)
    assert answer.status == 200
    assert "immutable" in answer.headers["cache-control"]
    plain = await found(url.partition("?")[0])
    assert plain.body == answer.body
    assert plain.headers["cache-control"] == "no-cache, private"


@pytest.mark.parametrize("accept", ["application/json", PROTOBUF3[0]])
async def test_an_address_with_an_old_hash_leads_to_the_new_one(accept: str) -> None:
    url = (await found("/openapi/v3")).body["paths"]["api/v1"]["serverRelativeURL"]
    answer = await found("/openapi/v3/api/v1?hash=OLD", accept=accept)
    assert answer.status == 301
    assert answer.headers["location"] == url
    assert (await found(url, accept=accept)).status == 200


@pytest.mark.parametrize("path", ["/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1"])
async def test_what_the_client_has_is_not_sent_again(path: str) -> None:
    tag = (await found(path)).headers["etag"]
    again = await found(path, if_none_match=f'"other", W/{tag}')
    assert again.status == 304
    assert again.raw == b""
    assert again.headers["etag"] == tag
    assert (await found(path, if_none_match='"other"')).status == 200


async def test_a_client_that_can_gets_it_compressed() -> None:
    plain = await found("/openapi/v2")
    packed = await found("/openapi/v2", accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-length"] == str(len(packed.raw))
    assert gzip.decompress(packed.raw) == plain.raw
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(
    ("path", "media"), [("/openapi/v2", PROTOBUF2), ("/openapi/v3/api/v1", PROTOBUF3)]
)
async def test_who_asks_for_protobuf_gets_it_by_a_name_that_go_can_read(
    path: str, media: tuple[str, str]
) -> None:
    for name in media:
        answer = await found(path, accept=f"{name}, application/json")
        assert answer.headers["content-type"] == media[1]
        assert answer.raw[:2] in (b"\x0a\x03", b"\x0a\x05")  # "2.0", "3.0.0"


@pytest.mark.parametrize("accept", ["", "*/*", "application/*", "text/x, application/json;q=0.9"])
async def test_others_get_json(accept: str) -> None:
    answer = await found("/openapi/v2", accept=accept)
    assert answer.headers["content-type"] == "application/json"
    assert answer.body["swagger"] == "2.0"


async def test_what_cannot_be_served_is_refused() -> None:
    with pytest.raises(ApiError, match="media types are accepted: application/json"):
        await found("/openapi/v2", accept="application/yaml")
    with pytest.raises(ApiError):
        await found("/openapi/v3", accept=PROTOBUF3[0])  # the root has no such form


@pytest.mark.parametrize(
    "path", ["/openapi", "/openapi/v3/", "/openapi/v3/api/v9", "/openapi/v2/x", "/openapi/v4"]
)
async def test_nothing_is_elsewhere(path: str) -> None:
    assert await ask(OPENAPI, path) is None


def test_what_protobuf_has_no_field_for_is_not_lost_in_silence() -> None:
    with pytest.raises(KeyError, match="maxLength"):
        gnostic.document2({"definitions": {"a": {"type": "string", "maxLength": 3}}})
