"""What is left when all that was made has been taken away again."""

import json
from collections import Counter
from pathlib import Path

from testbed.hosts import checked
from tests.chaos.machine import Machine, pids_of
from tests.chaos.world import ATTACHMENTS, CLAIMS, VOLUMES, World

PODS = "/api/v1/pods"
POOL_MARK = ".mooring-pool"
# Events end after an hour; the tasks of a swarm are one document a host; ~ is the store's own.
LEFT_THERE = ("events/", "configmaps/", "tasks/", "~")


def left(world: World) -> list[str]:
    """None if all is gone. Raises OSError if that is not known now."""
    found = []
    for path in (CLAIMS, VOLUMES, ATTACHMENTS, PODS):
        found += [f"{path.split('/')[-1]}: {_name(one)}" for one in world.items(path)]
    found += _in_pool("shared", world.root)
    for one in world.machines:
        found += _in_pool(f"{one.name}'s pool", one.pool)
        found += _in_pool(f"{one.name}'s loops", one.loops)
        found += _on_disk(one) + _in_kernel(one)
    devices = checked(["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"])
    found += [line for line in devices.splitlines() if str(world.bed.place) in line]
    return found + containers(world)


def containers(world: World) -> list[str]:
    return [line for one in world.machines for line in _in_docker(one)]


def _name(doc: dict[str, dict[str, str]]) -> str:
    return doc["metadata"]["name"]


def _in_pool(name: str, root: Path) -> list[str]:
    return [f"{name}: {path.name}" for path in root.iterdir() if path.name != POOL_MARK]


def _on_disk(machine: Machine) -> list[str]:
    """What the agent has noted: who has which volume, what it makes, what is watched over."""
    found = []
    for name in ("mounts", "users", "provisioning", "intents"):
        place = machine.data_dir / name
        if place.exists():
            names = [path.name for path in place.iterdir() if not path.name.startswith(".")]
            found += [f"{machine.name}: {name}/{one}" for one in names]
    fence = machine.data_dir / "fence"
    told = json.loads(fence.read_text())["volumes"] if fence.exists() else []
    return found + [f"{machine.name}: {one} is watched over" for one in told]


def _in_kernel(machine: Machine) -> list[str]:
    root = str(machine.data_dir / "mounts")
    table = machine.host.seen("/proc/1/mountinfo").read_text().splitlines()
    points = Counter(line.split()[4] for line in table)
    found = [f"{machine.name}: {one}" for one in points if one.startswith(f"{root}/")]
    if points[root] > 1:
        found.append(f"{machine.name}: the root of mounts is mounted {points[root]} times")
    return found


def _in_docker(machine: Machine) -> list[str]:
    status, containers = machine.host.api("GET", "/containers/json?all=1")
    if status != 200:
        raise OSError(f"{machine.name}: {containers}")
    return [f"{machine.name}: container {one['Names']} {one['State']}" for one in containers]


def processes(world: World) -> dict[str, int]:
    """Of Mooring on each host: a server and an agent, and nothing else once nothing is in use."""
    return {one.name: len(pids_of(one.host, "mooring.cli.main")) for one in world.machines}


def documents(world: World) -> Counter[str]:
    """How many there are in etcd, by kind and namespace."""
    first = world.machines[0]
    words = ("get", "/mooring/", "--prefix", "--keys-only")
    endpoint = ("--endpoints", first.member.endpoint)
    done = first.host.run("env", "ETCDCTL_API=3", "etcdctl", *endpoint, *words)
    if done.code:
        raise OSError(done.err)
    keys = [line.removeprefix("/mooring/") for line in done.out.splitlines() if line]
    return Counter("/".join(one.split("/")[:2]) if "/" in one else one for one in keys)


def more_documents(world: World, before: Counter[str]) -> dict[str, int]:
    """Than there were, by what they are; what the tests leave there, and what ends by itself, not
    counted."""
    more = documents(world) - before
    return {name: count for name, count in more.items() if not name.startswith(LEFT_THERE)}
