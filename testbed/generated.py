"""A swarm that is only told of: the Engine API of a manager, of as many services as one likes.

What `mooring edge` asks of a manager is answered as dockerd 20.10 does, from documents of the same
form and size; each change is in the lists at once, and told as an event where dockerd tells one.
Nothing runs. All nodes are this machine: 10.77.NODE.1 has to be an address of it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import web

VERSION: Final = "1.41"
IMAGE: Final = "registry.example.com/team/web:1.24.0@sha256:" + "ab" * 32
FIRST_PORT: Final = 30000
PORTS: Final = 1000  # that tasks of a node take in turn
CREATED: Final = "2026-01-01T00:00:00.000000000Z"


def ingress(target: int, published: int) -> dict[str, Any]:
    """A port that every node takes."""
    return {
        "Protocol": "tcp",
        "TargetPort": target,
        "PublishedPort": published,
        "PublishMode": "ingress",
    }


def on_its_node(target: int, published: int = 0) -> dict[str, Any]:
    """A port of a task alone."""
    said = {"Protocol": "tcp", "TargetPort": target, "PublishMode": "host"}
    return said | ({"PublishedPort": published} if published else {})


class GeneratedSwarm:
    """Services, tasks and nodes by id. The counts say what was asked for how often."""

    def __init__(self, nodes: int = 10) -> None:
        self.services: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.nodes = {one["ID"]: one for one in map(_node, range(1, nodes + 1))}
        self._number = 0  # of tasks made so far
        self._listeners: set[asyncio.Queue[bytes]] = set()
        self._texts: dict[str, bytes] = {}  # of documents, by id, since their last change

    @asynccontextmanager
    async def served(self, socket: Path) -> AsyncIterator[None]:
        """Answer at this socket meanwhile."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/_ping", self._ping),
                web.get("/{version}/services", self._services),
                web.get("/{version}/tasks", self._tasks),
                web.get("/{version}/nodes", self._nodes),
                web.get("/{version}/events", self._events),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handler_cancellation=True)
        await runner.setup()
        await web.UnixSite(runner, str(socket)).start()
        try:
            yield
        finally:
            await runner.cleanup()

    def add(self, name: str, replicas: int, labels: dict[str, str], *ports: dict[str, Any]) -> str:
        """A service with all its tasks running, each with port 80 on its node unless ports are
        said. Its id."""
        id_ = f"s{name}"
        published = ports or (on_its_node(80),)
        self.services[id_] = _service(id_, name, replicas, labels, published)
        for _ in range(replicas):
            self._add_task(id_)
        self._changed("service", id_, "create")
        return id_

    def label(self, service_id: str, **labels: str) -> None:
        """Change labels of `mooring.edge.`; `_` stands for a dot."""
        spec = self.services[service_id]["Spec"]
        spec["Labels"] |= {f"mooring.edge.{key.replace('_', '.')}": labels[key] for key in labels}
        self._changed("service", service_id, "update")

    def replace_task(self, service_id: str, *, told: bool = True) -> tuple[str, str]:
        """One of its tasks has ended, and another runs instead. The ids of both.

        told  whether an event comes, as when a service is updated; none does for a task that failed
        """
        old = next(id_ for id_, one in self.tasks.items() if one["ServiceID"] == service_id)
        del self.tasks[old]
        self._texts.pop(old, None)
        new = self._add_task(service_id)
        if told:
            self._changed("service", service_id, "update")
        return old, new

    def leave(self, task_id: str) -> str:
        """A task is to end, and runs yet; another runs beside it. The id of the new one."""
        task = self.tasks[task_id]
        task["DesiredState"] = "shutdown"
        self._texts.pop(task_id, None)
        return self._add_task(task["ServiceID"])

    def end(self, task_id: str) -> None:
        """A task is gone. No event tells of it."""
        del self.tasks[task_id]
        self._texts.pop(task_id, None)

    def place_of(self, task_id: str) -> tuple[str, int]:
        """The address and the first port of a task that has one on its node."""
        task = self.tasks[task_id]
        port = task["Status"]["PortStatus"]["Ports"][0]["PublishedPort"]
        return self.nodes[task["NodeID"]]["Status"]["Addr"], port

    def remove(self, service_id: str) -> None:
        """With all its tasks."""
        del self.services[service_id]
        gone = [id_ for id_, one in self.tasks.items() if one["ServiceID"] == service_id]
        for id_ in gone:
            del self.tasks[id_]
            self._texts.pop(id_, None)
        self._changed("service", service_id, "remove")

    def _add_task(self, service_id: str) -> str:
        self._number += 1
        node = self._number % len(self.nodes) + 1
        task = _task(self._number, self.services[service_id], f"n{node}", len(self.nodes))
        self.tasks[task["ID"]] = task
        return str(task["ID"])

    def _changed(self, kind: str, id_: str, action: str) -> None:
        self._texts.pop(id_, None)
        now = datetime.now(UTC).timestamp()
        event = {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": id_, "Attributes": {"name": id_}},
            "scope": "swarm",
            "time": int(now),
            "timeNano": int(now * 1e9),
        }
        for listener in self._listeners:
            listener.put_nowait(json.dumps(event).encode() + b"\n")

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(
            text="OK", headers={"Api-Version": VERSION, "Docker-Experimental": "false"}
        )

    async def _services(self, request: web.Request) -> web.Response:
        wanted = json.loads(request.query.get("filters", "{}")).get("id")
        found = (one for one in self.services.values() if not wanted or one["ID"] in wanted)
        return self._listed(found)

    async def _tasks(self, request: web.Request) -> web.Response:
        wanted = json.loads(request.query.get("filters", "{}")).get("service")
        found = (one for one in self.tasks.values() if not wanted or one["ServiceID"] in wanted)
        return self._listed(found)

    async def _nodes(self, _: web.Request) -> web.Response:
        return self._listed(self.nodes.values())

    def _listed(self, documents: Iterable[dict[str, Any]]) -> web.Response:
        texts = []
        for one in documents:
            text = self._texts.get(one["ID"])
            if text is None:
                text = self._texts[one["ID"]] = json.dumps(one).encode()
            texts.append(text)
        return web.Response(body=b"[" + b",".join(texts) + b"]\n", content_type="application/json")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        told: asyncio.Queue[bytes] = asyncio.Queue()
        self._listeners.add(told)
        try:
            while True:
                await answer.write(await told.get())
        finally:
            self._listeners.discard(told)


