"""Discovery: which groups, versions and kinds there are, as kubectl asks before all else."""

import re
from collections.abc import Sequence
from typing import Final

from mooring import __version__
from mooring.api.reviews import AUTHENTICATION, AUTHORIZATION
from mooring.objects.documents import encoded
from mooring.objects.kind import Doc, Kind

VERBS: Final = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
SUBRESOURCE_VERBS: Final = ["get", "patch", "update"]
# Kinds that are only answered, never stored: (path of the group's version, plural, kind).
REVIEWS: Final = (
    (AUTHORIZATION, "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    (AUTHORIZATION, "subjectaccessreviews", "SubjectAccessReview"),
    (AUTHORIZATION, "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    (AUTHENTICATION, "selfsubjectreviews", "SelfSubjectReview"),
    (AUTHENTICATION, "tokenreviews", "TokenReview"),
)
# Asked for by kubectl before it validates what cannot be patched, such as a review: is it a kind of
# a user's own? There are none. No group is announced for it, so nobody can try to make one.
CUSTOM_KINDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# Asked for by `kubectl cluster-info`, which says nothing at all where services are unknown. There
# are none, and none can be made.
SERVICES: Final = re.compile("/api/v1/(?:namespaces/[^/]+/)?services")
SERVICE: Final[Doc] = {
    "name": "services",
    "singularName": "service",
    "namespaced": True,
    "kind": "Service",
    "verbs": ["list"],
    "shortNames": ["svc"],
}
# How a scheduler gives a pod its node: see api.bindings.
BINDINGS: Final[tuple[Doc, ...]] = tuple(
    {
        "name": name,
        "singularName": singular,
        "namespaced": True,
        "kind": "Binding",
        "verbs": ["create"],
    }
    for name, singular in (("bindings", "binding"), ("pods/binding", ""))
)
JSON_TYPE: Final = "application/json"
KUBERNETES_MINOR: Final = "34"  # whose behaviour is served


class Discovery:
    """Documents made once from the table of kinds."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        versions = [(kind.group, kind.version) for kind in kinds]
        for path, _, _ in REVIEWS:
            _, _, group, version = path.split("/")
            versions.append((group, version))
        served = sorted(set(versions))
        self._documents = {
            "/version": encoded(_version()),
            "/api": encoded({"kind": "APIVersions", "versions": ["v1"]}),
            "/apis": encoded(_groups(served)),
            CUSTOM_KINDS: encoded(
                _none_of("CustomResourceDefinition", "apiextensions.k8s.io/v1"),
            ),
        }
        self._no_services = encoded(_none_of("Service", "v1"))
        for group, version in served:
            path = f"/apis/{group}/{version}" if group else f"/api/{version}"
            self._documents[path] = encoded(_resources(kinds, group, version))
            if group:
                self._documents[f"/apis/{group}"] = encoded(
                    {"kind": "APIGroup", "apiVersion": "v1", **_group(group, version)}
                )
        self._aggregated = {
            "/api": _aggregated(kinds, [one for one in served if not one[0]]),
            "/apis": _aggregated(kinds, [one for one in served if one[0]]),
        }

    def document(self, path: str, accept: str) -> tuple[bytes, bytes] | None:
        """(body, content type), or None if nothing is there."""
        path = path.rstrip("/")
        if path in self._aggregated and "as=APIGroupDiscoveryList" in accept:
            for choice in accept.split(","):
                version = "v2" if "v=v2;" in choice + ";" else "v2beta1"
                if "as=APIGroupDiscoveryList" in choice:
                    body = {
                        **self._aggregated[path],
                        "apiVersion": f"apidiscovery.k8s.io/{version}",
                    }
                    parameters = f"g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
                    return encoded(body), f"{JSON_TYPE};{parameters}".encode()
        body_ = self._no_services if SERVICES.fullmatch(path) else self._documents.get(path)
        return None if body_ is None else (body_, JSON_TYPE.encode())


def _version() -> Doc:
    return {
        "major": "1",
        "minor": KUBERNETES_MINOR,
        "gitVersion": f"v1.{KUBERNETES_MINOR}.0+mooring-{__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "linux/amd64",
    }


def _none_of(kind: str, api_version: str) -> Doc:
    named = {"kind": f"{kind}List", "apiVersion": api_version}
    return {**named, "metadata": {"resourceVersion": "0"}, "items": []}


def _group(group: str, version: str) -> Doc:
    named = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [named], "preferredVersion": named}


def _groups(served: Sequence[tuple[str, str]]) -> Doc:
    groups = [_group(group, version) for group, version in served if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _verbs(kind: Kind) -> list[str]:
    return [verb for verb in VERBS if verb != "deletecollection" or kind.deletes_collection]


def _resources(kinds: Sequence[Kind], group: str, version: str) -> Doc:
    resources: list[Doc] = []
    for kind in kinds:
        if (kind.group, kind.version) != (group, version):
            continue
        resource: Doc = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": _verbs(kind),
        }
        if kind.short_names:
            resource["shortNames"] = list(kind.short_names)
        if kind.categories:
            resource["categories"] = list(kind.categories)
        resources.append(resource)
        resources += [
            {
                "name": f"{kind.plural}/{name}",
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": kind.kind,
                "verbs": SUBRESOURCE_VERBS,
            }
            for name in kind.subresources
        ]
    if not group:
        resources += [SERVICE, *BINDINGS]
    for path, plural, review in REVIEWS:
        if path == f"/apis/{group}/{version}":
            resources.append(
                {
                    "name": plural,
                    "singularName": review.lower(),
                    "namespaced": False,
                    "kind": review,
                    "verbs": ["create"],
                }
            )
    named = f"{group}/{version}" if group else version
    listed = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": named}
    return {**listed, "resources": resources}


def _aggregated(kinds: Sequence[Kind], served: Sequence[tuple[str, str]]) -> Doc:
    items = []
    for group, version in served:
        found = _resources(kinds, group, version)["resources"]
        top: dict[str, Doc] = {}
        for one in found:
            name, _, subresource = one["name"].partition("/")
            response = {"group": group, "version": version, "kind": one["kind"]}
            if subresource:
                top[name].setdefault("subresources", []).append(
                    {
                        "subresource": subresource,
                        "responseKind": response,
                        "verbs": one["verbs"],
                    }
                )
                continue
            top[name] = {
                "resource": name,
                "responseKind": response,
                "scope": "Namespaced" if one["namespaced"] else "Cluster",
                "singularResource": one["singularName"],
                "verbs": one["verbs"],
            }
            for field in ("shortNames", "categories"):
                if field in one:
                    top[name][field] = one[field]
        versions = [{"version": version, "resources": list(top.values()), "freshness": "Current"}]
        items.append({"metadata": {"name": group}, "versions": versions})
    return {"kind": "APIGroupDiscoveryList", "metadata": {}, "items": items}
