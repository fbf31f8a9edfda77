"""What an agent may read and write, and all that it may not."""

from typing import Any, NamedTuple

import msgspec
import pytest

from mooring.model.decoding import ViewDecoder
from mooring.model.home import Copy, CopyState, copies_text
from mooring.model.names import COPIES, ELSEWHERE, HOME
from mooring.model.pool import Pool, PoolSpec
from mooring.model.volume import Volume
from mooring.rules.node_rights import AgentHost, may_read, refusal

HOST = AgentHost("a", frozenset({"shop"}))
ANYWHERE = AgentHost("a")
Doc = dict[str, Any]


class Pools:
    """local-a and local-b are of nodes, nfs is of all."""

    def pool(self, name: str) -> Pool | None:
        nodes = {"local-a": "a", "local-b": "b", "nfs": ""}
        return Pool(spec=PoolSpec(node=nodes[name])) if name in nodes else None

    def volume(self, name: str) -> Volume | None:
        doc = LOCKED.get(name)
        return None if doc is None else ViewDecoder(Volume).decode(msgspec.json.encode(doc))

    def may_pass(self, node: str, *, has_promised: bool) -> bool:
        return node == "dead" or (node == "silent" and has_promised)

    def holds(self, volume: str, node: str) -> bool:
        return volume == "held" and node == "a"


class Case(NamedTuple):
    what: str
    key: str  # resource, then the key
    before: Doc | None
    after: Doc | None
    may: bool


def named(labels: Doc | None = None, **fields: Any) -> Doc:
    return {"metadata": {"name": "x", "labels": labels or {}}, **fields}


def a_volume(pool: str = "local-a", hosts: tuple[str, ...] = ("a",), claim: str = "shop") -> Doc:
    terms = [
        {
            "matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [*hosts]}
            ]
        }
    ]
    spec: Doc = {"capacity": {"storage": "1Gi"}}
    if pool:
        spec["csi"] = {"driver": "d", "volumeAttributes": {"mooring.dev/pool": pool}}
    if hosts:
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    if claim:
        spec["claimRef"] = {"namespace": claim, "name": "data"}
    return named(spec=spec)


def changed(doc: Doc, **spec: Any) -> Doc:
    return {**doc, "spec": {**doc["spec"], **spec}}


def a_copy(node: str, state: str = "arriving", pool: str = "", size: str = "1Gi") -> Copy:
    return Copy(node=node, pool=pool or f"local-{node}", state=CopyState(state), size=size)


def at_home(node: str, *copies: Copy, name: str = "held", **annotations: str) -> Doc:
    """A volume that may move, and may be used by this host alone."""
    doc = a_volume("local-first", ())
    doc["spec"]["csi"]["volumeHandle"] = name
    told = {HOME: f"{node}/local-{node}", ELSEWHERE: "move", **annotations}
    if copies:
        told[COPIES] = copies_text(copies)
    return {**doc, "metadata": {"name": name, "annotations": told, "resourceVersion": "7"}}


def unclaimed(doc: Doc) -> Doc:
    return {**doc, "spec": {k: v for k, v in doc["spec"].items() if k != "claimRef"}}


def attached(node: str, fencing: str = "", volume: str = "shared") -> Doc:
    source = {"persistentVolumeName": volume}
    doc = named(spec={"nodeName": node, "attacher": "d", "source": source})
    if fencing:
        doc["metadata"]["annotations"] = {"mooring.dev/fencing": fencing}
    return doc


def mirror(node: str = "a", label: str = "docker") -> Doc:
    labels = {"mooring.dev/mirror": label} if label else {}
    return named(labels, spec={"nodeName": node})


