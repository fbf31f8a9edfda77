"""What the commands print, and what they ask for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mooring.cli import completion
from mooring.cli.main import app
from tests.cli.https import Answering, answering, config_for

LINES = ["pvc default/db is Pending: no volume fits", "  would help: a volume"]
EXPLAINED = {
    "subject": "pvc default/db",
    "state": "Pending",
    "why": "no volume fits",
    "details": ["2 volumes looked at"],
    "help": "a volume",
    "lines": LINES,
}


class Shell:
    """Runs commands against a server that gives one answer."""

    def __init__(self, says: Answering, kubeconfig: Path) -> None:
        self.says, self._environment = says, {"KUBECONFIG": str(kubeconfig)}

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env=self._environment)

    def answers(self, document: Any, status: int = 200) -> None:
        self.says.status, self.says.body = status, json.dumps(document).encode()

    @property
    def asked(self) -> list[str]:
        return [f"{seen.method} {seen.path}" for seen in self.says.seen]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with answering(tmp_path) as says:
        yield Shell(says, config_for(says.url, tmp_path / "kubeconfig"))


# explain


def test_explain_prints_the_lines_that_the_server_says(shell: Shell) -> None:
    shell.answers(EXPLAINED)
    done = shell.run("explain", "pvc", "db")
    assert (done.exit_code, done.stdout.splitlines()) == (0, LINES)
    assert shell.asked == ["GET /mooring/v1/explain/pvc/default/db?delete=0"]


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (("pvc", "db", "-n", "prod"), "pvc/prod/db?delete=0"),
        (("PersistentVolumeClaim", "db", "--delete"), "pvc/default/db?delete=1"),
        (("pv", "v1"), "pv/v1?delete=0"),
        (("pv", "v1", "--delete"), "pv/v1?delete=1"),
        (("pv", "../x"), "pv/..%2Fx?delete=0"),
        (("pvc", "--all"), "pvc?namespace="),
        (("pvc", "--all", "-n", "prod"), "pvc?namespace=prod"),
    ],
)
def test_explain_asks_for_what_was_named(
    shell: Shell, arguments: tuple[str, ...], asked: str
) -> None:
    shell.answers({**EXPLAINED, "items": []})
    assert shell.run("explain", *arguments).exit_code == 0
    assert shell.asked == [f"GET /mooring/v1/explain/{asked}"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("secret", "web"), "'secret' cannot be explained"),
        (("pod", "web", "--delete"), "--delete is about claims and volumes"),
        (("pvc",), "the NAME is missing"),
        (("pvc", "db", "--all"), "cannot go together"),
        (("pvc", "--all", "--delete"), "--delete is about one NAME"),
    ],
)
def test_a_question_that_cannot_be_meant_is_refused_with_a_remedy(
    shell: Shell, arguments: tuple[str, ...], what: str
) -> None:
    done = shell.run("explain", *arguments)
    assert done.exit_code == 1
    assert what in done.stderr
    assert "[BadQuestion]\nremedy: mooring explain pvc NAME" in done.stderr
    assert shell.asked == []


def test_all_is_a_table_within_a_hundred_columns_without_colours(shell: Shell) -> None:
    long = {**EXPLAINED, "why": "it is like that " * 20, "help": "x" * 300}
    shell.answers({"items": [EXPLAINED, long]})
    lines = shell.run("explain", "pvc", "--all").stdout.splitlines()
    assert lines[0].split() == ["CLAIM", "PHASE", "REASON", "WOULD", "HELP"]
    assert lines[1].split()[:2] == ["default/db", "Pending"]
    assert all(len(line) <= 100 and line == line.rstrip() for line in lines)
    assert "\x1b" not in "".join(lines)


def test_a_cell_is_shown_as_it_is_and_a_terminal_obeys_nothing_in_it(shell: Shell) -> None:
    shell.answers({"items": [{**EXPLAINED, "why": "[red]at /srv/[x] \x1b[2J\x07is gone"}]})
    assert "[red]at /srv/[x]  [2J is gone" in shell.run("explain", "pvc", "--all").stdout


def test_with_output_json_a_program_can_read_all_of_it(shell: Shell) -> None:
    shell.answers(EXPLAINED)
    assert json.loads(shell.run("explain", "pvc", "db", "-o", "json").stdout) == EXPLAINED


def test_a_refusal_of_the_server_is_told_with_its_code(shell: Shell) -> None:
    shell.answers({"reason": "NotFound", "message": 'persistentvolumes "v9" not found'}, 404)
    done = shell.run("explain", "pv", "v9")
    assert done.exit_code == 1
    assert 'error: persistentvolumes "v9" not found [NotFound]\nremedy: ' in done.stderr


# status


def a_pool(**fields: Any) -> dict[str, Any]:
    pool = {
        "name": "local",
        "node": "here",
        "driver": "directory.mooring.dev",
        "root": "/srv/pool",
        "capacity": "10Gi",
        "allocated": "3Gi",
        "volumes": 2,
        "disk": {"totalBytes": 20 << 30, "usedBytes": 5 << 30, "freeBytes": 15 << 30},
        "namespaces": [
            {"name": "default", "allocated": "3Gi", "quota": "5Gi"},
            {"name": "*", "allocated": "0", "quota": "1Gi"},
        ],
        "conditions": [],
        "orphans": 0,
    }
    return {**pool, **fields}


def a_status(*pools: dict[str, Any], **waste: Any) -> dict[str, Any]:
    nothing = {"total": "0", "claims": 0, "largest": []}
    return {
        "pools": list(pools),
        "claims": {"Bound": 2, "Pending": 1},
        "volumes": {},
        "waste": {**nothing, **waste},
    }


def test_status_shows_pools_with_quotas_and_what_claims_there_are(shell: Shell) -> None:
    shell.answers(a_status(a_pool()))
    out = shell.run("status").stdout
    assert "local   here   10Gi       3Gi         2         default 3Gi of 5Gi, each other 0" in out
    assert "claims:  2 Bound, 1 Pending\nvolumes: none\nwaste:   none" in out


def test_status_lists_who_wastes_most(shell: Shell) -> None:
    largest = [{"claim": "default/tiny", "volume": "huge", "waste": "1023Gi"}]
    shell.answers(a_status(a_pool(), total="1023Gi", claims=1, largest=largest))
    out = shell.run("status").stdout
    assert "waste:   1023Gi, 1 claim has more than asked for:" in out
    assert "1023Gi by default/tiny, of volume huge" in out


def test_status_warns_of_a_pool_that_promised_more_than_its_disk_has(shell: Shell) -> None:
    shell.answers(a_status(a_pool(capacity=None, allocated="30Gi")))
    out = shell.run("status").stdout
    assert "no limit" in out
    assert "note: pool local has promised 30Gi, and its disk is of 20Gi" in out


@pytest.mark.parametrize(
    ("disk", "shown"), [(a_pool()["disk"], "5Gi         15Gi"), (None, "unknown     unknown")]
)
def test_wide_shows_where_pools_are_and_what_their_disks_have(
    shell: Shell, disk: dict[str, int] | None, shown: str
) -> None:
    shell.answers(a_status(a_pool(disk=disk)))
    out = shell.run("status", "-o", "wide").stdout
    assert f"local   directory.mooring.dev   /srv/pool   {shown}" in out


def test_without_pools_it_says_how_to_find_out(shell: Shell) -> None:
    shell.answers(a_status())
    assert "there are no pools" in shell.run("status").stdout


def test_status_as_json_is_what_the_server_says(shell: Shell) -> None:
    shell.answers(a_status(a_pool()))
    assert json.loads(shell.run("status", "-o", "json").stdout) == a_status(a_pool())


def test_an_unknown_form_is_refused(shell: Shell) -> None:
    assert shell.run("status", "-o", "xml").exit_code == 2


# mount


def test_mount_prints_the_path_alone_and_the_note_beside_it(shell: Shell) -> None:
    shell.answers({"path": "/srv/data", "note": "this process may not mount"})
    done = shell.run("mount", "db", "-n", "prod")
    assert (done.stdout, done.stderr) == ("/srv/data\n", "note: this process may not mount\n")
    assert shell.asked == ["POST /mooring/v1/mounts/prod/db"]


def test_umount_says_what_is_gone(shell: Shell) -> None:
    shell.answers({"path": "/srv/data", "note": ""})
    assert shell.run("umount", "db").stdout == "db is no longer at /srv/data\n"
    assert shell.asked == ["DELETE /mooring/v1/mounts/default/db"]


def test_what_this_host_cannot_do_is_told_with_the_hosts_remedy(shell: Shell) -> None:
    details = {"remedy": "stop its users"}
    shell.answers({"reason": "MountBusy", "message": "it is in use", "details": details}, 409)
    done = shell.run("umount", "db")
    assert done.exit_code == 1
    assert done.stderr == "error: it is in use [MountBusy]\nremedy: stop its users\n"


# Completion


class Context:
    """What the shell has seen of the command so far."""

    def __init__(self, kubeconfig: Path, **params: str) -> None:
        self.params: dict[str, Any] = {"kubeconfig": kubeconfig, **params}


@pytest.mark.parametrize(
    ("complete", "params", "items", "asked"),
    [
        (
            completion.names,
            {"kind": "pvc"},
            [{"metadata": {"name": "db"}}, {"metadata": {"name": "web"}}],
            "/api/v1/namespaces/default/persistentvolumeclaims",
        ),
        (
            completion.names,
            {"kind": "pv"},
            [{"metadata": {"name": "db"}}],
            "/api/v1/persistentvolumes",
        ),
        (
            completion.mounted,
            {"namespace": "prod"},
            [{"claim": "prod/db"}, {"claim": "default/dull"}],
            "/mooring/v1/mounts",
        ),
    ],
)
def test_names_are_completed_from_the_server(
    shell: Shell, tmp_path: Path, complete: Any, params: Any, items: Any, asked: str
) -> None:
    shell.answers({"items": items})
    assert complete(Context(tmp_path / "kubeconfig", **params), "d") == ["db"]
    assert shell.asked == [f"GET {asked}"]


def test_without_a_server_nothing_is_completed(tmp_path: Path) -> None:
    assert completion.names(Context(tmp_path / "none"), "") == []


# resize


def a_claim(asks: str, has: str, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "resources": {"requests": {"storage": asks}},
            "storageClassName": "fast",
            "volumeName": "v",
        },
        "status": {"phase": "Bound", "capacity": {"storage": has}, **status},
    }


def test_resize_asks_for_the_size_and_says_what_is_so(shell: Shell) -> None:
    shell.answers(a_claim("2Gi", "1Gi"))
    done = shell.run("resize", "db", "2Gi")
    assert (done.exit_code, done.stdout) == (0, "default/db is to grow from 1Gi to 2Gi\n")
    assert shell.asked == ["PATCH /api/v1/namespaces/default/persistentvolumeclaims/db"]
    assert json.loads(shell.says.seen[0].body) == {
        "spec": {"resources": {"requests": {"storage": "2Gi"}}}
    }


def test_resize_waits_until_it_is_so(shell: Shell) -> None:
    shell.answers(a_claim("2Gi", "2Gi"))
    done = shell.run("resize", "pvc/db", "2Gi", "--wait", "-n", "default")
    assert (done.exit_code, done.stdout) == (0, "default/db has 2Gi\n")


def test_resize_says_why_it_will_not_be(shell: Shell) -> None:
    condition = {"type": "ControllerResizeError", "status": "True", "message": "pool p is full"}
    shell.answers(a_claim("2Gi", "1Gi", conditions=[condition]))
    done = shell.run("resize", "db", "2Gi", "--wait")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-2:] == [
        "error: claim default/db has 1Gi and not 2Gi: pool p is full [NotGrown]",
        "remedy: mooring explain pvc db -n default says what would help",
    ]


def test_resize_says_what_it_waits_for_when_time_is_over(shell: Shell) -> None:
    pending = {"allocatedResourceStatuses": {"storage": "NodeResizePending"}}
    shell.answers(a_claim("2Gi", "1Gi", allocatedResources={"storage": "2Gi"}, **pending))
    done = shell.run("resize", "db", "2Gi", "--wait", "--timeout", "0")
    assert done.exit_code == 1
    assert "its file system grows once nobody mounts it [NotGrown]" in done.stderr


def test_a_size_that_is_none_is_not_sent(shell: Shell) -> None:
    done = shell.run("resize", "db", "10g")
    assert done.exit_code == 1
    assert "'10g' is no size [BadSize]" in done.stderr
    assert shell.asked == []
