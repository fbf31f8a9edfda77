"""Three machines that are one control plane and one swarm, and a client beside them.

Each has a member of etcd, a server, an agent and a Docker. A pool is a directory that all reach,
and the class `leased` on it has its hosts fence themselves; each host has pools of its own besides.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final

from mooring.cli.kubeconfig import access
from testbed.hosts import SLOWNESS, Bed, eventually
from tests.chaos.asking import Access, Client
from tests.chaos.machine import FAST_SWARM, Machine, power_on
from tests.chaos.stamps import LOG, WRITER
from tests.docker.images import SHELL
from tests.docker.joined import PORT
from tests.docker.mooring import DRIVER, KUBECTL

NAMES: Final = ("h1", "h2", "h3")
WELL_S: Final = 120.0 * SLOWNESS  # a swarm whose leader is lost takes up to 23 s
CLAIMS: Final = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES: Final = "/api/v1/persistentvolumes"
ATTACHMENTS: Final = "/apis/storage.k8s.io/v1/volumeattachments"
LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
LEADER: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/mooring-controllers"
NODES: Final = "/api/v1/nodes"
POOLS: Final = """\
apiVersion: mooring.dev/v1
kind: Pool
metadata: {{name: shared}}
spec: {{driver: directory.mooring.dev, root: {root}, directory: {{shared: true}}}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: leased}}
provisioner: directory.mooring.dev
parameters: {{pool: shared, fencing: lease}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: looped}}
provisioner: loopfile.mooring.dev
volumeBindingMode: WaitForFirstConsumer
"""
OWN_POOL: Final = """\
---
apiVersion: mooring.dev/v1
kind: Pool
metadata: {{name: loops-{node}}}
spec:
  driver: loopfile.mooring.dev
  node: {node}
  root: {root}
  loopfile: {{fsType: ext4}}
