"""What Docker prints when a volume is refused, and what such a call leaves behind: nothing."""

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER, Mooring
from tests.docker.testbed import Done, eventually

F = TypeVar("F", bound=Callable[..., Any])
Doc = dict[str, Any]
KINDS: Final = "persistentvolumeclaims,persistentvolumes,volumeattachments,pods"
REACHED: Final[set[str]] = set()  # codes of which a test asks that Docker prints them


def reaches(*codes: str) -> Callable[[F], F]:
    """A test that has Docker print these codes."""
    REACHED.update(codes)
    return lambda test: test


def creating(name: str, *options: str) -> tuple[str, ...]:
    """The arguments of docker that create a volume with options, KEY=VALUE each."""
    given = [word for option in options for word in ("--opt", option)]
    return ("volume", "create", "--driver", DRIVER, *given, name)


def running(name: str, *command: str) -> tuple[str, ...]:
    """Those that run a container once with a volume at /data."""
    return ("run", "--rm", "-v", f"{name}:/data", SHELL, *(command or ("true",)))


def traces(mooring: Mooring) -> dict[str, list[str]]:
    """All that a call could leave behind."""
    objects = json.loads(mooring.kubectl("get", KINDS, "--all-namespaces", "--output", "json"))
    table = mooring.host.run("cat", "/proc/1/mountinfo").out.splitlines()
    mounts = str(mooring.data_dir / "mounts")
    place = mooring.data_dir
    return {
        "objects": sorted(
            f"{one['kind']} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}"
            for one in objects["items"]
        ),
        "assets": sorted(str(path) for path in mooring.pool.glob("[!.]*")),
        "half made": sorted(str(path) for path in mooring.pool.glob(".making-*")),
        "intents": sorted(str(path) for path in (place / "provisioning").iterdir()),
        "IDs": sorted(str(path) for path in (place / "users").glob("*/*")),
        "paths": sorted(str(path) for path in (place / "mounts").iterdir()),
        "mounts": sorted(line.split()[4] for line in table if line.split()[4].startswith(mounts)),
    }


def told(done: Done, code: str, *words: str) -> str:
    """The text of an error as Docker printed it: "Code: what; remedy", with all these words. What
    Docker itself prints before it does not count."""
    assert done.code != 0, done.out
    assert f"{code}: " in done.err, done.err
    text = done.err[done.err.index(f"{code}: ") :]
    what, _, remedy = text.partition("; ")
    assert (bool(what), bool(remedy)) == (True, True), text
    assert [word for word in words if word not in text] == [], text
    return text


def refused(mooring: Mooring, code: str, command: tuple[str, ...], *words: str) -> str:
    """Have a docker command refused. Its text has the host and all these words; nothing is left of
    it."""
    before = traces(mooring)
    text = told(mooring.host.try_docker(*command), code, f" on {mooring.host.name}", *words)
    eventually(lambda: traces(mooring) == before, f"nothing is left of {command}")
    return text


def applied(mooring: Mooring, *docs: Doc) -> None:
    """Objects, made with kubectl."""
    for doc in docs:
        mooring.kubectl("apply", "--filename", "-", stdin=json.dumps(doc))


def a_class(name: str, pool: str, mode: str = "Immediate", **parameters: str) -> Doc:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "directory.mooring.dev",
        "parameters": {"pool": pool, **parameters},
        "reclaimPolicy": "Delete",
        "volumeBindingMode": mode,
    }


def a_pool(name: str, root: str, **spec: Any) -> Doc:
    fixed = {"driver": "directory.mooring.dev", "node": "here", "root": root}
    return {
        "apiVersion": "mooring.dev/v1",
        "kind": "Pool",
        "metadata": {"name": name},
        "spec": fixed | spec,
    }


def a_volume(name: str, path: str = "/srv", **spec: Any) -> Doc:
    """A static PersistentVolume of 1Gi, of no class."""
    fixed = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
    }
    source = (
        {} if spec.keys() & {"rbd", "csi"} else {"hostPath": {"path": path, "type": "Directory"}}
    )
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {**fixed, **source, **spec},
    }


def a_claim(name: str, **spec: Any) -> Doc:
    fixed = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": fixed | spec,
    }


def in_namespace(name: str, namespace: str) -> Doc:
    return {"metadata": {"name": name, "namespace": namespace}}
