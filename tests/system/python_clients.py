"""The ways in which the official Python client reads and writes an object, with the same verbs."""

import re
from collections.abc import Callable
from typing import Any, Protocol

from kubernetes import client, dynamic, watch

from mooring.objects.kind import Doc, Kind

GROUPS = {
    "": client.CoreV1Api,
    "storage.k8s.io": client.StorageV1Api,
    "coordination.k8s.io": client.CoordinationV1Api,
    "events.k8s.io": client.EventsV1Api,
}
MODELS = {"events": client.CoreV1Event, "events.events.k8s.io": client.EventsV1Event}


WITHIN_S = 60


def first_of(listing: Callable[..., Any], *place: Any, name: str) -> Any:
    """The object of a watch's first event, which tells what is there already."""
    watching = watch.Watch()
    chosen = {"field_selector": f"metadata.name={name}", "timeout_seconds": WITHIN_S}
    for event in watching.stream(listing, *place, **chosen):
        watching.stop()
        assert event["type"] == "ADDED"
        return event["object"]
    raise AssertionError("a watch without an event")


class Way(Protocol):
    """Objects of one kind, in a namespace if it has such. All go in and out as plain documents."""

    def create(self, doc: Doc) -> Doc: ...
    def read(self, name: str) -> Doc: ...
    def names(self) -> list[str]: ...
    def watched(self, name: str) -> Doc: ...
    def patch(self, name: str, patch: Doc) -> Doc: ...
    def replace(self, name: str, doc: Doc) -> Doc: ...
    def read_status(self, name: str) -> Doc: ...
    def patch_status(self, name: str, patch: Doc) -> Doc: ...
    def replace_status(self, name: str, doc: Doc) -> Doc: ...
    def delete(self, name: str) -> Any: ...
    def delete_all(self, selector: str) -> Any: ...


class Typed:
    """By calls and models made for the kind. Each answer is read into its model and out of it."""

    def __init__(self, api: client.ApiClient, kind: Kind, namespace: str) -> None:
        self.api, self.group = api, GROUPS[kind.group](api)
        self.place = (namespace,) if kind.namespaced else ()
        snake = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind.kind)
        snake = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", snake).lower()
        self.suffix = f"namespaced_{snake}" if kind.namespaced else snake
        self.model: Any = MODELS.get(kind.resource) or getattr(client, f"V1{kind.kind}")

    def call(self, verb: str, *arguments: Any, status: bool = False) -> Doc:
        method = getattr(self.group, f"{verb}_{self.suffix}{'_status' if status else ''}")
        answer = method(*arguments)
        assert type(answer) is self.model
        doc: Doc = self.api.sanitize_for_serialization(answer)
        return doc

    def create(self, doc: Doc) -> Doc:
        return self.call("create", *self.place, self.model.from_dict(doc))

    def read(self, name: str) -> Doc:
        return self.call("read", name, *self.place)

    def names(self) -> list[str]:
        listed = getattr(self.group, f"list_{self.suffix}")(*self.place)
        assert all(type(item) is self.model for item in listed.items)
        return [item.metadata.name for item in listed.items]

    def watched(self, name: str) -> Doc:
        listing = getattr(self.group, f"list_{self.suffix}")
        found = first_of(listing, *self.place, name=name)
        assert type(found) is self.model
        doc: Doc = self.api.sanitize_for_serialization(found)
        return doc

    def patch(self, name: str, patch: Doc) -> Doc:
        return self.call("patch", name, *self.place, patch)

    def replace(self, name: str, doc: Doc) -> Doc:
        return self.call("replace", name, *self.place, self.model.from_dict(doc))

    def read_status(self, name: str) -> Doc:
        return self.call("read", name, *self.place, status=True)

    def patch_status(self, name: str, patch: Doc) -> Doc:
        return self.call("patch", name, *self.place, patch, status=True)

    def replace_status(self, name: str, doc: Doc) -> Doc:
        body = self.model.from_dict(doc)
        return self.call("replace", name, *self.place, body, status=True)

    def delete(self, name: str) -> Any:
        return getattr(self.group, f"delete_{self.suffix}")(name, *self.place)

    def delete_all(self, selector: str) -> Any:
        method = getattr(self.group, f"delete_collection_{self.suffix}")
        return method(*self.place, label_selector=selector)


