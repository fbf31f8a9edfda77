"""Servers of one store, and which of them leads."""

from collections.abc import Sequence

from tests.system.server import Server, claim, eventually, volume

LEASE = ("lease", "mooring-controllers", "-n", "kube-system")
LEASE_S = 3


class OneOfSeveral(Server):
    """`mooring server`."""

    def launched(self) -> list[str]:
        return [
            *self.program_words("server"),
            *("--data-dir", str(self.place / "data"), "--kubeconfig", str(self.kubeconfig)),
            *("--listen", f"127.0.0.1:{self.port}", "--leader-lease", str(LEASE_S)),
            *self.options,
        ]

    def leads(self) -> bool:
        holder: str = self.get(*LEASE)["spec"].get("holderIdentity") or ""
        return f"_{self.pid}_" in holder


def started(servers: Sequence[OneOfSeveral]) -> list[OneOfSeveral]:
    """All at once, as their hosts do."""
    for one in servers:
        one.start(PYTHONUNBUFFERED="1")  # not waited for
    for one in servers:
        eventually(one.is_ready, f"ready; {(one.place / 'log').read_text()[-2000:]}")
    return list(servers)


def leader(servers: list[OneOfSeveral]) -> OneOfSeveral:
    """Waits until there is one."""
    found: list[OneOfSeveral] = []

    def one_leads() -> bool:
        living = [one for one in servers if one.process is not None and one.process.poll() is None]
        found[:] = [one for one in living if one.leads()]
        return bool(found)

    eventually(one_leads, "one of the servers leads")
    return found[0]


def bound(server: OneOfSeveral, name: str) -> None:
    """By whichever server leads."""
    server.apply(pairs([name]))
    eventually(lambda: server.phase("pvc", name) == "Bound", f"{name} is bound")


def pairs(names: Sequence[str]) -> str:
    """A claim and a volume of each name, of which any takes any."""
    volumes = (volume(f"v-{name}", "1Gi", f"/nowhere/{name}") for name in names)
    return "".join((*volumes, *(claim(name, class_="") for name in names)))


def all_are_bound(server: Server, names: Sequence[str]) -> bool:
    """Each to a volume of its own, both saying so."""
    claims = [server.get("pvc", name) for name in names]
    if any(one["status"]["phase"] != "Bound" for one in claims):
        return False
    taken = {one["spec"]["volumeName"]: one["metadata"]["uid"] for one in claims}
    assert len(taken) == len(claims)
    volumes = {one["metadata"]["name"]: one for one in server.get("pv")["items"]}
    refs = {name: volumes[name]["spec"]["claimRef"]["uid"] for name in taken}
    assert refs == taken
    return True
