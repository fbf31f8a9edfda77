"""An edge before a real swarm: nothing is lost when tasks, nodes, services or we ourselves go."""

import json
import os
import shutil
import signal
import subprocess

import pytest

from testbed.images import SHELL
from tests.docker.testbed import Bed, Host, eventually, needs_hosts
from tests.edge.entry import ECHO, WORKERS, Entry
from tests.edge.storm import serving

pytestmark = [pytest.mark.system, needs_hosts]
WEB = "web.example.com"


@pytest.fixture(scope="module")
def web(entry: Entry, tmp_path_factory: pytest.TempPathFactory) -> Entry:
    """With a service of three tasks that all serve, and send their answers whole: nobody can ask
    again where a task was killed between the head of its answer and the rest."""
    options, command = serving(tmp_path_factory.mktemp("work"))
    entry.create("web", 3, *options, command=command)
    entry.serves("web", 3)
    return entry


def scale(entry: Entry, replicas: int) -> None:
    entry.manager.docker("service", "scale", "--detach", f"web={replicas}")
    entry.runs("web", replicas)
    entry.serves("web", replicas)


def test_every_task_gets_requests_and_an_unknown_host_none(web: Entry) -> None:
    assert len({web.get(WEB)[1] for _ in range(9)}) == 3
    assert web.get("nobody.example.com") == (404, "no service has this name")
    assert web.get("WEB.example.com:80")[0] == 200


def test_scaled_up_and_down_no_request_fails(web: Entry) -> None:
    with web.load(WEB) as counted:
        for replicas in (6, 1, 3):
            scale(web, replicas)
    assert counted.failures == []
    assert len(counted.answered) > 6


def test_how_long_tasks_wait_and_are_drained_is_told_by_metrics_and_events(web: Entry) -> None:
    scale(web, 2)
    scale(web, 3)
    for name in ("task_to_traffic_seconds_count", "drain_before_sigterm_seconds_count"):
        eventually(lambda name=name: web.metric(name) > 0, name)  # type: ignore[misc]
    eventually(lambda: "ServerDrained" in web.mooring("events", "web").out, "the drain is told")
    assert web.metric('servers{state="serves"}') >= 3


def test_updated_task_by_task_no_request_fails(web: Entry) -> None:
    before = {web.get(WEB)[1] for _ in range(9)}
    with web.load(WEB) as counted:
        web.manager.docker("service", "update", "--env-add", "A=1", "--quiet", "web")
        web.serves("web", 3)
    assert counted.failures == []
    assert not before & {web.get(WEB)[1] for _ in range(9)}


def test_a_task_that_is_killed_fails_no_get(web: Entry, swarm: list[Host]) -> None:
    host = next(one for one in swarm if one.docker("ps", "--quiet"))
    with web.load(WEB) as counted:
        host.docker("kill", host.docker("ps", "--quiet").split()[0])
        web.runs("web", 3)
        web.serves("web", 3)
    assert counted.failures == []


def test_a_drained_node_fails_no_request(web: Entry, swarm: list[Host]) -> None:
    try:
        with web.load(WEB) as counted:
            web.manager.docker("node", "update", "--availability", "drain", "h2")
            eventually(lambda: not swarm[1].docker("ps", "--quiet"), "the node is empty")
            web.serves("web", 3)
    finally:
        web.manager.docker("node", "update", "--availability", "active", "h2")
    assert counted.failures == []


def test_killed_and_started_again_the_edge_finds_its_proxy_and_reloads_nothing(
    web: Entry,
) -> None:
    proxy = web.proxy_pid()
    with web.load(WEB) as counted:
        web.kill()
        web.manager.docker("service", "scale", "--detach", "web=4")
        web.runs("web", 4)
        differs = web.mooring("diff")
        web.start()
        web.serves("web", 4)
        scale(web, 3)
    assert counted.failures == []
    assert differs.code == 1
    assert "without a reload:\n+ server" in differs.out
    assert web.proxy_pid() == proxy
    assert json.loads(web.mooring("status", "-o", "json").out)["reloads"] == 0