LEASE, LEASES = named(spec={"holderIdentity": "a"}), "leases.coordination.k8s.io"
TAINT = {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]}
ATTACHMENTS, POOLS = "volumeattachments.storage.k8s.io", "pools.mooring.dev"
VOLUME, OTHERS = a_volume(), a_volume("local-b", ("b",))
CAPACITIES = "csistoragecapacities.storage.k8s.io/kube-system"
POOL = named(spec={"node": "a", "root": "/p"}, status={"volumes": 1})
HERE, THERE = at_home("a"), at_home("b")
MINE, LEFT = a_copy("a"), a_copy("b", "leaving")
VOLUMES = "persistentvolumes/held"
LOCKED = {
    "shared": a_volume("nfs", ()),
    "own": VOLUME,
    "others": OTHERS,
    "bank": a_volume("nfs", (), "bank"),
    "moves": THERE,
    "stays": at_home("b", **{ELSEWHERE: "refuse"}),
}
MOVING = [
    Case("a movable one comes", VOLUMES, None, HERE, True),
    Case("one that names another's data", VOLUMES, None,
         {**HERE, "metadata": {**HERE["metadata"], "name": "evil"}}, False),
    Case("a movable one goes", VOLUMES, HERE, None, True),
    Case("a movable one of another comes", VOLUMES, None, THERE, False),
    Case("a movable one of another goes", VOLUMES, THERE, None, False),
    Case("one comes with a copy", VOLUMES, None, at_home("a", a_copy("b")), False),
    Case("one goes that has a copy", VOLUMES, at_home("a", a_copy("b")), None, False),
    Case("it is changed at home", VOLUMES, HERE, at_home("a", x="y"), True),
    Case("it is changed elsewhere", VOLUMES, THERE, at_home("b", x="y"), False),
    Case("its own becomes one that moves", VOLUMES, VOLUME, HERE, False),
    Case("its own moves no more", VOLUMES, HERE, VOLUME, False),
    Case("another's moves no more", VOLUMES, THERE, OTHERS, False),
    Case("what is elsewhere changes", VOLUMES, HERE,
         at_home("a", **{ELSEWHERE: "replica"}), False),
    Case("own copy comes", VOLUMES, THERE, at_home("b", MINE), True),
    Case("own copy is whole", VOLUMES, at_home("b", MINE),
         at_home("b", a_copy("a", "replica")), True),
    Case("own copy goes", VOLUMES, at_home("b", MINE), THERE, True),
    Case("own copy in another's pool", VOLUMES, THERE,
         at_home("b", a_copy("a", pool="local-b")), False),
    Case("own copy in a shared pool", VOLUMES, THERE, at_home("b", a_copy("a", pool="nfs")), False),
    Case("own copy of what no namespace has", VOLUMES, *(unclaimed(one) for one in
         (THERE, at_home("b", MINE))), False),
    Case("own copy and more", VOLUMES, THERE, at_home("b", MINE, x="y"), False),
    Case("another's copy comes", VOLUMES, HERE, at_home("a", a_copy("b")), False),
    Case("another's copy goes", VOLUMES, at_home("a", a_copy("b")), HERE, False),
    Case("another's copy goes elsewhere", VOLUMES, at_home("b", a_copy("c")), THERE, False),
    Case("it becomes the home", VOLUMES, at_home("b", MINE), at_home("a", LEFT), True),
    Case("a replica becomes the home", VOLUMES, at_home("b", a_copy("a", "replica")),
         at_home("a", a_copy("b", "stale")), True),
    Case("with nothing", VOLUMES, THERE, at_home("a", LEFT), False),
    Case("with what is to go", VOLUMES, at_home("b", a_copy("a", "leaving")),
         at_home("a", LEFT), False),
    Case("with what is old", VOLUMES, at_home("b", a_copy("a", "stale")),
         at_home("a", LEFT), False),
    Case("with a smaller one", VOLUMES, at_home("b", a_copy("a", size="1Mi")),
         at_home("a", LEFT), False),
    Case("with one in another pool", VOLUMES, at_home("b", a_copy("a", pool="nfs")),
         at_home("a", LEFT), False),
    Case("without the right to use it", "persistentvolumes/free",
         at_home("b", MINE, name="free"), at_home("a", LEFT, name="free"), False),
    Case("the old one is forgotten", VOLUMES, at_home("b", MINE), HERE, False),
    Case("the old one is free of charge", VOLUMES, at_home("b", MINE),
         at_home("a", a_copy("b", "leaving", size="0")), False),
    Case("the old one is as good", VOLUMES, at_home("b", MINE),
         at_home("a", a_copy("b", "replica")), False),
    Case("other copies are lost", VOLUMES, at_home("b", MINE, a_copy("c")),
         at_home("a", LEFT), False),
    Case("home and more", VOLUMES, at_home("b", MINE), at_home("a", LEFT, x="y"), False),
    Case("another becomes the home", VOLUMES, at_home("a", a_copy("b", "replica")),
         at_home("b", a_copy("a", "leaving")), False),
    Case("home in another's pool", VOLUMES, at_home("b", MINE),
         at_home("a", LEFT, **{HOME: "a/local-b"}), False),
    Case("home is nowhere", VOLUMES, HERE, at_home("a", **{HOME: "x"}), False),
]  # fmt: skip
CASES = [
    Case("own node comes", "nodes/a", None, named(), True),
    Case("own node changes", "nodes/a", named(), named(status={"conditions": []}), True),
    Case("another node", "nodes/b", named(), named(status={}), False),
    Case("own node goes", "nodes/a", named(), None, False),
    Case("own node is tainted", "nodes/a", named(), named(spec=TAINT), False),
    Case("own taint is lifted", "nodes/a", named(spec=TAINT), named(), False),
    Case("it uncordons itself", "nodes/a", named(spec={"unschedulable": True}), named(), False),
    Case("another hostname", "nodes/a", None, named({"kubernetes.io/hostname": "b"}), False),
    Case("own lease", f"{LEASES}/kube-node-lease/a", LEASE, LEASE, True),
    Case("another's lease", f"{LEASES}/kube-node-lease/b", LEASE, LEASE, False),
    Case("own lease goes", f"{LEASES}/kube-node-lease/a", LEASE, None, False),
    Case("a lease of leaders", f"{LEASES}/kube-system/a", None, LEASE, False),
    Case("namespace of leases", "namespaces/kube-node-lease", None, named(), True),
    Case("some namespace", "namespaces/mine", None, named(), False),
    Case("namespace goes", "namespaces/shop", named(), None, False),
    Case("own csinode", "csinodes.storage.k8s.io/a", None, named(), True),
    Case("another's csinode", "csinodes.storage.k8s.io/b", named(), named(), False),
    Case("own csinode goes", "csinodes.storage.k8s.io/a", named(), None, False),
    Case("own driver", "csidrivers.storage.k8s.io/btrfs.mooring.dev", None, named(), True),
    Case("some driver", "csidrivers.storage.k8s.io/evil", None, named(), False),
    Case("driver changes", "csidrivers.storage.k8s.io/btrfs.mooring.dev", named(), named(), False),
    Case("own attachment", f"{ATTACHMENTS}/csi-1", None, attached("a"), True),
    Case("own attachment goes", f"{ATTACHMENTS}/csi-1", attached("a"), None, True),
    Case("a lock on what is not there", f"{ATTACHMENTS}/1", None, attached("a", "", "x"), False),
    Case("a lock on another's", f"{ATTACHMENTS}/1", None, attached("a", "", "others"), False),
    Case("a lock in a namespace", f"{ATTACHMENTS}/1", None, attached("a", "", "bank"), False),
    Case("a lock on what stays", f"{ATTACHMENTS}/1", None, attached("a", "", "stays"), False),
    Case("a lock on what may come", f"{ATTACHMENTS}/1", None, attached("a", "", "moves"), True),
    Case("a lock on its own", f"{ATTACHMENTS}/1", None, attached("a", "", "own"), True),
    Case("it has what is gone", f"{ATTACHMENTS}/1", attached("a", "", "x"),
         {**attached("a", "", "x"), "status": {"attached": True}}, True),
    Case("a lock becomes another", f"{ATTACHMENTS}/1", attached("a", "", "own"),
         attached("a", "", "others"), False),
    Case("another's attachment", f"{ATTACHMENTS}/csi-1", None, attached("b"), False),
    Case("another's attachment goes", f"{ATTACHMENTS}/csi-1", attached("b"), None, False),
    Case("another's is taken", f"{ATTACHMENTS}/csi-1", attached("b"), attached("a"), False),
    Case("one of a lost node goes", f"{ATTACHMENTS}/csi-1", attached("dead"), None, True),
    Case("one without promise", f"{ATTACHMENTS}/csi-1", attached("silent"), None, False),
    Case("with a promise", f"{ATTACHMENTS}/csi-1", attached("silent", "lease"), None, True),
    Case(
        "another's promise",
        f"{ATTACHMENTS}/1",
        attached("silent"),
        attached("silent", "lease"),
        False,
    ),
    Case("its own promise", f"{ATTACHMENTS}/1", attached("a"), attached("a", "lease"), True),
    Case("a promise in another's name", f"{ATTACHMENTS}/1", None, attached("b", "lease"), False),
    Case("own mirror", "pods/shop/x", None, mirror(), True),
    Case("own mirror goes", "pods/shop/x", mirror(), None, True),
    Case("mirror of another node", "pods/shop/x", None, mirror("b"), False),
    Case("mirror moves here", "pods/shop/x", mirror("b"), mirror("a"), False),
    Case("a plain pod", "pods/shop/x", None, mirror(label=""), False),
    Case("a plain pod goes", "pods/shop/x", mirror(label=""), None, False),
    Case("mirror in another namespace", "pods/bank/x", None, mirror(), False),
    Case("own namespace's claim", "persistentvolumeclaims/shop/x", None, named(), True),
    Case("another namespace's claim", "persistentvolumeclaims/bank/x", None, named(), False),
    Case("another namespace's claim goes", "persistentvolumeclaims/bank/x", named(), None, False),
    Case("volume of its pool", "persistentvolumes/x", None, VOLUME, True),
    Case("volume of its pool goes", "persistentvolumes/x", VOLUME, None, True),
    Case("volume of its pool changes", "persistentvolumes/x", VOLUME, changed(VOLUME), True),
    Case("its csi changes", "persistentvolumes/x", VOLUME, changed(VOLUME, csi={}), False),
    Case("it gets a path", "persistentvolumes/x", VOLUME, changed(VOLUME, hostPath={}), False),
    Case("it moves", "persistentvolumes/x", VOLUME, a_volume(hosts=("a", "b")), False),
    Case("volume of another's pool", "persistentvolumes/x", None, OTHERS, False),
    Case("another's pool, told as here", "persistentvolumes/x", None, a_volume("local-b"), False),
    Case("another's volume changes", "persistentvolumes/x", OTHERS, changed(OTHERS), False),
    Case("another's volume goes", "persistentvolumes/x", OTHERS, None, False),
    Case("volume of a shared pool", "persistentvolumes/x", None, a_volume("nfs", ()), True),
    Case("volume of no pool", "persistentvolumes/x", None, a_volume("", ()), False),
    Case("volume of no pool goes", "persistentvolumes/x", a_volume("", ()), None, False),
    Case("one for another namespace", "persistentvolumes/x", None, a_volume(claim="bank"), False),
    Case("static, is used", "persistentvolumes/x", a_volume("", ()), a_volume("", ()), True),
    Case("account of its pool", f"{POOLS}/local-a", POOL, {**POOL, "status": {}}, True),
    Case("root of its pool", f"{POOLS}/local-a", POOL, changed(POOL, root="/etc"), False),
    Case("account of another's", f"{POOLS}/local-b", POOL, {**POOL, "status": {}}, False),
    Case("a pool", f"{POOLS}/new", None, POOL, False),
    Case("its pool goes", f"{POOLS}/local-a", POOL, None, False),
    Case("used of a quota", "resourcequotas/shop/q", POOL, {**POOL, "status": {}}, True),
    Case("limits of a quota", "resourcequotas/shop/q", POOL, changed(POOL, hard={}), False),
    Case("quota of another", "resourcequotas/bank/q", POOL, {**POOL, "status": {}}, False),
    Case(
        "own capacity",
        f"{CAPACITIES}/c",
        None,
        named(nodeTopology={"matchLabels": {"kubernetes.io/hostname": "a"}}),
        True,
    ),
    Case(
        "another's capacity",
        f"{CAPACITIES}/c",
        None,
        named(nodeTopology={"matchLabels": {"kubernetes.io/hostname": "b"}}),
        False,
    ),
    Case("a secret", "secrets/shop/s", None, named(), False),
    Case("a secret goes", "secrets/shop/s", named(), None, False),
    Case("a config map", "configmaps/shop/s", None, named(), False),
    Case("an event", "events/shop/s", None, named(), False),
    Case("a class", "storageclasses.storage.k8s.io/c", None, named(), False),
]  # fmt: skip


@pytest.mark.parametrize("case", [*CASES, *MOVING], ids=lambda case: case.what.replace(" ", "-"))
def test_a_write_is_let_in_or_not(case: Case) -> None:
    resource, _, key = case.key.partition("/")
    why = refusal(HOST, resource, key, case.before, case.after, Pools())
    assert (not why) is case.may, why


@pytest.mark.parametrize(
    ("resource", "namespace", "may"),
    [
        ("persistentvolumes", "", True),
        ("secrets", "shop", True),
        ("secrets", "bank", False),
        ("persistentvolumeclaims", "bank", False),
        ("leases.coordination.k8s.io", "kube-node-lease", True),
        ("csistoragecapacities.storage.k8s.io", "kube-system", True),
        ("secrets", "kube-system", False),
        ("secrets", "kube-node-lease", False),
        ("events", "shop", False),
    ],
)
def test_what_it_sees(resource: str, namespace: str, may: bool) -> None:
    assert may_read(HOST, resource, namespace) is may


def test_one_that_serves_all_namespaces_sees_all() -> None:
    assert may_read(ANYWHERE, "secrets", "bank")
