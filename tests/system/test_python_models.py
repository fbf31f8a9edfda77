"""The official Python client reads and writes every served kind, in each of its ways."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from kubernetes import client, config, dynamic
from kubernetes.client.exceptions import ApiException

from mooring.objects.kind import Doc, Kind
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.schema import SCHEMAS
from tests.system.hostile_samples import sample, samples
from tests.system.python_clients import GROUPS, Custom, Discovered, Typed, Way
from tests.system.server import Server, eventually

pytestmark = pytest.mark.system

WITH_MODELS = [kind for kind in ALL_KINDS if kind.group in GROUPS]
WITHOUT = [kind for kind in ALL_KINDS if kind.group not in GROUPS]


@pytest.fixture(scope="module")
def api(shared_server: Server) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(shared_server.kubeconfig)) as api:
        yield api


@pytest.fixture(scope="module")
def found(api: client.ApiClient) -> dynamic.DynamicClient:
    return dynamic.DynamicClient(api)


@pytest.mark.parametrize("kind", WITH_MODELS, ids=lambda kind: kind.resource)
def test_a_kind_with_a_model(
    kind: Kind, api: client.ApiClient, found: dynamic.DynamicClient, shared_server: Server
) -> None:
    namespace = made_namespace(api, f"typed-{kind.singular}")
    lifetime(Typed(api, kind, namespace), kind, namespace, found, shared_server)


@pytest.mark.parametrize("kind", WITHOUT, ids=lambda kind: kind.resource)
def test_a_kind_without_a_model(
    kind: Kind, api: client.ApiClient, found: dynamic.DynamicClient, shared_server: Server
) -> None:
    namespace = made_namespace(api, f"custom-{kind.singular}")
    lifetime(Custom(api, kind, namespace), kind, namespace, found, shared_server)


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.resource)
def test_a_kind_that_is_discovered(
    kind: Kind, api: client.ApiClient, found: dynamic.DynamicClient, shared_server: Server
) -> None:
    namespace = made_namespace(api, f"found-{kind.singular}")
    lifetime(Discovered(found, kind, namespace), kind, namespace, found, shared_server)


def made_namespace(api: client.ApiClient, base: str) -> str:
    """One for a test alone; `base` and something behind it."""
    metadata = client.V1ObjectMeta(generate_name=f"{base}-")
    made = client.CoreV1Api(api).create_namespace(client.V1Namespace(metadata=metadata))
    name: str = made.metadata.name
    return name


def lifetime(
    way: Way, kind: Kind, namespace: str, found: dynamic.DynamicClient, server: Server
) -> None:
    """Of an object and a copy of it: nothing that the server keeps is lost on the way."""
    name, copy = f"{namespace}-a", f"{namespace}-b"
    doc = sample(kind, samples(server.place / namespace), name, namespace)
    made = way.create(doc)
    assert made["metadata"]["uid"]
    assert name in way.names()
    plain = Discovered(found, kind, namespace)  # which hands on what is sent
    unconflicted(lambda: reads_all(way, plain, kind, name))

    assert way.watched(name)["metadata"]["uid"] == made["metadata"]["uid"]
    read = way.read(name)
    mine = {**read, "metadata": {**doc["metadata"], "name": copy, "labels": {"copied": "yes"}}}
    way.create(deepcopy(mine))
    assert content(kind, way.read(copy)) == content(kind, read)

    label = {"metadata": {"labels": {"patched": "yes"}}}
    assert way.patch(name, label)["metadata"]["labels"]["patched"] == "yes"
    unconflicted(lambda: replaces(way, kind, name))
    if "status" in kind.subresources:
        unconflicted(lambda: writes_status(way, kind, name))

    way.delete(name)
    if kind.deletes_collection:
        way.delete_all("copied=yes")
    else:
        way.delete(copy)
    for one in (name, copy):
        if one in way.names():
            unconflicted(lambda one=one: way.patch(one, {"metadata": {"finalizers": None}}))
    eventually(lambda: not {name, copy} & {*way.names()}, "both are gone")


def unconflicted(step: Callable[[], Any]) -> None:
    """Do it again while controllers write meanwhile, as any client has to."""

    def done() -> bool:
        try:
            step()
        except ApiException as error:
            if error.status not in (404, 409):
                raise
            return error.status == 404
        return True

    eventually(done, "it was done without a conflict")


def reads_all(way: Way, plain: Way, kind: Kind, name: str) -> None:
    read, sent = way.read(name), plain.read(name)
    if read["metadata"]["resourceVersion"] != sent["metadata"]["resourceVersion"]:
        raise ApiException(409)
    assert decoded(kind, read) == decoded(kind, sent)


def replaces(way: Way, kind: Kind, name: str) -> None:
    """What is put back as it was read changes nothing; with a change, that alone."""
    read = way.read(name)
    again = way.replace(name, deepcopy(read))
    assert decoded(kind, again) == decoded(kind, read)
    read["metadata"].setdefault("annotations", {})["replaced"] = "yes"
    changed = way.replace(name, deepcopy(read))
    assert changed["metadata"]["annotations"]["replaced"] == "yes"
    assert content(kind, changed) == content(kind, read)


def writes_status(way: Way, kind: Kind, name: str) -> None:
    read = way.read_status(name)
    assert decoded(kind, way.replace_status(name, deepcopy(read))) == decoded(kind, read)
    label = {"metadata": {"annotations": {"status": "patched"}}}
    assert content(kind, way.patch_status(name, label)) == content(kind, read)


def decoded(kind: Kind, doc: Doc) -> Doc:
    """Without nulls and with times in one form: models write them in their own."""
    mine = deepcopy(doc)
    assert SCHEMAS.conform(kind, mine) == []
    return mine


def content(kind: Kind, doc: Doc) -> Doc:
    """What clients give an object: all but metadata and status."""
    return {k: v for k, v in decoded(kind, doc).items() if k not in ("metadata", "status")}
