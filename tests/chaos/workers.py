"""Clients that write and read while anything goes wrong, and note what they are told."""

import random
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

from testbed.linearizable import Operation, Outcome, a_read, a_swap
from tests.chaos.asking import Answer, Client
from tests.chaos.world import CLAIMS

MAPS: Final = "/api/v1/namespaces/default/configmaps"
KEYS: Final = tuple(f"key{number}" for number in range(8))
PAUSE_S: Final = 0.02  # between two requests of a worker, so that others get a turn
FOUND: Final = (200, 201)


class Worker:
    """A thread that goes on until it is told to end. An error of it fails the test."""

    def __init__(self, name: str, servers: Sequence[str], client: Client, seed: str) -> None:
        """servers  their addresses: each request goes to any"""
        self.name, self.client = name, client
        self.chance = random.Random(f"{seed} {name}")
        self._servers = list(servers)
        self._is_over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._is_over.set()

    def join(self) -> None:
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    @property
    def goes_on(self) -> bool:
        return not self._is_over.is_set()

    def ask(self, method: str, path: str, body: object = None) -> tuple[Answer, float, float]:
        """With when it was begun and ended."""
        began_s = time.monotonic()
        answer = self.client.ask(self.chance.choice(self._servers), method, path, body)
        return answer, began_s, time.monotonic()

    def step(self) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        try:
            while self.goes_on:
                self.step()
                self._is_over.wait(PAUSE_S)
        except BaseException as failure:
            self._failure = failure


