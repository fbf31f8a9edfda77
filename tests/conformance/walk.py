"""A random walk through the calls of a backend, beside a plain account of what must be there.

Some calls are made twice, some are killed (-9) in the middle and repeated or given up. After each
kill, and at the end, what the backend has is compared with the account: nothing lost, nothing left.
"""

import hashlib
import os
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mooring.crashpoints import POINTS
from mooring.drivers.root import MARK, SNAPSHOT
from mooring.host import btrfs, files
from tests.conformance.driver_bench import MIB, Bench
from tests.conformance.walk_process import Told, Worker, eventually

MOST_ASSETS: Final = 6
MOST_SNAPSHOTS: Final = 5
KILLED: Final = 0.2  # of the calls
TWICE: Final = 0.1
GIVEN_UP: Final = 0.35  # of those that were killed
WEIGHTS: Final = {
    "create": 4,
    "restore": 3,
    "clone": 2,
    "expand": 3,
    "snapshot": 4,
    "publish": 5,
    "write": 8,
    "unpublish": 4,
    "delete": 3,
    "delete_snapshot": 3,
}
CREATED: Final = ("create", "restore", "clone")


@dataclass
class Kept:
    """An asset or snapshot.

    content   name and sum of each file
    grows_to  it will have this size when it is published next; 0: it has it
    """

    size_bytes: int
    content: dict[str, str]
    published: bool = False
    grows_to: int = 0


