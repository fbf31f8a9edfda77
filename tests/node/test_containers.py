"""Containers of a real Docker as Pods. The volumes are Docker's own: a mirror asks for no more."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mooring.controllers.controllers import Controllers
from mooring.dockerplugin.transport import Request, Transport
from mooring.engine.engine import Engine
from mooring.model.claim import Claim
from mooring.model.pod import MIRROR, Pod
from mooring.node.containers import ALL, Mirror, User
from mooring.objects.kind import Doc
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.memory import MemoryStore
from tests.controllers.clocked import a_claim_doc
from tests.controllers.plant import CLAIMS, a_pod_doc
from tests.docker.images import SHELL
from tests.docker.testbed import Bed, Host, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]

HERE = "here"
DEADLINE_S = 30.0
numbers = itertools.count()
Pairs = Iterable[tuple[str, str]]


class World:
    """A server without doors, and the mirror of one node's Docker."""

    def __init__(
        self, objects: Objects, engine: Engine | None, ids: Callable[[], Pairs] | None
    ) -> None:
        self.objects = objects
        self.told: list[str] = []  # claims of which something became another
        self.mirror = Mirror(objects, engine, HERE, key_of, ids, self.told.append)

    async def make(self, resource: str, doc: Doc, namespace: str = "") -> None:
        await self.objects.create(self.objects.kinds[resource], namespace, doc)

    def pods(self, node: str = HERE) -> dict[str, str]:
        """{namespace/name without the digits of an ID: phase}."""
        found = (pod for pod in self.objects.views(Pod) if pod.node_name == node)
        return {pod.key.rpartition("-")[0]: pod.phase for pod in found}

    def shown(self, name: str) -> Doc:
        """The Pod of a container."""
        key = next(pod.key for pod in self.objects.views(Pod) if f"-{name}-" in pod.name)
        doc = self.objects.one("pods", key)
        assert doc is not None
        return doc

    def users(self, claim: str) -> list[User]:
        return self.mirror.users_of(f"default/{claim}")

    async def until(self, look: Callable[[], bool], what: str) -> None:
        """Wait until something is so that a write of a Pod or a claim brings about."""
        news = asyncio.Event()
        shelves = (self.objects.cache.shelves[name] for name in ("pods", CLAIMS))
        unfollow = [shelf.follow(lambda _: news.set()) for shelf in shelves]
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not look():
                    news.clear()
                    await news.wait()
        except TimeoutError:
            raise AssertionError(f"still not so: {what}; {self.pods()}") from None
        finally:
            for end in unfollow:
                end()

    async def until_pods(self, *pods: str, **phases: str) -> None:
        """Exactly these are there: namespace/name, in these phases if they are said."""
        wanted = {f"default/docker-here-{name}": phase for name, phase in phases.items()}
        wanted |= dict.fromkeys(pods, "Running")
        await self.until(lambda: self.pods() == wanted, f"pods are {wanted}")

    async def look_at_all(self) -> None:
        self.mirror.queue.add(ALL)
        await self.mirror.queue.until_idle()


def key_of(volume: str) -> str | None:
    """Of these tests alone: Docker's own volumes have no slash in their names."""
    namespace, two, claim = volume.partition("__")
    return f"{namespace}/{claim}" if two else f"default/{volume}"


@asynccontextmanager
async def a_world(
    engine: Engine | None, ids: Callable[[], Pairs] | None = None
) -> AsyncIterator[World]:
    """Its mirror is not started yet. At the end everything is stopped."""
    objects = Objects(MemoryStore(), ALL_KINDS)
    await objects.start()
    world = World(objects, engine, ids)
    for namespace in ("default", "shop"):
        await world.make("namespaces", {"metadata": {"name": namespace}})
    try:
        yield world
    finally:
        await world.mirror.stop()
        if engine is not None:
            await engine.stop()
        await objects.close()


@pytest.fixture
async def world(plain_host: Host) -> AsyncIterator[World]:
    """Its Docker has no containers."""
    if left := plain_host.docker("ps", "--all", "--quiet").split():
        plain_host.docker("rm", "--force", *left)
    async with a_world(Engine(plain_host.socket, "local")) as made:
        yield made


