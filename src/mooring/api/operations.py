"""The paths of the API and what may be done at each, in the words of OpenAPI v2.

kubectl looks here whether the server tries writes out (the parameter dryRun of PATCH) and whether
it checks fields (fieldValidation); generators of clients take the names of their calls from here.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from mooring.api.discovery import REVIEWS
from mooring.api.patching import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from mooring.objects.kind import Doc, Kind
from mooring.objects.schema import GROUP_VERSION_KIND, META, REFERENCE, definition_names

ACTION: Final = "x-kubernetes-action"
JSON: Final = "application/json"
WATCHED: Final = "application/json;stream=watch"
APPLY_PATCH: Final = "application/apply-patch+yaml"
PATCHES: Final = [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH]

# Parameters of a query: {name: (type, what it says)}.
_WRITING: Final = {
    "dryRun": ("string", "All: answer as if the write were done, and do not do it."),
    "fieldManager": ("string", "Who writes, as metadata.managedFields will say."),
    "fieldValidation": (
        "string",
        "What becomes of fields that are unknown or given twice. Ignore: they are dropped. "
        "Warn (default): they are dropped and named in Warning headers. Strict: 400.",
    ),
}
_FORCE: Final = {"force": ("boolean", "Take fields that another manager owns; only for an apply.")}
_CHOOSING: Final = {
    "fieldSelector": ("string", "Choose by fields: metadata.name=a,status.phase!=Bound."),
    "labelSelector": ("string", "Choose by labels: app=db,tier in (a, b)."),
}
_LISTING: Final = _CHOOSING | {
    "allowWatchBookmarks": ("boolean", "A watch also tells how far it is, by events BOOKMARK."),
    "continue": ("string", "Where the page before ended, from its metadata.continue."),
    "limit": ("integer", "How many objects a page has at most."),
    "resourceVersion": ("string", "Which revision is to be seen; see resourceVersionMatch."),
    "resourceVersionMatch": ("string", "Exact, or NotOlderThan (default)."),
    "sendInitialEvents": ("boolean", "A watch begins with what there is, as events ADDED."),
    "timeoutSeconds": ("integer", "When a watch ends."),
    "watch": ("boolean", "Tell every change from now on, one JSON object a line."),
}
_DELETING: Final = {"dryRun": _WRITING["dryRun"]}


# By action, as x-kubernetes-action has it: how the names of operations begin.
_VERBS: Final = {
    "list": "list",
    "post": "create",
    "deletecollection": "delete",
    "get": "read",
    "put": "replace",
    "patch": "patch",
    "delete": "delete",
}


def paths(kinds: Iterable[Kind]) -> dict[str, Doc]:
    """All of them, each with the kind that it is about in each operation."""
    found: dict[str, Doc] = {}
    for kind in kinds:
        found.update(_of_kind(kind))
    for place, plural, name in REVIEWS:
        _, _, group, version = place.split("/")
        kind = Kind(group, version, name, plural, name.lower(), namespaced=False)
        post = _operation(kind, "post", name, _one(kind), {}, _one(kind))
        found[f"{place}/{plural}"] = {"post": post}
    return dict(sorted(found.items()))


def _of_kind(kind: Kind) -> Iterator[tuple[str, Doc]]:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    collection, scoped = f"{root}/{kind.plural}", kind.kind
    place: list[Doc] = []
    if kind.namespaced:
        everywhere = f"{kind.kind}ForAllNamespaces"
        yield collection, {"get": _operation(kind, "list", everywhere, _list(kind), _LISTING)}
        collection = f"{root}/namespaces/{{namespace}}/{kind.plural}"
        place.append(_in_path("namespace", "the namespace of the objects"))
        scoped = f"Namespaced{kind.kind}"
    yield collection, _with(_on_collection(kind, scoped), place)
    place.append(_in_path("name", f"the name of the {kind.kind}"))
    item = f"{collection}/{{name}}"
    answer = _one(kind) if kind.returns_deleted else _meta("Status")
    delete = _operation(kind, "delete", scoped, answer, _DELETING, _meta("DeleteOptions"))
    yield item, _with(_on_item(kind, scoped) | {"delete": delete}, place)
    for name in sorted(kind.subresources):
        yield f"{item}/{name}", _with(_on_item(kind, scoped + _capital(name)), place)


def _with(operations: Doc, parameters: list[Doc]) -> Doc:
    return operations | ({"parameters": list(parameters)} if parameters else {})


def _on_collection(kind: Kind, scoped: str) -> Doc:
    several, choice = f"Collection{scoped}", _CHOOSING | _DELETING
    options = _meta("DeleteOptions")
    operations = {
        "get": _operation(kind, "list", scoped, _list(kind), _LISTING),
        "post": _operation(kind, "post", scoped, _one(kind), _WRITING, _one(kind)),
    }
    if kind.deletes_collection:
        all_ = _operation(kind, "deletecollection", several, _list(kind), choice, options)
        operations["delete"] = all_
    return operations


def _on_item(kind: Kind, scoped: str) -> Doc:
    one = _one(kind)
    return {
        "get": _operation(kind, "get", scoped, one, {}),
        "put": _operation(kind, "put", scoped, one, _WRITING, one),
        "patch": _operation(kind, "patch", scoped, one, _WRITING | _FORCE, _meta("Patch")),
    }


def _operation(
    kind: Kind,
    action: str,
    scoped: str,
    answer: Doc,
    query: Mapping[str, tuple[str, str]],
    body: Doc | None = None,
) -> Doc:
    """One call. scoped: how Kubernetes names what it is about, as NamespacedPodStatus."""
    verb, writes = _VERBS[action], action in ("post", "put", "patch")
    group = "".join(map(_capital, (kind.group.removesuffix(".k8s.io") or "core").split(".")))
    parameters = [_in_query(name, *said) for name, said in sorted(query.items())]
    if body is not None:
        parameters.append({"name": "body", "in": "body", "required": writes, "schema": body})
    codes = {"post": ("201",), "patch": ("200", "201")}.get(action, ("200",))
    said = {"200": "OK", "201": "Created"}
    return {
        "description": f"{verb} {kind.kind}",
        "consumes": PATCHES if action == "patch" else ["*/*"],
        "produces": [JSON, WATCHED] if action == "list" else [JSON],
        "operationId": f"{verb}{group}{_capital(kind.version)}{scoped}",
        "tags": [f"{group[:1].lower()}{group[1:]}_{kind.version}"],
        "parameters": parameters,
        "responses": {code: {"description": said[code], "schema": answer} for code in codes},
        ACTION: action,
        GROUP_VERSION_KIND: {"group": kind.group, "kind": kind.kind, "version": kind.version},
    }


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _in_query(name: str, type_: str, description: str) -> Doc:
    shape: dict[str, Any] = {"name": name, "in": "query", "type": type_}
    return {**shape, "description": description, "uniqueItems": True}


def _in_path(name: str, description: str) -> Doc:
    shape = {"name": name, "in": "path", "required": True, "type": "string"}
    return {**shape, "description": description, "uniqueItems": True}


def _one(kind: Kind) -> Doc:
    return _named(kind.group, kind.version, kind.kind)


def _list(kind: Kind) -> Doc:
    return _named(kind.group, kind.version, f"{kind.kind}List")


def _named(group: str, version: str, name: str) -> Doc:
    return {"$ref": REFERENCE + definition_names()[group, version, name]}


def _meta(name: str) -> Doc:
    return {"$ref": f"{REFERENCE}{META}.{name}"}