"""
SIZE: Final = "16Mi"
WANDERING: Final = "wandering"  # the service whose volume goes with it from host to host
SETTLED: Final = "settled"  # the one that has a volume on each host


class World:
    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.root = bed.place / "shared"
        self.root.mkdir()
        self.machines = [Machine(bed.host(name)) for name in NAMES]
        self.outside = bed.host("client")
        power_on(self.outside)

    def start(self) -> "World":
        first = self.machines[0]
        for one in self.machines:
            power_on(one.host)
            one.prepare(self.machines)
            one.etcd.start()
            one.server.start()
        eventually(first.kubeconfig.exists, "the first server has a kubeconfig", WELL_S)
        whom = access(first.kubeconfig)
        self.client = Client(self.outside, Access(whom.token, whom.trust))
        self._all(self.servers_serve, "the servers serve")
        first.join(self.machines)
        for one in self.machines[1:]:
            one.join(self.machines)
        with ThreadPoolExecutor(len(NAMES)) as side:
            list(side.map(self._begun, self.machines))
        own = [OWN_POOL.format(node=one.name, root=one.loops) for one in self.machines]
        self._apply(POOLS.format(root=self.root) + "".join(own))
        self._swarm()
        self.is_well("begun")
        return self

    def close(self) -> None:
        self.client.close()

    def _begun(self, machine: Machine) -> None:
        machine.agent.start()
        eventually(machine.serves, f"the agent of {machine.name} serves", WELL_S)
        machine.first_docker()

    def _swarm(self) -> None:
        first = self.machines[0].host
        first.docker("swarm", "init", "--advertise-addr", first.ip, *FAST_SWARM)
        token = first.docker("swarm", "join-token", "--quiet", "manager")
        for one in (machine.host for machine in self.machines[1:]):
            words = ("--token", token, "--advertise-addr", one.ip)
            one.docker("swarm", "join", *words, f"{first.ip}:2377")

    def _apply(self, text: str) -> None:
        first = self.machines[0]
        words = (KUBECTL, "--kubeconfig", str(first.kubeconfig), "apply", "-f", "-")
        done = first.host.run(*words, stdin=text.encode())
        assert done.code == 0, done.err

    def service(self, name: str, source: str, class_: str, *how: str) -> None:
        """One whose tasks write stamped records to a volume."""
        mount = f"type=volume,source={source},target=/data,volume-driver={DRIVER}"
        self.machines[0].host.docker(
            *("service", "create", "--name", name, "--detach", "--no-resolve-image", *how),
            *("--endpoint-mode", "dnsrr", "--restart-delay", "1s", "--stop-signal", "KILL"),
            *("--env", "NODE={{.Node.Hostname}}"),
            *("--mount", f"{mount},volume-opt=class={class_},volume-opt=size={SIZE}"),
            *(SHELL, "sh", "-c", WRITER),
        )

    def services(self) -> None:
        """All that write from now on, to the end."""
        self.service(WANDERING, WANDERING, "leased")
        self.service(SETTLED, f"{SETTLED}-{{{{.Node.Hostname}}}}", "looped", "--mode", "global")
        self.writes_on("at first")

    # What is asked of it

    def got(self, path: str) -> Any:
        """From any server. Raises OSError if none answers."""
        failed = OSError("nobody was asked")
        for one in self.machines:
            try:
                return self.client.got(one.host.ip, path)
            except OSError as error:
                failed = error
        raise failed

    def items(self, path: str) -> list[Any]:
        found: list[Any] = self.got(path)["items"]
        return found

    def leader(self) -> Machine:
        """Whose server leads the controllers. Raises OSError if nobody knows."""
        holder = str(self.got(LEADER)["spec"].get("holderIdentity") or "")
        for one in self.machines:
            if holder.startswith(f"{one.name}_"):
                return one
        raise OSError(f"nobody leads: {holder}")

    def logs(self) -> dict[str, str]:
        """What writers of each volume that can be seen now have written, by claim.

        A volume of the shared pool is a directory; another is seen where its host has it mounted.
        """
        found = {}
        for one in self.items(VOLUMES):
            claim = one["spec"].get("claimRef", {}).get("name", "")
            places = [self.root / one["metadata"]["name"] / "data"]
            mount = self.machines[0].data_dir.name, "mounts", one["metadata"]["uid"], "fs"
            places += [
                each.host.seen(each.host.place.joinpath(*mount))
                for each in self.machines
                if each.host.is_up
            ]
            for place in places:
                if (place / LOG).exists():
                    found[claim] = (place / LOG).read_text()
        return found

    # What must be so again some time after whatever was wrong has ended

    def is_controlled(self, when: str) -> None:
        """Waits for the control plane and the agents."""
        self._all(self.servers_serve, f"the servers serve, {when}")
        self._all(partial(self._agents_live, datetime.now().astimezone()), f"agents live, {when}")

    def is_well(self, when: str) -> None:
        """Waits for those and the swarm."""
        self.is_controlled(when)
        self._all(self.swarm_is_whole, f"the swarm is whole, {when}")

    def writes_on(self, when: str) -> None:
        """Waits until all that is to write does."""
        wanted = {WANDERING, *(f"{SETTLED}-{name}" for name in NAMES)}
        before: dict[str, str] = {}
        with suppress(OSError):
            before = self.logs()

        def more() -> bool:
            now = self.logs()
            return all(len(now.get(one, "")) > len(before.get(one, "")) for one in wanted)

        self._all(more, f"all write, {when}")

    def _all(self, look: Any, what: str) -> None:
        try:
            eventually(look, what, WELL_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.told()}") from error

    def told(self) -> str:
        """What the swarm and the objects are, for whoever looks why something is not so."""
        lines = []
        for one in self.machines:
            for words in (("node", "ls"), ("ps", "-a"), ("service", "ps", "--no-trunc", WANDERING)):
                with suppress(Exception):
                    said = one.host.try_docker(*words)
                    lines.append(f"{one.name} {' '.join(words)}:\n{said.out}{said.err}")
        for path in (ATTACHMENTS, LEASES, LEADER):
            with suppress(OSError):
                lines.append(f"{path}: {self.got(path)}")
        return "\n".join(lines)

    def servers_serve(self) -> bool:
        """Each, its member of etcd too; and one leads."""
        for one in self.machines:
            ip = one.host.ip
            if not self.client.is_well(ip, one.member.port, "/health"):
                return False
            if not self.client.is_well(ip, PORT, "/readyz", is_tls=True):
                return False
            self.client.got(ip, NODES)
        return bool(self.leader())

    def _agents_live(self, since: datetime) -> bool:
        """Each has been heard of since, is Ready, and answers Docker."""
        ready = {one["metadata"]["name"] for one in self.items(NODES) if _is_ready(one)}
        renewed = {
            one["metadata"]["name"]
            for one in self.items(LEASES)
            if datetime.fromisoformat(one["spec"]["renewTime"]) > since
        }
        return set(NAMES) <= ready & renewed and all(one.serves() for one in self.machines)

    def swarm_is_whole(self) -> bool:
        """All nodes ready, and all managers reachable, as each of them says."""
        return all(_is_whole(one.host.api("GET", "/nodes")) for one in self.machines)


def _is_ready(node: Any) -> bool:
    conditions: Iterable[Any] = node.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _is_whole(answer: tuple[int, Any]) -> bool:
    status, nodes = answer
    if status != 200:
        return False
    states = [one["Status"]["State"] for one in nodes]
    managers = [one.get("ManagerStatus", {}) for one in nodes]
    leads = [one for one in managers if one.get("Leader")]
    reached = [one for one in managers if one.get("Reachability") == "reachable"]
    return states == ["ready"] * 3 and len(reached) == 3 and len(leads) == 1