def _node(number: int) -> dict[str, Any]:
    return {
        "ID": f"n{number}",
        "Version": {"Index": 20 + number},
        "CreatedAt": CREATED,
        "UpdatedAt": CREATED,
        "Spec": {"Labels": {"zone": "a"}, "Role": "worker", "Availability": "active"},
        "Description": {
            "Hostname": f"host-{number}",
            "Platform": {"Architecture": "x86_64", "OS": "linux"},
            "Resources": {"NanoCPUs": 8_000_000_000, "MemoryBytes": 33_000_000_000},
            "Engine": {
                "EngineVersion": "20.10.24",
                "Plugins": [
                    {"Type": kind, "Name": name}
                    for kind, name in (
                        *(("Log", one) for one in ("awslogs", "fluentd", "json-file", "syslog")),
                        *(("Network", one) for one in ("bridge", "host", "overlay", "macvlan")),
                        ("Volume", "local"),
                    )
                ],
            },
        },
        "Status": {"State": "ready", "Addr": f"10.77.{number}.1"},
    }


def _service(
    id_: str, name: str, replicas: int, labels: dict[str, str], ports: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    spec = {
        "Name": name,
        "Labels": labels,
        "TaskTemplate": _template(name),
        "Mode": {"Replicated": {"Replicas": replicas}},
        "UpdateConfig": _pace("start-first"),
        "RollbackConfig": _pace("stop-first"),
        "EndpointSpec": {"Mode": "vip", "Ports": list(ports)},
    }
    endpoint = {
        "Spec": spec["EndpointSpec"],
        "Ports": list(ports),
        "VirtualIPs": [{"NetworkID": "7rv5kyzlyd0mywrn3wupfvvwa", "Addr": "10.0.0.7/24"}],
    }
    return {
        "ID": id_,
        "Version": {"Index": 100},
        "CreatedAt": CREATED,
        "UpdatedAt": CREATED,
        "Spec": spec,
        "PreviousSpec": spec,
        "Endpoint": endpoint,
    }


def _pace(order: str) -> dict[str, Any]:
    return {
        "Parallelism": 1,
        "FailureAction": "pause",
        "Monitor": 5_000_000_000,
        "MaxFailureRatio": 0,
        "Order": order,
    }


def _template(name: str) -> dict[str, Any]:
    return {
        "ContainerSpec": {
            "Image": IMAGE,
            "Labels": {"com.example.team": "web", "com.example.revision": "0123456789abcdef"},
            "Env": [f"SERVICE={name}", "LOG_LEVEL=info", "DATABASE_URL=postgres://db/web"],
            "Init": False,
            "StopGracePeriod": 10_000_000_000,
            "DNSConfig": {},
            "Isolation": "default",
        },
        "Resources": {
            "Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 268_435_456},
            "Reservations": {"MemoryBytes": 134_217_728},
        },
        "RestartPolicy": {"Condition": "any", "Delay": 5_000_000_000, "MaxAttempts": 0},
        "Placement": {"Platforms": [{"Architecture": "amd64", "OS": "linux"}]},
        "ForceUpdate": 0,
        "Runtime": "container",
    }


def _task(number: int, service: dict[str, Any], node: str, nodes: int) -> dict[str, Any]:
    """Its ports are of those that 1,000 tasks of a node may have at once."""
    ports = [
        one | {"PublishedPort": FIRST_PORT + number // nodes % PORTS}
        for one in service["Endpoint"]["Ports"]
        if one["PublishMode"] == "host"
    ]
    return {
        "ID": f"t{number:024d}",
        "Version": {"Index": 200 + number},
        "CreatedAt": CREATED,
        "UpdatedAt": CREATED,
        "Labels": {},
        "Spec": service["Spec"]["TaskTemplate"],
        "ServiceID": service["ID"],
        "Slot": number,
        "NodeID": node,
        "Status": {
            "Timestamp": CREATED,
            "State": "running",
            "Message": "started",
            "ContainerStatus": {"ContainerID": f"{number:064x}", "PID": 4000 + number},
            "PortStatus": {"Ports": ports} if ports else {},
        },
        "DesiredState": "running",
        "NetworksAttachments": [
            {
                "Network": {
                    "ID": "7rv5kyzlyd0mywrn3wupfvvwa",
                    "Version": {"Index": 7},
                    "CreatedAt": CREATED,
                    "Spec": {"Name": "ingress", "Labels": {}, "Ingress": True},
                    "DriverState": {"Name": "overlay"},
                    "IPAMOptions": {"Driver": {"Name": "default"}},
                },
                "Addresses": [f"10.0.{number // 250 % 250}.{number % 250 + 2}/24"],
            }
        ],
    }
