"""The scheduler among the other loops: §10 "WFFC with scheduler" and §19, as clients see them."""

from typing import Any

import pytest

from mooring.model.names import BOUND_BY_CONTROLLER, HOSTNAME, SELECTED_NODE, Phase
from mooring.model.pod import MIRROR, Pod
from mooring.objects.kind import Doc
from tests.controllers.clocked import ClockedPlant, a_claim_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES

NODES, PODS, DRIVERS = "nodes", "pods", "csidrivers.storage.k8s.io"
CAPACITIES = "csistoragecapacities.storage.k8s.io"
SAYS_NO = ("Warning", "FailedScheduling")
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def on(node: str) -> Doc:
    term = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [node]}]}
    return {"required": {"nodeSelectorTerms": [term]}}


def add_node(plant: ClockedPlant, name: str, **spec: Any) -> None:
    labels = {HOSTNAME: name}
    plant.create(NODES, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    plant.edit(NODES, name, lambda doc: doc.update(status=READY), "status")
    plant.settle()


def add_class(
    plant: ClockedPlant, name: str = "late", provisioner: str = "example.com", **fields: Any
) -> None:
    doc = {"metadata": {"name": name}, "provisioner": provisioner, **fields}
    plant.put(CLASSES, {"volumeBindingMode": "WaitForFirstConsumer", **doc})


def add_room(plant: ClockedPlant, node: str, capacity: str, class_: str = "late") -> None:
    topology = {"matchLabels": {HOSTNAME: node}}
    doc = {"storageClassName": class_, "nodeTopology": topology, "capacity": capacity}
    plant.put(CAPACITIES, {"metadata": {"name": f"{class_}-{node}"}, **doc})


def a_pod(*claims: str, name: str = "p", **spec: Any) -> Doc:
    volumes = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in claims]
    containers = [{"name": "c", "image": "i"}]
    whole = {"containers": containers, "volumes": volumes, **spec}
    return {"metadata": {"name": name}, "spec": whole}


def pod_of(plant: ClockedPlant, name: str = "p") -> Pod:
    found = plant.view(Pod, f"default/{name}")
    assert found is not None
    return found


def says(plant: ClockedPlant, name: str = "p") -> tuple[str, str, str]:
    """Status, reason and message of its condition."""
    (condition,) = pod_of(plant, name).status.conditions
    return condition.status, condition.reason, condition.message


def provision(plant: ClockedPlant, claim: str = "db", node: str = "n1") -> None:
    """What an external provisioner does."""
    found = plant.claim(claim)
    doc = a_volume_doc(f"pvc-{found.uid}", storageClassName="late", nodeAffinity=on(node))
    doc["spec"]["claimRef"] = {"namespace": "default", "name": claim, "uid": found.uid}
    plant.put(VOLUMES, doc)


def selected(plant: ClockedPlant, claim: str = "db") -> str | None:
    return plant.claim(claim).annotations.get(SELECTED_NODE)


def delay(plant: ClockedPlant, name: str = "db", **spec: Any) -> None:
    plant.put(CLAIMS, a_claim_doc(name, "late", **spec))


# A volume is made


