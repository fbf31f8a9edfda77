"""The directory of all mounts of this host's volumes, shared with itself while one is needed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mooring.crashpoints import crash_point, passing
from mooring.host import mounts
from mooring.host.errors import MountBusy

PUBLISH_SHARED = crash_point("publish.shared")


class SharedRoot:
    """A directory that is shared with itself while anybody needs that. Its calls run in threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._is_shared = self._is_ours = False
        self._users = 0
        self._lock = threading.Lock()  # held for calls only that no backend can hold up

    def take_over(self) -> None:
        """What an earlier process left, or an administrator made and keeps: in a namespace like
        ours before ours was made of it, for example."""
        self._is_shared = mounts.is_shared_with_itself(self._root)
        self._is_ours = mounts.is_shared_with_itself(self._root, by_us=True)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """It is shared. Without this, it could end before anything is mounted in it."""
        with self._lock:
            # What is mounted in there already, though it is not shared, would be hidden.
            if not self._is_shared and not mounts.mounts_below(str(self._root)):
                mounts.share_with_itself(self._root)
                self._is_shared = self._is_ours = True
                passing(PUBLISH_SHARED)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1

    def end_if_empty(self) -> None:
        """So that nothing is left of an agent that has nothing at hand."""
        with self._lock:
            if self._is_ours and not self._users:
                with suppress(MountBusy):  # something is mounted in it, or somebody looks into it
                    mounts.unmount_one(self._root)
                    self._is_shared = self._is_ours = False
