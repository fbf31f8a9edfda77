"""`docker volume`: what it does to claims, and what Docker shows of them."""

import json
import re
from typing import Any

import pytest

from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER, Mooring
from tests.docker.testbed import eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]


def create(mooring: Mooring, name: str, *options: str) -> str:
    given = [word for option in options for word in ("--opt", option)]
    return mooring.host.docker("volume", "create", "--driver", DRIVER, *given, name)


def refusal(mooring: Mooring, name: str, *options: str) -> str:
    given = [word for option in options for word in ("--opt", option)]
    done = mooring.host.try_docker("volume", "create", "--driver", DRIVER, *given, name)
    assert done.code != 0, done.out
    return done.err


def listed(mooring: Mooring) -> dict[str, str]:
    """Driver by name of what `docker volume ls` shows."""
    lines = mooring.host.docker("volume", "ls", "--format", "{{.Name}} {{.Driver}}").splitlines()
    return dict(line.split() for line in lines)


def inspected(mooring: Mooring, name: str) -> Any:
    return json.loads(mooring.host.docker("volume", "inspect", name))[0]


def test_a_volume_is_a_claim_that_is_bound_when_create_answers(moored: Mooring) -> None:
    assert create(moored, "made", "size=1Gi") == "made"
    claim = moored.get("persistentvolumeclaims", "made")
    assert claim["status"]["phase"] == "Bound"
    assert claim["status"]["capacity"] == {"storage": "1Gi"}
    assert claim["metadata"]["annotations"]["mooring.dev/created-by"] == "docker/here"


def test_inspect_shows_the_state_of_the_claim(moored: Mooring) -> None:
    create(moored, "seen", "size=2Gi")
    volume = inspected(moored, "seen")
    status = volume["Status"]
    name = moored.get("persistentvolumeclaims", "seen")["spec"]["volumeName"]
    wanted = {
        **{"claim": "default/seen", "phase": "Bound", "volume": name, "class": "local"},
        **{"requested": "2Gi", "capacity": "2Gi", "reclaim": "delete", "node": "here"},
    }
    assert {key: status.get(key) for key in wanted} == wanted
    assert (volume["Driver"], volume["Scope"], volume["Options"]) == (
        DRIVER, "local", {"size": "2Gi"}
    )  # fmt: skip


def test_inspect_names_the_containers_that_use_a_volume(moored: Mooring) -> None:
    create(moored, "used")
    moored.host.docker("run", "-d", "--name", "user", "-v", "used:/data:ro", SHELL, "sleep", "1000")

    def used_by() -> Any:
        return inspected(moored, "used")["Status"]["usedBy"]

    wanted = [{"container": "user", "node": "here", "path": "/data", "ro": True}]
    eventually(lambda: used_by() == wanted, "the container is shown")
    moored.host.docker("rm", "--force", "user")
    eventually(lambda: not used_by(), "the container is not shown any more")


def test_list_shows_what_was_made_with_kubectl_too(moored: Mooring) -> None:
    create(moored, "from-docker")
    moored.claim("from-kubectl")
    wanted = {"from-docker": DRIVER, "from-kubectl": DRIVER}
    eventually(lambda: wanted.items() <= listed(moored).items(), "both are listed")


def test_remove_takes_away_claim_volume_and_data(moored: Mooring) -> None:
    create(moored, "short")
    volume = moored.volume("short")
    moored.host.docker("volume", "rm", "short")
    assert "short" not in moored.names("persistentvolumeclaims")
    assert "short" not in listed(moored)
    name = volume["metadata"]["name"]
    eventually(lambda: name not in moored.names("persistentvolumes"), "the volume is gone")
    handle = volume["spec"]["csi"]["volumeHandle"]
    eventually(lambda: not (moored.pool / handle).exists(), "its data are gone")


def test_a_volume_of_a_stopped_container_is_not_removed(moored: Mooring) -> None:
    create(moored, "held")
    moored.host.docker("create", "--name", "holder", "-v", "held:/data", SHELL)
    done = moored.host.try_docker("volume", "rm", "held")
    assert (done.code, "volume is in use" in done.err) == (1, True)
    assert moored.get("persistentvolumeclaims", "held")["status"]["phase"] == "Bound"
    moored.host.docker("rm", "holder")
    moored.host.docker("volume", "rm", "held")