@pytest.mark.rule("2.7", "10.32", "10.34")
def test_a_pod_gets_its_node_when_the_volume_made_for_it_is_bound(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    add_class(plant)
    delay(plant)
    plant.put(PODS, a_pod("db"))
    assert (selected(plant), pod_of(plant).node_name) == ("n1", "")
    provision(plant)
    assert pod_of(plant).node_name == "n1"
    assert says(plant) == ("True", "", "")
    (event,) = plant.events("p")
    assert (event["reason"], event["message"]) == (
        "Scheduled",
        "Successfully assigned default/p to n1",
    )
    assert event["source"] == {"component": "default-scheduler"}


@pytest.mark.rule("10.34")
def test_several_claims_are_all_waited_for(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    add_class(plant)
    for name in ("a", "b", "c"):
        delay(plant, name)
    plant.put(VOLUMES, a_volume_doc("v1", storageClassName="late"))
    plant.put(PODS, a_pod("a", "b", "c"))
    assert [plant.claim(name).phase for name in "abc"] == ["Bound", "Pending", "Pending"]
    assert [selected(plant, name) for name in "abc"] == [None, "n1", "n1"]
    provision(plant, "b")
    assert pod_of(plant).node_name == ""
    provision(plant, "c")
    assert pod_of(plant).node_name == "n1"


@pytest.mark.rule("19.10")
def test_a_node_with_enough_room_is_chosen_and_none_without(plant: ClockedPlant) -> None:
    plant.put(DRIVERS, {"metadata": {"name": "example.com"}, "spec": {"storageCapacity": True}})
    add_node(plant, "n1")
    add_node(plant, "n2")
    add_class(plant)
    add_room(plant, "n1", "1Gi")
    delay(plant, resources={"requests": {"storage": "2Gi"}})
    plant.put(PODS, a_pod("db"))
    no_space = "0/2 nodes are available: 2 node(s) did not have enough free storage."
    assert says(plant) == ("False", "Unschedulable", no_space)
    assert plant.told("p") == [SAYS_NO]
    add_room(plant, "n2", "2Gi")
    assert selected(plant) == "n2"


@pytest.mark.rule("10.33")
def test_the_topology_that_a_class_allows_decides(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    add_node(plant, "n2")
    only = {"matchLabelExpressions": [{"key": HOSTNAME, "values": ["n2"]}]}
    add_class(plant, allowedTopologies=[only])
    delay(plant)
    plant.put(PODS, a_pod("db"))
    assert selected(plant) == "n2"


# A volume is there


@pytest.mark.rule("6.12", "10.31")
def test_a_volume_that_is_there_is_bound_by_the_scheduler(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    add_node(plant, "n2")
    add_class(plant, "hand", "kubernetes.io/no-provisioner")
    plant.put(VOLUMES, a_volume_doc(storageClassName="hand", nodeAffinity=on("n2")))
    plant.put(CLAIMS, a_claim_doc(class_="hand"))
    assert plant.claim().phase == Phase.PENDING
    plant.put(PODS, a_pod("db"))
    assert (plant.claim().volume_name, pod_of(plant).node_name) == ("v1", "n2")
    assert BOUND_BY_CONTROLLER in plant.volume().annotations


@pytest.mark.rule("7.1a")
def test_a_volume_that_somebody_else_pointed_at_the_claim_is_not_marked(
    plant: ClockedPlant,
) -> None:
    add_node(plant, "n1")
    add_class(plant, "hand", "kubernetes.io/no-provisioner")
    ref = {"namespace": "default", "name": "db"}
    plant.put(CLAIMS, a_claim_doc(class_="hand"))
    plant.put(VOLUMES, a_volume_doc(storageClassName="hand", claimRef=ref))
    plant.put(PODS, a_pod("db"))
    assert pod_of(plant).node_name == "n1"
    assert BOUND_BY_CONTROLLER not in plant.volume().annotations


def test_pods_at_the_same_moment_get_a_volume_each(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    add_class(plant, "hand", "kubernetes.io/no-provisioner")
    names = [f"c{number}" for number in range(5)]
    for name in names:
        plant.put(VOLUMES, a_volume_doc(f"of-{name}", storageClassName="hand"))
        plant.put(CLAIMS, a_claim_doc(name, "hand"))
    plant.together(*(plant.creation(PODS, a_pod(name, name=f"p-{name}")) for name in names))
    plant.settle()
    assert {pod_of(plant, f"p-{name}").node_name for name in names} == {"n1"}
    assert len({plant.claim(name).volume_name for name in names}) == len(names)


# What is not ours


@pytest.mark.parametrize(
    "spec",
    [
        {"schedulerName": "another"},
        {"schedulingGates": [{"name": "example.com/wait"}]},
    ],
)
def test_pods_of_other_schedulers_and_gated_ones_are_left_alone(
    plant: ClockedPlant, spec: Doc
) -> None:
    add_node(plant, "n1")
    add_class(plant)
    delay(plant)
    plant.put(PODS, a_pod("db", **spec))
    assert (selected(plant), pod_of(plant).node_name, plant.events("p")) == (None, "", [])


def test_a_gated_pod_says_so_and_goes_on_when_its_gates_are_gone(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    add_class(plant)
    delay(plant)
    plant.put(PODS, a_pod("db", schedulingGates=[{"name": "example.com/wait"}]))
    assert says(plant)[:2] == ("False", "SchedulingGated")
    plant.edit(PODS, "default/p", lambda doc: doc["spec"].pop("schedulingGates"))
    plant.settle()
    assert selected(plant) == "n1"


def test_a_pod_without_claims_is_left_alone(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    plant.put(PODS, a_pod())
    assert (pod_of(plant).node_name, plant.events("p")) == ("", [])


def test_a_mirror_is_never_touched(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    add_class(plant)
    delay(plant)
    doc = a_pod("db")
    doc["metadata"]["labels"] = {MIRROR: "docker"}
    plant.put(PODS, doc)
    assert (selected(plant), pod_of(plant).status.conditions) == (None, ())


def test_a_pod_with_a_node_keeps_it(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    add_class(plant)
    delay(plant)
    plant.put(PODS, a_pod("db", nodeName="elsewhere"))
    assert (selected(plant), pod_of(plant).node_name) == (None, "elsewhere")


# What is waited for


def test_a_pod_waits_for_its_claim_and_for_a_node(plant: ClockedPlant) -> None:
    plant.put(PODS, a_pod("db"))
    assert says(plant)[2] == "no nodes available to schedule pods"
    add_node(plant, "n1", unschedulable=True)
    missing = '0/1 nodes are available: persistentvolumeclaim "db" not found.'
    assert says(plant)[2] == missing
    plant.put(VOLUMES, a_volume_doc())
    plant.put(CLAIMS, a_claim_doc(class_=""))
    assert says(plant)[2] == "0/1 nodes are available: 1 node(s) were unschedulable."
    plant.edit(NODES, "n1", lambda doc: doc["spec"].pop("unschedulable"))
    plant.settle()
    assert pod_of(plant).node_name == "n1"


@pytest.mark.parametrize("how", ["the class", "a volume", "a label"])
def test_what_was_missing_places_the_pod(plant: ClockedPlant, how: str) -> None:
    add_node(plant, "n1")
    if how != "the class":
        add_class(plant, "hand", "kubernetes.io/no-provisioner")
    plant.put(CLAIMS, a_claim_doc(class_="hand"))
    if how == "a label":
        there = a_volume_doc(storageClassName="hand", nodeAffinity=on("there"))
        plant.put(VOLUMES, there)
    plant.put(PODS, a_pod("db"))
    assert pod_of(plant).node_name == ""
    if how == "the class":
        add_class(plant, "hand", "example.com")
        assert selected(plant) == "n1"
        return
    if how == "a volume":
        plant.put(VOLUMES, a_volume_doc(storageClassName="hand"))
    else:
        plant.edit(NODES, "n1", lambda doc: doc["metadata"].update(labels={HOSTNAME: "there"}))
        plant.settle()
    assert pod_of(plant).node_name == "n1"


def test_a_heartbeat_of_a_node_looks_at_no_pod(plant: ClockedPlant) -> None:
    add_node(plant, "n1", unschedulable=True)
    plant.put(PODS, a_pod("db"))
    (before,) = plant.events("p")
    beat = {"conditions": [{**READY["conditions"][0], "lastHeartbeatTime": plant.clock.text}]}
    plant.edit(NODES, "n1", lambda doc: doc.update(status=beat), "status")
    plant.settle()
    assert plant.events("p") == [before]


@pytest.mark.rule("19.13")
def test_a_claim_for_one_pod_goes_to_the_next_when_the_first_has_ended(
    plant: ClockedPlant,
) -> None:
    add_node(plant, "n1")
    modes = ["ReadWriteOncePod"]
    plant.put(VOLUMES, a_volume_doc(accessModes=modes))
    plant.put(CLAIMS, a_claim_doc(class_="", accessModes=modes))
    docs = [a_pod("db", name=name) for name in ("p", "q")]
    plant.together(*(plant.creation(PODS, doc) for doc in docs))
    plant.settle()
    nodes = {name: pod_of(plant, name).node_name for name in ("p", "q")}
    assert sorted(nodes.values()) == ["", "n1"]
    first, second = sorted(nodes, key=lambda name: nodes[name], reverse=True)
    assert says(plant, second)[2].startswith("0/1 nodes are available: 1 node has pod using")
    ended = {"phase": "Succeeded"}
    plant.edit(PODS, f"default/{first}", lambda doc: doc["status"].update(ended), "status")
    plant.settle()
    assert pod_of(plant, second).node_name == "n1"


# What goes wrong


@pytest.mark.rule("10.35")
def test_a_pod_is_placed_anew_when_the_provisioner_gives_its_node_up(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    add_class(plant)
    delay(plant)
    plant.put(PODS, a_pod("db"))
    plant.edit(CLAIMS, "default/db", lambda doc: doc["metadata"]["annotations"].pop(SELECTED_NODE))
    plant.settle()
    reset = 'selectedNode annotation reset for PVC "db"'
    message = f'running PreBind plugin "VolumeBinding": binding volumes: {reset}'
    assert says(plant) == ("False", "SchedulerError", message)
    assert (plant.told("p"), selected(plant)) == ([SAYS_NO], None)
    add_node(plant, "n0")
    plant.pass_time(1)
    assert selected(plant) == "n0"


@pytest.mark.rule("10.34")
def test_a_pod_is_placed_anew_after_ten_minutes(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    add_class(plant)
    delay(plant)
    plant.put(PODS, a_pod("db"))
    plant.pass_time(599)
    assert plant.told("p") == []
    plant.pass_time(1)
    assert says(plant)[2].endswith("context deadline exceeded")
    provision(plant)
    plant.pass_time(1)
    assert pod_of(plant).node_name == "n1"


def test_a_pod_does_not_get_its_node_when_a_volume_of_it_goes_while_it_waits(
    plant: ClockedPlant,
) -> None:
    add_node(plant, "n1")
    add_class(plant)
    delay(plant, "a")
    delay(plant, "b")
    plant.put(VOLUMES, a_volume_doc(storageClassName="late"))
    plant.put(PODS, a_pod("a", "b"))
    assert plant.claim("a").phase == Phase.BOUND
    plant.delete(VOLUMES, "v1")
    plant.edit(VOLUMES, "v1", lambda doc: doc["metadata"].update(finalizers=[]))
    plant.settle()
    provision(plant, "b")
    plant.pass_time(1)
    not_found = 'failed to check binding: persistentvolume "v1" not found'
    assert any(one["message"].endswith(not_found) for one in plant.events("p"))
    lost = 'persistentvolumeclaim "a" bound to non-existent persistentvolume "v1"'
    assert says(plant)[2] == f"0/1 nodes are available: {lost}."


def test_a_volume_that_was_taken_meanwhile_is_not_missed(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    add_class(plant, "hand", "kubernetes.io/no-provisioner")
    for name in ("v1", "v2"):
        plant.put(VOLUMES, a_volume_doc(name, storageClassName="hand"))
    plant.put(CLAIMS, a_claim_doc(class_="hand"))
    ref = {"namespace": "default", "name": "other"}

    async def taken() -> None:
        await plant.objects.update(
            plant.objects.kinds[VOLUMES],
            "v1",
            lambda doc: {**doc, "spec": {**doc["spec"], "claimRef": ref}},
        )

    plant.together(plant.creation(PODS, a_pod("db")), taken())
    plant.settle()
    plant.pass_time(1)  # taken after it was chosen, it is tried again a moment later
    assert (plant.claim().volume_name, pod_of(plant).node_name) == ("v2", "n1")


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
def test_a_restart_in_between_leads_to_the_same_end(plant: ClockedPlant, after: int) -> None:
    """after: how many of the steps are done when the server is cut off."""
    steps = [
        lambda: add_node(plant, "n1"),
        lambda: add_class(plant),
        lambda: (delay(plant, "a"), delay(plant, "b")),
        lambda: plant.put(VOLUMES, a_volume_doc(storageClassName="late")),
        lambda: plant.create(PODS, a_pod("a", "b")),
        lambda: plant.settle(),
    ]
    for number, step in enumerate(steps):
        if number == after:
            plant.restart()
        step()
    missing = next(name for name in "ab" if plant.claim(name).phase != Phase.BOUND)
    assert selected(plant, missing) == "n1"
    plant.restart()
    provision(plant, missing)
    assert pod_of(plant).node_name == "n1"
    assert plant.volume().phase == Phase.BOUND
