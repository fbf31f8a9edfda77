"""What a list of the Docker engine says of a container. The answers are of dockerd 20.10.24."""

import json
from typing import Any

import pytest

from mooring.engine.container import Container, ContainerMount, containers_of

VOLUME = {
    "Type": "volume",
    "Name": "shop_data",
    "Source": "/var/lib/mooring/mounts/u/fs",
    "Destination": "/data",
    "Driver": "mooring",
    "Mode": "z",
    "RW": True,
    "Propagation": "",
}
BIND = {"Type": "bind", "Source": "/srv", "Destination": "/x", "Mode": "", "RW": True}


def answer(**fields: Any) -> bytes:
    said = {
        "Id": "26ce15f8" * 8,
        "Names": ["/db"],
        "Image": "tb:1",
        "ImageID": "sha256:6ebc",
        "Command": "/bin/sleep 1000000",
        "Created": 1795735659,
        "Ports": [],
        "Labels": {"com.example": "x"},
        "State": "running",
        "Status": "Up Less than a second",
        "Mounts": [VOLUME, BIND],
    }
    return json.dumps([said | fields]).encode()


def told(**fields: Any) -> Container:
    (container,) = containers_of(answer(**fields), "mooring")
    return container


def test_a_container_has_its_name_image_state_and_volumes() -> None:
    assert told() == Container(
        id="26ce15f8" * 8,
        name="db",
        image="tb:1",
        state="running",
        exit_code=None,
        created=1795735659,
        mounts=(ContainerMount("shop_data", "mooring", "/data", False),),
    )


@pytest.mark.parametrize(
    ("state", "status", "exit_code"),
    [
        ("created", "Created", None),
        ("running", "Up 2 hours (healthy)", None),
        ("paused", "Up 5 seconds (Paused)", None),
        ("restarting", "Restarting (1) 3 seconds ago", 1),
        ("removing", "Removal In Progress", None),
        ("exited", "Exited (0) 3 minutes ago", 0),
        ("exited", "Exited (137) Less than a second ago", 137),
        ("exited", "Exited (-1) About an hour ago", -1),
        ("dead", "Dead", None),
    ],
)
def test_the_exit_status_is_read_from_the_text(
    state: str, status: str, exit_code: int | None
) -> None:
    container = told(State=state, Status=status)
    assert (container.state, container.exit_code) == (state, exit_code)


def test_what_linked_containers_call_it_is_not_its_name() -> None:
    assert told(Names=["/web/database", "/db", "/app/db"]).name == "db"


def test_the_order_of_volumes_is_that_of_their_targets() -> None:
    mounts = [VOLUME | {"Name": name, "Destination": at} for name, at in (("b", "/z"), ("a", "/y"))]
    assert [one.target for one in told(Mounts=mounts).mounts] == ["/y", "/z"]


@pytest.mark.parametrize(
    "mounts",
    [None, [], [BIND], [VOLUME | {"Driver": "local"}], [VOLUME | {"Type": "tmpfs"}]],
)
def test_a_container_without_volumes_of_the_driver_is_left_out(mounts: Any) -> None:
    assert containers_of(answer(Mounts=mounts), "mooring") == []


def test_a_list_of_nothing_may_be_null() -> None:
    assert containers_of(b"null\n", "mooring") == containers_of(b"[]", "mooring") == []
