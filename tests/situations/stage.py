"""Where situations are brought about: a host with an agent and a pool, and what people do there.

A Step does one thing to it, and lets everything happen that this causes. A Fact is what must come
to be true.
"""

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from mooring.api.explaining import World
from mooring.api.snapshots import Snapshots
from mooring.model.claim import Claim
from mooring.model.names import DEFAULT_SNAPSHOT_CLASS, HOSTNAME
from mooring.model.pod import Pod
from mooring.model.snapshot import Snapshot
from mooring.model.volume import Volume
from mooring.node.agent import Agent
from mooring.objects.errors import Forbidden
from mooring.objects.kind import Doc
from mooring.objects.patches import json_patched, merge_patched
from mooring.objects.schema import SCHEMAS
from mooring.objects.strategic import strategic_patched
from mooring.reconcile.queue import Queue
from mooring.rules.explanation import Explanation
from tests.node.host_plant import HostPlant
from tests.rules.making import modes_of

Step = Callable[["Stage"], None]
CSI: Final = "csi.example.com"  # of somebody else
SNAPSHOT: Final = "volumesnapshot"  # as kubectl calls it
DIRECTORY: Final = "directory.mooring.dev"
READY: Final = {"conditions": [{"type": "Ready", "status": "True"}]}
UID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Fact(NamedTuple):
    """what  in words   holds  whether it is so"""

    what: str
    holds: Callable[["Stage"], bool]


class Stage(HostPlant):
    """A pool `local` on the host `here`, and a class of it."""

    def __init__(self, place: Path) -> None:
        self._others: list[Agent] = []
        super().__init__(place)
        self.text = ""  # of the explanation that is followed
        self.names = {
            name: kind.resource
            for kind in self.objects.kinds.values()
            for name in (kind.singular, kind.plural, *kind.short_names)
            if not kind.stored_as
        }

    def hire(self, node: str) -> None:
        """An agent for another host."""
        place = self.state.parent / f"agent-{node}"
        agent = Agent(self.objects, node, place, self.controllers.recorder.note)
        self._others.append(agent)
        self._run(agent.start())

    def close(self) -> None:
        for agent in self._others:
            self._run(agent.stop())
        super().close()

    def _queues(self) -> list[Queue]:
        queues = super()._queues()
        for agent in self._others:
            queues += [agent.claims, agent.volumes, agent.health.queue, agent.registrar.queue]
        return queues

    def pass_time(self, seconds: float) -> None:
        """Meanwhile the agents of all hosts are at work."""
        super().pass_time(seconds)
        for one in (self.agent, *self._others):
            self._run(one.heartbeat.beat())
        self.settle()

    def act(self, steps: Sequence[Step]) -> None:
        for step in steps:
            step(self)
            self.settle()

    def explained(self, asked: str) -> str:
        """What `mooring explain` prints of "pvc db" or "pvc db --delete", as it prints it."""
        return "\n".join(self._explanation(asked).lines())

    def _explanation(self, asked: str) -> Explanation:
        what, name, *options = asked.split()
        world = World(self.objects)
        if options == ["--delete"]:
            return world.claim_deleted(self._there(Claim, f"default/{name}"), "")
        if what == "pvc":
            return world.claim(self._there(Claim, f"default/{name}"), "")
        if what == "pv":
            return world.volume(self._there(Volume, name))
        if what == "pod":
            return world.pod(self._there(Pod, f"default/{name}"))
        return Snapshots(world).explained(self._there(Snapshot, f"default/{name}"))

    def _there(self, type_: Any, key: str) -> Any:
        found = self.view(type_, key)
        assert found is not None, f"there is no {key}"
        return found

    def kubectl(self, line: str) -> None:
        """Do what kubectl does with such a command line."""
        _, verb, *rest = shlex.split(line)
        kind, name, *rest = ["node", *rest] if verb == "uncordon" else rest
        resource = self.names[kind]
        options = dict(pairwise(rest))
        namespaced = self.objects.kinds[resource].namespaced
        key = f"{options.get('-n', 'default')}/{name}" if namespaced else name
        change: Callable[[Doc], Doc]
        if verb == "patch":
            change = self._patch(resource, options.get("--type", "strategic"), options["-p"])
        elif verb == "annotate":
            change = partial(_annotated, rest[-1])
        elif verb == "uncordon":
            change = partial(merge_patched, patch={"spec": {"unschedulable": None}})
        else:
            assert verb == "delete", line
            assert self.delete(resource, key), line
            return
        self.change(resource, key, change)

    def _patch(self, resource: str, type_: str, text: str) -> Callable[[Doc], Doc]:
        patch = json.loads(text)
        if type_ == "merge":
            return partial(merge_patched, patch=patch)
        if type_ == "json":
            return partial(json_patched, operations=patch)
        node = SCHEMAS.node(self.objects.kinds[resource])
        return partial(strategic_patched, patch=patch, node=node)

    def change(
        self, resource: str, key: str, change: Callable[[Doc], Doc], status: str = ""
    ) -> None:
        """Whatever refuses it is the failure of a test."""
        kind = self.objects.kinds[resource]
        self._run(self.objects.update(kind, key, change, subresource=status))

    def put(self, resource: str, doc: Doc) -> None:
        """Whatever refuses it is the failure of a test."""
        self._run(self.creation(resource, doc))
        self.settle()


