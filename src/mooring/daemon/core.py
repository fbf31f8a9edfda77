"""What every server is: objects over a store, those who may use them, and the controllers."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from mooring.api.app import App
from mooring.api.certificates import Authority, names_of
from mooring.api.certifying import Certifying
from mooring.api.door import Door
from mooring.api.edges import Edges
from mooring.api.host import Host
from mooring.api.identity import Identities
from mooring.api.joining import Joining
from mooring.api.nodes import Nodes
from mooring.api.store import StoreState
from mooring.api.tokens import Token, Tokens
from mooring.controllers.controllers import Controllers
from mooring.controllers.leading import Leading
from mooring.controllers.recorder import Recorder
from mooring.daemon.access import users_of
from mooring.daemon.announcing import Announcing
from mooring.daemon.errors import usable
from mooring.daemon.first_start import first_start
from mooring.daemon.parts import Part
from mooring.daemon.serving import url_of
from mooring.daemon.settings import Settings
from mooring.daemon.stores import place_of, share_authority
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.interface import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Core:
    """parts: that run beside the API, before any of a host."""

    url: str
    objects: Objects
    tokens: Tokens
    identities: Identities
    authority: Authority
    recorder: Recorder
    announcing: Announcing
    parts: list[Part]

    @property
    def certifying(self) -> Certifying:
        """Makes the certificates of agents."""
        return Certifying(self.objects, self.authority)

    @property
    def feeds(self) -> list[asyncio.Task[None]]:
        """What follows the store."""
        return [self.objects.cache.feed_task(), self.tokens.feed_task()]

    def app(self, host: Host | None = None) -> App:
        """host: None where no agent runs in this process."""
        door = Door(self.objects, self.recorder.note)
        joining = Joining(self.objects, self.tokens, self.authority.ca, door.leases)
        edges = Edges(self.objects, self.tokens)
        nodes = Nodes(self.identities, self.tokens, door, joining, self.certifying, edges)
        store = StoreState(self.objects.store, self.announcing)
        return App(self.objects, ALL_KINDS, self.identities, host, nodes, store)

    async def close(self) -> None:
        """The store stays open."""
        await self.tokens.stop()
        await self.objects.close()


async def core_of(settings: Settings, listener: socket.socket, store: Store) -> Core:
    """Raises MooringError."""
    url = url_of(settings.host, listener.getsockname()[1])
    directory = settings.data_dir / "pki"
    name = f"{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(4)}"
    announcing = Announcing(store, name, place_of(settings.store, settings.data_dir))
    await announcing.begin()
    await share_authority(store, directory)
    authority = Authority(directory)
    with usable(directory):
        await asyncio.to_thread(authority.ensure, [*names_of(settings.host), *settings.tls_sans])
    users = users_of(settings, authority, url)
    objects = Objects(store, ALL_KINDS)
    await objects.start()
    tokens = Tokens(store, objects.clock)
    await tokens.start()
    await _share(tokens, users, settings)
    await first_start(objects, settings)
    recorder = Recorder(objects)
    identities = Identities(users, tokens)
    parts: list[Part] = [announcing, recorder, _controllers(objects, recorder, settings, name)]
    return Core(url, objects, tokens, identities, authority, recorder, announcing, parts)


def _controllers(objects: Objects, recorder: Recorder, settings: Settings, name: str) -> Part:
    """Those of the only server of a store; of several, when this one leads, which has that name."""
    if not objects.store.is_shared:
        return Controllers(objects, recorder)
    # With a recorder of their own, as what they tell holds only while this server leads.
    return Leading(objects, name, Controllers, settings.lease_s)


async def _share(tokens: Tokens, users: Mapping[str, str], settings: Settings) -> None:
    """Have every server of the store know the token in our kubeconfig."""
    for hashed, user in users.items():
        maker = f"{socket.gethostname()}:{settings.kubeconfig.absolute()}"
        await tokens.known(hashed, Token("user", user, maker=maker))