@pytest.fixture
def fallible(bed: Bed) -> Iterator[Host]:
    """A new host, whose Docker a test may end. Not started yet."""
    host = bed.host(f"fallible{next(numbers)}")
    host.up()
    yield host
    host.crash()


async def docker(host: Host, *arguments: str) -> str:
    return await asyncio.to_thread(host.docker, *arguments)


async def create(host: Host, name: str, *options: str, command: str = "exec sleep 1000") -> str:
    """The id of a new container."""
    fixed = ("--network=none", "--stop-signal=KILL", f"--name={name}")
    return await docker(host, "create", *fixed, *options, SHELL, "sh", "-c", command)


async def run(host: Host, name: str, *options: str, command: str = "exec sleep 1000") -> str:
    id_ = await create(host, name, *options, command=command)
    return await docker(host, "start", id_)


async def test_containers_that_are_there_have_their_pods_at_the_start(
    world: World, plain_host: Host
) -> None:
    await run(plain_host, "web", "-v=data:/data")
    await create(plain_host, "idle", "-v=data:/d:ro")
    await create(plain_host, "other", "-v=/srv:/data")
    await world.mirror.start()
    assert world.pods() == {
        "default/docker-here-web": "Running",
        "default/docker-here-idle": "Pending",
    }
    status = world.shown("web")["status"]
    assert status["containerStatuses"][0]["ready"]
    assert sorted(world.users("data")) == [
        User("idle", "/d", True, "created"),
        User("web", "/data", False, "running"),
    ]


async def test_a_pod_goes_through_the_life_of_its_container(world: World, plain_host: Host) -> None:
    await world.mirror.start()
    await create(plain_host, "web", "-v=data:/data")
    await world.until_pods(web="Pending")
    await docker(plain_host, "start", "web")
    await world.until_pods(web="Running")
    await docker(plain_host, "pause", "web")
    await world.until(lambda: world.shown("web")["status"].get("reason") == "Paused", "paused")
    assert world.pods() == {"default/docker-here-web": "Running"}
    await docker(plain_host, "unpause", "web")
    await docker(plain_host, "stop", "web")
    await world.until_pods(web="Failed")
    (inner,) = world.shown("web")["status"]["containerStatuses"]
    assert (inner["state"]["terminated"]["exitCode"], inner["ready"]) == (137, False)
    assert world.users("data") == [User("web", "/data", False, "exited")]
    await docker(plain_host, "rm", "web")
    await world.until_pods()
    assert world.users("data") == []


async def test_a_container_that_is_content_has_succeeded(world: World, plain_host: Host) -> None:
    await world.mirror.start()
    await run(plain_host, "job", "-v=data:/data", command="exit 0")
    await world.until_pods(job="Succeeded")


async def test_a_container_that_is_started_again_and_again_is_running(
    world: World, plain_host: Host
) -> None:
    await world.mirror.start()
    await run(plain_host, "loop", "-v=data:/d", "--restart=always", command="exit 1")

    def waits() -> bool:
        states = world.shown("loop")["status"].get("containerStatuses")
        return bool(states) and states[0]["state"] == {"waiting": {"reason": "Restarting"}}

    await world.until(lambda: bool(world.pods()) and waits(), "it waits")
    assert world.pods() == {"default/docker-here-loop": "Running"}
    await docker(plain_host, "stop", "loop")
    await world.until_pods(loop="Failed")


async def test_a_renamed_container_is_a_pod_of_its_new_name(world: World, plain_host: Host) -> None:
    await world.mirror.start()
    await create(plain_host, "old", "-v=data:/data")
    await world.until_pods(old="Pending")
    await docker(plain_host, "rename", "old", "new")
    await world.until_pods(new="Pending")
    assert [one.container for one in world.users("data")] == ["new"]


