"""The table of who gets a volume that another host has. Docker volumes §9."""

from typing import Any

import msgspec
import pytest

from mooring.model.names import HOSTNAME
from mooring.model.node import Node, NodeSpec, Taint
from mooring.model.selector import only_node
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.rules.fencing import (
    MARGIN_S,
    Holder,
    Passing,
    fences_itself,
    holder_of,
    is_out_of_service,
    passing,
)

LEASED = StorageClass(parameters={"fencing": "lease"})


@pytest.mark.parametrize(
    ("unheard_share", "has_users", "holder"),
    [
        (0.0, True, Holder.USES),
        (0.2, False, Holder.LETS_GO),
        (0.6, True, Holder.LATE),
        (0.6, False, Holder.LATE),
        (1.0, True, Holder.SILENT),
        (float("inf"), False, Holder.SILENT),
    ],
)
def test_what_a_holder_is(unheard_share: float, has_users: bool, holder: Holder) -> None:
    assert holder_of(unheard_share, has_users=has_users) is holder


@pytest.mark.parametrize(
    ("holder", "late_s", "fences", "out_of_service", "found"),
    [
        (Holder.USES, -1, True, True, Passing()),
        (Holder.LETS_GO, -1, False, False, Passing(wait_s=0.2)),
        (Holder.LETS_GO, -1, True, True, Passing(wait_s=0.2)),
        (Holder.LATE, -1, False, True, Passing(wait_s=0.2)),
        (Holder.SILENT, 0, False, False, Passing()),
        (Holder.SILENT, 9e9, False, False, Passing()),
        (Holder.SILENT, 0, False, True, Passing(may=True, is_forced=True)),
        (Holder.SILENT, 0.5, True, False, Passing(wait_s=MARGIN_S - 0.5)),
        (Holder.SILENT, MARGIN_S, True, False, Passing(may=True, wait_s=0.1)),
    ],
)
def test_what_another_host_gets(
    holder: Holder, late_s: float, fences: bool, out_of_service: bool, found: Passing
) -> None:
    assert passing(holder, late_s, fences=fences, out_of_service=out_of_service) == found


def of_driver(driver: str, *hosts: str) -> Volume:
    spec: dict[str, object] = {"csi": {"driver": driver, "volumeHandle": "p/x"}}
    if hosts:
        spec["nodeAffinity"] = msgspec.to_builtins(only_node(HOSTNAME, hosts[0]))
        terms: Any = spec["nodeAffinity"]
        terms["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] = list(hosts)
    return msgspec.convert({"metadata": {"name": "v1"}, "spec": spec}, Volume)


def test_who_fences_itself() -> None:
    shared = of_driver("directory.mooring.dev")
    assert fences_itself(shared, LEASED)
    assert not fences_itself(shared, StorageClass())
    assert not fences_itself(shared, None)
    # Of NFS the kernel may write later; what is on one host alone nobody else can have.
    assert not fences_itself(of_driver("nfs.mooring.dev"), LEASED)
    assert not fences_itself(of_driver("directory.mooring.dev", "a"), LEASED)
    assert fences_itself(of_driver("directory.mooring.dev", "a", "b"), LEASED)
    assert not fences_itself(of_driver("nfs.csi.k8s.io"), LEASED)
    server = {"nfs": {"server": "s", "path": "/p"}}
    assert not fences_itself(msgspec.convert({"spec": server}, Volume), LEASED)


def test_an_operators_word() -> None:
    taint = Taint(key="node.kubernetes.io/out-of-service", effect="NoExecute")
    assert is_out_of_service(Node(spec=NodeSpec(taints=(taint,))))
    assert not is_out_of_service(Node())
    assert not is_out_of_service(None)
