"""Containers as Pods: what the mirror of one looks like. Docker volumes §11."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, NamedTuple

from mooring.clock import timestamp
from mooring.engine.container import Container, ContainerMount
from mooring.model.names import CONTAINER_NAME, SERVICE
from mooring.model.pod import MIRROR
from mooring.objects.kind import Doc

DOCKER: Final = "docker"  # the value of the label MIRROR
# Annotations.
CONTAINER_ID: Final = "mooring.dev/container-id"
MOUNT_ID: Final = "mooring.dev/mount-id"  # of mirrors of an ID, where Docker cannot be asked

_NAME_MAX: Final = 253  # letters, of a Pod
_LABEL_MAX: Final = 63  # letters, of a container in it
_SHORT: Final = 12  # digits of an ID, as Docker shows them
_FOREIGN: Final = re.compile(r"[^a-z0-9.]+")
_DOTS: Final = re.compile(r"-*\.[.-]*")  # each part begins and ends with a letter or a digit
# Of a container that does not run: why, as kubectl shows it.
_WAITING: Final = {"restarting": "Restarting", "removing": "Removing", "dead": "Dead"}


class Mirrored(NamedTuple):
    """A Pod that is to be there, as far as its container decides it."""

    namespace: str
    doc: Doc  # metadata and spec
    status: Doc

    @property
    def name(self) -> str:
        name: str = self.doc["metadata"]["name"]
        return name

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


def mirrors_of(
    container: Container, node: str, key_of: Callable[[str], str | None]
) -> list[Mirrored]:
    """One for each namespace whose claims it has.

    key_of  the claim, "namespace/name", of what Docker calls a volume; None if there is none
    """
    found: dict[str, list[tuple[str, ContainerMount]]] = {}
    for mount in container.mounts:
        if key := key_of(mount.volume):
            namespace, _, claim = key.partition("/")
            found.setdefault(namespace, []).append((claim, mount))
    return [_mirror(container, node, namespace, uses) for namespace, uses in found.items()]


def mirror_of_id(key: str, id_: str, node: str) -> Mirrored:
    """Of a user of which no more is known than its ID.

    key  "namespace/name" of the claim it was given
    """
    namespace, _, claim = key.partition("/")
    # One ID may have several claims, and is whatever the caller of the plugin said.
    tail = sha256(f"{key} {id_}".encode()).hexdigest()[:_SHORT]
    metadata = _metadata(_fitting(f"{DOCKER}-{node}-{id_[:_SHORT]}", tail), {MOUNT_ID: id_})
    volumes = {claim: True}
    container = {"name": "unknown", "image": "unknown", "volumeMounts": []}
    doc = {"metadata": metadata, "spec": _spec(node, container, volumes)}
    return Mirrored(namespace, doc, {"phase": "Running"})


def dated(status: Doc, before: Doc, now: str) -> Doc:
    """A status with the times that a list of containers does not tell.

    They are those at which a state was first seen: of `before`, the status as it was, while the
    state is the same; else `now`. One that has ended before it was seen ran since it was made.
    """
    if not status.get("containerStatuses"):
        return status
    (inner,) = status["containerStatuses"]
    ((name, state),) = inner["state"].items()
    seen: Doc = (before.get("containerStatuses") or [{}])[0]
    had: Doc = seen.get("state") or {}
    last = had.get(name) or {}
    if name == "running":
        times = {"startedAt": last.get("startedAt", now)}
    elif name == "terminated":
        ran = (had.get("running") or {}).get("startedAt", status["startTime"])
        times = {"startedAt": last.get("startedAt", ran), "finishedAt": last.get("finishedAt", now)}
    else:
        times = {}
    return {**status, "containerStatuses": [{**inner, "state": {name: {**state, **times}}}]}


def _mirror(
    container: Container, node: str, namespace: str, uses: list[tuple[str, ContainerMount]]
) -> Mirrored:
    head, tail = f"{DOCKER}-{node}-{container.name}", container.id[:_SHORT]
    told = {CONTAINER_ID: container.id, CONTAINER_NAME: container.name}
    if container.service:
        told[SERVICE] = container.service
    only_read: dict[str, bool] = {}
    for claim, mount in uses:
        only_read[claim] = only_read.get(claim, True) and mount.read_only
    names = {claim: f"claim-{number}" for number, claim in enumerate(only_read)}
    inner: Doc = {
        "name": _label(container.name),
        "image": container.image or "unknown",
        "volumeMounts": [
            {"name": names[claim], "mountPath": mount.target}
            | ({"readOnly": True} if mount.read_only else {})
            for claim, mount in uses
        ],
    }
    doc = {
        "metadata": _metadata(_fitting(head, tail), told),
        "spec": _spec(node, inner, only_read),
    }
    return Mirrored(namespace, doc, _status(container, inner))


def _metadata(name: str, annotations: Mapping[str, str]) -> Doc:
    return {"name": name, "labels": {MIRROR: DOCKER}, "annotations": dict(annotations)}


def _spec(node: str, container: Doc, claims: Mapping[str, bool]) -> Doc:
    """claims: {name: whether it is only read}."""
    volumes = [
        {
            "name": f"claim-{number}",
            "persistentVolumeClaim": {"claimName": claim}
            | ({"readOnly": True} if only_read else {}),
        }
        for number, (claim, only_read) in enumerate(claims.items())
    ]
    # Docker starts it again or does not; nobody here ever will.
    return {
        "nodeName": node,
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": volumes,
    }


def _status(container: Container, inner: Doc) -> Doc:
    if container.state == "created":
        return {"phase": "Pending"}
    is_ready = container.state == "running"
    status: Doc = {
        "phase": _phase(container),
        "startTime": timestamp(datetime.fromtimestamp(container.created, UTC)),
        "conditions": [{"type": "Ready", "status": str(is_ready)}],
        "containerStatuses": [
            {
                "name": inner["name"],
                "image": inner["image"],
                "imageID": "",
                "containerID": f"docker://{container.id}",
                "ready": is_ready,
                "restartCount": 0,
                "state": _state(container),
            }
        ],
    }
    if container.state in ("paused", "restarting"):
        status["reason"] = container.state.capitalize()
    return status


def _phase(container: Container) -> str:
    if container.state in ("running", "paused", "restarting"):
        return "Running"
    return "Succeeded" if container.state == "exited" and not container.exit_code else "Failed"


def _state(container: Container) -> Doc:
    if container.state in ("running", "paused"):
        return {"running": {}}
    if container.state == "exited":
        code = container.exit_code or 0
        return {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
    return {"waiting": {"reason": _WAITING.get(container.state, container.state)}}


def _fitting(head: str, tail: str) -> str:
    """A DNS subdomain that tells by its tail which of those with the same head it is."""
    return f"{_dns(head)[: _NAME_MAX - len(tail) - 1].rstrip('-.')}-{tail.lower()}"


def _label(name: str) -> str:
    return _dns(name).replace(".", "-")[:_LABEL_MAX].strip("-") or "unknown"


def _dns(text: str) -> str:
    return _DOTS.sub(".", _FOREIGN.sub("-", text.lower())).strip("-.")
