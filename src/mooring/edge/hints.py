"""What agents tell of containers of tasks, where managers do not know it yet. Pure. Decision 0034.

A word is a hint that is faster than the manager's. It counts where it is further in a task's life
than what the manager says: a task that starts may run already, one that runs may have been told to
end, or have ended. It does so for a while: then the manager has caught up, or the word is wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from msgspec import structs

from mooring.engine.swarm import Node, Port, Swarm, Task
from mooring.model.task_container import HostTasks, TaskContainer, later

HOST: Final = "mooring.edge.host"  # label of a node: the agent that may speak of its tasks
# A manager hears of a task's state within two seconds, if it hears of its node at all.
BELIEVED_S: Final = 60.0
# Who was told to end has its grace period for it. Who still runs then did not mean to.
ENDING_S: Final = 5.0


class _Word(NamedTuple):
    """since: when it was first told to be in this state, by the monotonic clock"""

    container: TaskContainer
    since: float


@dataclass
class Hints:
    """All that agents have told.

    hosts  whose agents have told of anything
    """

    hosts: set[str] = field(default_factory=set)
    _words: dict[str, dict[str, _Word]] = field(default_factory=dict)  # by host, by task

    def take(self, told: HostTasks, now: float) -> None:
        """All that the agent of a host says now. What it spoke of before is gone, so it has ended.

        now  by the monotonic clock, as everywhere here
        """
        self.hosts.add(told.host)
        before = self._words.get(told.host, {})
        words = {}
        for one in told.containers:
            word = before.get(one.task)
            container = later(word.container if word is not None else None, one)
            is_as_before = word is not None and container.state == word.container.state
            words[one.task] = _Word(container, word.since if word and is_as_before else now)
        for task, word in before.items():
            if task in words or now - word.since >= BELIEVED_S:
                continue
            gone = structs.replace(word.container, state="ended")
            words[task] = word if word.container.state == "ended" else _Word(gone, now)
        self._words[told.host] = words

    def applied(self, swarm: Swarm, now: float) -> Swarm:
        """The swarm, its tasks as far as anybody knows of them; the same one if that is no other
        than what its manager says."""
        found = {one.id: one for one in self._hinted(swarm, now)}
        return replace(swarm, tasks={**swarm.tasks, **found}) if found else swarm

    def services(self, swarm: Swarm, now: float) -> set[str]:
        """Of which the manager has yet to tell what agents told: to be looked at more often."""
        found = {one.service_id for one in self._hinted(swarm, now)}
        for words in self._words.values():
            for word in words.values():
                is_new = word.container.task not in swarm.tasks and now - word.since < BELIEVED_S
                if is_new and word.container.state != "ended":
                    found.add(word.container.service)
        return found & swarm.services.keys()

    def _hinted(self, swarm: Swarm, now: float) -> Iterator[Task]:
        """Tasks that are further than their manager says."""
        for host, words in self._words.items():
            for word in words.values():
                if now - word.since >= BELIEVED_S:
                    continue
                task = swarm.tasks.get(word.container.task)
                if task is None or not speaks_of(host, swarm.nodes.get(task.node_id)):
                    continue
                service = swarm.services.get(task.service_id)
                grace_s = ENDING_S + (service.grace_s if service is not None else 0.0)
                told = hinted(task, word.container, now - word.since, grace_s)
                if told is not None:
                    yield told


def speaks_of(host: str, node: Node | None) -> bool:
    """Whether the agent of a host may speak of tasks on a node of the swarm.

    By the node's label, which managers alone give, else by its name: an agent's token is good for
    one name, and a node of that name is its own host.
    """
    return node is not None and (node.labels.get(HOST) or node.name).lower() == host


def hinted(task: Task, told: TaskContainer, age_s: float, ending_s: float) -> Task | None:
    """The task as its container is said to be; None if that is nothing new.

    ending_s  for which it is believed that one which was told to end is about to
    """
    if task.has_ended:
        return None
    if told.state == "ended":
        return replace(task, state="failed", stamp="")
    runs = task.is_running or (told.state in ("running", "ending") and task.desired == "running")
    if not runs:
        return None
    ports = task.ports or tuple(Port(one.target, one.published, "host") for one in told.ports)
    desired = task.desired
    if told.state == "ending" and desired == "running" and age_s < ending_s:
        desired = "shutdown"
    if task.is_running:
        return replace(task, desired=desired) if desired != task.desired else None
    return replace(task, state="running", desired=desired, ports=ports, stamp="")
