"""What a node agent may read and write: what concerns its host, and nothing else. Pure.

An agent's token is on its host, and a host may be taken over. Whoever has it can then do to the
host's own volumes what root there can do anyway; the table below is what keeps the others out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from mooring.model.attachment import Attachment
from mooring.model.backup import BackupRepository, VolumeArchive, VolumeBackup
from mooring.model.claim import Claim
from mooring.model.csi import CAPACITY_NAMESPACE, CsiDriver, StorageCapacity
from mooring.model.decoding import ViewDecoder
from mooring.model.event import Event
from mooring.model.home import MAY_BE_HOME, CopyState, Elsewhere
from mooring.model.names import COPIES, DRIVERS, HOME, HOSTNAME, POOL_ATTRIBUTE
from mooring.model.node import NODE_LEASES, Node
from mooring.model.pod import MIRROR, Pod
from mooring.model.pool import Pool
from mooring.model.quota import ResourceQuota
from mooring.model.snapshot import Snapshot, SnapshotContent
from mooring.model.volume import Volume
from mooring.rules.fencing import has_promised

Doc = dict[str, Any]
LEASES: Final = "leases.coordination.k8s.io"
NAMESPACES: Final = "namespaces"
CSI_NODES: Final = "csinodes.storage.k8s.io"
# Of a volume: where it is and what it is made of. Who could change that could reach into others.
FIXED_OF_VOLUMES: Final = frozenset(
    {"csi", "nodeAffinity", "accessModes", "storageClassName", "mountOptions", "volumeMode"}
    | {"hostPath", "local", "nfs", "iscsi"}
)
_VOLUMES: Final = ViewDecoder(Volume)
_UNTOLD: Final = ("managedFields", "resourceVersion", "generation")  # of metadata


@dataclass(frozen=True)
class AgentHost:
    """Of one agent. namespaces: that it serves; none: all."""

    node: str
    namespaces: frozenset[str] = frozenset()

    def serves(self, namespace: str) -> bool:
        return not self.namespaces or namespace in self.namespaces


class World(Protocol):
    """What a decision asks of other objects."""

    def pool(self, name: str) -> Pool | None: ...

    def volume(self, name: str) -> Volume | None: ...

    def may_pass(self, node: str, *, has_promised: bool) -> bool:
        """Whether a volume that a node holds may pass to another now.

        has_promised  the node, when it took it, to fence itself
        """

    def holds(self, volume: str, node: str) -> bool:
        """Whether a node has the right to use a volume, which one host at most has."""


def may_read(host: AgentHost, resource: str, namespace: str) -> bool:
    """Whether it sees objects of a kind in a namespace ("": of the whole cluster).

    Events are told to the server, and read by people.
    """
    if resource == Event.resource:
        return False
    told_by_nodes = ((LEASES, NODE_LEASES), (StorageCapacity.resource, CAPACITY_NAMESPACE))
    return not namespace or (resource, namespace) in told_by_nodes or host.serves(namespace)


def refusal(
    host: AgentHost, resource: str, key: str, before: Doc | None, after: Doc | None, world: World
) -> str:
    """Why it may not write this; "" if it may. before, after: None if there is none."""
    rule = _RULES.get(resource)
    if rule is None:
        return f"an agent does not write {resource}"
    one = before if after is None else after
    assert one is not None
    return rule(_Write(host, key, before, after, one, world))


@dataclass(frozen=True)
class _Write:
    host: AgentHost
    key: str
    before: Doc | None
    after: Doc | None
    one: Doc  # after, or before if it goes
    world: World

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def namespace(self) -> str:
        return self.key.rpartition("/")[0]

    @property
    def both(self) -> list[Doc]:
        return [one for one in (self.before, self.after) if one is not None]

    def of_a_namespace(self) -> str:
        if self.host.serves(self.namespace):
            return ""
        return f"node {self.host.node} does not serve namespace {self.namespace}"

    def of_another(self, what: str = "") -> str:
        return f"it is {what or 'another'}'s, not node {self.host.node}'s"

    def changed(self) -> tuple[Doc, Doc] | None:
        """As it was and as it is to be; None if it comes or goes."""
        if self.before is None or self.after is None:
            return None
        return self.before, self.after

    def spec_changes(self) -> bool:
        """Also if it comes or goes."""
        pair = self.changed()
        return pair is None or pair[0].get("spec") != pair[1].get("spec")

    def is_own(self, name: str) -> bool:
        """A pool of this host alone."""
        pool = self.world.pool(name) if name else None
        return pool is not None and pool.node == self.host.node

    def is_pool_ours(self, name: str) -> bool:
        pool = self.world.pool(name) if name else None
        return pool is not None and pool.node in ("", self.host.node)


def _own_name(write: _Write) -> str:
    return "" if write.name == write.host.node else write.of_another(f"node {write.name}")


def _node(write: _Write) -> str:
    if why := _own_name(write):
        return why
    if write.after is None:
        return "an agent does not remove its Node; `mooring node remove` does"
    before, after = (
        (_part(one, "spec", "taints"), bool(_part(one, "spec", "unschedulable")))
        for one in (write.before or {}, write.after)
    )
    if before != after:
        return "taints and cordons are an operator's word about a node, not its own"
    labels = (write.after.get("metadata") or {}).get("labels") or {}
    if labels.get(HOSTNAME, write.name) != write.name:
        return f"label {HOSTNAME} of a node is its own name"
    return ""


def _lease(write: _Write) -> str:
    if write.namespace != NODE_LEASES:
        return f"leases of agents are in {NODE_LEASES}"
    if write.after is None:
        return "an agent does not delete its lease"
    return _own_name(write)


def _namespace(write: _Write) -> str:
    if write.before is None and write.name in (NODE_LEASES, CAPACITY_NAMESPACE):
        return ""
    return "an agent makes and changes no namespaces"


def _driver(write: _Write) -> str:
    if write.before is None and write.name in DRIVERS:
        return ""
    return "an agent tells of its own drivers once, and changes none"


def _capacity(write: _Write) -> str:
    if write.namespace != CAPACITY_NAMESPACE:
        return f"capacities are told in {CAPACITY_NAMESPACE}"
    for one in write.both:
        if _part(one, "nodeTopology", "matchLabels") != {HOSTNAME: write.host.node}:
            return write.of_another()
    return ""


def _attachment(write: _Write) -> str:
    for one in write.both:
        node = str(_part(one, "spec", "nodeName"))
        if node == write.host.node:
            continue
        promised = has_promised(_part(one, "metadata", "annotations") or {})
        if write.after is not None or not write.world.may_pass(node, has_promised=promised):
            return f"the volume is node {node}'s, and may not pass to another now"
    return _locked(write) if write.after is not None and write.spec_changes() else ""


def _locked(write: _Write) -> str:
    """Of a host that takes the right to use a volume, which keeps all others from it."""
    name = str(_part(write.one, "spec", "source", "persistentVolumeName"))
    volume = write.world.volume(name)
    if volume is None:
        return f"there is no volume {name}"
    if volume.claim_ref is not None and not write.host.serves(volume.claim_ref.namespace):
        return f"volume {name} is of a namespace that node {write.host.node} does not serve"
    moves = volume.home is not None and volume.elsewhere is not Elsewhere.REFUSE
    if volume.hosts and write.host.node not in volume.hosts and not moves:
        return f"its data is on {', '.join(sorted(volume.hosts))}, not on node {write.host.node}"
    return ""


def _pod(write: _Write) -> str:
    for one in write.both:
        labels = one["metadata"].get("labels") or {}
        if MIRROR not in labels or _part(one, "spec", "nodeName") != write.host.node:
            return f"an agent writes mirrors of containers on node {write.host.node} alone"
    return write.of_a_namespace()


def _claim(write: _Write) -> str:
    return write.of_a_namespace()


def _volume(write: _Write) -> str:
    for one in write.both:
        spec = one.get("spec") or {}
        claimed = _part(spec, "claimRef", "namespace")
        if claimed and not write.host.serves(str(claimed)):
            return f"it is of namespace {claimed}, which node {write.host.node} does not serve"
    if why := _places(write):
        return why
    if (pair := write.changed()) is not None:
        before, after = (one.get("spec") or {} for one in pair)
        for field in sorted(FIXED_OF_VOLUMES):
            if before.get(field) != after.get(field):
                return f"spec.{field} of a volume is not an agent's to change"
    return ""


def _places(write: _Write) -> str:
    """Where the data is of a volume that comes, goes or changes."""
    homes = [_movable(one) for one in write.both]
    if any(one is not None for one in homes):
        return _home(write)
    for one in write.both:
        spec = one.get("spec") or {}
        pool = _part(spec, "csi", "volumeAttributes", POOL_ATTRIBUTE)
        if pool and not write.is_pool_ours(str(pool)) and write.changed() is None:
            return f"pool {pool} is not of node {write.host.node}"
        if not pool and write.changed() is None:
            return "an agent makes and removes volumes of its pools alone"
        hosts = _hosts(spec)
        if hosts and write.host.node not in hosts:
            return f"its data is on {', '.join(sorted(hosts))}, not on node {write.host.node}"
    return ""


def _movable(doc: Doc) -> Volume | None:
    """The volume that this is, if it may come to other hosts."""
    if HOME not in (_part(doc, "metadata", "annotations") or {}):
        return None
    return _VOLUMES.decode(msgspec.json.encode(doc))


def _home(write: _Write) -> str:
    """Of a volume that may come to other hosts. Decision 0033.

    Its home alone makes, removes and changes it. Others say what they themselves have of its data;
    one that has it, and the right to use it, may be its home from then on.
    """
    old, new = (None if one is None else _movable(one) for one in (write.before, write.after))
    if write.before is not None and write.after is not None and (old is None or new is None):
        return "whether a volume may come to other hosts is not an agent's to change"
    node, present = write.host.node, [one for one in (old, new) if one is not None]
    if old is None or new is None:
        if present[0].hosts != (node,) or not write.is_own(present[0].pool):
            return f"its home is {present[0].home}, not on node {node}"
        if old is None and present[0].handle != present[0].name:
            # It may be an asset of another volume in a pool that this one moves to.
            return f"its volumeHandle is {present[0].handle}, and not its own name"
        return "it has copies" if present[0].copies else ""
    if old.elsewhere != new.elsewhere:
        return "what becomes of a use elsewhere is not an agent's to change"
    if old.home != new.home:
        return _new_home(write, old, new)
    for one in set(old.copies) ^ set(new.copies):
        if write.host.namespaces and old.claim_ref is None and old.hosts != (node,):
            return f"no namespace has it, and node {node} serves some alone"
        if one.node != node or not write.is_own(one.pool):
            return write.of_another(f"a copy of node {one.node} in {one.pool}")
    if node in old.hosts:
        return ""
    return _only_places(write, f"its data is on {old.hosts[0]}, not on node {node}")


def _new_home(write: _Write, old: Volume, new: Volume) -> str:
    node, was, home = write.host.node, old.home, new.home
    assert was is not None
    if home is None or home.node != node or not write.is_own(home.pool):
        return f"node {node} makes nobody but itself the home of a volume, in a pool of its own"
    mine = old.copy_on(node)
    if mine is None or mine.pool != home.pool or mine.state not in MAY_BE_HOME:
        return f"node {node} has no copy in {home.pool} that could be its home"
    if old.elsewhere is Elsewhere.REPLICA and mine.state is not CopyState.REPLICA:
        return f"node {node} has no whole replica"
    if mine.takes != old.takes:
        return f"pool {mine.pool} is not charged with what the volume takes"
    if not write.world.holds(old.name, node):
        return f"node {node} has not the right to use it, which comes first"
    left = new.copy_on(was.node)
    stays = {one for one in old.copies if one.node != node}
    if (
        left is None
        or (left.pool, left.takes) != (was.pool, old.takes)
        or left.state in MAY_BE_HOME
        or set(new.copies) != stays | {left}
    ):
        return f"what {was} has of it is a copy then, and all other copies stay"
    return _only_places(write, "who becomes the home of a volume changes nothing else of it")


def _only_places(write: _Write, why: str) -> str:
    """why: it is not to be written, if more than home and copies is another."""
    pair = write.changed()
    assert pair is not None
    before, after = (_without_places(one) for one in pair)
    return "" if before == after else why


def _without_places(doc: Doc) -> Doc:
    metadata = {k: v for k, v in doc["metadata"].items() if k not in _UNTOLD}
    annotations = metadata.pop("annotations", None) or {}
    kept = {k: v for k, v in annotations.items() if k not in (HOME, COPIES)}
    return {**doc, "metadata": {**metadata, "annotations": kept}}


def _pool(write: _Write) -> str:
    if write.spec_changes():
        return _ONLY_STATUS
    return "" if write.is_pool_ours(write.name) else write.of_another()


def _status_alone(write: _Write) -> str:
    if write.spec_changes():
        return _ONLY_STATUS
    return write.of_a_namespace()


def _content(write: _Write) -> str:
    """Of a snapshot, which lies in a pool."""
    if write.spec_changes():
        return _ONLY_STATUS
    namespace = _part(write.one, "spec", "volumeSnapshotRef", "namespace")
    if namespace and not write.host.serves(str(namespace)):
        return f"it is of namespace {namespace}, which node {write.host.node} does not serve"
    return "" if str(_part(write.one, "spec", "driver")) in DRIVERS else write.of_another()


def _repository(write: _Write) -> str:
    """A directory is of the first host that sees it."""
    if (pair := write.changed()) is None:
        return _ONLY_STATUS
    before, after = (dict(one.get("spec") or {}) for one in pair)
    had, has = before.pop("node", ""), after.pop("node", "")
    if before != after or (had != has and (had or has != write.host.node)):
        return _ONLY_STATUS
    return write.of_a_namespace()


def _csi_node(write: _Write) -> str:
    return _own_name(write) if write.after is not None else "an agent does not remove its CSINode"


def _hosts(spec: Mapping[str, Any]) -> set[str]:
    """Nodes that an affinity names, as Mooring writes them."""
    found: set[str] = set()
    terms = _part(spec, "nodeAffinity", "required", "nodeSelectorTerms") or ()
    for term in terms:
        for wanted in term.get("matchExpressions") or ():
            if wanted.get("key") == HOSTNAME and wanted.get("operator") == "In":
                found.update(wanted.get("values") or ())
    return found


def _part(doc: Mapping[str, Any], *path: str) -> Any:
    """What is there; "" if there is nothing."""
    found: Any = doc
    for name in path:
        found = (found or {}).get(name)
    return "" if found is None else found


_ONLY_STATUS: Final = "an agent makes and removes none, and changes no spec"
_RULES: Final[Mapping[str, Callable[[_Write], str]]] = {
    Node.resource: _node,
    LEASES: _lease,
    NAMESPACES: _namespace,
    CSI_NODES: _csi_node,
    CsiDriver.resource: _driver,
    StorageCapacity.resource: _capacity,
    Attachment.resource: _attachment,
    Pod.resource: _pod,
    Claim.resource: _claim,
    Volume.resource: _volume,
    Pool.resource: _pool,
    ResourceQuota.resource: _status_alone,
    Snapshot.resource: _status_alone,
    SnapshotContent.resource: _content,
    VolumeBackup.resource: _status_alone,
    VolumeArchive.resource: _status_alone,
    BackupRepository.resource: _repository,
}
