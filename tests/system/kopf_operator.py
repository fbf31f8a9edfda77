"""The operator of test_kopf, as `kopf run` loads it: it watches claims with the label operated."""

from typing import Any

import kopf

GROUP = "example.com"
CHOSEN = {"labels": {"operated": "yes"}}


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.persistence.finalizer = f"{GROUP}/operator"
    settings.watching.server_timeout = 2  # seconds: that the test sees watches begin again
    settings.watching.reconnect_backoff = 0.0


@kopf.index("storageclasses")
def provisioners(name: str, body: kopf.Body, **_: Any) -> dict[str, str]:
    return {name: body["provisioner"]}


@kopf.on.create("persistentvolumeclaims", **CHOSEN)
def greet(
    patch: kopf.Patch,
    name: str,
    spec: kopf.Spec,
    body: kopf.Body,
    provisioners: kopf.Index[str, str],
    **_: Any,
) -> None:
    patch.metadata.labels["greeted"] = "yes"
    patch.metadata.annotations[f"{GROUP}/greeting"] = f"hello {name}"
    (provisioner,) = provisioners[spec["storageClassName"]]
    patch.metadata.annotations[f"{GROUP}/provisioner"] = provisioner
    kopf.info(body, reason="Greeted", message=f"hello {name}")


@kopf.on.resume("persistentvolumeclaims", **CHOSEN)
def resume(name: str, **_: Any) -> None:
    print(f"resumed {name}", flush=True)


@kopf.timer("persistentvolumeclaims", interval=0.2, labels={"timed": "yes"})
def tick(patch: kopf.Patch, annotations: kopf.Annotations, **_: Any) -> None:
    times = int(annotations.get(f"{GROUP}/ticks", "0"))
    patch.metadata.annotations[f"{GROUP}/ticks"] = str(times + 1)


@kopf.daemon("persistentvolumeclaims", labels={"accompanied": "yes"})
async def accompany(name: str, stopped: kopf.DaemonStopped, **_: Any) -> None:
    print(f"beside {name}", flush=True)
    await stopped.wait()
    print(f"apart from {name}", flush=True)


@kopf.on.create("pools.mooring.dev")
@kopf.on.update("pools.mooring.dev", field="spec.capacity")
def note(patch: kopf.Patch, spec: kopf.Spec, **_: Any) -> None:
    patch.metadata.annotations[f"{GROUP}/capacity"] = spec.get("capacity", "all of the disk")


@kopf.on.update("persistentvolumeclaims", field="metadata.labels.tier", **CHOSEN)
def follow(patch: kopf.Patch, old: str | None, new: str | None, **_: Any) -> None:
    patch.metadata.annotations[f"{GROUP}/tier"] = f"{old} to {new}"


@kopf.on.delete("persistentvolumeclaims", **CHOSEN)
def part(meta: kopf.Meta, namespace: str, name: str, **_: Any) -> None:
    if "stay" in meta.labels:
        raise kopf.TemporaryError("it is to stay", delay=0.1)
    print(f"goodbye {namespace}/{name}", flush=True)


@kopf.on.event("persistentvolumeclaims")
def see(type: str | None, name: str, status: kopf.Status, **_: Any) -> None:
    print(f"seen {type} {name} {status.get('phase')}", flush=True)
