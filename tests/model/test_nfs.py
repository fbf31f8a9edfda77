"""What people write about NFS: what is passed on, and why the rest is not."""

import pytest

from mooring.model.nfs import (
    FLAGS,
    VALUES,
    is_server,
    option_fault,
    path_fault,
    source_of,
    split_options,
)


@pytest.mark.parametrize("text", ["nas", "nas.example.org", "10.0.0.1", "fd00::1", "[fd00::1]"])
def test_names_and_addresses_are_servers(text: str) -> None:
    assert is_server(text)


@pytest.mark.parametrize("text", ["", "-o", "nas:/x", "nas,vers=3", "a b", "nas\n", "-", "nas/x"])
def test_what_a_program_would_take_for_something_else_is_no_server(text: str) -> None:
    assert not is_server(text)


@pytest.mark.parametrize(
    ("path", "why"),
    [("x", "absolute"), ("/a/../b", "'..'"), ("/a\nb", "printable"), ("/a/..", "'..'")],
)
def test_a_path_that_is_none_of_an_export_is_refused(path: str, why: str) -> None:
    assert why in path_fault(path)


@pytest.mark.parametrize("path", ["/", "/srv/nfs", "/srv/a..b", "/srv/ä"])
def test_paths_of_exports(path: str) -> None:
    assert path_fault(path) == ""


@pytest.mark.parametrize("option", [*sorted(FLAGS), *(f"{one}=1" for one in sorted(VALUES))])
def test_options_that_are_passed_on(option: str) -> None:
    assert option_fault(option) == ""


@pytest.mark.parametrize(
    "option", ["suid", "dev", "bg", "vers", "hard=1", "context=x", "rsize=1 2", "rsize=", "x" * 99]
)
def test_options_that_are_not_passed_on(option: str) -> None:
    assert option_fault(option)


def test_options_are_taken_apart_and_those_of_fstab_left_out() -> None:
    assert split_options(["hard,timeo=50", " noatime ", "_netdev", "", "defaults,ro"]) == [
        *("hard", "timeo=50", "noatime", "ro")
    ]


def test_a_source_is_as_the_kernel_shows_it() -> None:
    assert source_of("nas", "/srv/") == "nas:/srv"
    assert source_of("nas", "/") == "nas:/"
    assert source_of("fd00::1", "/srv") == "[fd00::1]:/srv"
    assert source_of("[fd00::1]", "/srv") == "[fd00::1]:/srv"
