"""How a host joins, and how its agent stays known: one-time tokens, and tokens of nodes.

POST /mooring/v1/join         {"node": NAME} with a one-time token: the node's own token
GET  /mooring/v1/ca           the certificate of the servers' authority; without any token
POST /mooring/v1/node/renew   a new token in the place of the node's own
POST /mooring/v1/tokens       an admin: {"node": NAME, "namespaces": [...], "hours": N}, a one-time
                              token; all of it may be left out
POST /mooring/v1/leave        an admin: see leaving.py
"""

import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from mooring.api.bodies import read_as
from mooring.api.http import JSON, Request
from mooring.api.leaving import Leaving
from mooring.api.status import ApiError
from mooring.api.store import require_many_hosts
from mooring.api.tokens import Token, Tokens, until
from mooring.clock import timestamp
from mooring.model import door
from mooring.model.names import DIRECTORY_DRIVER
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.storage_class import StorageClass
from mooring.objects.errors import AlreadyExists
from mooring.objects.kinds.common import is_subdomain
from mooring.objects.leases import SeenLeases
from mooring.objects.objects import Objects
from mooring.store.interface import ABSENT, ANY, Check, Conflict, Write

log = logging.getLogger(__name__)

TOKENS_PATH: Final = "/mooring/v1/tokens"
RENEW_PATH: Final = f"{door.PATH}/renew"
HOST_CLASS: Final = "host"  # whose volumes are on the host of their first container
NODE_DAYS: Final = 30.0  # of a node's token; its agent renews it after a third of that
JOIN_HOURS: Final = 1.0
LONGEST_HOURS: Final = 24.0 * 7
OLD_MINUTES: Final = 5.0  # that a renewed one is good for, in case its answer was lost
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """For whom a one-time token is to be good. node: one name alone; "": any that is new."""

    node: str = ""
    namespaces: tuple[str, ...] = ()
    hours: float = JOIN_HOURS


class Made(msgspec.Struct):
    token: str
    expires: str