async def test_claims_of_two_namespaces_are_used_in_both(world: World, plain_host: Host) -> None:
    await world.mirror.start()
    await run(plain_host, "both", "-v=data:/data", "-v=shop__data:/shop")
    await world.until_pods("default/docker-here-both", "shop/docker-here-both")
    assert world.mirror.users_of("shop/data") == [User("both", "/shop", False, "running")]
    await docker(plain_host, "rm", "--force", "both")
    await world.until_pods()


async def test_a_burst_of_containers_is_mirrored_to_the_last(
    world: World, plain_host: Host
) -> None:
    await world.mirror.start()
    body = {"Image": SHELL, "HostConfig": {"Mounts": [
        {"Type": "volume", "Source": "data", "Target": "/data"}]}}  # fmt: skip

    def burst() -> None:
        for number in range(150):
            status, _ = plain_host.api("POST", f"/containers/create?name=c{number}", body)
            assert status == 201

    await asyncio.to_thread(burst)
    await world.until(lambda: len(world.pods()) == 150, "all are there")
    assert len(world.users("data")) == 150


class SlowVolumes:
    """A volume plugin whose volumes take long to be given back."""

    def __init__(self, place: Path) -> None:
        self.place, self.asked, self.may_go_on = place, asyncio.Event(), asyncio.Event()
        place.mkdir()

    async def activated(self, peer_pid: int | None) -> None:
        pass

    async def answer(self, call: str, request: Request, peer_pid: int | None) -> dict[str, object]:
        if call == "Unmount":
            self.asked.set()
            await self.may_go_on.wait()
        path = {"Mountpoint": str(self.place)}
        return {"Get": {"Volume": {"Name": request.name}}, "Mount": path, "Path": path}.get(
            call, {}
        )

    def delivered(self, call: str, request: Request) -> None:
        pass

    async def undelivered(self, call: str, request: Request) -> None:
        pass


@pytest.fixture
async def slow_volumes(plain_host: Host, tmp_path: Path) -> AsyncIterator[SlowVolumes]:
    """What dockerd knows as the driver "slow"."""
    volumes, path = SlowVolumes(tmp_path / "volume"), "/run/docker/plugins/slow.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(plain_host.seen(path)))
    transport = Transport(volumes, listener, HERE)
    await transport.start()
    yield volumes
    volumes.may_go_on.set()
    await docker(plain_host, "rm", "--force", "slow")
    await transport.stop()
    plain_host.seen(path).unlink(missing_ok=True)  # else dockerd waits for it from now on


async def test_an_end_that_docker_tells_before_it_lists_it_is_not_overlooked(
    plain_host: Host, slow_volumes: SlowVolumes
) -> None:
    """dockerd 20.10 lists a container as running until its volumes are unmounted."""
    async with a_world(Engine(plain_host.socket, "slow")) as world:
        await world.mirror.start()
        await run(plain_host, "slow", "--volume-driver=slow", "-v=slow:/data", command="exit 0")
        await slow_volumes.asked.wait()
        await world.until_pods(slow="Running")
        for _ in range(3):  # it is listed so each time
            await world.look_at_all()
        assert world.pods() == {"default/docker-here-slow": "Running"}
        slow_volumes.may_go_on.set()
        await world.until_pods(slow="Succeeded")


# Beside the events


async def test_a_volume_is_asked_for_anew_before_anything_is_told(
    world: World, plain_host: Host
) -> None:
    """Docker removes a volume of a container with --rm before it tells that that is gone."""
    id_ = await run(plain_host, "web", "-v=data:/data", "-v=more:/more")
    await world.mirror.refresh("data")
    assert world.pods() == {"default/docker-here-web": "Running"}
    assert len(world.users("more")) == 1
    await docker(plain_host, "rm", "--force", id_)
    await world.mirror.refresh("data")
    assert (world.pods(), world.users("data"), world.users("more")) == ({}, [], [])


async def test_asking_for_one_volume_leaves_the_others_alone(
    world: World, plain_host: Host
) -> None:
    await create(plain_host, "web", "-v=data:/data")
    await create(plain_host, "db", "-v=other:/data")
    for volume in ("data", "other", "data", "none"):
        await world.mirror.refresh(volume)
    assert set(world.pods()) == {"default/docker-here-web", "default/docker-here-db"}


