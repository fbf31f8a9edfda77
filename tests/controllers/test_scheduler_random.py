"""Whatever happens in whatever order: no pod is forgotten, none is where its volumes are not."""

import random
from typing import Any, Final

import pytest

from mooring.model.claim import Claim
from mooring.model.names import HOSTNAME, ONE_CONTAINER, SELECTED_NODE, Phase
from mooring.model.node import Node
from mooring.model.pod import Pod
from mooring.model.volume import Volume
from mooring.rules.scheduling import Plan, placement, reaches
from tests.controllers.clocked import ClockedPlant, a_claim_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES
from tests.controllers.test_scheduler import (
    CAPACITIES,
    DRIVERS,
    NODES,
    PODS,
    READY,
    a_pod,
    on,
)

STEPS: Final = 40
NAMES: Final = ("a", "b", "c", "d")
WHERE: Final = ("n1", "n2")
SIZES: Final = ("1Gi", "2Gi")
MODES: Final = ("ReadWriteOnce", "ReadWriteOnce", "ReadWriteOncePod")
CLASS_NAMES: Final = ("late", "hand", "hand", "")
PROVISIONERS: Final = {"late": "example.com", "hand": "kubernetes.io/no-provisioner"}


class Clients:
    """Clients, agents and an external provisioner at random."""

    def __init__(self, plant: ClockedPlant, seed: int) -> None:
        self.plant, self._random = plant, random.Random(seed)
        self._actions = (
            *[self.pod] * 4,
            *[self.claim] * 4,
            *[self.volume] * 6,
            *[self.node] * 3,
            *[self.provision] * 3,
            *(self.class_, self.driver, self.room, self.drop, self.drop),
            *(self.end_a_pod, self.reset_a_node, self.pass_time, self.restart),
        )

    def act(self) -> None:
        self._one(self._actions)()

    def _one(self, choices: Any) -> Any:
        return self._random.choice(choices)

    def pod(self) -> None:
        claims = self._random.sample(NAMES, self._one((1, 1, 2)))
        selector = self._one(({}, {}, {"nodeSelector": {HOSTNAME: self._one(WHERE)}}))
        self.plant.create(PODS, a_pod(*claims, name=self._one(NAMES), **selector))

    def claim(self) -> None:
        requests = {"requests": {"storage": self._one(SIZES)}}
        modes, class_ = [self._one(MODES)], self._one(CLASS_NAMES)
        doc = a_claim_doc(self._one(NAMES), class_, accessModes=modes, resources=requests)
        self.plant.create(CLAIMS, doc)

    def volume(self) -> None:
        affinity = self._one(({}, {"nodeAffinity": on(self._one(WHERE))}))
        pointing = {"claimRef": {"namespace": "default", "name": self._one(NAMES)}}
        doc = a_volume_doc(
            self._one(NAMES),
            capacity={"storage": self._one(SIZES)},
            accessModes=[self._one(MODES)],
            storageClassName=self._one(CLASS_NAMES),
            **affinity,
            **self._one(({}, {}, pointing)),
        )
        self.plant.create(VOLUMES, doc)

    def node(self) -> None:
        name = self._one(WHERE)
        metadata = {"name": name, "labels": {HOSTNAME: name}}
        self.plant.create(NODES, {"metadata": metadata, "spec": {}})
        ready = self._one(("True", "True", "False"))
        status = {"conditions": [{**READY["conditions"][0], "status": ready}]}
        self.plant.edit(NODES, name, lambda doc: doc.update(status=status), "status")
        cordoned = self._one((False, False, True))
        self.plant.edit(NODES, name, lambda doc: doc["spec"].update(unschedulable=cordoned))

    def provision(self) -> None:
        """What an external provisioner does, if a claim asks it to."""
        for claim in self.plant.claims():
            node = claim.annotations.get(SELECTED_NODE)
            if claim.class_name == "late" and node and not claim.volume_name:
                doc = a_volume_doc(
                    f"pvc-{claim.uid}",
                    "Delete",
                    capacity={"storage": claim.request.canonical()},
                    accessModes=list(claim.spec.access_modes),
                    storageClassName="late",
                    nodeAffinity=on(node),
                    claimRef={"namespace": "default", "name": claim.name, "uid": claim.uid},
                )
                self.plant.create(VOLUMES, doc)
                return

    def class_(self) -> None:
        name = self._one(tuple(PROVISIONERS))
        waits = {"volumeBindingMode": "WaitForFirstConsumer"}
        doc = {"metadata": {"name": name}, "provisioner": PROVISIONERS[name], **waits}
        self.plant.create(CLASSES, doc)

    def driver(self) -> None:
        doc = {"metadata": {"name": "example.com"}, "spec": {"storageCapacity": True}}
        if not self.plant.create(DRIVERS, doc):
            self.plant.delete(DRIVERS, "example.com")

    def room(self) -> None:
        name, capacity = self._one(WHERE), self._one(SIZES)
        topology = {"matchLabels": {HOSTNAME: name}}
        doc = {"storageClassName": "late", "nodeTopology": topology, "capacity": capacity}
        if not self.plant.create(CAPACITIES, {"metadata": {"name": name}, **doc}):
            changed = {"capacity": capacity}
            self.plant.edit(CAPACITIES, f"default/{name}", lambda doc: doc.update(changed))

    def drop(self) -> None:
        name = self._one(NAMES)
        resource = self._one((CLAIMS, VOLUMES, PODS, PODS, NODES, CLASSES))
        if resource == NODES:
            name = self._one(WHERE)
        if resource == CLASSES:
            name = self._one(tuple(PROVISIONERS))
        spaced = resource in (CLAIMS, PODS)
        self.plant.delete(resource, f"default/{name}" if spaced else name)

    def end_a_pod(self) -> None:
        key = f"default/{self._one(NAMES)}"
        self.plant.edit(PODS, key, lambda doc: doc["status"].update(phase="Failed"), "status")

    def reset_a_node(self) -> None:
        """As a provisioner that cannot make the volume there."""
        key = f"default/{self._one(NAMES)}"

        def reset(doc: Any) -> None:
            (doc["metadata"].get("annotations") or {}).pop(SELECTED_NODE, None)

        self.plant.edit(CLAIMS, key, reset)

    def pass_time(self) -> None:
        self.plant.pass_time(self._one((1, 30, 700)))

    def restart(self) -> None:
        self.plant.restart()