class Joining:
    """Answers by path."""

    def __init__(self, objects: Objects, tokens: Tokens, ca: Path, leases: SeenLeases) -> None:
        self._objects, self._tokens, self._ca = objects, tokens, ca
        self._leaving = Leaving(objects, tokens, leases)

    async def serves_anybody(self, request: Request) -> bool:
        """What needs no token, as who asks does not know yet whether to trust this server."""
        if (request.method, request.path) != ("GET", door.CA_PATH):
            return False
        headers = ((b"content-type", b"application/x-pem-file"),)
        await request.answer(200, self._ca.read_bytes(), headers)
        return True

    async def serves_joiner(self, request: Request, token: Token, hashed: str) -> bool:
        """A one-time token is good for one thing."""
        if (request.method, request.path) != ("POST", door.JOIN_PATH):
            return False
        asked = await read_as(request, door.JoinRequest)
        await self._objects.fresh()  # another server may have let in one of that name
        self._refuse_node(asked.node, token)
        claim = await self._claimed(asked.node, token, hashed)
        if asked.pool:
            await self._make_pool(asked)
        node = Token("node", f"system:node:{asked.node}", asked.node, token.namespaces)
        await self._answer_token(request, node, hashed, claim)
        log.info("node=%s joined", asked.node)
        return True

    async def serves_node(self, request: Request, token: Token, hashed: str) -> bool:
        if (request.method, request.path) != ("POST", RENEW_PATH):
            return False
        node = Token("node", token.user, token.node, token.namespaces)
        await self._answer_token(request, node, hashed)
        return True

    async def serves_admin(self, request: Request) -> bool:
        if await self._leaving.serves(request):
            return True
        if (request.method, request.path) != ("POST", TOKENS_PATH):
            return False
        await require_many_hosts(self._objects.store)
        asked = await read_as(request, Asked)
        _refuse_asked(asked)
        expires = until(self._objects.clock, asked.hours / 24)
        token = Token("join", "system:joining", asked.node, asked.namespaces, expires)
        made = Made(await self._tokens.made(token), timestamp(expires))
        await request.answer(201, msgspec.json.encode(made), (JSON,))
        return True

    def _refuse_node(self, node: str, token: Token) -> None:
        if not is_subdomain(node):
            what = f"{node[:64]!r} cannot be the name of a Node"
            raise ApiError("BadRequest", what, "choose one of lower case letters, digits, - and .")
        if token.node and token.node != node:
            what = f"this token is for node {token.node} alone, not for {node}"
            raise ApiError("Forbidden", what, f"join as {token.node}, or have another token made")
        if not token.node and self._objects.view(Node, node) is not None:
            raise _taken(node)
        self._leaving.refuse_risky(node)
        if wait_s := self._leaving.wait_s(node):
            what = f"node {node} has volumes in use that others reach, and was heard of just now"
            remedy = f"stop its agent, and try again in {wait_s:.0f} s; or join by another name"
            raise ApiError("Conflict", what, remedy)

    async def _claimed(self, node: str, token: Token, hashed: str) -> Check:
        """That the name is this host's, whoever else joins by it at this moment.

        A try that was cut off may be tried again with the same token. A token for that name alone
        takes it over: what the agent of before has yet to be done is not done any more.
        """
        key, mark = door.HOSTS + node, hashed.encode()
        try:
            claim = [Write(key, mark, ANY if token.node else ABSENT)]
            return Check(key, await self._objects.store.commit(claim))
        except Conflict as conflict:
            found = await self._objects.store.get(key)
            if found is None or found.value != mark:
                raise _taken(node) from conflict
            return Check(key, found.revision)

    async def _make_pool(self, asked: door.JoinRequest) -> None:
        """Where the host's volumes are, and a class that takes each where it is used first."""
        if not asked.pool.startswith("/"):
            raise ApiError("BadRequest", f"pool: {asked.pool[:64]!r} is no absolute path")
        await make_pool(self._objects, asked.node, asked.pool)

    async def _answer_token(
        self, request: Request, token: Token, old: str, claim: Check | None = None
    ) -> None:
        """old: the hash of the one that asks. claim: to a name, of one that joins"""
        expires = until(self._objects.clock, NODE_DAYS)
        token = msgspec.structs.replace(token, expires=expires)
        try:
            if claim is None:
                secret = await self._tokens.renewed(old, token, OLD_MINUTES / (24 * 60))
            else:
                secret = await self._tokens.made(token, instead_of=old, checks=[claim])
        except Conflict as conflict:
            if claim is not None and conflict.key == claim.key:
                raise _taken(token.node) from conflict
            what = "this token was used already, or another of this node at this moment"
            remedy = "try it again; if it stays so have another made: mooring node token"
            raise ApiError("Unauthorized", what, remedy) from conflict
        answer = door.NodeToken(token.node, secret, timestamp(expires), list(token.namespaces))
        await request.answer(200, msgspec.json.encode(answer), (JSON,))


def _taken(node: str) -> ApiError:
    return ApiError(
        "AlreadyExists",
        f"there is a node {node} already",
        f"if it is this host, make a token for it alone: mooring node token --node {node}; "
        "else join with another --node-name",
    )


async def make_pool(objects: Objects, node: str, root: str) -> None:
    """Where a further host's volumes are, and the class that takes each where it is used first.

    What is there already stays as it is.
    """
    spec = {"driver": DIRECTORY_DRIVER, "node": node, "root": root}
    pool = {"metadata": {"name": f"local-{node}"}, "spec": spec}
    class_ = {
        "metadata": {"name": HOST_CLASS},
        "provisioner": DIRECTORY_DRIVER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }
    for resource, doc in ((Pool.resource, pool), (StorageClass.resource, class_)):
        with suppress(AlreadyExists):
            await objects.create(objects.kinds[resource], "", doc)


def _refuse_asked(asked: Asked) -> None:
    if asked.node and not is_subdomain(asked.node):
        raise ApiError("BadRequest", f"node: {asked.node[:64]!r} cannot be the name of a Node")
    if bad := [one for one in asked.namespaces if not _NAMESPACE.fullmatch(one)]:
        raise ApiError("BadRequest", f"namespaces: {bad[0][:64]!r} cannot be that of a namespace")
    if not 0 < asked.hours <= LONGEST_HOURS:
        what = f"hours: {asked.hours:g} is not more than 0 and at most {LONGEST_HOURS:.0f}"
        raise ApiError("BadRequest", what)
