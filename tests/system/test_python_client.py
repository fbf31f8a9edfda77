"""The official Python client: typed calls, watches, the dynamic client, errors as objects."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

from mooring.objects.cache import RECENT_EVENTS
from tests.system.provisioner import ASKED, DRIVER, Provisioner
from tests.system.server import Server, eventually
from tests.system.serving import served

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def api(shared_server: Server) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(shared_server.kubeconfig)) as api:
        yield api


@pytest.fixture(scope="module")
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


@pytest.fixture
def namespace(core: client.CoreV1Api, request: pytest.FixtureRequest) -> str:
    letters = (letter if letter.isalnum() else "-" for letter in request.node.name.lower())
    name = "".join(letters)[-60:].strip("-")
    core.create_namespace(client.V1Namespace(metadata={"name": name}))
    return name


def claim(name: str, class_: str = "none", size: str = "1Gi") -> client.V1PersistentVolumeClaim:
    return client.V1PersistentVolumeClaim(
        metadata=client.V1ObjectMeta(name=name, labels={"app": name}),
        spec=client.V1PersistentVolumeClaimSpec(
            access_modes=["ReadWriteOnce"],
            storage_class_name=class_,
            resources=client.V1VolumeResourceRequirements(requests={"storage": size}),
        ),
    )


def volume(name: str) -> client.V1PersistentVolume:
    return client.V1PersistentVolume(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1PersistentVolumeSpec(
            access_modes=["ReadWriteOnce"],
            capacity={"storage": "1Gi"},
            storage_class_name="by-hand",
            host_path=client.V1HostPathVolumeSource(path="/srv/data"),
        ),
    )


def test_a_claim_from_creation_to_its_end(core: client.CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_persistent_volume_claim(namespace, claim("data", "local"))
    assert made.metadata.finalizers == ["kubernetes.io/pvc-protection"]
    assert made.status.phase == "Pending"
    assert (datetime.now(UTC) - made.metadata.creation_timestamp).total_seconds() < 60

    def read() -> client.V1PersistentVolumeClaim:
        return core.read_namespaced_persistent_volume_claim("data", namespace)

    eventually(lambda: read().status.phase == "Bound", "it is bound")
    bound = read()
    assert bound.status.capacity == {"storage": "1Gi"}
    backing = core.read_persistent_volume(bound.spec.volume_name)
    assert backing.spec.claim_ref.uid == bound.metadata.uid
    assert backing.spec.csi.driver == "directory.mooring.dev"

    labels = {"metadata": {"labels": {"tier": "db"}}}
    changed = core.patch_namespaced_persistent_volume_claim("data", namespace, labels)
    assert changed.metadata.labels == {"app": "data", "tier": "db"}
    changed.metadata.annotations["example.com/note"] = "kept"
    replaced = core.replace_namespaced_persistent_volume_claim("data", namespace, changed)
    assert replaced.metadata.annotations["example.com/note"] == "kept"
    found = core.list_namespaced_persistent_volume_claim(namespace, label_selector="tier=db")
    assert [one.metadata.name for one in found.items] == ["data"]
    status = core.read_namespaced_persistent_volume_claim_status("data", namespace)
    assert status.status.phase == "Bound"

    deleted = core.delete_namespaced_persistent_volume_claim("data", namespace)
    assert deleted.metadata.deletion_timestamp is not None
    left = core.list_namespaced_persistent_volume_claim
    eventually(lambda: not left(namespace).items, "the claim is gone")


def test_a_volume_from_creation_to_its_end(core: client.CoreV1Api) -> None:
    made = core.create_persistent_volume(volume("python"))
    assert made.spec.persistent_volume_reclaim_policy == "Retain"
    policy = {"spec": {"persistentVolumeReclaimPolicy": "Delete"}}
    patched = core.patch_persistent_volume("python", policy)
    assert patched.spec.persistent_volume_reclaim_policy == "Delete"
    eventually(
        lambda: core.read_persistent_volume_status("python").status.phase == "Available",
        "it is available",
    )
    current = core.read_persistent_volume("python")
    current.spec.capacity = {"storage": "2Gi"}
    assert core.replace_persistent_volume("python", current).spec.capacity == {"storage": "2Gi"}
    core.delete_persistent_volume("python")
    eventually(lambda: "python" not in names(core.list_persistent_volume()), "it is gone")


def names(listed: Any) -> list[str]:
    return [one.metadata.name for one in listed.items]


def test_a_watch_over_claims_goes_on_where_it_was_left(
    core: client.CoreV1Api, namespace: str
) -> None:
    listing = core.list_namespaced_persistent_volume_claim
    start = listing(namespace).metadata.resource_version
    core.create_namespaced_persistent_volume_claim(namespace, claim("one"))
    seen = []
    stream = watch.Watch().stream(listing, namespace, resource_version=start, timeout_seconds=30)
    for event in stream:
        assert isinstance(event["object"], client.V1PersistentVolumeClaim)
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "ADDED":
            left_at = event["object"].metadata.resource_version
            break
    labels = {"metadata": {"labels": {"seen": "yes"}}}
    core.patch_namespaced_persistent_volume_claim("one", namespace, labels)
    core.create_namespaced_persistent_volume_claim(namespace, claim("two"))
    core.delete_namespaced_persistent_volume_claim("one", namespace)
    stream = watch.Watch().stream(listing, namespace, resource_version=left_at, timeout_seconds=30)
    for event in stream:
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            break
    assert seen[0] == ("ADDED", "one")
    assert [one for one in seen if one[0] == "ADDED"] == [("ADDED", "one"), ("ADDED", "two")]
    assert ("MODIFIED", "one") in seen
    assert seen[-1] == ("DELETED", "one")


def test_a_watch_without_a_revision_begins_with_what_is_there_and_ends_in_time(
    core: client.CoreV1Api, namespace: str
) -> None:
    core.create_namespaced_persistent_volume_claim(namespace, claim("there"))
    listing = core.list_namespaced_persistent_volume_claim
    stream = watch.Watch().stream(listing, namespace, timeout_seconds=1)
    assert {event["object"].metadata.name for event in stream} == {"there"}


def test_a_selector_makes_events_of_what_comes_and_goes(
    core: client.CoreV1Api, namespace: str
) -> None:
    listing = core.list_namespaced_persistent_volume_claim
    core.create_namespaced_persistent_volume_claim(namespace, claim("one"))
    start = listing(namespace).metadata.resource_version
    for value in ("db", "web"):
        labels = {"metadata": {"labels": {"tier": value}}}
        core.patch_namespaced_persistent_volume_claim("one", namespace, labels)
    choice = {"label_selector": "tier=db", "resource_version": start, "timeout_seconds": 1}
    events = [event["type"] for event in watch.Watch().stream(listing, namespace, **choice)]
    assert events == ["ADDED", "DELETED"]


def test_a_watch_from_what_is_forgotten_is_gone() -> None:
    with served() as place:
        configuration = client.Configuration()
        configuration.host, configuration.api_key = place.url, {"authorization": place.token}
        configuration.api_key_prefix = {"authorization": "Bearer"}
        core = client.CoreV1Api(client.ApiClient(configuration))
        start = core.list_config_map_for_all_namespaces().metadata.resource_version
        place.write_config_maps(RECENT_EVENTS + 1)
        place.forget()
        listing = core.list_config_map_for_all_namespaces
        with pytest.raises(ApiException) as caught:
            list(watch.Watch().stream(listing, resource_version=start))
        assert caught.value.status == 410
        assert caught.value.reason.startswith("Expired: ")
        page = {"limit": 1, "resource_version": start, "resource_version_match": "Exact"}
        with pytest.raises(ApiException) as caught:
            core.list_config_map_for_all_namespaces(**page)
        assert caught.value.status == 410
        # A list begun anew shows where to go on from.
        again = core.list_config_map_for_all_namespaces(limit=1).metadata.resource_version
        assert list(watch.Watch().stream(listing, resource_version=again, timeout_seconds=1)) == []


def test_lists_come_in_pages(core: client.CoreV1Api, namespace: str) -> None:
    for number in range(5):
        core.create_namespaced_persistent_volume_claim(namespace, claim(f"page-{number}"))
    pages: list[list[str]] = []
    after = None
    while not pages or after:
        page = core.list_namespaced_persistent_volume_claim(namespace, limit=2, _continue=after)
        pages.append(names(page))
        after = page.metadata._continue
    assert pages == [["page-0", "page-1"], ["page-2", "page-3"], ["page-4"]]


@pytest.mark.rule("1.4.1", "1.4.10")
def test_an_error_is_a_status(core: client.CoreV1Api, namespace: str) -> None:
    def refused(call: Any, *arguments: Any, **more: Any) -> dict[str, Any]:
        with pytest.raises(ApiException) as caught:
            call(*arguments, **more)
        status: dict[str, Any] = json.loads(caught.value.body)
        assert (status["kind"], status["status"]) == ("Status", "Failure")
        assert status["code"] == caught.value.status
        return status

    create = core.create_namespaced_persistent_volume_claim
    create(namespace, claim("there"))
    again = refused(create, namespace, claim("there"))
    assert (again["code"], again["reason"]) == (409, "AlreadyExists")
    missing = refused(core.read_namespaced_persistent_volume_claim, "none", namespace)
    assert (missing["code"], missing["reason"]) == (404, "NotFound")
    assert missing["details"] == {"name": "none", "kind": "persistentvolumeclaims"}
    wrong = refused(create, namespace, claim("wrong", size="-1"))
    assert (wrong["code"], wrong["reason"]) == (422, "Invalid")
    assert [cause["field"] for cause in wrong["details"]["causes"]] == ["spec.resources[storage]"]
    stale = core.read_namespaced_persistent_volume_claim("there", namespace)
    labels = {"metadata": {"labels": {"x": "1"}}}
    core.patch_namespaced_persistent_volume_claim("there", namespace, labels)
    late = refused(core.replace_namespaced_persistent_volume_claim, "there", namespace, stale)
    assert (late["code"], late["reason"]) == (409, "Conflict")
    unclear = refused(core.list_namespaced_persistent_volume_claim, namespace, label_selector="(")
    assert (unclear["code"], unclear["reason"]) == (400, "BadRequest")


def test_without_its_token_a_client_is_not_let_in(api: client.ApiClient) -> None:
    stranger = client.Configuration()
    stranger.host, stranger.ssl_ca_cert = api.configuration.host, api.configuration.ssl_ca_cert
    with client.ApiClient(stranger) as strange, pytest.raises(ApiException) as caught:
        client.CoreV1Api(strange).list_persistent_volume()
    assert (caught.value.status, caught.value.reason) == (401, "Unauthorized")


def test_the_dynamic_client_finds_pools(api: client.ApiClient, shared_server: Server) -> None:
    pools = dynamic.DynamicClient(api).resources.get(api_version="mooring.dev/v1", kind="Pool")
    root = str(shared_server.place / "dynamic")
    spec = {"driver": "directory.mooring.dev", "node": "here", "root": root, "capacity": "1Gi"}
    body = {"apiVersion": "mooring.dev/v1", "kind": "Pool", "metadata": {"name": "dynamic"}}
    made = pools.create(body={**body, "spec": spec})
    assert made.spec.root == root
    assert made.metadata.finalizers == ["mooring.dev/pool-protection"]
    assert "dynamic" in [one.metadata.name for one in pools.get().items]
    larger = {"metadata": {"name": "dynamic"}, "spec": {"capacity": "2Gi"}}
    merge = "application/merge-patch+json"
    assert pools.patch(body=larger, name="dynamic", content_type=merge).spec.capacity == "2Gi"
    applied = {**body, "spec": {**spec, "capacity": "3Gi"}}
    forced = {"field_manager": "tester", "force_conflicts": True}
    assert pools.server_side_apply(body=applied, name="dynamic", **forced).spec.capacity == "3Gi"
    for event in pools.watch(name="dynamic", timeout=30):
        assert (event["type"], event["object"].spec.capacity) == ("ADDED", "3Gi")
        break
    pools.delete(name="dynamic")
    eventually(lambda: "dynamic" not in [one.metadata.name for one in pools.get().items], "gone")


@pytest.fixture
def class_(api: client.ApiClient, namespace: str) -> str:
    """Of the provisioner of others."""
    meta = client.V1ObjectMeta(name=namespace)
    made = client.V1StorageClass(metadata=meta, provisioner=DRIVER, reclaim_policy="Delete")
    client.StorageV1Api(api).create_storage_class(made)
    return namespace


@pytest.mark.rule("10.3", "10.29", "10.30")
def test_a_provisioner_of_others_provisions_by_the_external_path_alone(
    core: client.CoreV1Api, api: client.ApiClient, namespace: str, class_: str, tmp_path: Path
) -> None:
    one, other = (Provisioner(api, tmp_path, replica) for replica in ("one", "other"))
    one.install()
    made = core.create_namespaced_persistent_volume_claim(namespace, claim("data", class_))
    name = f"pvc-{made.metadata.uid}"

    def read() -> client.V1PersistentVolumeClaim:
        return core.read_namespaced_persistent_volume_claim("data", namespace)

    def asked() -> set[str]:
        annotations = read().metadata.annotations or {}
        return {annotations.get(key, "") for key in ASKED}

    eventually(lambda: asked() == {DRIVER}, "it is asked for, by both keys")
    one.made(name)  # it was cut off before it stored the volume
    assert one.look()
    assert not other.look()  # of several replicas one works
    eventually(lambda: read().status.phase == "Bound", "the claim is bound")
    eventually(
        lambda: core.read_persistent_volume(name).status.phase == "Bound", "so is its volume"
    )
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert "pv.kubernetes.io/bound-by-controller" not in (
        core.read_persistent_volume(name).metadata.annotations
    )
    one.resign()
    assert other.look()
    assert not one.look()
    told = core.list_namespaced_event(namespace, field_selector="involvedObject.name=data").items
    by = {(event.reason, event.source.component) for event in told}
    assert ("ProvisioningSucceeded", f"{DRIVER}_one") in by
    eventually(
        lambda: any(
            event.reason == "ExternalProvisioning"
            for event in core.list_namespaced_event(namespace).items
        ),
        "it was told who is waited for",
    )

    core.delete_namespaced_persistent_volume_claim("data", namespace)
    eventually(lambda: core.read_persistent_volume(name).status.phase == "Released", "released")

    def gone() -> bool:
        assert other.look()
        return name not in names(core.list_persistent_volume())

    eventually(gone, "the volume is gone")
    assert list(tmp_path.iterdir()) == []
    other.resign()


def test_a_provisioner_of_others_keeps_what_the_policy_keeps(
    core: client.CoreV1Api, api: client.ApiClient, namespace: str, class_: str, tmp_path: Path
) -> None:
    provisioner = Provisioner(api, tmp_path, "it")
    made = core.create_namespaced_persistent_volume_claim(namespace, claim("data", class_))
    name = f"pvc-{made.metadata.uid}"

    def there() -> bool:
        assert provisioner.look()
        return name in names(core.list_persistent_volume())

    def policy(kept: str) -> None:
        body = {"spec": {"persistentVolumeReclaimPolicy": kept}}
        core.patch_persistent_volume(name, body)

    def finalizers() -> list[str]:
        assert provisioner.look()
        return list(core.read_persistent_volume(name).metadata.finalizers)

    eventually(there, "it is made")
    policy("Retain")
    eventually(lambda: finalizers() == ["kubernetes.io/pv-protection"], "its finalizer goes")
    core.delete_namespaced_persistent_volume_claim("data", namespace)
    eventually(lambda: core.read_persistent_volume(name).status.phase == "Released", "released")
    assert provisioner.look()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    policy("Delete")
    eventually(lambda: not there(), "the volume is gone")
    assert list(tmp_path.iterdir()) == []
    provisioner.resign()


def test_what_the_server_is_can_be_asked(api: client.ApiClient) -> None:
    assert client.VersionApi(api).get_code().major == "1"
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"storage.k8s.io", "mooring.dev", "events.k8s.io"} <= groups
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(
            resource_attributes=client.V1ResourceAttributes(verb="list", resource="pods")
        )
    )
    answer = client.AuthorizationV1Api(api).create_self_subject_access_review(review)
    assert answer.status.allowed is True
