"""What is on a host when everything has come to rest, and whether all of it is as it should be."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Set
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.docker.mooring import DRIVER, Mooring

RUNNING: Final = frozenset({"running", "paused", "restarting"})
PHASES: Final = {
    "created": ("Pending",),
    "running": ("Running",),
    "paused": ("Running",),
    "exited": ("Succeeded", "Failed"),
}
MIRROR: Final = "mooring.dev/mirror"
CONTAINER_ID: Final = "mooring.dev/container-id"
POOL_MARK: Final = ".mooring-pool"


class User(NamedTuple):
    """A container, and the volumes of Mooring's that it has: {name: where in it}."""

    id: str
    name: str
    state: str
    volumes: dict[str, str]


def users(mooring: Mooring) -> list[User]:
    """The containers of a host that have such volumes, as Docker lists them."""
    status, listed = mooring.host.api("GET", "/containers/json?all=1")
    assert status == 200, listed
    found = []
    for one in listed:
        volumes = {
            mount["Name"]: mount["Destination"]
            for mount in one["Mounts"]
            if mount.get("Driver") == DRIVER
        }
        if volumes:
            found.append(User(one["Id"], one["Names"][0].strip("/"), one["State"], volumes))
    return found


def sums(place: Path) -> dict[str, str]:
    """SHA-256 of every file below a directory, by its path there."""
    found = {}
    for directory, _, names in os.walk(place):
        for name in names:
            path = Path(directory) / name
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(place))] = digest
    return found