def assert_right(plant: ClockedPlant, placed_before: dict[str, str]) -> dict[str, str]:
    """What must hold when all is quiet. Returns the nodes of the pods, by their uids."""
    pods = plant.objects.views(Pod)
    nodes, loops = plant.objects.views(Node), plant.controllers.pod_loops
    world = loops.scheduler
    placed = {pod.uid: pod.node_name for pod in pods if pod.node_name}
    for pod in pods:
        if pod.uid in placed and pod.uid not in placed_before:
            assert_has_volumes(plant, pod)
        if pod.is_to_be_placed and pod.key not in loops.pods.delayed:  # it waits for no time
            found = placement(pod, nodes, world, world.promised)
            assert not isinstance(found, Plan), f"{pod.key} was forgotten: {found}"
    for claim in plant.claims():
        if claim.modes >= ONE_CONTAINER:
            users = [pod for pod in pods if claim.name in pod.claim_names and pod.node_name]
            assert len([pod for pod in users if not pod.has_ended]) <= 1, claim.key
    return placed


def assert_has_volumes(plant: ClockedPlant, pod: Pod) -> None:
    """A pod that just got its node: where the node is still there, its volumes are reached."""
    node = plant.view(Node, pod.node_name)
    for name in pod.claim_names:
        claim = plant.view(Claim, f"default/{name}")
        volume = plant.view(Volume, claim.volume_name) if claim is not None else None
        if claim is None or volume is None or node is None or claim.phase != Phase.BOUND:
            continue  # gone in the same step
        assert reaches(node, volume), f"{pod.key} is on {node.name}, {volume.name} is not"


@pytest.mark.parametrize("seed", range(80))
def test_no_order_of_steps_forgets_a_pod(plant: ClockedPlant, seed: int) -> None:
    clients = Clients(plant, seed)
    plant.dawdle(seed)
    for _ in range(3):
        clients.node()
        clients.class_()
    placed: dict[str, str] = {}
    for _ in range(STEPS):
        clients.act()
        plant.settle()
        plant.pass_time(130)  # what failed is tried again by now
        placed = assert_right(plant, placed)