def test_services_that_come_and_go_reload_it_and_fail_no_request(web: Entry) -> None:
    names = [f"x{number}" for number in range(6)]
    with web.load(WEB) as counted:
        for name in names:
            web.create(name, 1)
        for name in names:
            web.answers(f"{name}.example.com")
        web.manager.docker("service", "rm", *names)
        for name in names:
            eventually(lambda name=name: web.get(f"{name}.example.com")[0] == 404, "it is gone")
    assert counted.failures == []


def test_an_open_connection_of_tcp_lives_until_its_task_ends(web: Entry, swarm: list[Host]) -> None:
    web.manager.docker(
        *("service", "create", "--name", "echo", "--detach", "--no-resolve-image"),
        *("--endpoint-mode", "dnsrr", "--publish", "mode=host,target=80"),
        *("--update-order", "start-first", "--stop-grace-period", "60s"),
        *("--label", "mooring.edge.protocol=tcp", "--label", "mooring.edge.entry=echo"),
        *(SHELL, "nc", "-ll", "-p", "80", "-e", "sh", "-c", "hostname; exec cat"),
    )
    eventually(web.greeting, "the service greets")
    with web.host.connected("127.0.0.1", ECHO) as connection:
        lines = connection.makefile("rw")
        old = lines.readline().strip()
        web.manager.docker("service", "update", "--force", "--detach", "echo")
        eventually(
            lambda: not {"", old} & {web.greeting() for _ in range(4)}, "another task has all"
        )
        lines.write("still there\n")
        lines.flush()
        assert lines.readline() == "still there\n"
        chosen = ("--quiet", "--filter", "label=com.docker.swarm.service.name=echo")
        web.manager.docker("service", "rm", "echo")
        for host in swarm:
            for container in host.docker("ps", *chosen).split():
                host.docker("kill", container)
        assert lines.readline() == ""


def test_a_proxy_that_is_killed_is_started_again(web: Entry) -> None:
    killed = web.proxy_pid()
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: web.find_proxy() not in (0, killed), "another runs")
    web.answers(WEB)
    web.serves("web", 3)
    eventually(lambda: "ProxyRestarted" in web.mooring("events").out, "that is told")


def test_status_and_explain_tell_of_a_conflict_and_a_bad_label(web: Entry) -> None:
    more = ("--label", "mooring.edge.timeout=never", "--label", "mooring.edge.api.host=" + WEB)
    web.create("late", 1, *more)
    eventually(lambda: "HostConflict" in web.mooring("status").out, "the conflict is told")
    said = web.mooring("status").out
    assert "BadLabel: late: mooring.edge.timeout: 'never' is not a time from 1s to 1h" in said
    explained = web.mooring("explain", f"{WEB}/x").out
    assert f"{WEB}/x at entry point http goes to service web" in explained
    assert "belongs to the older service web" in explained
    web.manager.docker("service", "rm", "late")


def test_render_and_diff_change_nothing(web: Entry) -> None:
    """What went is in the configuration until the next reload: a new service brings one."""
    web.create("last", 1)
    web.answers("last.example.com")
    eventually(lambda: web.mooring("diff").code == 0, "it is as it is to be")
    rendered = web.mooring("render").out
    assert "backend svc_" in rendered
    (web.host.place / "rendered.cfg").write_text(rendered + "\n")
    checked = subprocess.run(["haproxy", "-c", "-f", web.host.place / "rendered.cfg"])
    assert checked.returncode == 0


@pytest.mark.skipif(not shutil.which("nginx"), reason="there is no nginx")
def test_by_nginx_at_most_what_was_under_way_at_a_killed_task_fails(web: Entry, bed: Bed) -> None:
    """Its reloads cut connections that clients keep open: nothing helps that before 1.27.4."""
    host = bed.host("other")
    host.up()
    other = Entry(host, web.manager, "nginx")
    other.start()
    other.answers(WEB)
    other.serves("web", 3)
    with other.load(WEB, "--close") as counted:
        for replicas in (5, 2, 3):
            web.manager.docker("service", "scale", "--detach", f"web={replicas}")
            web.runs("web", replicas)
            other.serves("web", replicas)
    other.kill()
    assert len(counted.failures) <= WORKERS, counted.failures
    assert len(counted.answered) > 3