class State:
    """Everything of a host that has to do with volumes, looked at once."""

    def __init__(self, mooring: Mooring) -> None:
        self.mooring = mooring
        self.users = users(mooring)
        kinds: dict[str, list[Any]] = {}
        for one in mooring.get("pvc,pv,volumeattachments,pods")["items"]:
            kinds.setdefault(one["kind"], []).append(one)
        self.claims = {_name(one): one for one in kinds.get("PersistentVolumeClaim", [])}
        self.volumes = {_name(one): one for one in kinds.get("PersistentVolume", [])}
        self.attachments = kinds.get("VolumeAttachment", [])
        self.pods = [one for one in kinds.get("Pod", []) if MIRROR in one["metadata"]["labels"]]
        self.points = self._points()
        self.given = self._given()

    def volume_of(self, claim: str) -> Any:
        """The volume that a claim is bound to, None if it is not."""
        found = self.claims.get(claim)
        return self.volumes.get(found["spec"].get("volumeName", "")) if found else None

    def files(self, volume: str) -> dict[str, str]:
        """The data of a volume, by its name."""
        return sums(self.mooring.pool / volume / "data")

    def _in_use(self) -> set[str]:
        """The uids of the volumes that running containers have."""
        return {
            volume["metadata"]["uid"]
            for user in self.users
            if user.state in RUNNING
            for name in user.volumes
            if (volume := self.volume_of(name)) is not None
        }

    def disorder(self, excused: Set[Path]) -> list[str]:
        """What is not as it should be.

        excused  IDs of users whose end Docker may never tell, as files: until these are old, their
                 volumes stay at hand
        """
        late = {uid for uid, ids in self.given.items() if ids and ids <= excused}
        used = self._in_use()
        return [
            *self._claims(),
            *self._assets(),
            *self._attachments(used, late),
            *self._paths(used, late),
            *self._mirrors(),
        ]

    def _claims(self) -> list[str]:
        found = []
        for name, claim in self.claims.items():
            volume = self.volume_of(name)
            phase = claim["status"]["phase"]
            if phase != "Bound" or volume is None or "deletionTimestamp" in claim["metadata"]:
                found.append(f"claim {name} is {phase}")
            elif volume["spec"]["claimRef"]["uid"] != claim["metadata"]["uid"]:
                found.append(f"claim {name} and its volume do not agree")
        bound = {claim["spec"].get("volumeName") for claim in self.claims.values()}
        for name, volume in self.volumes.items():
            phase = volume["status"]["phase"]
            wanted = "Bound" if name in bound else "Released"
            policy = volume["spec"]["persistentVolumeReclaimPolicy"]
            if phase != wanted or (wanted == "Released" and policy != "Retain"):
                found.append(f"volume {name} is {phase}, reclaim {policy}")
        return found

    def _assets(self) -> list[str]:
        pool = {path.name for path in self.mooring.pool.glob("*")} - {POOL_MARK}
        made = [path.name for path in (self.mooring.data_dir / "provisioning").iterdir()]
        return [
            *(f"the pool has {name}, which is no volume's" for name in pool - set(self.volumes)),
            *(f"volume {name} has no asset" for name in set(self.volumes) - pool),
            *(f"{name} is being made" for name in made),
        ]

    def _attachments(self, used: set[str], late: set[str]) -> list[str]:
        attached = []
        for one in self.attachments:
            volume = self.volumes.get(one["spec"]["source"]["persistentVolumeName"])
            uid = volume["metadata"]["uid"] if volume else "none"
            attached.append(uid)
            if uid in used and one.get("status", {}).get("attached") is not True:
                attached.append(f"{uid}, which is not confirmed")
        return _differences("attached", Counter(attached), used, late)

    def _paths(self, used: set[str], late: set[str]) -> list[str]:
        root = self.mooring.data_dir / "mounts"
        below = Counter(point for point in self.points if point != str(root))
        wanted, maybe = ({f"{root}/{uid}/fs" for uid in uids} for uids in (used, late))
        places = Counter(path.name for path in root.iterdir())
        given = Counter(self.given.keys())
        roots = self.points.count(str(root))
        return [
            *_differences("mounted", below, wanted, maybe),
            *_differences("in mounts", places, used, late),
            # `docker cp` gives back the ID of a container that goes on to run.
            *_differences("in users", given, set(), used | late),
            *([f"the root of mounts is mounted {roots} times"] if roots > 1 else []),
        ]

    def _mirrors(self) -> list[str]:
        there = {
            pod["metadata"]["annotations"].get(CONTAINER_ID, _name(pod)): pod["status"]["phase"]
            for pod in self.pods
        }
        found = [f"pod of {id_[:12]} has no container" for id_ in there]
        for user in self.users:
            phase = there.get(user.id)
            if phase is not None:
                found.remove(f"pod of {user.id[:12]} has no container")
            if phase not in PHASES.get(user.state, (phase,)):
                found.append(f"container {user.name} is {user.state}, its pod {phase}")
        return found

    def _points(self) -> list[str]:
        """Where this host has something mounted below the mounts of Mooring, or on them."""
        root = str(self.mooring.data_dir / "mounts")
        table = self.mooring.host.seen("/proc/1/mountinfo").read_text().splitlines()
        points = [line.split()[4] for line in table]
        return [point for point in points if point == root or point.startswith(f"{root}/")]

    def _given(self) -> dict[str, set[Path]]:
        """The files of the IDs that were given a volume, by its uid; also where there are none."""
        place = self.mooring.data_dir / "users"
        return {
            path.name: {one for one in path.iterdir() if not one.name.startswith(".")}
            for path in place.iterdir()
            if not path.name.startswith(".")
        }


def age_ids(mooring: Mooring, by_s: float) -> None:
    """Have all IDs be older, as if Mooring, which must not run now, had been away for that time."""
    for path in (mooring.data_dir / "users").glob("*/*"):
        user = json.loads(path.read_bytes())
        user["given_s"] -= by_s
        path.write_bytes(json.dumps(user).encode())


def _differences(what: str, there: Counter[str], wanted: set[str], maybe: set[str]) -> list[str]:
    """Each that is wanted is there once, and beside them at most those that may be there."""
    return [
        *(f"not {what}: {one}" for one in sorted(wanted - set(there))),
        *(f"{what}: {one}" for one in sorted(set(there) - wanted - maybe)),
        *(f"{what} {count} times: {one}" for one, count in there.items() if count > 1),
    ]


def _name(doc: Any) -> str:
    name: str = doc["metadata"]["name"]
    return name
