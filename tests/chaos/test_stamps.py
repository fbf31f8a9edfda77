"""The checker of stamped records finds two writers, and what was lost."""

import subprocess
from pathlib import Path

import pytest

from testbed.hosts import eventually
from tests.chaos.stamps import LOG, WRITER, disorder

A, B = "a c1 10.00", "b c2 20.00"


def log(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_one_after_the_other_is_well() -> None:
    assert disorder(log(f"1 {A} 10.01", f"2 {A} 10.02", f"1 {B} 20.01", f"2 {B} 20.01")) == []
    assert disorder("") == []


def test_a_host_may_have_it_again_by_another_container() -> None:
    assert disorder(log(f"1 {A} 10.01", f"1 {B} 20.01", "1 a c3 30.00 30.00")) == []


def test_containers_of_one_host_may_write_side_by_side() -> None:
    beside = "a c3 10.00"
    assert disorder(log(f"1 {A} 10.01", f"1 {beside} 10.02", f"2 {A} 10.01")) == []


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        ("that another host followed", (f"1 {A} 10.01", f"1 {B} 20.01", f"2 {A} 20.02")),
        ("is after number 1", (f"1 {A} 10.01", f"1 {A} 10.02")),
        ("is after number 1", (f"1 {A} 10.01", f"3 {A} 10.02")),
        ("is after number 0", (f"2 {A} 10.01",)),
        ("and not later", (f"1 {A} 20.02", f"1 {B} 20.01")),
        ("and not later", (f"1 {A} 20.02", f"1 {B} 20.03")),
        ("is no record", (f"1 {A} 10.01", f"2 {A}")),
    ],
)
def test_what_is_wrong_is_found(what: str, lines: tuple[str, ...]) -> None:
    assert what in "\n".join(disorder(log(*lines)))


def test_what_containers_run_writes_records(tmp_path: Path) -> None:
    """Here until it has written some, one after the other on one host."""
    script, path = WRITER.replace("/data", str(tmp_path)), tmp_path / LOG
    for name in ("c1", "c2"):
        writer = subprocess.Popen(["sh", "-c", script], env={"NODE": "a", "HOSTNAME": name})
        eventually(lambda name=name: path.read_text().count(f" {name} ") > 2, f"{name} writes")
        writer.kill()
        writer.wait()
    text = path.read_text()
    assert disorder(text) == []
