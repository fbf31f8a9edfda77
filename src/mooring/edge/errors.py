"""What can go wrong between Mooring and the proxy of an edge."""

from pathlib import Path

from mooring.errors import Effect, MooringError


class ProxyAway(MooringError):
    """It does not run, or does not answer on its socket."""

    code, effect = "ProxyAway", Effect.UNKNOWN

    def __init__(self, proxy: str, why: str) -> None:
        self.what = f"{proxy} cannot be asked: {why}"
        self.remedy = "`mooring edge run` starts it again; see that its directory is writable"
        super().__init__(self.what)


class NotRunByService(MooringError):
    """It is not ours to start, and whose it is has not started it with our configuration."""

    code, effect = "NotRunByService", Effect.NONE

    def __init__(self, proxy: str, configuration: Path) -> None:
        self.what = f"no service of this machine runs {proxy} with {configuration}"
        self.remedy = f"see `systemctl status {proxy.lower()}`; examples/edge has what it needs"
        super().__init__(self.what)


class UnexpectedAnswer(MooringError):
    """A command of its runtime API was not done."""

    code, effect = "UnexpectedAnswer", Effect.UNKNOWN

    def __init__(self, command: str, answer: str) -> None:
        self.what = f"HAProxy answered {answer.strip()[:200]!r} to `{command[:200]}`"
        self.remedy = "it is tried anew; HAProxy 2.6 or later is needed"
        super().__init__(self.what)


class ConfigRejected(MooringError):
    """The proxy's own checker says no: a bug of ours. What was before goes on."""

    code, effect = "ConfigRejected", Effect.NONE

    def __init__(self, proxy: str, said: str) -> None:
        self.said = said
        self.what = f"{proxy} does not take the configuration: {said[:500]}"
        self.remedy = "the one before goes on; report it, with what `mooring edge render` prints"
        super().__init__(self.what)


class ReloadFailed(MooringError):
    """A checked configuration, and yet no new worker."""

    code, effect = "ReloadFailed", Effect.NONE

    def __init__(self, proxy: str, why: str) -> None:
        self.what = f"{proxy} did not take the configuration over: {why}"
        self.remedy = "the one before goes on; see its log"
        super().__init__(self.what)


class ModuleMissing(MooringError):
    """This nginx knows no TCP."""

    code, effect = "ModuleMissing", Effect.NONE

    def __init__(self, file: Path) -> None:
        self.what = f"nginx has no module for entry points with protocol tcp: there is no {file}"
        self.remedy = "install it (Debian: libnginx-mod-stream), or use haproxy"
        super().__init__(self.what)


class EntryTaken(MooringError):
    """Somebody else listens where an entry point is to be."""

    code, effect = "EntryTaken", Effect.NONE

    def __init__(self, name: str, address: str, port: int, why: str) -> None:
        self.what = f"entry point {name} cannot listen on {address}:{port}: {why}"
        self.remedy = "end what listens there, or give the entry point another address or port"
        super().__init__(self.what)


class SwarmChanged(MooringError):
    """A manager lists no node of before: its swarm was made anew, or it is of another one.

    Nodes tell it, since a swarm that is restored keeps them, and its id could not be asked of a
    proxy that lets only the lists through.
    """

    code, effect = "SwarmChanged", Effect.NONE

    def __init__(self, address: str) -> None:
        self.what = f"the manager at {address} has another swarm: no node of before is in it"
        self.remedy = "what the proxy has goes on; if it is meant, restart `mooring edge run`"
        super().__init__(self.what)


class NotWritten(MooringError):
    """A file of the directory, or the directory itself. What was there before is there yet."""

    code, effect = "NotWritten", Effect.NONE

    def __init__(self, path: Path, error: OSError) -> None:
        self.what = f"{path} cannot be written: {error.strerror or error}"
        self.remedy = "have room there, and the right to write; the proxy goes on with what it has"
        super().__init__(self.what)


class SwarmOlder(MooringError):
    """A manager lists the swarm as it was before what another one has listed.

    One that was leader goes on for a while when nobody reaches it, and tells what it knew.
    """

    code, effect = "SwarmOlder", Effect.NONE

    def __init__(self, address: str, version: int, known: int) -> None:
        self.what = (
            f"the manager at {address} has the swarm as it was before: it knows of changes up to"
            f" {version}, another told of {known}"
        )
        self.remedy = "what the proxy has goes on; see if it reaches the others: `docker node ls`"
        super().__init__(self.what)


class KeptAlready(MooringError):
    """Another process keeps this proxy."""

    code, effect = "KeptAlready", Effect.NONE

    def __init__(self, directory: Path, keeper: str) -> None:
        """keeper: the number of that process; empty if it could not be written down."""
        who = f" (process {keeper})" if keeper else ""
        self.what = f"another `mooring edge run`{who} keeps the proxy of {directory}"
        self.remedy = "end it first, or give this edge file a directory of its own"
        super().__init__(self.what)