def _annotated(what: str, doc: Doc) -> Doc:
    key, says, value = what.partition("=")
    annotations = doc["metadata"].setdefault("annotations", {})
    if says:
        annotations[key] = value
    else:
        annotations.pop(key.removesuffix("-"), None)
    return doc


def plain(text: str) -> str:
    """Without what is another each time."""
    return UID.sub("UID", text)


def commands(text: str) -> list[str]:
    """The command lines in a text; each ends with its line, or before a "; " or ", "."""
    found = []
    for start in re.finditer(r"kubectl (?!edit|describe)", text):
        quoted = False
        for end, letter in enumerate(text[start.start() :], start.start()):
            quoted ^= letter == "'"
            if not quoted and (letter == "\n" or text[end : end + 2] in ("; ", ", ")):
                break
        else:
            end = len(text)
        found.append(text[start.start() : end])
    return found


# What people do


@dataclass(frozen=True)
class Run:
    """Do the command line of the explanation that starts so."""

    start: str

    def __call__(self, stage: Stage) -> None:
        found = [line for line in commands(stage.text) if line.startswith(self.start)]
        assert len(found) == 1, f"{found} start with {self.start!r} in {stage.text}"
        stage.kubectl(found[0])


def ask(asked: str) -> Step:
    """Follow the explanation of something else from here on."""

    def step(stage: Stage) -> None:
        stage.text = stage.explained(asked)

    return step


def sees(fact: Fact) -> Step:
    def step(stage: Stage) -> None:
        assert fact.holds(stage), fact.what

    return step


def refused(step: Step) -> Step:
    """What is forbidden, and changes nothing."""

    def tried(stage: Stage) -> None:
        with pytest.raises(Forbidden):
            step(stage)

    return tried


def agent(node: str) -> Step:
    return lambda stage: stage.hire(node)


def wait(seconds: float) -> Step:
    return lambda stage: stage.pass_time(seconds)


def provision(name: str = "db", class_: str = "fast") -> Step:
    """What csi.example.com does for a claim."""

    def step(stage: Stage) -> None:
        found = stage.claim(name)
        csi = {"driver": CSI, "volumeHandle": name}
        ref = pointer(name, found.uid)
        volume(f"pvc-{found.uid}", class_=class_, csi=csi, claimRef=ref)(stage)

    return step


def cut(name: str = "monday", error: Doc | None = None) -> Step:
    """What the snapshotter of csi.example.com does for a snapshot, or that it fails."""

    def step(stage: Stage) -> None:
        found = stage.view(Snapshot, f"default/{name}")
        assert found is not None
        done = {"snapshotHandle": "s", "readyToUse": True, "creationTime": 1, "restoreSize": 1}
        status = {"error": error} if error else {**done, "error": None}
        edit("volumesnapshotcontent", found.content_name, {"status": status}, "status")(stage)

    return step


def put(resource: str, doc: Doc) -> Step:
    return lambda stage: stage.put(stage.names[resource], doc)


def edit(kind: str, key: str, patch: Doc, status: str = "") -> Step:
    """By a merge patch. key: of what is in the namespace default, its name."""

    def step(stage: Stage) -> None:
        resource = stage.names[kind]
        whole = f"default/{key}" if stage.objects.kinds[resource].namespaced else key
        stage.change(resource, whole, partial(merge_patched, patch=patch), status)

    return step


def delete(kind: str, name: str) -> Step:
    def step(stage: Stage) -> None:
        resource = stage.names[kind]
        key = f"default/{name}" if stage.objects.kinds[resource].namespaced else name
        assert stage.delete(resource, key)

    return step


def claim(
    name: str = "db",
    *,
    size: str = "1Gi",
    modes: str = "RWO",
    class_: str | None = "",
    metadata: Doc | None = None,
    **spec: Any,
) -> Step:
    """Of class "" unless said; None: it says none."""
    doc = {"accessModes": list(modes_of(modes)), "resources": {"requests": {"storage": size}}}
    doc |= {} if class_ is None else {"storageClassName": class_}
    return put("pvc", {"metadata": {"name": name, **(metadata or {})}, "spec": {**doc, **spec}})