async def test_pods_that_an_earlier_process_left_go_at_the_start(
    world: World, plain_host: Host
) -> None:
    await create(plain_host, "web", "-v=data:/data")
    await world.mirror.refresh("data")
    await docker(plain_host, "rm", "web")
    far = a_pod_doc("docker-far-db-1", "data", "far")
    far["metadata"]["labels"] = {MIRROR: "docker"}
    await world.make("pods", far, "default")
    await world.make("pods", a_pod_doc("mine-1", "data", HERE), "default")
    await world.mirror.start()
    assert set(world.pods()) == {"default/mine"}
    assert set(world.pods("far")) == {"default/docker-far-db"}


async def test_looking_again_writes_nothing(world: World, plain_host: Host) -> None:
    await run(plain_host, "web", "-v=data:/data:ro", "-v=shop__data:/shop")
    await create(plain_host, "idle", "-v=data:/data")
    await run(plain_host, "job", "-v=data:/data", command="exit 3")
    await docker(plain_host, "wait", "job")
    await world.mirror.start()
    revision = world.objects.cache.revision
    await world.look_at_all()
    await world.mirror.refresh("data")
    assert world.objects.cache.revision == revision


async def test_a_pod_that_is_not_as_it_should_be_is_put_right(
    world: World, plain_host: Host
) -> None:
    await run(plain_host, "web", "-v=data:/data")
    await world.mirror.start()
    before = world.shown("web")

    def spoiled(doc: Doc) -> Doc:
        doc["spec"]["volumes"] = []
        doc["metadata"]["labels"]["app"] = "web"
        return doc

    key = f"default/{before['metadata']['name']}"
    await world.objects.update(world.objects.kinds["pods"], key, spoiled)
    await world.look_at_all()
    after = world.shown("web")
    assert (after["spec"], after["status"]) == (before["spec"], before["status"])
    assert after["metadata"]["labels"] == {MIRROR: "docker", "app": "web"}


async def test_a_pod_of_somebody_else_is_not_taken(
    world: World, plain_host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    id_ = await create(plain_host, "web", "-v=data:/data")
    doc = a_pod_doc(f"docker-here-web-{id_[:12]}", "", HERE)
    await world.make("pods", doc, "default")
    before = world.shown("web")
    await world.mirror.start()
    await world.look_at_all()
    assert world.shown("web") == before
    assert caplog.text.count("which is no mirror") == 1


async def test_a_namespace_that_is_being_deleted_gets_no_pods_and_stops_nobody(
    world: World, plain_host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    await world.make("configmaps", {"metadata": {"name": "a", "finalizers": ["a/b"]}}, "shop")
    await world.objects.delete(world.objects.kinds["namespaces"], "shop")
    await world.mirror.start()
    await run(plain_host, "both", "-v=data:/data", "-v=shop__data:/shop", "-v=none__a:/none")
    await world.until_pods("default/docker-here-both")
    await world.look_at_all()
    assert caplog.text.count("because it is being terminated") == 1
    assert caplog.text.count('namespaces "none" not found') == 1
    assert len(world.mirror.users_of("shop/data")) == 1


async def test_a_claim_stays_until_its_last_container_is_removed(
    world: World, plain_host: Host
) -> None:
    controllers = Controllers(world.objects)
    await controllers.start()
    await world.make(CLAIMS, a_claim_doc("data"), "default")
    await world.mirror.start()
    await run(plain_host, "job", "-v=data:/data", command="exit 0")
    await world.until_pods(job="Succeeded")
    await world.objects.delete(world.objects.kinds[CLAIMS], "default/data")
    await controllers.idle()
    claim = world.objects.view(Claim, "default/data")
    assert claim is not None
    assert claim.being_deleted
    await docker(plain_host, "rm", "job")
    await world.until(lambda: world.objects.view(Claim, "default/data") is None, "it is gone")
    await controllers.stop()
