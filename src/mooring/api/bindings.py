"""Bindings: how a scheduler gives a pod its node. Nothing of them is stored but what they do.

POST /api/v1/namespaces/NAMESPACE/pods/NAME/binding
POST /api/v1/namespaces/NAMESPACE/bindings
"""

import re
from typing import Final

from mooring.api.bodies import options
from mooring.api.http import Request
from mooring.api.mirrors import refuse_mirror
from mooring.api.status import ApiError
from mooring.clock import timestamp
from mooring.model.pod import Pod
from mooring.objects.documents import encoded
from mooring.objects.errors import Invalid, NotFound
from mooring.objects.kind import Cause, Doc, Kind
from mooring.objects.kinds.common import not_supported, required
from mooring.objects.objects import TRIES, Objects, Preconditions
from mooring.rules.scheduling import assigned
from mooring.store.interface import Conflict

PATH: Final = re.compile("/api/v1/namespaces/([^/]+)/(?:pods/([^/]+)/binding|bindings)")
BINDING: Final = Kind("", "v1", "Binding", "bindings", "binding", True)
DONE: Final[Doc] = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Success",
    "code": 201,
}


class Bindings:
    """Answers by path."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def serves(self, request: Request) -> bool:
        """Answer, if it is one of its paths. Raises ApiError, Invalid, NotFound, Stale."""
        found = PATH.fullmatch(request.path)
        if found is None or request.method != "POST":
            return False
        namespace, name = found.groups()
        binding = await options(request, "v1", "Binding")
        metadata, target = binding.get("metadata") or {}, binding.get("target") or {}
        name = name or metadata.get("name") or ""
        if metadata.get("name") not in (None, "", name):
            raise ApiError("BadRequest", "name in URL does not match name in Binding object")
        if metadata.get("namespace") not in (None, "", namespace):
            what = "the namespace of the provided object does not match the namespace sent"
            raise ApiError("BadRequest", f"{what} on the request")
        if causes := _causes(target):
            raise Invalid(BINDING, name, causes)
        await self._bind(f"{namespace}/{name}", metadata, target["name"], request)
        await request.answer(201, encoded(DONE))
        return True

    async def _bind(self, key: str, metadata: Doc, node: str, request: Request) -> None:
        """The pod on the node, with the annotations of the binding. Once: a node is for good."""
        kind, name = self._objects.kinds[Pod.resource], key.rpartition("/")[2]
        same = Preconditions(metadata.get("uid") or "", metadata.get("resourceVersion") or "")
        for _ in range(TRIES):
            pod, doc = self._objects.view(Pod, key), self._objects.one(Pod.resource, key)
            if pod is None or doc is None:
                raise NotFound(kind, name)
            refuse_mirror(kind, doc)
            same.refuse(kind, doc)
            if why := _refusal(pod):
                what = f'Operation cannot be fulfilled on pods/binding "{name}": {why}'
                raise ApiError("Conflict", what)
            if request.query.get("dryRun"):
                return
            noted = pod.annotated(**(metadata.get("annotations") or {}))
            wanted = assigned(noted, node, timestamp(self._objects.clock.now()))
            try:
                await self._objects.commit([(pod, wanted)])
            except Conflict:
                continue
            return
        raise ApiError("Conflict", f"pod {key} changes all the time", "try again")


def _causes(target: Doc) -> list[Cause]:
    causes = []
    if target.get("kind") not in (None, "", "Node"):
        causes.append(not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        causes.append(required("target.name"))
    return causes


def _refusal(pod: Pod) -> str:
    if pod.being_deleted:
        return f"pod {pod.name} is being deleted, cannot be assigned to a host"
    if pod.node_name:
        return f'pod {pod.name} is already assigned to node "{pod.node_name}"'
    if pod.spec.scheduling_gates:
        return f"pod {pod.name} has non-empty .spec.schedulingGates"
    return ""
