"""Pods: why they have no node."""

from typing import Final

from mooring.model.names import HOSTNAME
from tests.situations.situation import Remedy, Situation
from tests.situations.stage import (
    Run,
    Step,
    agent,
    bound,
    claim,
    delete,
    edit,
    gone,
    node,
    placed,
    pod,
    pool,
    put,
    storage_class,
    volume,
    wait,
)

LATE: Final = storage_class(waits=True, parameters={"pool": "local"})
BY_HAND: Final = storage_class("hand", "kubernetes.io/no-provisioner", waits=True)
TERM: Final = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": ["there"]}]}
THERE: Final = {"required": {"nodeSelectorTerms": [TERM]}}
ON_HERE: Final = [placed("web")]
OWN: Final = {
    "name": "data",
    "ephemeral": {
        "volumeClaimTemplate": {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "fast",
                "resources": {"requests": {"storage": "1Gi"}},
            }
        }
    },
}


def spec(**changes: object) -> Step:
    return edit("pod", "web", {"spec": changes})


PODS: Final = (
    Situation(
        "There is no node",
        "pod web",
        [LATE, claim(class_="fast"), delete("node", "here"), pod("web", "db")],
        [Remedy("the agent of a host at work", [wait(1)], [bound(), *ON_HERE])],
    ),
    Situation(
        "Its claim does not exist",
        "pod web",
        [pod("web", "db")],
        [
            Remedy(
                "create claim db in namespace default", [claim(class_="local")], [bound(), *ON_HERE]
            )
        ],
    ),
    Situation(
        "Its claim is not bound",
        "pod web",
        [claim(class_="fast"), pod("web", "db")],
        [
            Remedy(
                "mooring explain pvc db -n default says what that waits for",
                [storage_class(parameters={"pool": "local"})],
                [bound(), *ON_HERE],
            )
        ],
    ),
    Situation(
        "Its claim is lost",
        "pod web",
        [
            volume(),
            claim(),
            delete("pv", "v1"),
            edit("pv", "v1", {"metadata": {"finalizers": None}}),
            pod("web", "db"),
        ],
        [Remedy("mooring explain pvc db -n default says how that came", [volume()], ON_HERE)],
    ),
    Situation(
        "Its claim is being deleted",
        "pod web",
        [
            volume(),
            claim(),
            pod("old", "db", nodeName="here"),
            delete("pvc", "db"),
            pod("web", "db"),
        ],
        [
            Remedy(
                "a claim db made anew when this one is gone",
                [delete("pod", "old"), claim(class_="local")],
                ON_HERE,
            )
        ],
    ),
    Situation(
        "Its claim cannot be made in its pool",
        "pod web",
        [
            pool(namespaces=[{"name": "team"}]),
            storage_class(waits=True, parameters={"pool": "team"}),
            claim(class_="fast"),
            pod("web", "db"),
        ],
        [
            Remedy(
                "mooring explain pvc db -n default says what that waits for",
                [edit("pool", "team", {"spec": {"namespaces": None}}), wait(30)],
                [bound(), *ON_HERE],
            )
        ],
    ),
    Situation(
        "A claim of its own is refused by a quota",
        "pod web",
        [
            LATE,
            put(
                "quota",
                {"metadata": {"name": "few"}, "spec": {"hard": {"persistentvolumeclaims": "0"}}},
            ),
            pod("web", volumes=[OWN]),
        ],
        [
            Remedy(
                "kubectl edit quota few -n default, to raise spec.hard, and it is made by itself",
                [
                    edit("quota", "few", {"spec": {"hard": {"persistentvolumeclaims": "1"}}}),
                    wait(30),
                ],
                [bound("web-data"), *ON_HERE],
            )
        ],
    ),
    Situation(
        "A claim of somebody else has the name of its own",
        "pod web",
        [LATE, claim("web-data", class_="fast"), pod("web", volumes=[OWN])],
        [
            Remedy(
                "kubectl delete pvc web-data",
                [Run("kubectl delete pvc web-data"), wait(30)],
                [bound("web-data"), *ON_HERE],
            ),
            Remedy(
                "another name for the pod",
                [delete("pod", "web"), pod("shop", volumes=[OWN])],
                [bound("shop-data"), placed("shop")],
            ),
        ],
    ),
    Situation(
        "Its volume is on a host without an agent",
        "pod web",
        [volume(nodeAffinity=THERE), claim(), pod("web", "db")],
        [Remedy("the agent of there at work", [agent("there")], [placed("web", "there")])],
    ),
    Situation(
        "Its volume is on a node that is cordoned",
        "pod web",
        [
            node("there", unschedulable=True),
            volume(nodeAffinity=THERE),
            claim(),
            pod("web", "db"),
        ],
        [
            Remedy(
                "kubectl uncordon there", [Run("kubectl uncordon there")], [placed("web", "there")]
            )
        ],
    ),
    Situation(
        "The node is not Ready",
        "pod web",
        [
            node("there", ready=False),
            volume(nodeAffinity=THERE),
            claim(),
            pod("web", "db"),
        ],
        [Remedy("the agent of there at work", [agent("there")], [placed("web", "there")])],
    ),
    Situation(
        "The node has not enough room",
        "pod web",
        [
            pool(capacity="1Gi"),
            storage_class(waits=True, parameters={"pool": "team"}),
            claim(class_="fast", size="2Gi"),
            pod("web", "db"),
        ],
        [
            Remedy(
                "kubectl edit pool team, to raise spec.capacity",
                [edit("pool", "team", {"spec": {"capacity": "2Gi"}}), wait(2)],
                [bound(), *ON_HERE],
            ),
            Remedy(
                "a smaller claim",
                [
                    delete("pod", "web"),
                    delete("pvc", "db"),
                    claim(class_="fast"),
                    pod("web", "db"),
                ],
                [bound(), *ON_HERE],
            ),
        ],
    ),
    Situation(
        "Another pod has a claim for one pod",
        "pod web",
        [
            claim(class_="local", modes="RWOP"),
            pod("old", "db", nodeName="here"),
            pod("web", "db"),
        ],
        [Remedy("kubectl delete pod old", [Run("kubectl delete pod old")], ON_HERE)],
    ),
    Situation(
        "Its nodeSelector chooses no node",
        "pod web",
        [LATE, claim(class_="fast"), pod("web", "db", nodeSelector={"disk": "ssd"})],
        [
            Remedy(
                "labels of node here that the pod asks for",
                [edit("node", "here", {"metadata": {"labels": {"disk": "ssd"}}})],
                ON_HERE,
            ),
            Remedy("a pod that asks for less", [spec(nodeSelector=None)], ON_HERE),
        ],
    ),
    Situation(
        "It does not tolerate a taint",
        "pod web",
        [
            LATE,
            edit("node", "here", {"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}}),
            claim(class_="fast"),
            pod("web", "db"),
        ],
        [
            Remedy(
                "a toleration of it in the pod",
                [spec(tolerations=[{"key": "gpu", "operator": "Exists"}])],
                ON_HERE,
            )
        ],
    ),
    Situation(
        "The volume of its claim was to be made on another node",
        "pod web",
        [
            pool("far", node="there"),
            storage_class(waits=True),
            node("there", unschedulable=True),
            claim(
                class_="fast",
                metadata={"annotations": {"volume.kubernetes.io/selected-node": "there"}},
            ),
            pod("web", "db"),
        ],
        [
            Remedy(
                "kubectl annotate pvc db",
                [Run("kubectl annotate pvc db")],
                [bound(), *ON_HERE],
            ),
            Remedy(
                "kubectl uncordon there",
                [Run("kubectl uncordon there"), agent("there")],
                [placed("web", "there")],
            ),
        ],
    ),
    Situation(
        "No volume is there for its claim, and none is made",
        "pod web",
        [BY_HAND, claim(class_="hand"), pod("web", "db")],
        [
            Remedy(
                "a volume of class hand, RWO, 1Gi or more, for node here",
                [volume(class_="hand")],
                [bound(to="v1"), *ON_HERE],
            )
        ],
    ),
    Situation(
        "The volumes for its claim are too large for the limit of waste",
        "pod web",
        [
            edit("ns", "default", {"metadata": {"annotations": {"mooring.dev/max-waste": "4"}}}),
            BY_HAND,
            volume("huge", class_="hand", size="1Ti"),
            claim(class_="hand"),
            pod("web", "db"),
        ],
        [
            Remedy(
                "a volume of class hand, RWO, 1Gi to 4Gi, for node here",
                [volume(class_="hand", size="4Gi")],
                [bound(to="v1"), *ON_HERE],
            )
        ],
    ),
    Situation(
        "The class makes no volumes on the node",
        "pod web",
        [
            storage_class(
                waits=True,
                parameters={"pool": "local"},
                allowedTopologies=[
                    {"matchLabelExpressions": [{"key": HOSTNAME, "values": ["there"]}]}
                ],
            ),
            claim(class_="fast"),
            pod("web", "db"),
        ],
        [
            Remedy(
                "a class that allows node here",
                [edit("sc", "fast", {"allowedTopologies": None})],
                [bound(), *ON_HERE],
            ),
            Remedy(
                "a volume of class fast, RWO, 1Gi or more, for node here",
                [volume(class_="fast")],
                [bound(to="v1"), *ON_HERE],
            ),
        ],
    ),
    Situation(
        "It has scheduling gates",
        "pod web",
        [
            LATE,
            claim(class_="fast"),
            pod("web", "db", schedulingGates=[{"name": "example.com/wait"}]),
        ],
        [Remedy("to remove it:", [Run("kubectl patch pod web")], [bound(), *ON_HERE])],
    ),
    Situation(
        "It is for another scheduler",
        "pod web",
        [LATE, claim(class_="fast"), pod("web", "db", schedulerName="mine")],
        [
            Remedy(
                "schedulerName: default-scheduler",
                [spec(schedulerName="default-scheduler")],
                [bound(), *ON_HERE],
            )
        ],
    ),
    Situation(
        "It uses no claims",
        "pod web",
        [pod("web")],
        [
            Remedy(
                "a pod with spec.nodeName",
                [delete("pod", "web"), pod("web", nodeName="here")],
                ON_HERE,
            )
        ],
    ),
    Situation(
        "It has ended",
        "pod web",
        [
            volume(),
            claim(),
            pod("web", "db", nodeName="here"),
            edit("pod", "web", {"status": {"phase": "Succeeded"}}, "status"),
            delete("pvc", "db"),
        ],
        [Remedy("kubectl delete pod web", [Run("kubectl delete pod web")], [gone("pvc", "db")])],
    ),
)
