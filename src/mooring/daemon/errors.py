"""Why a process of Mooring cannot start."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mooring.errors import MooringError


class CannotListen(MooringError):
    code = "CannotListen"

    def __init__(self, host: str, port: int, why: str) -> None:
        self.what = f"cannot listen on {host}:{port}: {why}"
        self.remedy = "stop what listens there, or choose another address with --listen"
        super().__init__(self.what)


class NotUsable(MooringError):
    """Something that the server needs on this host, before it serves."""

    code = "NotUsable"

    def __init__(self, path: Path, why: str) -> None:
        self.what = f"{path} cannot be used: {why}"
        self.remedy = "name a place on a local disk that this user may write to, see mooring up -h"
        super().__init__(self.what)


class KubeconfigOfOthers(MooringError):
    code = "KubeconfigOfOthers"

    def __init__(self, path: Path) -> None:
        self.what = f"{path} exists and is not one that Mooring wrote, so it is not overwritten"
        self.remedy = "name another file with --kubeconfig"
        super().__init__(self.what)


class BadNodeName(MooringError):
    code = "BadNodeName"

    def __init__(self, name: str) -> None:
        self.what = f"{name!r} cannot be the name of a Node"
        self.remedy = "choose one of lower case letters, digits, - and . with --node-name"
        super().__init__(self.what)


class NodeRenamed(MooringError):
    """Volumes of this host are tied to the name that it had."""

    code = "NodeRenamed"

    def __init__(self, data_dir: Path, before: str, now: str) -> None:
        self.what = f"{data_dir} is of node {before}, this host is now called {now}"
        self.remedy = f"start with --node-name {before}, or with another --data-dir"
        super().__init__(self.what)


@contextmanager
def usable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotUsable(path, error.strerror or str(error)) from error
    except (ValueError, msgspec.MsgspecError) as error:  # it is there, and not what we wrote
        raise NotUsable(path, f"it is damaged: {' '.join(str(error).split())}") from error
