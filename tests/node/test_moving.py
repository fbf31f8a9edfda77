"""Two agents, and a volume that moves between them: who has it, and whose data counts."""

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from mooring.api.certificates import Authority
from mooring.api.certifying import Certifying
from mooring.controllers.controllers import Controllers
from mooring.daemon.peers import Certificate
from mooring.errors import MooringError
from mooring.model.attachment import Attachment
from mooring.model.claim import Claim
from mooring.model.home import Copy, CopyState
from mooring.model.names import DIRECTORY_DRIVER, MOVE_TO, SELECTED_NODE
from mooring.model.node import Node
from mooring.model.peer import ADDRESS
from mooring.model.pool import Pool
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.node.agent import Agent
from mooring.node.attachments import AttachedElsewhere
from mooring.node.moving_errors import HomeUnreachable, Moving
from mooring.node.peers import Listening, Peers
from mooring.objects.objects import Objects
from tests.api.client import Client

pytestmark = [
    pytest.mark.system,  # whole agents, and rsync between them
    pytest.mark.skipif(os.geteuid() != 0, reason="agents of hosts are root"),
    pytest.mark.skipif(shutil.which("rsync") is None, reason="needs the program rsync"),
]
DEADLINE_S: Final = 30.0
KEY: Final = "default/db"


async def until(look: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not look():  # noqa: ASYNC110  what is looked at has no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"still not so: {what}") from None


class World:
    """A server, and the agents of a and b, of which each has a pool and nothing of the other."""

    def __init__(self, objects: Objects, place: Path) -> None:
        self.objects, self.place = objects, place
        self.controllers = Controllers(objects)
        self.authority = Authority(place / "pki")
        self.authority.ensure(["localhost"])
        self.agents: dict[str, Agent] = {}
        self.peers: dict[str, Peers] = {}

    async def make(self, resource: str, doc: dict[str, Any], namespace: str = "") -> None:
        await self.objects.create(self.objects.kinds[resource], namespace, doc)

    async def start(self) -> None:
        await self.controllers.start()
        class_ = {
            "metadata": {"name": "moves"},
            "provisioner": DIRECTORY_DRIVER,
            "volumeBindingMode": "WaitForFirstConsumer",
            "parameters": {"elsewhere": "move"},
        }
        await self.make(StorageClass.resource, class_)
        for name in ("a", "b"):
            spec = {"driver": DIRECTORY_DRIVER, "node": name, "root": str(self.pool(name))}
            await self.make(Pool.resource, {"metadata": {"name": f"local-{name}"}, "spec": spec})
            await self.agent(name)

    async def agent(self, name: str) -> Agent:
        certifying = Certifying(self.objects, self.authority)
        state = self.place / name
        certificate = Certificate(
            *(self.objects, name, state / "peer", self.authority.ca.read_text),
            lambda request: certifying.signed(name, request),
        )
        peers = Peers(self.objects, name, Listening("127.0.0.1", 0), certificate)
        agent = Agent(self.objects, name, state, self.controllers.recorder.note, peers=peers)
        await agent.start()
        self.agents[name], self.peers[name] = agent, peers

        def is_told() -> bool:
            node = self.objects.view(Node, name)
            return node is not None and ADDRESS in node.annotations

        await until(is_told, f"{name} says where it is")
        return agent

    async def stop(self) -> None:
        for agent in self.agents.values():
            await agent.stop()
        await self.controllers.stop()

    def pool(self, node: str) -> Path:
        return self.place / f"pool-{node}"

    async def claim(self, node: str) -> None:
        """A claim whose volume is made on a node."""
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "moves",
            "resources": {"requests": {"storage": "1Mi"}},
        }
        doc = {"metadata": {"name": "db", "annotations": {SELECTED_NODE: node}}, "spec": spec}
        await self.make(Claim.resource, doc, "default")

        def is_bound() -> bool:
            claim = self.objects.view(Claim, KEY)
            return claim is not None and claim.phase == "Bound"

        await until(is_bound, "it is bound")

    async def use(self, node: str, within_s: float = DEADLINE_S) -> Path:
        mounted = await self.agents[node].users.give(KEY, "user", within_s)
        return mounted.path

    async def let_go(self, node: str) -> None:
        """And wait until another may have it."""
        await self.agents[node].users.take(KEY, "user")
        await until(lambda: self.holder != node, f"{node} lets go")

    async def wrote(self, node: str, text: str) -> None:
        path = await self.use(node)
        (path / "f").write_text(text)
        await self.let_go(node)

    @property
    def volume(self) -> Volume:
        (found,) = self.objects.views(Volume)
        return found

    @property
    def holder(self) -> str:
        return next((one.node for one in self.objects.views(Attachment)), "")

    def assets(self, node: str) -> list[str]:
        return [one.name for one in self.pool(node).glob("*pvc-*")]

    @contextmanager
    def held_up(self, node: str) -> Iterator[None]:
        """Whatever a node's agent does to the volume's data waits."""
        place = self.place / node / "moving"
        place.mkdir(exist_ok=True)
        with (place / self.volume.uid).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    async def reasons(self) -> list[str]:
        await self.controllers.recorder.written()
        return [one["reason"] for one in self.objects.inside("events", "default")]


