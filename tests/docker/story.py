"""A story of Docker commands, told to its end whatever is killed meanwhile.

A user who is told of a failure starts what he needs and asks again. What he was told is done stays
so: no file is lost, and what nobody uses any more is left nowhere.
"""

import io
import os
import tarfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Final, Protocol

from mooring.rules.use import KEPT_S
from tests.docker.images import DATA, SHELL
from tests.docker.mooring import DRIVER, Mooring
from tests.docker.order import RUNNING, State, age_ids, users
from tests.docker.testbed import done, eventually

SETTLED_S: Final = 45.0  # less than what a look each minute would find by itself
MOST_STRIKES: Final = 12  # in one step


class Failed(Exception):
    """A command did, as a user sees it."""


class Blow(Protocol):
    """What strikes in the middle of a story.

    ends_all  all processes and mounts of the host end with it
    """

    ends_all: bool

    def before(self, step: str) -> None:
        """A step is about to begin, for the first time or again."""

    def mended(self) -> bool:
        """Start again whatever is down. Returns whether anything was since this was asked last."""

    def end(self) -> None:
        """The story is over."""


class Nothing:
    """Strikes nobody."""

    ends_all = False

    def before(self, step: str) -> None:
        pass

    def mended(self) -> bool:
        return False

    def end(self) -> None:
        pass


