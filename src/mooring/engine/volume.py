"""A volume as the Docker engine tells of it."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class EngineVolume(NamedTuple):
    """Of any driver.

    path     where its data is on this host, as far as it is anywhere
    created  as the engine says it, in RFC 3339
    options  that its driver was given
    """

    name: str
    driver: str
    path: str
    created: str
    options: Mapping[str, str]


class _Volume(msgspec.Struct, rename="pascal"):
    name: str
    driver: str
    mountpoint: str = ""
    created_at: str = ""
    options: dict[str, str] | None = None


_one: Final = msgspec.json.Decoder(_Volume)


def is_volume_name(name: str) -> bool:
    """Whether Docker would give a volume this name."""
    return _NAME.fullmatch(name) is not None


def volume_of(body: bytes) -> EngineVolume:
    """The one in an answer to GET /volumes/NAME. Raises msgspec.MsgspecError if it is no such."""
    said = _one.decode(body)
    options = said.options or {}
    return EngineVolume(said.name, said.driver, said.mountpoint, said.created_at, options)