@dataclass
class Walk:
    """Of one backend, on a bench of its own.

    first_bytes  the smallest size that is asked for
    """

    bench: Bench
    seed: str
    first_bytes: int
    assets: dict[str, Kept] = field(default_factory=dict)
    snapshots: dict[str, Kept] = field(default_factory=dict)
    steps: int = 0
    cut_off: int = 0
    made: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.worker = Worker(self.bench.backend, self.bench.root)
        self.durations_s: dict[str, float] = {}

    def run(self, steps: int) -> None:
        """All of it. Raises AssertionError, with what leads there again."""
        call: tuple[object, ...] = ()
        try:
            while self.steps < steps:
                while not (call := self._next()):
                    pass
                if call[0] == "write":
                    self._write(str(call[1]))
                else:
                    self._step(call)
                self.steps += 1
            self._compare(deep=True)
            self._emptied()
        except Exception as error:
            what = f"seed {self.seed}, {self.bench.backend.name}, step {self.steps}: {call}"
            raise AssertionError(f"{what}: {error!r}") from error
        finally:
            self.worker.close()

    # Steps

    def _next(self) -> tuple[object, ...]:
        """A call that makes sense now; () if the one that was drawn does not."""
        kind = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        asset = self.random.choice(list(self.assets)) if self.assets else ""
        snapshot = self.random.choice(list(self.snapshots)) if self.snapshots else ""
        is_room = len(self.assets) < MOST_ASSETS
        more_bytes = self.random.choice((0, 4096, 4 * MIB, 20 * MIB + 4096))
        match kind:
            case "create" if is_room:
                return kind, self._name("pvc"), self.first_bytes + more_bytes
            case "restore" if is_room and snapshot:
                size_bytes = self.snapshots[snapshot].size_bytes + more_bytes
                return kind, self._name("pvc"), size_bytes, snapshot
            case "clone" if is_room and asset and self.can_clone:
                return kind, self._name("pvc"), self.assets[asset].size_bytes + more_bytes, asset
            case "snapshot" if asset and self.can_clone and len(self.snapshots) < MOST_SNAPSHOTS:
                return kind, self._name("snapshot"), asset
            case "expand" if asset:
                return kind, asset, self.assets[asset].size_bytes + 4096 + more_bytes
            case "publish" | "unpublish" | "write" | "delete" if asset:
                return kind, asset
            case "delete_snapshot" if snapshot:
                return kind, snapshot
        return ()

    @property
    def can_clone(self) -> bool:
        return self.bench.backend.disk in ("xfs", "btrfs")

    def _name(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}-{self.made}"

    def _step(self, call: tuple[object, ...]) -> None:
        if self.random.random() < KILLED:
            self._killed(call)
            return
        began_s = time.monotonic()
        answer = self._made(call)
        self.durations_s[str(call[0])] = time.monotonic() - began_s
        if self.random.random() < TWICE:
            assert self._made(call) == answer, "made twice it answers something else"

    def _made(self, call: tuple[object, ...]) -> object:
        """Make a call, and note what it did."""
        try:
            answer = self.worker.call(*call)
        except Told as told:
            kept = self.assets.get(str(call[1]))
            if told.code != "GrowsLater" or kept is None or not self._grows_later(kept):
                raise
            kept.grows_to = max(kept.grows_to, _number(call[2]))
            return told.code
        self._note(call, answer)
        return answer

    def _grows_later(self, kept: Kept) -> bool:
        return self.bench.backend.options.get("fsType") == "ext4" and kept.published

    def _note(self, call: tuple[object, ...], answer: Any) -> None:
        kind, name, *rest = map(str, call)
        if kind in CREATED:
            of = {"create": {}, "restore": self.snapshots, "clone": self.assets}[kind]
            content = of[rest[1]].content if rest[1:] else {}
            assert answer[0] == name
            assert answer[1] >= int(rest[0])
            self.assets.setdefault(name, Kept(answer[1], dict(content)))
        elif kind == "snapshot":
            of_asset = self.assets[rest[0]]
            assert answer[1] >= of_asset.size_bytes
            self.snapshots.setdefault(name, Kept(answer[1], dict(of_asset.content)))
        elif kind == "expand":
            kept = self.assets[name]
            # What it was to grow to before, it may have by now: the call is made twice.
            assert answer[1] in (int(rest[0]), kept.grows_to, kept.size_bytes)
            assert answer[1] >= int(rest[0])
            kept.size_bytes, kept.grows_to = answer[1], 0
        elif kind == "publish":
            kept = self.assets[name]
            if not kept.published and kept.grows_to:
                kept.size_bytes, kept.grows_to = kept.grows_to, 0
            kept.published = True
        elif kind == "unpublish":
            self.assets[name].published = False
        else:
            (self.assets if kind == "delete" else self.snapshots).pop(name, None)

    def _write(self, name: str) -> None:
        """As a container does it: in a process that nobody kills."""
        place, kept = Path(str(self.worker.call("publish", name))), self.assets[name]
        self._note(("publish", name), None)
        file = place / f"file-{self.random.randrange(4)}"
        if file.exists() and self.random.random() < 0.3:
            file.unlink()
            del kept.content[file.name]
            return
        content = self.random.randbytes(self.random.randrange(256 << 10))
        file.write_bytes(content)
        kept.content[file.name] = hashlib.sha256(content).hexdigest()

    # Death

    def _killed(self, call: tuple[object, ...]) -> None:
        kind, name = str(call[0]), str(call[1])
        points = self._points(kind)
        point = self.random.choice(points) if points and self.random.random() < 0.5 else ""
        after_s = self.random.uniform(0, 1.2 * self.durations_s.get(kind, 0.01))
        self.cut_off += self.worker.killed(call, point, after_s)
        self.worker.begin()
        if self.random.random() < 0.2:  # and once more while it cleans up
            self.worker.killed(("start",), "", self.random.uniform(0, 0.01))
            self.worker.begin()
        self.worker.call("start")
        self._compare(but=call)
        may_give_up = kind in CREATED or kind == "snapshot"
        if may_give_up and self.random.random() < GIVEN_UP:
            self._made(("delete_snapshot" if kind == "snapshot" else "delete", name))
        else:
            self._made(call)
        self._compare()

    def _points(self, kind: str) -> list[str]:
        calls = {"restore": ("clone", "create"), "clone": ("clone", "create")}.get(kind, (kind,))
        return [
            point
            for point in sorted(POINTS)
            if point.startswith(self.bench.backend.points) and point.split(".")[1] in calls
        ]

    # What must be so

    def _compare(self, *, but: tuple[object, ...] = (), deep: bool = False) -> None:
        """Nothing is lost and nothing is left.

        but    a call that was cut off: what it is about may be as before or after
        deep   the content of each asset and snapshot
        """
        assets = dict(self.worker.call("assets"))
        snapshots = {name: size for name, size, _ in self.worker.call("snapshots")}
        unsure = str(but[1]) if but else ""
        if but:
            self._plausible(but, assets, snapshots)
        for found, account in ((assets, self.assets), (snapshots, self.snapshots)):
            wanted = {name: kept.size_bytes for name, kept in account.items()}
            assert _without(found, unsure) == _without(wanted, unsure)
        self._nothing_is_left(assets, snapshots, unsure)
        for name, kept in self.assets.items():
            if name != unsure and (kept.published or deep):
                self._same(name, kept)
        if deep:
            self._snapshots_are_whole()

    def _plausible(
        self, call: tuple[object, ...], assets: dict[str, int], snapshots: dict[str, int]
    ) -> None:
        kind, name, *rest = call
        found = assets.get(str(name), snapshots.get(str(name)))
        before = self.assets.get(str(name), self.snapshots.get(str(name)))
        if kind in CREATED:
            assert found is None or found >= _number(rest[0])
        elif kind == "snapshot":
            assert found in (None, self.assets[str(rest[0])].size_bytes)
        else:
            assert before is not None
            allowed: list[int | None] = [before.size_bytes, before.grows_to]
            if kind == "expand":
                allowed.append(_number(rest[0]))
            if str(kind).startswith("delete"):
                allowed.append(None)
            assert found in allowed

    def _nothing_is_left(
        self, assets: dict[str, int], snapshots: dict[str, int], unsure: str
    ) -> None:
        root = self.bench.root
        wanted = {MARK, *assets, *(SNAPSHOT + name for name in snapshots)}
        assert self.bench.names_on_disk() == wanted
        allowed = {"size", "data"}
        if is_image := (next(iter(self.bench.backend.points)) == "loopfile."):
            allowed = {"about", "image", "fs"}
        for name in wanted - {MARK}:
            assert set(os.listdir(root / name)) <= allowed, name
        if is_image:
            shown = {name for name, kept in self.assets.items() if kept.published}
            eventually(lambda: self._held(unsure) == shown - {unsure}, "devices are of use")
        if self.bench.backend.disk == "btrfs" and not is_image:
            with files.directory(self.bench.disk) as top:
                there = btrfs.subvolumes_in(top, btrfs.subvolume_id(top))
            assert len(there) == len(assets) + len(snapshots)

    def _held(self, unsure: str) -> set[str]:
        """Assets of which there is a mount or a device; "" for anything else."""
        found = set()
        for one in self.bench.held_by_the_host():
            path = one
            if one.startswith("/sys"):
                try:
                    path = Path(one).read_text().strip()
                except OSError:
                    continue
            found.add(path.removeprefix(f"{self.bench.root}/").partition("/")[0])
        return found - {unsure}

    def _same(self, name: str, kept: Kept) -> None:
        place = Path(str(self.worker.call("publish", name)))
        found = {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in place.iterdir()}
        assert found == kept.content, name
        if not kept.published:
            self._note(("publish", name), None)

    def _snapshots_are_whole(self) -> None:
        for name, kept in list(self.snapshots.items()):
            self._made(("restore", made := self._name("pvc"), kept.size_bytes, name))
            self._same(made, self.assets[made])
            self._made(("delete", made))

    def _emptied(self) -> None:
        for name in list(self.assets):
            self._made(("delete", name))
        for name in list(self.snapshots):
            self._made(("delete_snapshot", name))
        self._compare()
        assert self.bench.held_by_the_host() == []
        if self.bench.backend.disk == "btrfs":
            eventually(self._nothing_is_counted, "quotas count what is gone")

    def _nothing_is_counted(self) -> bool:
        self.worker.call("usage")
        with files.directory(self.bench.disk) as fd:
            groups = Path("/sys/fs/btrfs") / btrfs.file_system_id(fd) / "qgroups"
            if not groups.exists():  # a disk of images has none
                return True
        return {one for one in os.listdir(groups) if re.match(r"\d", one)} == {"0_5"}


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


def _without(found: dict[str, int], name: str) -> dict[str, int]:
    return {one: size for one, size in found.items() if one != name}