class Story:
    """Nobody else may use volumes on the host meanwhile. Volumes and containers begin with its
    name."""

    def __init__(self, mooring: Mooring, name: str, blow: Blow) -> None:
        self.mooring, self.host, self.name, self.blow = mooring, mooring.host, name, blow
        self.data, self.kept, self.own = f"{name}-data", f"{name}-kept", f"{name}-own"  # volumes
        self.first, self.second, self.third = (f"{name}-{number}" for number in (1, 2, 3))
        self.files: dict[str, dict[str, str]] = {}  # of volumes that were made, when last noted
        self.released: dict[str, dict[str, str]] = {}  # of volumes without claim, by their names
        self.running: set[str] = set()  # containers that are to run
        self.may_be: set[str] = set()  # claims of which nobody knows, as a command was cut off
        self.strikes: list[str] = []  # the steps in which something was struck
        self._excused: set[Path] = set()  # IDs that Docker may never give back
        self._again = False  # the step was begun before

    STEPS: Final = (
        "create",
        "retain",
        "make",
        "start",
        "write",
        "join",
        "copy",
        "scratch",
        "leave",
        "restart",
        "forget",
        "stop",
        "remove",
        "delete",
        "release",
        "take",
        "release_again",
    )

    def tell(self) -> "Story":
        """All of it. Then nothing is left but what was to be kept."""
        try:
            for step in self.STEPS:
                self._told(step, getattr(self, f"_{step}"))
        finally:
            self.blow.end()
        self._clear()
        return self

    def _told(self, step: str, do: Callable[[], None]) -> None:
        self._again = False
        for _ in range(MOST_STRIKES):
            self.blow.before(step)
            try:
                do()
                self._note()
            except Failed as failed:
                failure: Failed | None = failed
            else:
                failure = None
            if self._mended(step):
                self._again = True
            elif failure is not None:
                raise AssertionError(f"{step}: {failure}") from failure
            if failure is None:
                self.may_be.clear()
                return
        raise AssertionError(f"{step} was struck too often")

    def _mended(self, step: str) -> bool:
        """Whether something was struck. Then all is in order, and runs again."""
        was_struck = False
        while self.blow.mended():
            was_struck = True
            self.strikes.append(step)
            try:
                self.in_order(after_a_strike=True)
                self._resume()
                self.in_order()
            except (Failed, AssertionError):
                if not self.blow.mended():  # struck while we looked
                    raise
        return was_struck

    def _resume(self) -> None:
        """Docker starts by itself what is to start by itself, the user the rest."""
        for name in sorted(self.running):
            self._docker("start", name)

    # The steps. What a cut off command left is taken away before it is repeated.

    def _create(self) -> None:
        self.may_be.add(self.data)
        self._docker("volume", "create", "-d", DRIVER, "--opt", "size=10Mi", self.data)
        self.files.setdefault(self.data, {})

    def _retain(self) -> None:
        self.may_be.add(self.kept)
        self._docker("volume", "create", "-d", DRIVER, "--opt", "reclaim=retain", self.kept)
        self.files.setdefault(self.kept, {})

    def _make(self) -> None:
        """Docker copies what its image has into the volume that is empty."""
        self._take_away(self.first)
        volumes = ("-v", f"{self.data}:/data", "-v", f"{self.kept}:/kept")
        self._docker("create", "--name", self.first, "--restart", "unless-stopped", *QUICK,
                     *volumes, DATA, *SLEEP)  # fmt: skip

    def _start(self) -> None:
        self._docker("start", self.first)
        self.running.add(self.first)

    def _write(self) -> None:
        for place in ("data", "kept"):
            self._into(self.first, f"/{place}/written")

    def _join(self) -> None:
        """With a volume of its own beside: a container that nobody starts again by itself."""
        self._take_away(self.second)
        self.may_be.add(self.own)
        volumes = ("-v", f"{self.data}:/data", "-v", f"{self.own}:/own")
        self._docker("run", "-d", "--name", self.second, *QUICK, "--volume-driver", DRIVER,
                     *volumes, SHELL, *SLEEP)  # fmt: skip
        self.running.add(self.second)
        self.files.setdefault(self.own, {})
        for place in ("data", "own"):
            self._into(self.second, f"/{place}/joined")

    def _copy(self) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            entry = tarfile.TarInfo("copied")
            entry.size = SIZE_BYTES
            tar.addfile(entry, io.BytesIO(os.urandom(SIZE_BYTES)))
        self._docker("cp", "-", f"{self.first}:/data", stdin=packed.getvalue())

    def _scratch(self) -> None:
        """A volume without a name, which is gone with its container."""
        self._take_away(self.third)
        self._docker("run", "--rm", "--name", self.third, "--volume-driver", DRIVER,
                     "-v", "/scratch", "-v", f"{self.data}:/data",
                     SHELL, "sh", "-c", "cp /data/written /scratch/ && sync")  # fmt: skip

    def _leave(self) -> None:
        self.running.discard(self.second)
        self._docker("stop", self.second)

    def _restart(self) -> None:
        self._docker("restart", self.first)

    def _forget(self) -> None:
        self._take_away(self.second)
        self.may_be.add(self.own)
        self.files.pop(self.own, None)
        self._without(self.own)

    def _stop(self) -> None:
        self.running.discard(self.first)
        self._docker("stop", self.first)

    def _remove(self) -> None:
        self._take_away(self.first)

    def _delete(self) -> None:
        self.may_be.add(self.data)
        self.files.pop(self.data, None)
        self._without(self.data)

    def _release(self) -> None:
        self.may_be.add(self.kept)
        if self.kept in self.files:
            volume = self._state().volume_of(self.kept)["metadata"]["name"]
            self.released[volume] = self.files.pop(self.kept)
        self._without(self.kept)

    def _take(self) -> None:
        """Use what was left. It is not silently another volume, whatever is asked for."""
        self.may_be.add(self.kept)
        if self.kept not in self._state().claims:
            asked = ("volume", "create", "-d", DRIVER, "--opt", "size=2Gi", self.kept)
            ended = self.host.try_docker(*asked)
            if ended.code == 0 or "RetainedVolumeExists" not in ended.err:
                raise Failed(f"a new volume beside the one that is left: {ended}")
        (volume,) = self.released
        self._docker("volume", "create", "-d", DRIVER, "--opt", f"volume={volume}", self.kept)
        bound = self._state().volume_of(self.kept)
        if bound is None or bound["metadata"]["name"] != volume:
            raise Failed(f"it is not volume {volume}")
        self.files[self.kept] = self.released.pop(volume)

    def _release_again(self) -> None:
        self._release()

    # What it is made of

    def _docker(self, *arguments: str, stdin: bytes = b"") -> str:
        ended = done(["docker", *arguments], stdin=stdin, environment=self.host.environment)
        if ended.code != 0:
            raise Failed(f"docker {' '.join(arguments)}: {ended.code}: {ended.err}")
        return ended.out

    def _take_away(self, container: str) -> None:
        ended = self.host.try_docker("rm", "--force", "--volumes", container)
        if ended.code != 0 and "No such container" not in ended.err:
            raise Failed(f"rm {container}: {ended.err}")

    def _without(self, volume: str) -> None:
        ended = self.host.try_docker("volume", "rm", volume)
        if ended.code != 0 and "no such volume" not in ended.err.lower():
            raise Failed(f"volume rm {volume}: {ended.err}")

    def _into(self, container: str, path: str) -> None:
        """Write a file in a container, to the disk."""
        script = f"cat >{path} && sync {path}"
        data = os.urandom(SIZE_BYTES)
        self._docker("exec", "-i", container, "sh", "-c", script, stdin=data)

    # What must be so

    def _note(self) -> None:
        """Remember all that is in the volumes now."""
        state = self._state()
        for name in self.files:
            volume = state.volume_of(name)
            self.files[name] = state.files(volume["metadata"]["name"])

    def _state(self) -> State:
        try:
            return State(self.mooring)
        except (AssertionError, OSError, HTTPException) as error:
            raise Failed(f"the host cannot be looked at: {error}") from error

    def in_order(self, *, after_a_strike: bool = False) -> None:
        """Wait until everything has come to rest and is as it should be."""
        found: list[str] = []

        def is_so() -> bool:
            found[:] = ["it cannot be looked at"]
            state = State(self.mooring)
            if after_a_strike:
                # Calls were lost, and with them perhaps the end of some users.
                lost = not self.blow.ends_all
                self._excused = {one for ids in state.given.values() for one in ids if lost}
            found[:] = [*state.disorder(self._excused), *self._losses(state), *self._stuck(state)]
            if not after_a_strike:
                found.extend(self._stopped(state))
            return not found

        try:
            eventually(is_so, "all is in order", SETTLED_S)
        except AssertionError as error:
            raise AssertionError(f"{error}, after {self.strikes}: {found}") from error

    def _losses(self, state: State) -> list[str]:
        """Claims and data that were there and are not, and those that nobody asked for."""
        lost = []
        used = {volume for user in state.users for volume in user.volumes}
        for claim in set(state.claims) - set(self.files) - self.may_be - used:
            if not (self.strikes and is_anonymous(claim)):  # Docker lost it, or its end
                lost.append(f"claim {claim} is nobody's")
        for claim, files in self.files.items():
            volume = state.volume_of(claim)
            if volume is None:
                lost.append(f"claim {claim} is lost")
            else:
                lost += _lost(claim, files, state.files(volume["metadata"]["name"]))
        for volume, files in self.released.items():
            lost += _lost(volume, files, state.files(volume))
        return lost

    def _stuck(self, state: State) -> list[str]:
        """Containers that run and cannot write."""
        found = []
        for user in state.users:
            if user.state in RUNNING:
                probes = [f"{place}/.probe" for place in user.volumes.values()]
                script = " && ".join(f"echo >{probe} && rm {probe}" for probe in probes)
                ended = self.host.try_docker("exec", user.name, "sh", "-c", script)
                if ended.code != 0:
                    found.append(f"container {user.name} cannot write: {ended.err}")
        return found

    def _stopped(self, state: State) -> list[str]:
        """Containers that ought to run and do not."""
        running = {user.name for user in state.users if user.state in RUNNING}
        return [f"container {name} does not run" for name in sorted(self.running - running)]

    def _clear(self) -> None:
        """Nothing of it is left, also of users whose end nobody told, once they are old."""
        left = [name for name in State(self.mooring).claims if is_anonymous(name)]
        for name in left:
            self._without(name)
        assert users(self.mooring) == []
        self.in_order()
        if self._excused:
            self.mooring.kill9()
            age_ids(self.mooring, KEPT_S)
            self.mooring.start()
            self._excused.clear()
            self.in_order()


SIZE_BYTES: Final = 200_000
QUICK: Final = ("--stop-signal", "KILL")  # what sleeps as process 1 hears no other
SLEEP: Final = ("sleep", "100000")


def is_anonymous(claim: str) -> bool:
    return len(claim) == 64 and set(claim) <= set("0123456789abcdef")


def _lost(name: str, wanted: dict[str, str], there: dict[str, str]) -> list[str]:
    return [
        f"{path} of {name} is {'another' if path in there else 'lost'}"
        for path, digest in wanted.items()
        if there.get(path) != digest
    ]