def volume(
    name: str = "v1",
    *,
    size: str = "1Gi",
    modes: str = "RWO",
    class_: str = "",
    metadata: Doc | None = None,
    **spec: Any,
) -> Step:
    """A hostPath, unless another source is said."""
    doc: Doc = {
        "capacity": {"storage": size},
        "accessModes": list(modes_of(modes)),
        "storageClassName": class_,
    }
    if "csi" not in spec:
        doc["hostPath"] = {"path": f"/srv/{name}"}
    return put("pv", {"metadata": {"name": name, **(metadata or {})}, "spec": {**doc, **spec}})


def storage_class(
    name: str = "fast", provisioner: str = DIRECTORY, *, waits: bool = False, **fields: Any
) -> Step:
    mode = {"volumeBindingMode": "WaitForFirstConsumer"} if waits else {}
    return put("sc", {"metadata": {"name": name}, "provisioner": provisioner, **mode, **fields})


def pool(name: str = "team", *, node: str = "here", **spec: Any) -> Step:
    """Its root is below that of the stage."""

    def step(stage: Stage) -> None:
        fixed = {"driver": DIRECTORY, "node": node, "root": str(stage.root.parent / name)}
        stage.put("pools.mooring.dev", {"metadata": {"name": name}, "spec": {**fixed, **spec}})

    return step


def node(name: str, *, ready: bool = True, **spec: Any) -> Step:
    def step(stage: Stage) -> None:
        labels = {HOSTNAME: name}
        stage.put("nodes", {"metadata": {"name": name, "labels": labels}, "spec": spec})
        if ready:
            edit("node", name, {"status": READY}, "status")(stage)

    return step


def pod(name: str, *claims: str, metadata: Doc | None = None, **spec: Any) -> Step:
    volumes = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in claims]
    doc = {"containers": [{"name": "c", "image": "i"}], "volumes": volumes, **spec}
    return put("pod", {"metadata": {"name": name, **(metadata or {})}, "spec": doc})


def snapshot(name: str = "monday", *, of: str = "db", class_: str = "", **metadata: object) -> Step:
    named = {"volumeSnapshotClassName": class_} if class_ else {}
    spec = {"source": {"persistentVolumeClaimName": of}, **named}
    return put(SNAPSHOT, {"metadata": {"name": name, **metadata}, "spec": spec})


def snapshot_class(name: str = "daily", driver: str = CSI, *, default: bool = False) -> Step:
    annotations = {DEFAULT_SNAPSHOT_CLASS: "true"} if default else {}
    metadata = {"name": name, "annotations": annotations}
    doc = {"metadata": metadata, "driver": driver, "deletionPolicy": "Delete"}
    return put("volumesnapshotclass", doc)


def pointer(name: str = "db", uid: str = "") -> Doc:
    """A claimRef."""
    return {"namespace": "default", "name": name} | ({"uid": uid} if uid else {})


# What must come to be


def phase(kind: str, name: str, phase: str) -> Fact:
    def holds(stage: Stage) -> bool:
        doc = _one(stage, kind, name)
        return doc is not None and (doc.get("status") or {}).get("phase") == phase

    return Fact(f"{kind} {name} is {phase}", holds)


def bound(name: str = "db", to: str = "") -> Fact:
    def holds(stage: Stage) -> bool:
        found = stage.view(Claim, f"default/{name}")
        return found is not None and found.phase == "Bound" and to in ("", found.volume_name)

    return Fact(f"{name} is bound to {to or 'a volume'}", holds)


def gone(kind: str, name: str) -> Fact:
    return Fact(f"{kind} {name} is gone", lambda stage: _one(stage, kind, name) is None)


def _one(stage: Stage, kind: str, name: str) -> Doc | None:
    resource = stage.names[kind]
    namespaced = stage.objects.kinds[resource].namespaced
    return stage.objects.one(resource, f"default/{name}" if namespaced else name)


def placed(name: str, node: str = "here") -> Fact:
    def holds(stage: Stage) -> bool:
        doc = _one(stage, "pod", name)
        return doc is not None and doc["spec"].get("nodeName") == node

    return Fact(f"pod {name} is on {node}", holds)


def size(name: str, size: str) -> Fact:
    def holds(stage: Stage) -> bool:
        found = stage.view(Claim, f"default/{name}")
        return found is not None and str(found.capacity) == size

    return Fact(f"{name} has {size}", holds)


def ready(name: str = "monday") -> Fact:
    def holds(stage: Stage) -> bool:
        found = stage.view(Snapshot, f"default/{name}")
        return found is not None and found.is_ready

    return Fact(f"snapshot {name} is ready to use", holds)


def says(asked: str, start: str) -> Fact:
    """Of another object, or of the same once more."""
    return Fact(f"{asked} {start}", lambda stage: start in stage.explained(asked))
