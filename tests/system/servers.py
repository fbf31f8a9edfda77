"""Servers of one store, and which of them leads."""

from collections.abc import Sequence

from tests.system.server import Server, claim, eventually, volume

LEASE = ("lease", "mooring-controllers", "-n", "kube-system")
LEASE_S = 3


class OneOfSeveral(Server):
    """`mooring server`."""

    def command(self) -> list[str]:
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
    server.apply(volume(f"v-{name}", "1Gi", f"/nowhere/{name}") + claim(name, class_=""))
    eventually(lambda: server.phase("pvc", name) == "Bound", f"{name} is bound")
