"""What is timed and counted while Mooring works, for /metrics; of this process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

PROCESS: Final = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=PROCESS)
PlatformCollector(registry=PROCESS)
disable_created_metrics()  # type: ignore[no-untyped-call]
SUCCESS, FAILURE = "success", "fail-unknown"  # as Kubernetes calls them
_OPERATIONS: Final = Histogram(
    "storage_operation_duration_seconds",
    "How long work on volumes took, by what was done and by how it ended.",
    ("volume_plugin", "operation_name", "status", "migrated"),
    registry=PROCESS,
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600),
)
_LEADS: Final = Gauge(
    "leader_election_master_status",
    "Whether this server leads: 1 or 0. Of several servers alone.",
    ("name",),
    registry=PROCESS,
)


def leads(name: str, *, it_does: bool) -> None:
    """Note whether this process holds the lease of that name."""
    _LEADS.labels(name).set(int(it_does))


@contextmanager
def operation(plugin: str, name: str) -> Iterator[None]:
    """Time what is within; an exception is a failure.

    plugin  as Kubernetes calls it: kubernetes.io/csi:DRIVER for a driver
    name    volume_provision, volume_delete, volume_mount, volume_unmount, …
    """
    begun_s, status = time.monotonic(), FAILURE
    try:
        yield
        status = SUCCESS
    finally:
        took_s = time.monotonic() - begun_s
        _OPERATIONS.labels(plugin, name, status, "false").observe(took_s)


def plugin_of(driver: str, source: str = "") -> str:
    """What Kubernetes calls a driver, or a source that has none: hostPath, local, nfs."""
    if driver:
        return f"kubernetes.io/csi:{driver}"
    return {"hostPath": "kubernetes.io/host-path", "local": "kubernetes.io/local-volume"}.get(
        source, f"kubernetes.io/{source or 'unknown'}"
    )
