"""How a service's port is reached, by how it is published."""

from contextlib import suppress

from mooring.edge.labels import Refused, label_of, listed
from mooring.edge.settings import ModeName
from mooring.engine.swarm import Service


def target(service: Service, name: str, said: int | None) -> int:
    """The port of its containers. Raises Refused.

    name  of the route
    said  by its label; None: nothing
    """
    targets = sorted({one.target for one in service.ports if one.protocol == "tcp"})
    label = label_of(name, "port")
    if said is None:
        if len(targets) == 1:
            return targets[0]
        if targets:
            raise Refused("PortAmbiguous", f"{listed(targets)} are published; say which by {label}")
        raise Refused(
            "PortNotPublished", "it publishes no TCP port; see `docker service update -h`"
        )
    if said not in targets:
        raise Refused("PortNotPublished", f"{label}: {said} is not published, {listed(targets)} is")
    return said


def published(
    service: Service, name: str, port: int, said: ModeName | None, default: ModeName | None
) -> tuple[ModeName, int]:
    """How its tasks are reached, and by which port of every node; 0: of none. Raises Refused.

    said     by its label; None: nothing
    default  of the edge file, taken where it fits
    """
    ports = [one for one in service.ports if one.target == port and one.protocol == "tcp"]
    meshed = next((one.published for one in ports if one.mode == "ingress"), 0)
    possible: list[ModeName] = ["direct"] if any(one.mode == "host" for one in ports) else []
    if meshed:
        possible += ["nodes", "mesh"]
    if not possible:
        raise Refused("PortNotPublished", f"port {port} has no number on the nodes yet")
    if said is not None and said not in possible:
        how = "mode=host" if said == "direct" else "mode=ingress"
        raise Refused(
            "ModeImpossible",
            f"{label_of(name, 'mode')}: {said} needs port {port} published with {how}",
        )
    chosen = said or (default if default in possible else possible[0])
    return chosen, 0 if chosen == "direct" else meshed


def published_still(service: Service, port: int, mode: ModeName) -> tuple[ModeName, int]:
    """How a port is reached now that was reached in this way before, or may no longer be.

    Another service may have its number of before.
    """
    for said in (mode, None):
        with suppress(Refused):
            return published(service, "", port, said, None)
    return mode, 0