class Custom:
    """By calls for kinds of which the client knows nothing."""

    def __init__(self, api: client.ApiClient, kind: Kind, namespace: str) -> None:
        self.objects = client.CustomObjectsApi(api)
        space = (namespace,) if kind.namespaced else ()
        self.place = (kind.group, kind.version, *space, kind.plural)
        self.suffix = f"{'namespaced' if kind.namespaced else 'cluster'}_custom_object"

    def call(self, verb: str, *arguments: Any, status: bool = False) -> Doc:
        method = getattr(self.objects, f"{verb}_{self.suffix}{'_status' if status else ''}")
        doc: Doc = method(*self.place, *arguments)
        return doc

    def create(self, doc: Doc) -> Doc:
        return self.call("create", doc)

    def read(self, name: str) -> Doc:
        return self.call("get", name)

    def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.call("list")["items"]]

    def watched(self, name: str) -> Doc:
        listing = getattr(self.objects, f"list_{self.suffix}")
        doc: Doc = first_of(listing, *self.place, name=name)
        return doc

    def patch(self, name: str, patch: Doc) -> Doc:
        return self.call("patch", name, patch)

    def replace(self, name: str, doc: Doc) -> Doc:
        return self.call("replace", name, doc)

    def read_status(self, name: str) -> Doc:
        return self.call("get", name, status=True)

    def patch_status(self, name: str, patch: Doc) -> Doc:
        return self.call("patch", name, patch, status=True)

    def replace_status(self, name: str, doc: Doc) -> Doc:
        return self.call("replace", name, doc, status=True)

    def delete(self, name: str) -> Any:
        return self.call("delete", name)

    def delete_all(self, selector: str) -> Any:
        method = getattr(self.objects, f"delete_collection_{self.suffix}")
        return method(*self.place, label_selector=selector)


class Discovered:
    """By the dynamic client, which asks the server what there is."""

    def __init__(self, found: dynamic.DynamicClient, kind: Kind, namespace: str) -> None:
        self.resource = found.resources.get(api_version=kind.api_version, kind=kind.kind)
        assert (self.resource.name, self.resource.namespaced) == (kind.plural, kind.namespaced)
        self.place = {"namespace": namespace} if kind.namespaced else {}
        self.merge = {"content_type": "application/merge-patch+json"}

    def plain(self, call: Callable[..., Any], **arguments: Any) -> Doc:
        doc: Doc = call(**arguments, **self.place).to_dict()
        return doc

    def create(self, doc: Doc) -> Doc:
        return self.plain(self.resource.create, body=doc)

    def read(self, name: str) -> Doc:
        return self.plain(self.resource.get, name=name)

    def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.plain(self.resource.get)["items"]]

    def watched(self, name: str) -> Doc:
        event = next(iter(self.resource.watch(name=name, timeout=WITHIN_S, **self.place)))
        assert event["type"] == "ADDED"
        doc: Doc = event["raw_object"]
        return doc

    def patch(self, name: str, patch: Doc) -> Doc:
        return self.plain(self.resource.patch, name=name, body=patch, **self.merge)

    def replace(self, name: str, doc: Doc) -> Doc:
        return self.plain(self.resource.replace, name=name, body=doc)

    def read_status(self, name: str) -> Doc:
        return self.plain(self.resource.status.get, name=name)

    def patch_status(self, name: str, patch: Doc) -> Doc:
        return self.plain(self.resource.status.patch, name=name, body=patch, **self.merge)

    def replace_status(self, name: str, doc: Doc) -> Doc:
        return self.plain(self.resource.status.replace, name=name, body=doc)

    def delete(self, name: str) -> Any:
        return self.plain(self.resource.delete, name=name)

    def delete_all(self, selector: str) -> Any:
        return self.plain(self.resource.delete, label_selector=selector)
