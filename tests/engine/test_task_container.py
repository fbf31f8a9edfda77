"""What a Docker engine says of containers of tasks."""

import json
from typing import Any

import pytest

from mooring.engine.task_container import TaskEvent, event_of, inspected_of, stop_signal
from mooring.model.task_container import State, TaskContainer, TaskPort

LABELS = {"com.docker.swarm.task.id": "t1", "com.docker.swarm.service.id": "s1"}


def an_event(action: str, **attributes: str) -> TaskEvent:
    # As dockerd 20.10 writes it, which has more in it.
    said = {"Type": "container", "Action": action, "Actor": {"ID": "c1"}}
    return event_of(
        json.dumps({**said, "Actor": {"ID": "c1", "Attributes": {**LABELS, **attributes}}}).encode()
    )


@pytest.mark.parametrize(
    ("action", "signal", "stops_with", "state"),
    [
        ("start", "", 15, None),
        ("health_status: healthy", "", 15, "running"),
        ("health_status: unhealthy", "", 15, "ending"),
        ("die", "", 15, "ended"),
        ("destroy", "", 15, "ended"),
        ("kill", "15", 15, "ending"),
        ("kill", "15", 3, "ending"),
        ("kill", "9", 15, "ending"),
        ("kill", "3", 3, "ending"),
        ("kill", "3", 15, None),  # some print their stacks, and go on
        ("kill", "1", 15, None),  # some read their files again
        ("kill", "28", 28, "ending"),
        ("kill", "x", 15, None),
        ("exec_start: sh", "", 15, None),
    ],
)
def test_what_an_event_says(action: str, signal: str, stops_with: int, state: State | None) -> None:
    event = an_event(action, signal=signal)
    assert (event.id, event.task, event.service) == ("c1", "t1", "s1")
    assert event.state(stops_with) == state


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 15),
        ("SIGQUIT", 3),
        ("term", 15),
        ("KILL", 9),
        ("28", 28),
        ("SIGRTMIN+3", 37),
        ("RTMIN", 34),
        ("SIGNONE", 15),
        ("_SIGSET", 15),
    ],
)
def test_the_signal_that_a_container_is_stopped_with(text: str, number: int) -> None:
    assert stop_signal(text) == number


def inspected(state: dict[str, Any], labels: dict[str, str] = LABELS) -> TaskContainer | None:
    bindings = [{"HostIp": "0.0.0.0", "HostPort": "32768"}, {"HostIp": "::", "HostPort": "32768"}]
    ports = {"80/tcp": bindings, "53/udp": bindings, "81/tcp": None}
    body = {
        "Id": "c1",
        "State": state,
        "Config": {"Labels": labels},
        "NetworkSettings": {"Ports": ports},
    }
    return inspected_of(json.dumps(body).encode()).container


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"Status": "running"}, "running"),
        ({"Status": "running", "Health": {"Status": "starting"}}, "starting"),
        ({"Status": "running", "Health": {"Status": "healthy"}}, "running"),
        ({"Status": "running", "Health": {"Status": "none"}}, "running"),
        ({"Status": "running", "Health": {"Status": "unhealthy"}}, "ending"),
        ({"Status": "paused"}, "running"),
        ({"Status": "exited"}, "ended"),
        ({"Status": "dead"}, "ended"),
        ({"Status": "removing"}, "ended"),
    ],
)
def test_what_a_container_is_when_it_is_asked_for(said: dict[str, Any], state: State) -> None:
    assert inspected(said) == TaskContainer("c1", "t1", "s1", state, (TaskPort(80, 32768),))


def test_one_that_was_not_started_or_is_of_no_task_is_none() -> None:
    assert inspected({"Status": "created"}) is None
    assert inspected({"Status": "running"}, {}) is None
