"""What a proxy has to be able to do, whichever it is."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from mooring.edge.certificates import Certificate
from mooring.edge.errors import ConfigRejected
from mooring.edge.history import History
from mooring.edge.model import Model, Server
from mooring.edge.routes import Problem, Route

LOOK_S: Final = 2.0  # at the proxy's own state, if nothing else happens


class Facts(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """What can be asked of a proxy that runs.

    pid          of its master
    old_workers  that end what clients began before a reload
    generation   of the configuration that it has, and `wanted` of the one that it is to have;
                 HAProxy's are numbers, nginx's are made of the text
    """

    version: str
    pid: int
    generation: str
    wanted: str
    old_workers: int = 0


class Proxy(Protocol):
    """A real proxy, kept at a model. It goes on when we end, and is found again."""

    place: Path  # the directory of its files
    history: History

    @property
    def reloads(self) -> int:
        """That came to something, since we follow it."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What it found out about servers."""

    async def find(self) -> None:
        """Take over one that runs already, if it does; else start it as it was."""

    async def revive(self) -> None:
        """Start it as it was, if it has ended. Raises MooringError, OSError."""

    async def bring(self, model: Model, certificates: Mapping[str, Certificate]) -> float:
        """Bring it to a model. Called again and again, also with the same.

        certificates  by file
        returns       after how many seconds to call again, if nothing changes
        raises        MooringError; what it had before goes on
        """

    async def refusal(
        self, model: Model, certificates: Mapping[str, Certificate]
    ) -> ConfigRejected | None:
        """What its own checker says to a model; None: it takes it. Nothing that runs is changed."""

    def routes(self) -> Collection[Route]:
        """Those of the configuration that it has, as far as that is known."""

    async def facts(self) -> Facts | None:
        """None: it does not run."""

    def state_of(self, backend: str, server: Server) -> str:
        """In a word, how a server is: serves, checking, leaves, down, waits."""

    async def rendered(self, model: Model) -> str:
        """The configuration of a model, as `bring` would write it. Changes nothing."""

    def configuration(self) -> Path:
        """Where the one is that it has."""

    async def stop(self) -> None:
        """End it, with every connection that it has."""