def test_prune_leaves_volumes_alone(moored: Mooring) -> None:
    create(moored, "precious")
    moored.host.docker("volume", "prune", "--force")
    assert listed(moored)["precious"] == DRIVER
    assert "precious" in moored.names("persistentvolumeclaims")


def test_create_of_a_volume_that_is_there_leaves_its_data(moored: Mooring) -> None:
    create(moored, "again", "size=1Gi")
    moored.host.docker("run", "--rm", "-v", "again:/data", SHELL, "touch", "/data/file")
    assert create(moored, "again", "size=1Gi") == "again"
    assert moored.host.docker("run", "--rm", "-v", "again:/data", SHELL, "ls", "/data") == "file"


def test_a_name_that_no_claim_may_have_is_kept_beside_the_claim(moored: Mooring) -> None:
    create(moored, "Project_data")
    assert listed(moored)["Project_data"] == DRIVER
    kept = [
        one["metadata"]["name"]
        for one in moored.get("persistentvolumeclaims")["items"]
        if one["metadata"]["annotations"].get("mooring.dev/docker-name") == "Project_data"
    ]
    assert len(kept) == 1
    assert re.fullmatch(r"project-data-[0-9a-f]{8}", kept[0])
    moored.host.docker("volume", "rm", "Project_data")
    assert kept[0] not in moored.names("persistentvolumeclaims")


@pytest.mark.parametrize(
    ("name", "code"),
    [("../../etc", "BadName"), ("a" * 256, "BadName"), ("other/data", "NamespaceNotAllowed")],
)
def test_a_name_that_cannot_be_is_refused(moored: Mooring, name: str, code: str) -> None:
    assert f"{code}: " in refusal(moored, name)


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        (["size=10GB"], ["BadSize"]),
        (["class=none"], ["NoSuchClass"]),
        (["access=rw"], ["BadAccess"]),
        (["Size=1Gi"], ["UnknownOption"]),
        (["volume=none"], ["NoSuchVolume"]),
        (["size=1", "mode=9", "reclaim=keep"], ["BadSize", "BadMode", "BadReclaim"]),
    ],
)
def test_bad_options_are_all_named_and_nothing_is_made(
    moored: Mooring, options: list[str], codes: list[str]
) -> None:
    said = refusal(moored, "refused", *options)
    assert [code for code in codes if f"{code}: " not in said] == [], said
    assert "refused" not in moored.names("persistentvolumeclaims")


def test_options_set_owner_mode_and_labels(moored: Mooring) -> None:
    create(moored, "owned", "uid=1000", "gid=2000", "mode=2750", "label.app=db")
    shown = moored.host.docker(
        "run", "--rm", "-v", "owned:/data", SHELL, "stat", "-c", "%a %u %g", "/data"
    )
    assert shown == "2750 1000 2000"
    assert moored.names("persistentvolumeclaims", "--selector", "app=db") == ["owned"]


def test_a_retained_volume_is_not_silently_replaced_by_an_empty_one(moored: Mooring) -> None:
    create(moored, "kept", "reclaim=retain")
    moored.host.docker("run", "--rm", "-v", "kept:/data", SHELL, "touch", "/data/file")
    name = moored.volume("kept")["metadata"]["name"]
    moored.host.docker("volume", "rm", "kept")
    said = refusal(moored, "kept")
    assert ("RetainedVolumeExists: " in said, name in said) == (True, True), said
    create(moored, "kept", f"volume={name}")
    assert moored.host.docker("run", "--rm", "-v", "kept:/data", SHELL, "ls", "/data") == "file"


def test_an_empty_volume_in_place_of_a_retained_one_is_asked_for(moored: Mooring) -> None:
    create(moored, "renewed", "reclaim=retain")
    moored.host.docker("run", "--rm", "-v", "renewed:/data", SHELL, "touch", "/data/file")
    moored.host.docker("volume", "rm", "renewed")
    create(moored, "renewed", "fresh=true")
    assert moored.host.docker("run", "--rm", "-v", "renewed:/data", SHELL, "ls", "/data") == ""