class Histories:
    """Of each key, and what was seen of versions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.of: dict[str, list[Operation]] = defaultdict(list)
        self._versions: dict[tuple[str, str], str] = {}  # (key, value) → resourceVersion
        self._values: dict[str, tuple[str, str]] = {}  # resourceVersion → (key, value)
        self._lists: list[tuple[int, dict[str, int]]] = []  # version of it, and of each in it
        self.wrong: list[str] = []

    def add(self, key: str, operation: Operation) -> None:
        with self._lock:
            self.of[key].append(operation)

    def copy(self) -> dict[str, list[Operation]]:
        with self._lock:
            return {key: list(one) for key, one in self.of.items()}

    def saw(self, key: str, doc: Any) -> str:
        """A version of a key, as a server shows it; returns its value."""
        value, version = doc["data"]["v"], doc["metadata"]["resourceVersion"]
        with self._lock:
            one, other = (key, value), self._versions.setdefault((key, value), version)
            if other != version:
                self.wrong.append(f"{key} has {value} at {other} and at {version}: written twice")
            if self._values.setdefault(version, one) != one:
                self.wrong.append(f"version {version} is {self._values[version]} and {one}")
        return str(value)

    def listed(self, doc: Any) -> None:
        items = {one["metadata"]["name"]: one["metadata"] for one in doc["items"]}
        versions = {name: int(one["resourceVersion"]) for name, one in items.items()}
        with self._lock:
            self._lists.append((int(doc["metadata"]["resourceVersion"]), versions))

    def of_no_moment(self) -> list[str]:
        """Lists with a version of something that was not the newest when they say they are of."""
        known: dict[str, list[int]] = defaultdict(list)
        for (key, _), version in self._versions.items():
            known[key].append(int(version))
        found = []
        for one in known.values():
            one.sort()
        for at, versions in self._lists:
            for key, version in versions.items():
                newest = known[key][bisect_right(known[key], at) - 1]
                if newest != version:
                    found.append(f"a list of {at} has {key} of {version}, not of {newest}")
        return found


class Swapper(Worker):
    """Reads and swaps ConfigMaps. Each value is written once at all, so it names its version."""

    def __init__(self, histories: Histories, *how: Any, may_be_old: bool = False) -> None:
        """may_be_old: what a server knows is enough, as it is with resourceVersion=0"""
        super().__init__(*how)
        self._histories, self._count = histories, 0
        self._query = "?resourceVersion=0" if may_be_old else ""
        self._known: dict[str, Any] = {}  # what was read last, of each key: None if nothing

    def step(self) -> None:
        key = self.chance.choice(KEYS)
        acts: list[Callable[[str], None]] = [self._read, self._swap, self._list, self._delete]
        self.chance.choices(acts, (4, 4, 1, 0.5))[0](key)

    def _read(self, key: str) -> None:
        answer, *times = self.ask("GET", f"{MAPS}/{key}{self._query}")
        if answer.is_unsure:
            return
        assert answer.status in (200, 404), answer
        self._saw(key, answer.body if answer.status == 200 else None, *times)

    def _saw(self, key: str, doc: Any, *times: float) -> None:
        value = None if doc is None else self._histories.saw(key, doc)
        self._known[key] = doc
        self._histories.add(key, a_read(self.name, value, *times))

    def _list(self, _: str) -> None:
        answer, *times = self.ask("GET", MAPS + self._query)
        if answer.is_unsure:
            return
        assert answer.status == 200, answer
        self._histories.listed(answer.body)
        docs = {one["metadata"]["name"]: one for one in answer.body["items"]}
        for key in KEYS:
            self._saw(key, docs.get(key), *times)

    def _swap(self, key: str) -> None:
        """From what was read last, which may be old."""
        self._count += 1
        value, old = f"{self.name}-{self._count}", self._known.get(key)
        doc = {"metadata": {"name": key}, "data": {"v": value}}
        if old is None:
            answer, *times = self.ask("POST", MAPS, doc)
        else:
            version = old["metadata"]["resourceVersion"]
            doc["metadata"]["resourceVersion"] = version
            answer, *times = self.ask("PUT", f"{MAPS}/{key}", doc)
        self._told(key, old, value, answer, *times)

    def _delete(self, key: str) -> None:
        old = self._known.get(key)
        if old is None:
            return
        only = {"preconditions": {"resourceVersion": old["metadata"]["resourceVersion"]}}
        answer, *times = self.ask("DELETE", f"{MAPS}/{key}", only)
        self._told(key, old, None, answer, *times)

    def _told(self, key: str, old: Any, new: str | None, answer: Answer, *times: float) -> None:
        expected = None if old is None else str(old["data"]["v"])
        if answer.status == 404:  # there is nothing, which is known by this
            self._saw(key, None, *times)
            return
        if answer.is_unsure:
            outcome, times = Outcome.UNKNOWN, times[:1]
        elif answer.status in FOUND:
            outcome = Outcome.OK
            self._known[key] = answer.body if new is not None else None
            if new is not None:
                self._histories.saw(key, answer.body)
        else:
            assert answer.status == 409, (key, answer)
            outcome = Outcome.REFUSED
            self._known.pop(key, None)
        self._histories.add(key, a_swap(self.name, expected, new, outcome, *times))


class Claimer(Worker):
    """Makes claims and changes and deletes some: each until a server says that it is done."""

    def __init__(self, *how: Any) -> None:
        super().__init__(*how)
        self._count = 0
        self.kept: dict[str, str] = {}  # of each that must be there, what was last noted on it
        self.deleted: set[str] = set()
        self.wrong: list[str] = []

    def step(self) -> None:
        self._count += 1
        name = f"{self.name}-{self._count}"
        self._make(name)
        if self._count % 2 == 0:
            self._note(self.chance.choice(sorted(self.kept)))
        if self._count % 3 == 0:
            self._delete(self.chance.choice(sorted(self.kept)))
        self._is_over.wait(0.3)

    def _make(self, name: str) -> None:
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "leased",
            "resources": {"requests": {"storage": "1Mi"}},
        }
        self._until("POST", CLAIMS, {"metadata": {"name": name}, "spec": spec}, (201, 409))
        if self.goes_on:
            self.kept[name] = ""
            self._look(name)

    def _note(self, name: str) -> None:
        """Only this worker writes it: what is there is what it wrote last."""
        while self.goes_on:
            answer, *_ = self.ask("GET", f"{CLAIMS}/{name}")
            if answer.is_unsure:
                self._is_over.wait(PAUSE_S)
                continue
            if answer.status != 200:
                self.wrong.append(f"{name} was made, and is not there: {answer.status}")
                return
            annotations = answer.body["metadata"].setdefault("annotations", {})
            if annotations.get("note", "") != self.kept[name]:
                noted = annotations.get("note")
                self.wrong.append(f"{name} has the note {noted} instead of {self.kept[name]}")
            self._count += 1
            annotations["note"] = str(self._count)
            answer, *_ = self.ask("PUT", f"{CLAIMS}/{name}", answer.body)
            if answer.status == 200:
                self.kept[name] = str(self._count)
                return
            if answer.is_unsure:  # nobody knows what its note is from now on
                self._delete(name)
                return

    def _delete(self, name: str) -> None:
        self.kept.pop(name)
        self._until("DELETE", f"{CLAIMS}/{name}", None, (200, 404))
        if self.goes_on:
            self.deleted.add(name)

    def _look(self, name: str) -> None:
        """What one server has said is so at any."""
        answer, *_ = self.ask("GET", f"{CLAIMS}/{name}")
        if not answer.is_unsure and answer.status != 200:
            self.wrong.append(f"{name} was made, and then there was {answer.status}")

    def _until(self, method: str, path: str, body: object, done: tuple[int, ...]) -> None:
        while self.goes_on:
            answer, *_ = self.ask(method, path, body)
            if answer.status in done:
                return
            assert answer.is_unsure, (method, path, answer)
            self._is_over.wait(PAUSE_S)