@asynccontextmanager
async def a_world(place: Path) -> AsyncIterator[World]:
    async with Client() as client:
        world = World(client.objects, place)
        await world.start()
        try:
            yield world
        finally:
            await world.stop()


async def test_it_comes_to_who_uses_it_and_its_former_home_forgets_it(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.claim("a")
        await world.wrote("a", "one")
        path = await world.use("b")
        assert (path / "f").read_text() == "one"
        assert world.volume.hosts == ("b",)
        await until(lambda: not world.assets("a"), "a has nothing of it")
        await until(lambda: not world.volume.copies, "and says so")
        assert [one.status.volumes for one in world.objects.views(Pool)] == [0, 1]
        with pytest.raises(AttachedElsewhere):
            await world.use("a", 0)
        (path / "f").write_text("two")
        await world.let_go("b")
        assert (await world.use("a") / "f").read_text() == "two"


async def test_a_home_that_waited_while_it_moved_away_uses_no_old_data(tmp_path: Path) -> None:
    """It wanted the volume when that was its own, and got the right to it when it was not."""
    async with a_world(tmp_path) as world:
        await world.claim("a")
        await world.wrote("a", "old")
        with world.held_up("a"):  # what is left of it there is not deleted
            with world.held_up("b"):
                coming = asyncio.create_task(world.use("b"))
                await until(lambda: world.holder == "b", "b may have it")
                back = asyncio.create_task(world.use("a"))
                await asyncio.wait({back}, timeout=0.3)  # it has looked where the volume is
                assert not back.done()
            path = await coming
            (path / "f").write_text("new")
            await world.agents["b"].users.take(KEY, "user")
            await until(lambda: world.holder == "a", "a may have it")
            assert world.assets("a")
        assert (await back / "f").read_text() == "new"
        assert world.volume.hosts == ("a",)
        await until(lambda: not world.assets("b"), "b has nothing of it")


async def test_what_takes_longer_goes_on_and_is_there_at_a_later_try(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.claim("a")
        await world.wrote("a", "one")
        with world.held_up("b"):
            with pytest.raises(Moving, match="default/db is on its way from a"):
                await world.use("b", 0.2)
            with pytest.raises(AttachedElsewhere):
                await world.use("a", 0)
            assert world.volume.hosts == ("a",)
        await until(lambda: world.volume.hosts == ("b",), "it goes on by itself")
        await until(lambda: not world.holder, "and nobody keeps it who does not use it")
        assert (await world.use("b") / "f").read_text() == "one"


async def test_from_a_home_that_does_not_answer_nothing_is_begun(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.claim("a")
        await world.wrote("a", "one")
        await world.peers["a"].stop()
        with pytest.raises(HomeUnreachable, match="on a alone") as refused:
            await world.use("b")
        assert refused.value.code == "HolderUnreachable"
        assert not world.assets("b")
        assert not world.volume.copies
        await until(lambda: not world.holder, "its home may use it")
        assert (await world.use("a") / "f").read_text() == "one"


async def test_an_operator_has_it_moved_as_soon_as_nobody_uses_it(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.claim("a")
        path = await world.use("a")
        (path / "f").write_text("one")
        volume = world.volume
        await world.objects.commit([(volume, volume.annotated(**{MOVE_TO: "b"}))])
        await asyncio.sleep(0)
        assert world.volume.hosts == ("a",)
        await world.agents["a"].users.take(KEY, "user")
        await until(lambda: world.volume.hosts == ("b",), "it moves")
        await until(lambda: MOVE_TO not in world.volume.annotations, "that is done")
        await until(lambda: not world.holder, "nobody uses it")
        assert "MoveFailed" not in await world.reasons()
        assert (await world.use("b") / "f").read_text() == "one"


async def test_an_agent_that_starts_again_goes_on_with_what_it_had_begun(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.claim("a")
        await world.wrote("a", "one")
        with world.held_up("b"):
            with pytest.raises(Moving):
                await world.use("b", 0.1)
        volume = world.volume
        if volume.hosts == ("a",) and volume.copy_on("b") is None:
            begun = Copy(node="b", pool="local-b", size="1Mi")
            await world.objects.commit([(volume, volume.with_copy(begun))])
        await world.agents["b"].stop()
        await world.agent("b")
        await until(lambda: world.volume.hosts == ("b",), "it comes")
        await until(lambda: not world.assets("a"), "and is nowhere else")


async def test_what_was_begun_of_a_volume_that_is_used_at_home_again_goes(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.claim("a")
        await world.use("a")
        volume = world.volume
        begun = Copy(node="b", pool="local-b", state=CopyState.ARRIVING, size="1Mi")
        (world.pool("b") / volume.handle / "data").mkdir(parents=True)
        (world.pool("b") / volume.handle / "size").write_text("1048576\n")
        await world.agents["b"].stop()
        await world.objects.commit([(volume, volume.with_copy(begun))])
        await world.agent("b")
        await until(lambda: not world.volume.copies, "it is given up")
        assert world.volume.hosts == ("a",)
        assert not world.assets("b")
        assert [one.status.volumes for one in world.objects.views(Pool)] == [1, 0]


async def test_a_claim_deleted_while_it_moves_leaves_nothing_anywhere(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.claim("a")
        await world.wrote("a", "one")
        with world.held_up("b"):
            with pytest.raises(Moving):
                await world.use("b", 0.2)
            await world.objects.delete(world.objects.kinds[Claim.resource], KEY)
        await until(lambda: not world.objects.views(Volume), "the volume goes")
        await until(lambda: not world.assets("a") + world.assets("b"), "and all of its data")
        await until(lambda: not world.holder, "nobody has it")
        assert [one.status.volumes for one in world.objects.views(Pool)] == [0, 0]


async def test_nobody_is_given_a_tree_without_the_right_to_use_it(tmp_path: Path) -> None:
    from mooring.node.sending import TREE, Wanted

    async with a_world(tmp_path) as world:
        await world.claim("a")
        await world.wrote("a", "one")
        volume = world.volume
        wanted = Wanted(volume.name, volume.uid)

        async def refused(why: str) -> None:
            with pytest.raises(MooringError, match=why):
                async with world.peers["b"].call("a", TREE, wanted):
                    pass

        await refused("b has not said that it wants it")
        await world.agents.pop("b").stop()
        begun = Copy(node="b", pool="local-b", size="1Mi")
        await world.objects.commit([(volume, volume.with_copy(begun))])
        await world.peers["b"].start()
        await refused("b has not the right to use it")
        await world.peers["b"].stop()
