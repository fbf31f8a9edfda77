"""Claims without a name that Docker may not know: those of containers stay, the others go."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.dockerplugin.unanswered import OLD_S
from mooring.engine.engine import Engine
from mooring.model.names import UNANSWERED
from tests.docker.conftest import bed, plain_host
from tests.docker.images import SHELL
from tests.docker.testbed import Host, needs_hosts
from tests.dockerplugin.docker_plant import DockerPlant

__all__ = ["bed", "plain_host"]

pytestmark = [pytest.mark.system, needs_hosts]
UNNAMED = "0f" * 32


@pytest.fixture
def plant(plain_host: Host, tmp_path: Path) -> Iterator[DockerPlant]:
    """Its Docker is a real one, which has no containers, and does not ask Mooring."""
    if left := plain_host.docker("ps", "--all", "--quiet").split():
        plain_host.docker("rm", "--force", "--volumes", *left)
    engine = Engine(plain_host.socket, "local")
    made = DockerPlant(tmp_path, engine)
    yield made
    made._run(engine.stop())
    made.close()


def is_marked(plant: DockerPlant, name: str = UNNAMED) -> bool:
    return UNANSWERED in plant.claim(name).annotations


def test_what_a_dead_process_left_goes_when_it_is_old(plant: DockerPlant) -> None:
    plant.call("Create", UNNAMED)
    plant.restart()
    plant.pass_time(OLD_S - 1)
    assert plant.claim_names() == [f"default/{UNNAMED}"]
    plant.pass_time(2)
    assert plant.left() == []


def test_what_docker_was_told_of_stays(plant: DockerPlant) -> None:
    plant.call("Create", UNNAMED)
    plant.delivered("Create", UNNAMED)
    assert not is_marked(plant)
    plant.restart()
    plant.pass_time(OLD_S + 1)
    assert plant.claim_names() == [f"default/{UNNAMED}"]


def test_what_a_container_has_stays_though_docker_was_not_told(
    plant: DockerPlant, plain_host: Host
) -> None:
    plain_host.docker("volume", "create", UNNAMED)
    plain_host.docker("create", "--volume", f"{UNNAMED}:/data", SHELL, "true")
    plant.call("Create", UNNAMED)
    plant.restart()
    plant.pass_time(OLD_S + 1)
    assert not is_marked(plant)
    assert plant.claim_names() == [f"default/{UNNAMED}"]


def test_what_was_used_stays(plant: DockerPlant) -> None:
    plant.call("Create", UNNAMED)
    plant.call("Mount", UNNAMED, "one")
    plant.call("Unmount", UNNAMED, "one")
    plant.restart()
    plant.pass_time(OLD_S + 1)
    assert plant.claim_names() == [f"default/{UNNAMED}"]


def test_a_new_docker_has_them_looked_at(plant: DockerPlant) -> None:
    plant.call("Create", UNNAMED)
    plant.clock.move(OLD_S + 1)
    plant._run(plant.plugin.activated(None))
    plant.settle()
    assert plant.left() == []


def test_a_claim_with_a_name_is_never_one(plant: DockerPlant) -> None:
    plant.call("Create", "db")
    assert not is_marked(plant, "db")
    plant.restart()
    plant.pass_time(OLD_S + 1)
    assert plant.claim_names() == ["default/db"]


@pytest.mark.parametrize("is_there", [True, False])
def test_while_docker_cannot_be_asked_all_stay(
    plant: DockerPlant, tmp_path: Path, is_there: bool
) -> None:
    plant.engine = Engine(tmp_path / "none.sock") if is_there else None
    plant.without_plugin(lambda: None)
    plant.call("Create", UNNAMED)
    plant.restart()
    plant.pass_time(OLD_S + 1)
    assert plant.claim_names() == [f"default/{UNNAMED}"]
