"""What an NFS pool may say. What the driver does is tried in tests/vm."""

from pathlib import Path
from typing import Any

import pytest

from mooring.drivers.errors import BadPoolOption
from mooring.drivers.interface import Place
from mooring.drivers.nfs import Export, NfsDriver

RIGHT: dict[str, Any] = {"server": "nas", "path": "/srv/nfs"}


def place(**options: Any) -> Place:
    return Place("shared", "uid", Path("/mnt/pool"), RIGHT | options)


def test_version_and_options_are_those_of_mount_nfs() -> None:
    export = Export.of(place(version="4.1", mountOptions=["hard,nconnect=4", "noatime"]))
    assert export == Export("nas", "/srv/nfs", ("vers=4.1", "hard", "nconnect=4", "noatime"))


def test_without_a_version_client_and_server_agree() -> None:
    assert Export.of(place(version="")).options == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"server": ""},
        {"server": "-o"},
        {"server": 1},
        {"path": "srv"},
        {"path": ""},
        {"version": "5"},
        {"mountOptions": ["suid"]},
        {"mode": "rwx"},
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_by_its_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadPoolOption) as refused:
        NfsDriver.at(place(**wrong))
    assert next(iter(wrong)) in refused.value.what


def test_every_host_has_its_volumes() -> None:
    assert NfsDriver.features.shared
    assert not NfsDriver.features.enforces_size
